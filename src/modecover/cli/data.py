"""`modecover data check SOURCE`: what the data is, in numbers and, where it is asked for, in a picture."""

from __future__ import annotations

import warnings
from pathlib import Path

from modecover.cli.parser import DATA_FLAGS, SOURCES, Parser, add_optional, as_flags, known, take_data_options
from modecover.errors import UserError, printable
from modecover.kinds import counted

COORDINATES, NUMBERS, NAMED = 32, 8, 20
"""At most: coordinates of points, means and deviations, and names of classes, that are told one by one."""


def run(words: list[str]) -> int:
    """`modecover data check SOURCE`: what `open_data` finds; in `--out` goes a picture of samples of the whole set."""
    if words and not words[0].startswith("-"):
        known(words[0], ["check"], "data command", "modecover data --help")
    parser = Parser("modecover data check", description="Open data as training would, and say what it is.")
    parser.add_argument("source", metavar="SOURCE", help=SOURCES)
    parser.add_argument("--out", metavar="FILE.png", help="draw the first samples there")
    add_optional(parser.add_argument_group("opening the data"), DATA_FLAGS)
    given = vars(parser.parse(words[1:] if words[:1] == ["check"] else words or ["--help"]))

    from modecover.cli.terminal import Display
    from modecover.data import StreamedImages, check, open_data
    from modecover.pictures.saving import can_be_drawn, save_picture

    source, out = given["source"], None if given["out"] is None else Path(given["out"])
    if out is not None and out.suffix.lower() != ".png":
        raise UserError(f"--out is {out}: give a name that ends in .png.")
    with Display() as display, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the notes are lines of the report
        dataset = open_data(source, progress=display.preparing, **take_data_options(given))
        if isinstance(dataset, StreamedImages):
            dataset.decode_all(False, display.preparing)
        summary = check(dataset, samples=2048 if len(dataset.shape) == 1 else 64)
    if out is not None and not can_be_drawn(dataset.shape):
        raise UserError(f"--out is {out}: {summary.name} has no picture; only images and points of the plane have.")
    # The lines of the report: name and text.
    sample = "x".join(map(str, summary.shape))
    kind = {1: f"points of {sample} coordinates", 3: f"images, {sample} (channels x height x width)"}
    span = "{:.4g} to {:.4g}".format(*summary.range)
    if summary.source_range is not None:
        span += " (in the source {:.4g} to {:.4g})".format(*summary.source_range)
    if summary.examined != summary.count:
        span += f", in {summary.examined:,} samples"
    lines = [("data", summary.name), ("samples", "endless" if summary.count is None else f"{summary.count:,}")]
    lines += [("each", kind.get(len(summary.shape), sample)), ("range", span)]
    for name, values in (("mean", summary.mean), ("std", summary.std)):
        text = ", ".join(f"{value:.4g}" for value in values[:NUMBERS])
        lines.append((name, text if len(values) <= NUMBERS else f"{text}, ... ({len(values)} in all)"))
    if summary.classes is not None and summary.class_sizes is not None:
        fewest, most = summary.class_sizes
        each = f"{fewest:,} samples each" if fewest == most else f"{fewest:,} to {most:,} samples"
        called = "" if dataset.class_names is None else f": {counted(dataset.class_names, NAMED)}"
        lines.append(("classes", f"{summary.classes:,}, of {each}{called}"))
    if summary.modes is not None:
        lines.append(("modes", f"{summary.modes:,}"))
    lines.append(("memory", f"{summary.memory / 2**20:,.1f} MiB{', read at every use' if summary.streamed else ''}"))
    lines.append(("fingerprint", summary.fingerprint[:16]))
    lines += [("column", f"{name}: {role}") for name, role in (dataset.roles or {}).items()]
    if len(summary.shape) == 1:  # of points, the range of each coordinate
        names = dataset.columns or tuple(map(str, range(len(summary.ranges))))
        facts = list(zip(names, summary.ranges, summary.mean, summary.std, strict=True))
        for name, (low, high), mean, std in facts[:COORDINATES]:
            lines.append(("coordinate", f"{name}: {low:.4g} to {high:.4g}, mean {mean:.4g}, std {std:.4g}"))
        if len(facts) > COORDINATES:
            lines.append(("coordinate", f"... ({len(facts):,} in all)"))
    lines += [("note", as_flags(note)) for note in dataset.notes]
    if out is not None:
        drawn = save_picture(summary.samples, out, title=summary.name, mixture=dataset.mixture)
        lines.append(("picture", printable(drawn)))
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        print(f"{name:{width}}  {text}")
    return 0
