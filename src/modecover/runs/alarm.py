"""An alarm: shares of failure that a generator must not exceed while it is trained, looked at now and then.

A threshold counts once the generator has kept it, for at first everything is missing. From then on the alarm goes off
where the whole 95 % interval lies beyond the threshold at two looks in a row, so that neither the beginning nor chance
ends a run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modecover.data import Dataset
from modecover.data.scaling import Scaling
from modecover.engine.side_by_side import AnyEngine
from modecover.errors import UserError
from modecover.features.kept import Kept, kept_rows
from modecover.features.watch import READINGS, REAL_FOR_A_FAKE, Reading, Watch
from modecover.kinds import checked, counted, joined, nearest, shown, spelled
from modecover.random import derive_seed
from modecover.runs.evaluation import SHARE, Interlude, samples_of
from modecover.runs.listener import Listener

SAMPLES = 2000
"""Fake rows at a look, of each seed."""

MOST_BYTES = 2**28
"""That the fake rows of all seeds may take: of large images fewer are looked at."""

FEWEST = 10
"""Real rows that an alarm needs, as an audit does."""

IN_A_ROW = 2
"""Looks beyond a threshold that set the alarm off."""

EACH_TOLD = 4
"""Seeds of which a sentence tells each number."""

SLOW_LOOK = 2.0
"""Seconds of a look that the user is told of."""

OTHERS = ("imbalance", "shrink", "low-quality", "copying")
"""Verdicts of an audit that are no numbers of a look."""

SKIPPED = f"the alarm's looks take over {SHARE:.1%} of the time, so it looks less often than the run would be evaluated"

BLIND = "the alarm cannot tell what is missed: there are too few samples, or their modes overlap in pixels"


def read_bounds(alarm: Mapping[str, float] | None) -> dict[str, float]:
    """The thresholds of an alarm, by the keys of its numbers; none where there is no alarm.

    Raises:
        UserError: a name is unknown, or of what only an audit finds; a threshold is no share below 1, or set twice.
    """
    if alarm is not None and not isinstance(alarm, Mapping):
        raise UserError(f"alarm is {shown(alarm)}: give thresholds by name, such as {{'missing': 0.2}}.")
    bounds: dict[str, float] = {}
    for name, given in (alarm or {}).items():
        key = spelled(checked("a name in alarm", name, str))
        if key in OTHERS:
            raise UserError(
                f"The alarm {name}={given}: a run is watched for {joined(sorted(READINGS))} alone; audit what it made "
                f"with --fail-over {key}=X."
            )
        if key not in READINGS:
            raise UserError(f"The alarm {name}={given}: there is no number {name!r}{nearest(key, READINGS)}; {_GIVE}.")
        bound = checked(f"alarm {name}", given, float)
        if not 0 <= bound < 1:
            raise UserError(f"The alarm {name}={given:g}: a threshold is a share from 0 to below 1; {_GIVE}.")
        if key in bounds:
            raise UserError(f"The alarm {name}={given:g} comes after {key}={bounds[key]:g}: set one threshold on it.")
        bounds[key] = bound
    return bounds


def parse_alarm(words: Sequence[str]) -> dict[str, float] | None:
    """The alarm in words such as "missing=0.2", or "none". Raises `UserError` where they are neither."""
    if [word.lower() for word in words] in ([], ["none"]):
        return None
    said: dict[str, float] = {}
    for word in words:
        if (read := named_number(word)) is None:
            raise UserError(f"--alarm {word} is no threshold: {_GIVE}, or --alarm none.")
        name, bound = read
        if any(spelled(name) == spelled(other) for other in said):
            raise UserError(f"--alarm {word} comes after another one on {spelled(name)}: set one threshold on it.")
        said[name] = bound
    read_bounds(said)
    return said


def named_number(text: str) -> tuple[str, float] | None:
    """A name and a finite number, in words such as "missing=0.2"; None where the text is something else."""
    name, _, number = text.partition("=")
    try:
        bound = float(number)
    except ValueError:
        return None
    return (name.strip(), bound) if name.strip() and math.isfinite(bound) else None


_GIVE = "give a name and a share, such as missing=0.2"


# ---------------------------------------------------------------- when it goes off


@dataclass(frozen=True)
class Look:
    """What an alarm found at one look."""

    tripped: bool
    """Whether the alarm has gone off: a threshold that was once kept is broken at two looks in a row."""
    kept: bool
    """Whether all thresholds that were ever kept are kept now, and there is one: a model worth keeping."""
    beyond: bool
    """Whether the whole interval of some number lies beyond its threshold, at this look."""
    numbers: Mapping[str, Reading]
    """By key, "missing-mass"; of a run of several seeds by key and seed, "missing-mass of seed 3"."""
    sentence: str
    """What it means, in one sentence."""


@dataclass
class Rule:
    """Decides, look after look, whether an alarm goes off. All of it is JSON."""

    bounds: dict[str, float]
    """By key."""
    armed: list[str] = field(default_factory=list)
    """The numbers that have kept their thresholds."""
    in_a_row: dict[str, int] = field(default_factory=dict)
    """How many looks, up to the last, each number was beyond its threshold."""
    looks: int = 0
    good: dict[str, Any] | None = None
    """Where all was kept last: `at`, in words, and its `numbers`."""
    last: dict[str, Any] | None = None
    """The last look."""

    def judge(self, at: str, numbers: Mapping[str, Reading], ending: str) -> Look:
        """What becomes of the alarm with these numbers.

        Args:
            at: when, in words: "step 12,000".
            ending: what the sentence says where the alarm goes off, with the model that kept all last for {}.
        """
        self.looks += 1
        bounds = {name: self.bounds[_key(name)] for name in numbers}
        kept = [name for name, number in numbers.items() if number.value <= bounds[name]]
        beyond = [name for name, number in numbers.items() if number.low > bounds[name]]
        self.armed += [name for name in kept if name not in self.armed]
        self.in_a_row = {name: self.in_a_row.get(name, 0) + 1 for name in beyond}
        tripped = [name for name in beyond if name in self.armed and self.in_a_row[name] >= IN_A_ROW]
        is_good = bool(self.armed) and set(self.armed) <= set(kept)

        alike: dict[tuple[str, str], dict[str, Reading]] = {}  # seeds of which the same is to be said
        for name in tripped or beyond or list(numbers):
            never = ", not kept so far" if name in beyond and name not in self.armed else ""
            alike.setdefault((_key(name), never), {})[name] = numbers[name]
        parts = [
            f"{_told(group)} (alarm at {_percent(self.bounds[key])}%{never})" for (key, never), group in alike.items()
        ]
        sentence = f"At {at} {' and '.join(parts)}"
        if tripped and self.good is not None:
            before = {name: self.good["numbers"][name][0] for name in tripped}
            past = [f"{_VERBS[_key(name)][2]} {_percent(value)}%" for name, value in before.items()]
            model = f"the model of {self.good['at']}, which {' and '.join(dict.fromkeys(past))}"
            sentence += f"; {ending.format(model)}"
        elif set(beyond) & set(self.armed):
            sentence += "; if the next look finds that too, the alarm goes off"
        if is_good:
            self.good = {"at": at, "numbers": {name: list(number) for name, number in numbers.items()}}
        look = Look(bool(tripped), is_good, bool(beyond), dict(numbers), f"{sentence}.")
        self.last = asdict(look)
        return look

    def last_look(self) -> Look | None:
        """The last look again."""
        if self.last is None:
            return None
        return Look(**{**self.last, "numbers": {name: Reading(*given) for name, given in self.last["numbers"].items()}})


_VERBS = {"missing-mass": ("misses", "miss", "missed", "of the data")}
"""What a generator does, several do, and one did, by the key of the number, and what it is a share of."""


def _key(name: str) -> str:
    return name.partition(" of seed ")[0]


def _told(numbers: Mapping[str, Reading]) -> str:
    """ "the generator misses 34.2% [29.1, 40.3] of the data", or of several seeds each; of many, what their intervals
    cover together."""
    (one, many, _, whole), seeds = (
        _VERBS[_key(next(iter(numbers)))],
        [name.partition(" of seed ")[2] for name in numbers],
    )
    amounts = [_amount(number) for number in numbers.values()]
    if len(amounts) == 1:
        seed = f" of seed {seeds[0]}" if seeds[0] else ""
        return f"the generator{seed} {one} {amounts[0]} {whole}"
    if len(amounts) > EACH_TOLD:
        low, high = (f([getattr(each, end) for each in numbers.values()]) for f, end in ((min, "low"), (max, "high")))
        return f"the generators of seeds {counted(seeds)} {many} {_percent(low)}% to {_percent(high)}% {whole}"
    return f"the generators of seeds {counted(seeds)} {many} {' and '.join(amounts)} {whole}"


def _amount(number: Reading) -> str:
    if math.isnan(number.value):
        return f"at least {_percent(number.low)}%" if number.low > 0 else "an unknown share"
    return f"{_percent(number.value)}% [{_percent(number.low)}, {_percent(number.high)}]"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}"


# ---------------------------------------------------------------- of a run


class RunAlarm:
    """The alarm of a run. All processes hold one; that of the first alone looks.

    Args:
        bounds: as `read_bounds` gives them; none for no alarm.
        every: steps between looks, where there is time.

    Attributes:
        wanted: whether there are thresholds.
        tripped: whether it has gone off.
        step, good_step: of the last look, and of the last where all was kept.
    """

    def __init__(self, bounds: Mapping[str, float], every: int):
        self.rule, self.wanted = Rule(dict(bounds)), bool(bounds)
        self.pace = Interlude(None, every)
        self.step, self.good_step, self.tripped = -1, -1, False
        self._watch: Watch | None = None
        self._samples = SAMPLES

    def remember(self, step: int, *, kept: bool, tripped: bool) -> None:
        """What a look at this step came to, which all processes are told."""
        self.step, self.tripped = step, tripped
        if kept:
            self.good_step = step

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        names = ("step", "good_step", "tripped")
        return {"rule": asdict(self.rule), **{name: getattr(self, name) for name in names}}

    def load(self, state: Mapping[str, Any] | None) -> None:
        """Go on from `state()`, unless that was of other thresholds."""
        if state is not None and state["rule"]["bounds"] == self.rule.bounds:
            self.rule = Rule(**state["rule"])
            self.step, self.good_step, self.tripped = state["step"], state["good_step"], state["tripped"]

    def prepare(self, dataset: Dataset, engine: AnyEngine, listener: Listener, scaling: Scaling | None = None) -> None:
        """Fit the real samples, once for all looks, as the engine sees them: there the columns of a table are alike."""
        each = 4 * len(engine.seeds) * math.prod(dataset.shape)
        self._samples = max(FEWEST, min(SAMPLES, MOST_BYTES // each))
        wanted, generator = REAL_FOR_A_FAKE * self._samples, torch.Generator().manual_seed(derive_seed(0, "alarm"))
        if dataset.size is None:
            keys = dataset.draw(wanted, torch.Generator(dataset.device).manual_seed(derive_seed(0, "alarm")))
        else:
            keys = torch.randperm(dataset.size, generator=generator)[:wanted].sort().values
        if len(keys) < FEWEST:
            raise UserError(f"There are {len(keys)} samples, and an alarm needs at least {FEWEST}: leave it out.")
        real = kept_rows(dataset, keys, listener.preparing, scaling)
        labels = dataset.labels_of(keys)
        progress = partial(listener.preparing, "alarm")
        classes = None if labels is None else labels.cpu().numpy()
        with torch.random.fork_rng(devices=[]):
            watch = Watch(real, classes, fakes=self._samples, device=engine.device, progress=progress)
            # How long a look takes, without the imports of the first one, counts as spent before there is one.
            watch.look(real.part(np.arange(FEWEST)), self.rule.bounds)
            with self.pace.timed():
                found = watch.look(real.part(np.arange(len(real) // REAL_FOR_A_FAKE)), self.rule.bounds)
            self.pace.seconds *= len(engine.seeds)
            if self.pace.seconds > SLOW_LOOK:
                listener.note(f"each look of the alarm takes about {self.pace.seconds:.0f} s, one at the end included")
            if any(math.isnan(number.value) for number in found.values()):
                listener.note(BLIND)
        self._watch = watch

    def look(self, engine: AnyEngine, *, last: bool = False) -> Look:
        """Look at fresh samples of every seed, of the averaged weights where an average is kept."""
        assert self._watch is not None, "it was prepared"
        rule, step, seeds = self.rule, engine.step_number, engine.seeds
        numbers: dict[str, Reading] = {}
        # The noise is the look's own: training draws nothing of it, and no two looks share their chance.
        made: Tensor = samples_of(engine, None, self._samples, f"alarm {rule.looks}", average=engine.averaged)
        for seed, rows in zip(seeds, made, strict=True):
            found = self._watch.look(Kept(rows.numpy()), rule.bounds, seed=derive_seed(seed, "alarm", rule.looks))
            numbers |= {f"{key} of seed {seed}" if len(seeds) > 1 else key: number for key, number in found.items()}
        return rule.judge(f"step {step:,}", numbers, "{}, is kept" if last else "the run was stopped, and {}, is kept")

    def row(self, step: int, look: Look) -> dict[str, Any]:
        """A line of the log: of each number its values, and their intervals, over the seeds."""
        numbers: dict[str, Any] = {}
        for key in self.rule.bounds:
            found = [number for name, number in look.numbers.items() if _key(name) == key]
            name = key.replace("-", "_")
            numbers[name] = [number.value for number in found]
            numbers[f"{name}_interval"] = {end: [getattr(number, end) for number in found] for end in ("low", "high")}
        return {"step": step, "alarm": {**numbers, "tripped": look.tripped}}
