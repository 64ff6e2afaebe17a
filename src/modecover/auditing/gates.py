"""Thresholds that an audit must keep, as a continuous-integration job asks for them: `coverage=0.8`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from modecover.auditing.findings import METRICS
from modecover.auditing.results import Better, Estimate, Findings
from modecover.auditing.verdicts import NAMES, VERDICTS
from modecover.errors import UserError
from modecover.kinds import nearest, spelled
from modecover.runs.alarm import named_number

Side = Literal["under", "over"]

KNOWN: dict[str, Better] = METRICS | {
    name.replace(" ", "-"): better for name, better in zip(NAMES, VERDICTS.values(), strict=True)
}
"""What can be bounded: every metric, and the effect of every verdict; each with the direction that is better."""


@dataclass(frozen=True)
class Gate:
    """A bound on one number of an audit: it breaks where the number is `side` the `bound`."""

    key: str
    """The key of a metric or the name of a verdict, whose effect then counts."""
    side: Side
    bound: float

    def __str__(self) -> str:
        return f"--fail-{self.side} {self.key}={self.bound:g}"


class Outcome(NamedTuple):
    """What became of a gate."""

    broken: bool
    sentence: str


def parse_gate(text: str, side: Side) -> Gate:
    """The gate in words such as "coverage=0.8". Raises `UserError` where they are not KEY=NUMBER."""
    if (read := named_number(text)) is None:
        example = "coverage=0.8" if side == "under" else "missing=0.05"
        raise UserError(f"--fail-{side} {text} is no threshold: give a name and a number, such as {example}.")
    key, bound = read
    return Gate(key, side, bound)


def require_possible(gates: Sequence[Gate]) -> None:
    """Refuse gates that no audit could keep in earnest, before there is one.

    Raises:
        UserError: a key is neither a metric's nor a verdict's name (the message names the nearest); a gate would fail
            what is good, as `--fail-over coverage=0.8`; or a bound is set twice.
    """
    said: dict[tuple[str, Side], Gate] = {}
    for gate in gates:
        key = _known(gate, KNOWN, "an audit")
        wrong, right = ("lower", "over") if gate.side == "under" else ("higher", "under")
        if KNOWN[key] == wrong:
            raise UserError(f"{gate} would fail good samples: {key} is better {wrong}, so say --fail-{right} instead.")
        first = said.setdefault((key, gate.side), gate)
        if first is not gate:
            raise UserError(f"{gate} comes after {first}: set one bound on {key}.")


def gate_numbers(audit: Findings) -> dict[str, Estimate]:
    """The numbers that gates can be set on, by key: every metric, and the effect of every verdict, with its interval.

    An effect is what goes beyond real data in the generator's place; a metric is its value alone.
    """
    effects = {verdict.name.replace(" ", "-"): verdict.effect for verdict in audit.verdicts}
    return effects | {metric.key: Estimate(*[metric.value] * 3) for metric in audit.metrics}


def check_gates(audit: Findings, gates: Sequence[Gate]) -> list[Outcome]:
    """What became of each gate: it breaks where the number's whole interval is beyond the bound, so that chance alone
    does not break it, and on NaN, what could not be measured. `UserError`: the audit lacks its number."""
    numbers, outcomes = gate_numbers(audit), []
    for gate in gates:
        found = numbers[_known(gate, numbers, "this audit")]
        value, nearest_end = found.value, found.low if gate.side == "over" else found.high
        side = "over" if value > gate.bound else "under" if value < gate.bound else "at"
        if math.isnan(value):
            outcomes.append(Outcome(True, f"{gate.key} could not be measured, so {gate} is broken"))
            continue
        broken = nearest_end > gate.bound if gate.side == "over" else nearest_end < gate.bound
        said = f"{gate.key} is {value:.4g}, {side} {gate.bound:g}"
        if side == gate.side and not broken:
            said += f", but may be {nearest_end:.4g}"
        outcomes.append(Outcome(broken, said))
    return outcomes


def _known(gate: Gate, keys: Mapping[str, object], whose: str) -> str:
    """The key of `keys` that a gate names, in whatever spelling; `UserError` where there is none."""
    key = spelled(gate.key)
    if key not in keys:
        hint = f"{nearest(key, keys)}; choose one of {', '.join(keys)}"
        raise UserError(f"{gate}: {whose} has no number {gate.key!r}{hint}.")
    return key
