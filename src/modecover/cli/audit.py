"""`modecover audit --real R --fake A`: which modes a generator drops, and what else is wrong with its samples."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from modecover.cli.parser import (
    DATA_FLAGS,
    SOURCES,
    Flags,
    Parser,
    add_optional,
    memory,
    take_data_options,
    whole_number,
)
from modecover.errors import UserError, printable

EXIT_BROKEN = 3
"""A threshold of --fail-under or --fail-over does not hold."""

MADE = "samples as above, or what makes them: a run or model of modecover, or a Python function (module:function)"

MEASURING: Flags = {
    "samples": (whole_number, "N", "of each side at most [10000]"),
    "seed": (whole_number, "N", "of every random choice [0]"),
    "memory": (memory, "SIZE", "what the audit may take beside its libraries, as in 500MB [1GB]"),
    "scaling": (
        str,
        "NAME",
        "columns: points are compared standardised, and columns of a table weigh alike; none: as they are [columns for "
        "a table that holds more than numbers of similar spread, else none]",
    ),
    "features": (
        str,
        "NAME",
        "what missing modes are looked for in: pixels, random-convolutions, classifier (of the labels), imagenet, "
        "inception:FILE, FILE.pt (TorchScript) [imagenet for colour images, classifier with labels, else pixels]",
    ),
}
"""The settings of `modecover.audit` beside the samples."""

OF_BOTH_SIDES = ("size", "channels", "layout", "value_range", "memory_limit")
"""Options of opening data that hold for the generated samples too."""


def run(words: list[str]) -> int:
    """`modecover audit`"""
    parser = Parser(
        "modecover audit",
        description="Judge samples of any generator against real data, with a verdict on each way of failing: missing "
        "modes, low quality, copies and others. Writes a page and tells the verdicts.",
        epilog="exit codes: 0 all thresholds kept, 2 bad input, 3 a threshold broken",
    )
    parser.add_argument("--real", metavar="R", required=True, help=SOURCES)
    parser.add_argument("--fake", metavar="A", required=True, help=MADE)
    parser.add_argument("--versus", metavar="B", help="samples of another generator: which of both is better")
    parser.add_argument("--train", metavar="C", help="what the generator learned from, if not R: for copies")
    parser.add_argument("--test", metavar="D", help="real samples that it has not seen, for comparison")
    parser.add_argument("--out", default="audit.html", metavar="FILE", help="the page [audit.html]")
    parser.add_argument("--json", metavar="FILE", help="all numbers as JSON; - prints them instead of the summary")
    group = parser.add_argument_group("thresholds, which end the command with exit code 3")
    for side, example in (("under", "coverage=0.8"), ("over", "missing=0.05")):
        text = f"fail where a metric or a verdict's effect is {side} a number, as in {example}"
        group.add_argument(f"--fail-{side}", metavar="NAME=X", action="append", default=[], help=text)
    add_optional(parser.add_argument_group("how it is measured"), MEASURING)
    group = parser.add_argument_group("opening the data")
    add_optional(group, {**DATA_FLAGS, "fake_key": (str, "NAME", "as --key, of the generated samples")})
    group.add_argument("--of-seed", type=whole_number, metavar="N", help="which of a run's models [its first]")
    given = vars(parser.parse(words or ["--help"]))

    from modecover.auditing.gates import check_gates, parse_gate, require_possible
    from modecover.auditing.run import Audit, audit
    from modecover.auditing.versus import Comparison, compare_generators
    from modecover.cli.terminal import Display, print_audit, print_comparison
    from modecover.files import require_writable

    # Thresholds are read, and places tried, before the work is done.
    gates = [parse_gate(word, side) for side in ("under", "over") for word in given.pop(f"fail_{side}")]
    require_possible(gates)
    versus = given.pop("versus")
    if versus is not None and gates:
        raise UserError(f"{gates[0]} is about one generator: leave out --versus, and audit each by itself.")
    out, json_out = Path(given.pop("out")), given.pop("json")
    if out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out is {out}: give a name that ends in .html, and --json FILE for the numbers.")
    json_file = None if json_out in (None, "-") else Path(json_out)
    if json_file is not None and json_file.suffix.lower() != ".json":
        raise UserError(f"--json is {json_file}: give a name that ends in .json, or - to print the numbers.")
    for place in (out, *([] if json_file is None else [json_file])):
        require_writable(place)
    real, fake, real_options = given.pop("real"), given.pop("fake"), take_data_options(given)
    fake_options = {name: real_options[name] for name in OF_BOTH_SIDES if name in real_options}
    if "fake_key" in given:
        fake_options["key"] = given.pop("fake_key")
    found: Audit | Comparison
    with Display() as display:
        given |= {"real_options": real_options, "fake_options": fake_options}
        given["progress"] = partial(display.auditing, "audit")
        found = audit(real, fake, **given) if versus is None else compare_generators(real, fake, versus, **given)
    page, only_json = found.save(out), json_out == "-"
    if only_json:
        print(found.to_json(), end="")
    else:
        if isinstance(found, Comparison):
            print_comparison(found)
        else:
            print_audit(found)
        if json_file is not None:
            print(f"JSON: {printable(found.save(json_file))}")
        print(f"Page: {printable(page)}")
    if isinstance(found, Comparison):
        return 0
    outcomes = check_gates(found, gates)
    for outcome in (each for each in outcomes if each.broken or not only_json):
        told = f"{'BROKEN' if outcome.broken else 'kept'}: {outcome.sentence}"
        print(told, file=sys.stderr if only_json else sys.stdout)
    return EXIT_BROKEN if any(outcome.broken for outcome in outcomes) else 0
