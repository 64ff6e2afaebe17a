"""`modecover data check SOURCE`: what the data is, in numbers and, where it is asked for, in a picture."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from modecover.cli.parser import Parser, known
from modecover.cli.sources import SOURCES, add_data_flags, as_flags, take_data_options
from modecover.errors import UserError

if TYPE_CHECKING:
    from modecover.data import Dataset, DataSummary

COORDINATES = 32
"""Coordinates of points that are told one by one."""


def run(words: list[str]) -> int:
    """`modecover data check SOURCE`"""
    if words and not words[0].startswith("-"):
        known(words[0], ["check"], "data command", "modecover data --help")
    parser = Parser("modecover data check", description="Open data as training would, and say what it is.")
    parser.add_argument("source", metavar="SOURCE", help=SOURCES)
    parser.add_argument("--out", metavar="FILE.png", help="draw the first samples there")
    add_data_flags(parser.add_argument_group("opening the data"))
    given = vars(parser.parse(words[1:] if words[:1] == ["check"] else words or ["--help"]))
    check(given["source"], given["out"], take_data_options(given))
    return 0


def check(source: str, out: str | None, options: dict[str, object]) -> None:
    """Print what `open_data(source, **options)` finds; in `out` goes a picture of samples, evenly spaced over the set.

    Raises:
        UserError: the data cannot be opened; of pictures that cannot be read all are counted.
    """
    from modecover.cli.progress import Display
    from modecover.data import StreamedImages, check, open_data
    from modecover.errors import printable
    from modecover.pictures.saving import can_be_drawn, save_picture

    if out is not None and Path(out).suffix.lower() != ".png":
        raise UserError(f"--out is {out}: give a name that ends in .png.")
    with Display() as display, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the notes are lines of the report
        dataset = open_data(source, progress=display.preparing, **options)  # type: ignore[arg-type]  # as the flags say
        if isinstance(dataset, StreamedImages):
            dataset.decode_all(False, display.preparing)
        summary = check(dataset, samples=2048 if len(dataset.shape) == 1 else 64)
    if out is not None and not can_be_drawn(dataset.shape):
        raise UserError(f"--out is {out}: {summary.name} has no picture; only images and points of the plane have.")
    lines = rows(summary, dataset)
    if out is not None:
        drawn = save_picture(summary.samples, Path(out), title=summary.name, mixture=dataset.mixture)
        lines.append(("picture", printable(drawn)))
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        print(f"{name:{width}}  {text}")


def rows(summary: DataSummary, dataset: Dataset) -> list[tuple[str, str]]:
    """The lines of the report: name and text."""
    sample = "x".join(map(str, summary.shape))
    kind = {1: f"points of {sample} coordinates", 3: f"images, {sample} (channels x height x width)"}
    lines = [
        ("data", summary.name),
        ("samples", "endless" if summary.count is None else f"{summary.count:,}"),
        ("each", kind.get(len(summary.shape), sample)),
        ("range", _range(summary)),
        ("mean", _numbers(summary.mean)),
        ("std", _numbers(summary.std)),
    ]
    if summary.classes is not None and summary.class_sizes is not None:
        least, most = summary.class_sizes
        lines.append(("classes", f"{summary.classes:,}, of {least:,} to {most:,} samples"))
    if summary.modes is not None:
        lines.append(("modes", f"{summary.modes:,}"))
    lines.append(("memory", f"{summary.memory / 2**20:,.1f} MiB{', read at every use' if summary.streamed else ''}"))
    lines.append(("fingerprint", summary.fingerprint[:16]))
    lines += [("column", f"{name}: {role}") for name, role in (dataset.roles or {}).items()]
    lines += _coordinates(summary, dataset.columns)
    return lines + [("note", as_flags(note)) for note in dataset.notes]


def _coordinates(summary: DataSummary, names: tuple[str, ...] | None) -> list[tuple[str, str]]:
    """Of points, the range of each coordinate."""
    if len(summary.shape) != 1:
        return []
    names = names or tuple(map(str, range(len(summary.ranges))))
    facts = list(zip(names, summary.ranges, summary.mean, summary.std, strict=True))
    lines = [
        ("coordinate", f"{name}: {low:.4g} to {high:.4g}, mean {mean:.4g}, std {std:.4g}")
        for name, (low, high), mean, std in facts[:COORDINATES]
    ]
    return lines if len(facts) <= COORDINATES else [*lines, ("coordinate", f"... ({len(facts):,} in all)")]


def _range(summary: DataSummary) -> str:
    low, high = summary.range
    text = f"{low:.4g} to {high:.4g}"
    if summary.source_range is not None:
        text += " (in the source {:.4g} to {:.4g})".format(*summary.source_range)
    return text if summary.examined == summary.count else f"{text}, in {summary.examined:,} samples"


def _numbers(values: tuple[float, ...], shown: int = 8) -> str:
    text = ", ".join(f"{value:.4g}" for value in values[:shown])
    return text if len(values) <= shown else f"{text}, ... ({len(values)} in all)"
