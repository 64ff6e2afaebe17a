"""Piecewise schedules over the fraction of training that is done."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modecover.errors import UserError
from modecover.kinds import read_number, shown

_POINT = re.compile(r"(?P<at>[^:~]+)(?P<how>[:~])(?P<value>[^:~]+)")


@dataclass(frozen=True)
class Schedule:
    """A value for each fraction t in [0, 1] of training."""

    points: tuple[tuple[float, float, bool], ...]
    """(fraction, value, ramp): from there on the value holds; with `ramp` a straight line from the point before leads
    to it."""

    @classmethod
    def parse(cls, text: str, name: str = "schedule") -> Schedule:
        """Read `0.5`, `0:0.05,0.25:0.01` (steps) or `0.5:1,1~0` (`~`: a straight line from the point before).
        Raises `UserError` where the text is not of that form, fractions do not rise, or a value is negative."""
        if re.fullmatch(r"[^:~,]+", text):
            text = f"0:{text}"
        points = []
        for part in text.split(","):
            match = _POINT.fullmatch(part.strip())
            try:
                if match is None:
                    raise ValueError
                points.append((read_number(match["at"]), read_number(match["value"]), match["how"] == "~"))
            except ValueError:
                raise UserError(
                    f"{name} is {shown(text)}, and {shown(part.strip())} is not of the form fraction:value or "
                    "fraction~value with finite numbers: write for example 0:0.05,0.5:0.01 or 0.5:1,1~0."
                ) from None
        fractions = [at for at, _, _ in points]
        if sorted(set(fractions)) != fractions or fractions[0] < 0 or fractions[-1] > 1:
            raise UserError(f"{name} is {shown(text)}: its fractions must rise from 0 or more to at most 1.")
        if any(value < 0 for _, value, _ in points):
            raise UserError(f"{name} is {shown(text)}: its values must not be negative.")
        return cls(tuple(points))

    def at(self, fraction: float) -> float:
        """The value at a fraction of training; before the first point, the first point's value."""
        value = self.points[0][1]
        start = 0.0
        for at, target, ramp in self.points:
            if fraction < at:
                if ramp:
                    value += (target - value) * (fraction - start) / (at - start)
                break
            start, value = at, target
        return value

    @classmethod
    def parse_several(cls, text: str, name: str = "schedules") -> dict[str, Schedule]:
        """Read `G/mode=0:1,0.5~0; E/mode=0.1`, a schedule for each of several names, as above; empty: none. Raises
        `UserError` where the text is not of that form, or a name comes twice."""
        found: dict[str, Schedule] = {}
        for part in text.split(";") if text.strip() else ():
            key, equals, schedule = (each.strip() for each in part.partition("="))
            if not (key and equals and schedule):
                raise UserError(
                    f"{name} is {shown(text)}, and {shown(part.strip())} is not of the form network/term=schedule: "
                    "write for example G/intervention=0:1,0.5~0; G/reconstruction=0.1."
                )
            if key in found:
                raise UserError(f"{name} is {shown(text)}: {key} is in it twice.")
            found[key] = cls.parse(schedule, f"{name} of {key}")
        return found

    @property
    def constant(self) -> float | None:
        """The one value, where the schedule has only one."""
        values = {value for _, value, _ in self.points}
        return values.pop() if len(values) == 1 else None
