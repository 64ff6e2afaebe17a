"""`modecover data check SOURCE`: what the data is, in numbers and in a picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from modecover.cli.parser import Parser, known
from modecover.cli.sources import SOURCES, add_data_flags, take_data_options
from modecover.errors import UserError

if TYPE_CHECKING:
    from modecover.data import DataSummary


def run(words: list[str]) -> int:
    """`modecover data check SOURCE`"""
    if words and not words[0].startswith("-"):
        known(words[0], ["check"], "data command", "modecover data --help")
    parser = Parser("modecover data check", description="Open data as training would, and say what it is.")
    parser.add_argument("source", metavar="SOURCE", help=SOURCES)
    parser.add_argument("--out", metavar="FILE", help="where the picture goes [data-check-NAME.png]")
    add_data_flags(parser.add_argument_group("opening the data"))
    given = vars(parser.parse(words[1:] if words[:1] == ["check"] else words or ["--help"]))
    check(given["source"], given["out"], take_data_options(given))
    return 0


def check(source: str, out: str | None, options: dict[str, object]) -> None:
    """Print what `open_data(source, **options)` finds, and save a picture of its first samples."""
    from modecover.cli.pictures import can_be_drawn, save_picture
    from modecover.data import check, open_data

    if out is not None and Path(out).suffix.lower() != ".png":
        raise UserError(f"--out is {out}: give a name that ends in .png.")
    dataset = open_data(source, **options)  # type: ignore[arg-type]  # the flags have the options' types
    points = len(dataset.shape) == 1
    summary = check(dataset, samples=2048 if points else 64)
    width = max(len(name) for name, _ in rows(summary))
    for name, text in rows(summary):
        print(f"{name:{width}}  {text}")
    if not can_be_drawn(dataset.shape):
        if out is not None:
            raise UserError(f"--out is {out}: {summary.name} has no picture; only images and points of the plane have.")
        return
    name = re.sub(r"[^\w.-]+", "-", Path(source).stem).strip("-.") or "data"
    target = Path(out or f"data-check-{name}.png")
    print(f"{'picture':{width}}  {save_picture(summary.samples, target, title=summary.name, mixture=dataset.mixture)}")


def rows(summary: DataSummary) -> list[tuple[str, str]]:
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
    return lines


def _range(summary: DataSummary) -> str:
    low, high = summary.range
    text = f"{low:.4g} to {high:.4g}"
    if summary.source_range is not None:
        text += " (in the source {:.4g} to {:.4g})".format(*summary.source_range)
    return text if summary.examined == summary.count else f"{text}, in {summary.examined:,} samples"


def _numbers(values: tuple[float, ...], shown: int = 8) -> str:
    text = ", ".join(f"{value:.4g}" for value in values[:shown])
    return text if len(values) <= shown else f"{text}, ... ({len(values)} in all)"
