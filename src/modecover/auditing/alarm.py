"""An alarm for training loops of one's own: an audit at a fraction of its cost, as often as wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import torch

from modecover.arguments import held
from modecover.auditing.expected import Progress
from modecover.auditing.inputs import FEWEST, MOST, Samples, read_samples, require_alike
from modecover.data.base import usable_device
from modecover.errors import UserError
from modecover.features import Extractor
from modecover.features.watch import REAL_FOR_A_FAKE, Watch
from modecover.runs.alarm import SAMPLES, Look, Rule, read_bounds

_ENDING = "{}, is the last that kept it"


class Alarm:
    """Thresholds that a generator must keep while it is trained, as `modecover.train(..., alarm=...)` has them.

    The real samples are read and fitted once, which takes seconds; a check takes a fraction of one. A threshold counts
    from the first check that keeps it; the alarm then goes off where the whole 95 % interval lies beyond it at two
    checks in a row.

    Args:
        real: whatever `modecover.audit` takes.
        thresholds: shares by the names of verdicts: `{"missing": 0.2}`.
        features: as for `modecover.audit`; "auto" is a classifier for images with labels, else pixels.
        samples: of a generator, that a check will be given: more than half as many, at least.
        seed: of every random choice.
        real_options, fake_options: of `open_data`; the classes of an array as real_options={"labels": classes}.
        device: where features are computed.
        progress: called with the stage and the share of it that is done.

    Raises:
        UserError: real samples cannot be opened or are too few, or a threshold or setting is wrong.
    """

    @held(samples=(FEWEST, MOST), seed=0)
    def __init__(
        self,
        real: Any,
        thresholds: Mapping[str, float],
        *,
        features: str | Extractor | Callable[[Any], Any] = "auto",
        samples: int = SAMPLES,
        seed: int = 0,
        real_options: Mapping[str, Any] | None = None,
        fake_options: Mapping[str, Any] | None = None,
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
    ):
        self._rule = Rule(read_bounds(thresholds))
        if not self._rule.bounds:
            raise UserError("An alarm needs a threshold: give one by name, such as {'missing': 0.2}.")
        usable_device(device)
        tell: Progress = progress or (lambda stage, done: None)
        tell("samples", 0.0)
        self.samples, self.seed = samples, seed
        self._real = self._read(real, "real", REAL_FOR_A_FAKE * samples, real_options)
        read_as = getattr(self._real.dataset, "read_as", None)
        self._fake_options = {**({} if read_as is None else {"value_range": read_as}), **(fake_options or {})}
        told: Callable[[int, int], None] = lambda done, total: tell("classifier", done / total)
        fitted = partial(Watch, fakes=samples, features=features, seed=seed, device=device, progress=told)
        self._watch = fitted(self._real.kept, self._real.labels)

    @held(step=0)
    def check(self, fake: Any, *, step: int | None = None) -> Look:
        """Hold samples of the generator against the thresholds.

        Args:
            fake: whatever `modecover.audit` takes: about `samples` samples of fresh noise, or what makes them.
            step: of the training, for the sentence; None: checks are counted.

        Returns:
            What was found: `tripped`, whether to stop; `kept`, whether the generator is worth keeping; `beyond`,
            whether it lies beyond a threshold now; `numbers` with their intervals; `sentence`.

        Raises:
            UserError: samples cannot be read, are not finite, are of another shape than the real ones, or too few.
        """
        number = self._rule.looks
        samples = self._read(fake, "fake", self.samples, self._fake_options, number)
        assert self._real.dataset is not None and samples.dataset is not None, "they were opened"
        require_alike(self._real.dataset, samples.dataset, "fake")
        if 2 * len(samples) <= self.samples:
            raise UserError(
                f"The alarm was made for {self.samples:,} samples at a check and was given {len(samples):,}: give as "
                f"many, or make it with samples={len(samples)}."
            )
        numbers = self._watch.look(samples.kept, self._rule.bounds, seed=self.seed + number)
        return self._rule.judge(f"check {number + 1:,}" if step is None else f"step {step:,}", numbers, _ENDING)

    def state_dict(self) -> dict[str, Any]:
        """What the alarm remembers of its checks, as JSON: for a checkpoint."""
        return asdict(self._rule)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()` of an alarm with these thresholds. Raises `UserError` where it is of another."""
        if not isinstance(state, Mapping) or state.get("bounds") != self._rule.bounds:
            raise UserError("This is the state of an alarm with other thresholds: load one of the same.")
        self._rule = Rule(**state)

    def _read(self, source: Any, role: str, count: int, options: Mapping[str, Any] | None, number: int = 0) -> Samples:
        found = read_samples(source, role, count=count, seed=self.seed + number, options=options)
        if len(found) < FEWEST:
            raise UserError(f"There are {len(found)} {role} samples; an alarm needs at least {FEWEST}: give more.")
        return found
