"""The audit: samples in, verdicts and what they rest on out, as a page or as JSON."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from modecover import __version__
from modecover.arguments import held
from modecover.auditing import findings
from modecover.auditing.evidence import Evidence, Generated, fit_halves
from modecover.auditing.expected import FEATURES, READ_FIRST, READING, Progress, Stages, plan
from modecover.auditing.gates import Gate, Outcome, Side, check_gates, require_possible
from modecover.auditing.inputs import FEWEST, MOST, SAMPLES, Samples, open_samples, require_alike, take_samples
from modecover.auditing.records import Record
from modecover.auditing.results import MADE, ROLES, Findings
from modecover.auditing.verdicts import NAMES, VERDICTS
from modecover.data.base import Dataset, needs, usable_device
from modecover.errors import UserError
from modecover.features import Extractor, automatic, by_function, fit_features
from modecover.features.kept import Kept
from modecover.limits import bytes_of, readable
from modecover.metrics.arrays import Integers, as_array

LEAST_MEMORY = 5 * 10**6
"""Bytes, of which blocks of distances take a quarter."""


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Audit(Record, Findings):
    """Everything an audit found. `to_json` and `from_json` keep all of it but the gallery; audits are equal where their
    JSON is."""

    KIND: ClassVar[str] = "audit"

    def check(
        self, *, fail_under: Mapping[str, float] | None = None, fail_over: Mapping[str, float] | None = None
    ) -> list[Outcome]:
        """What became of thresholds, as the command's `--fail-under` and `--fail-over`: of each whether it is broken,
        and a sentence.

        Args:
            fail_under, fail_over: bounds by the keys of metrics and the names of verdicts: `{"missing mass": 0.05}`.

        Raises:
            UserError: a key is unknown, a bound makes no sense, or this audit lacks its number.
        """
        sides: tuple[tuple[Side, Mapping[str, float]], ...] = ("under", fail_under or {}), ("over", fail_over or {})
        gates = [Gate(key, side, bound) for side, bounds in sides for key, bound in bounds.items()]
        require_possible(gates)
        return check_gates(self, gates)

    def to_frame(self) -> Any:
        """Verdicts and metrics as a pandas DataFrame, one row each: kind ("verdict" or "metric"), key, value, low, high
        (of the 95 % interval), null (what real data get) and fires (None for metrics). `UserError` without pandas."""
        pandas = needs("pandas", "a data frame")
        rows = [
            ("verdict", verdict.name, *vars(verdict.effect).values(), verdict.null.value, verdict.fires)
            for verdict in self.verdicts
        ]
        rows += [
            ("metric", metric.key, metric.value, metric.low, metric.high, metric.null, None) for metric in self.metrics
        ]
        return pandas.DataFrame(rows, columns=["kind", "key", "value", "low", "high", "null", "fires"])

    def _page(self) -> str:
        from modecover.auditing.page import page

        return page(self)


@held(samples=(FEWEST, MOST), seed=0, of_seed=0, scaling=["auto", "columns", "none"])
def audit(
    real: Any,
    fake: Any,
    *,
    train: Any = None,
    test: Any = None,
    labels: npt.ArrayLike | None = None,
    features: str | Extractor | Callable[[Any], Any] = "auto",
    encoder: Callable[[Any], Any] | None = None,
    scaling: str = "auto",
    samples: int = SAMPLES,
    seed: int = 0,
    memory: str | int = 10**9,
    of_seed: int | None = None,
    real_options: Mapping[str, Any] | None = None,
    fake_options: Mapping[str, Any] | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Audit:
    """Judge samples of any generator against real data.

    Args:
        real, fake: arrays, tensors, files, folders of images, data sets by name, models and runs of modecover, or
            functions that make samples: see `modecover.auditing.inputs.read_samples`.
        train: what the generator learnt from, where `real` is not that: copies are looked for among these.
        test: real samples that it did not learn from, to compare with; None: with `train` the real ones, and without
            it each real sample held against the others.
        labels: classes of the real samples, whole numbers (n,); None: those of the data set, where it has any.
        features: what missing modes and imbalance are looked for in: "pixels", "random-convolutions", "classifier" (of
            the labels), "imagenet", "inception:FILE" (weights for torch-fidelity's network), "FILE.pt" (a network that
            TorchScript saved), an `Extractor`, or a function of samples (n, ...). "auto": "imagenet" for colour images
            of 32 pixels and more, where it is installed, else the classifier for images with labels, else pixels.
        encoder: a function from samples to codes, whose law over the real data is compared with N(0, I).
        scaling: "columns": points are compared standardised by the real ones, and the columns of a table weigh alike, a
            column of words as much as a number; "none": as they are; "auto": standardised where the real samples are a
            table that holds more than numbers of similar spread. Features and encoders see them so, too.
        samples: of each side at most.
        seed: of every random choice: the same call gives the same audit.
        memory: bytes that the audit may take, or words such as "1GB": images that would take more than an eighth of it
            as bytes are kept in a temporary file. Beside it count arrays, which are opened as a whole, features, and
            what a plain function as `features` or `encoder` is given, all samples as float32 at once.
        of_seed: which of a run's models is judged, where several seeds were trained together.
        real_options, fake_options: of `open_data`.
        device: where features are computed.
        progress: called with what is being done and the share of the whole that is done.

    Raises:
        UserError: samples cannot be opened, are too few, differ in shape or are not finite, or a setting is wrong.
    """
    (evidence,) = gather(
        real,
        (fake,),
        train=train,
        test=test,
        labels=labels,
        features=features,
        encoder=encoder,
        scaling=scaling,
        samples=samples,
        seed=seed,
        memory=memory,
        of_seed=of_seed,
        real_options=real_options,
        fake_options=fake_options,
        device=device,
        progress=progress,
    )
    return judged(evidence, samples)


@held(samples=(FEWEST, MOST), seed=0, of_seed=0, scaling=["auto", "columns", "none"])
def gather(
    real: Any,
    fakes: tuple[Any, ...],
    *,
    train: Any,
    test: Any,
    labels: npt.ArrayLike | None,
    features: str | Extractor | Callable[[Any], Any],
    encoder: Callable[[Any], Any] | None,
    scaling: str,
    samples: int,
    seed: int,
    memory: str | int,
    of_seed: int | None,
    real_options: Mapping[str, Any] | None,
    fake_options: Mapping[str, Any] | None,
    device: torch.device | str,
    progress: Progress | None,
) -> list[Evidence]:
    """The evidence for or against one generator or two, judged by the same halves of the real rows: see `audit`."""
    if (room := bytes_of("memory", memory)) < LEAST_MEMORY:
        raise UserError(f"memory is {memory}: an audit takes at least {readable(LEAST_MEMORY)}; give more, as in 1GB.")
    usable_device(device)
    tell: Progress = progress or (lambda stage, done: None)

    # The samples of every role, alike and enough. What a number of a pixel means is said once, by the real side: else
    # one odd fake pixel would recast all fakes.
    reading = Stages(tell, READ_FIRST)
    told: Any = {"progress": lambda what, done, total: reading.so_far(done, total)}
    sources: dict[str, tuple[Dataset, dict[str, Any]]] = {}
    meaning: dict[str, Any] = {}
    made = dict(zip(MADE, fakes, strict=False))
    for role, source in {"real": real, **made, "train": train, "test": test}.items():
        if source is None and role in ("train", "test"):
            continue
        given, chosen = (fake_options, of_seed) if role in made else (real_options, None)
        options = {**told, **meaning, **(given or {})}
        reading.begin(READING)
        data = open_samples(source, role, count=samples, seed=seed, of_seed=chosen, options=options)
        sources[role] = data, options
        require_alike(sources["real"][0], data, role)
        if data.size is not None and data.size < FEWEST:
            few = f"There are {data.size} {ROLES[role]} samples"
            raise UserError(f"{few}; an audit needs at least {FEWEST}: give more.")
        if role == "real" and (read_as := getattr(data, "read_as", None)) is not None:
            meaning = {"value_range": read_as}
        if role == "real" and data.encoding is not None:
            meaning = {"encoding": data.encoding}
    parts: dict[str, Samples] = {}
    for role, (data, options) in sources.items():
        reading.begin(READING)
        seen: Any = scaling if role == "real" else parts["real"].scaling or "none"
        parts[role] = take_samples(data, role, count=samples, seed=seed, options=options, scaling=seen, room=room // 8)

    # Classes may be given for the real rows that were taken, or for all of their source.
    rows, classes = parts["real"], parts["real"].labels
    if labels is not None:
        classes = np.asarray(as_array(labels))
        if rows.of is not None and classes.shape[:1] == (rows.of,):
            classes = classes[rows.index]
        if classes.shape != (len(rows),) or classes.dtype.kind not in "iu":
            said = f"labels have type {classes.dtype} and shape {classes.shape}"
            raise UserError(f"{said}; give a whole number for each real sample.")
        classes = classes.astype(np.int64)

    names = ("",) if len(fakes) == 1 else (" of A", " of B")
    kind = automatic((len(rows) // 2, *rows.shape), classes) if features == "auto" else features
    kind = kind if isinstance(kind, str) and kind in FEATURES else "network"
    stages = Stages(tell, plan(kind, names, NAMES))

    def fit(own: Kept, of_own: Integers | None) -> Extractor:
        return fit_features(features, own, of_own, seed=seed, device=device, memory=room // 4, progress=stages.so_far)

    codes = None if encoder is None else by_function(encoder)
    generated = [Generated(parts[role], rows) for role in made]
    for part in parts.values():
        part.kept.told = stages.so_far
    parts = {role: part for role, part in parts.items() if role not in made}
    fitted = fit_halves(rows.kept, fit, labels=classes, generated=generated, seed=seed, memory=room, stages=stages)
    return [
        Evidence(parts, each, fitted, labels=classes, encoder=codes, seed=seed, memory=room, stages=stages, name=name)
        for each, name in zip(generated, names, strict=True)
    ]


def judged(evidence: Evidence, samples: int) -> Audit:
    """What an audit says of the evidence; `samples` is the number that was asked for."""
    verdicts = []
    for judge, name in zip(VERDICTS, NAMES, strict=True):
        evidence.begin(name)
        verdicts.append(judge(evidence))
    evidence.begin("metrics and examples")
    # Where it cannot be told how often modes are made, shares of classes and clusters would tell it all the same.
    weighed = next(verdict.measured for verdict in verdicts if verdict.name == "imbalance")
    found = Audit(
        verdicts=tuple(verdicts),
        metrics=findings.metrics(evidence),
        curves=findings.curves(evidence),
        missed=findings.missed(evidence),
        starved=findings.starved(evidence) if weighed else {},
        copies=findings.copies(evidence),
        classes=findings.classes(evidence) if weighed else (),
        invented=findings.invented(evidence),
        settings={
            "features": evidence.chosen.extractor.identity,
            "surface": evidence.surface.extractor.identity,
            "neighbour": evidence.surface.near.k,
            "cells": len(evidence.halves[0].regions.cells),
            "clusters": len(evidence.comparison.z),
            "scaling": "none" if evidence.real.scaling is None else "columns",
            "samples": samples,
            "seed": evidence.seed,
        },
        versions={
            "modecover": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        inputs={role: part.facts() for role, part in evidence.parts.items()},
    )
    return dataclasses.replace(found, gallery=findings.gallery(found, evidence.real, evidence.fake, evidence.train))
