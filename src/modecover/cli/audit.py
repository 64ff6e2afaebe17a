"""`modecover audit --real A --fake B`: which modes a generator drops, and what else is wrong with its samples."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modecover.cli.flags import number, whole_number
from modecover.cli.parser import Parser
from modecover.cli.sources import SOURCES, add_data_flags, take_data_options
from modecover.errors import UserError

if TYPE_CHECKING:
    from modecover.auditing.gates import Gate
    from modecover.auditing.run import Audit

EXIT_BROKEN = 3
"""A threshold of --fail-under or --fail-over does not hold."""

MADE = "samples as above, or what makes them: a run or model of modecover, or a Python function (module:function)"


def run(words: list[str]) -> int:
    """`modecover audit`"""
    given = vars(_parser().parse(words or ["--help"]))

    from modecover.auditing.gates import parse_gate, require_possible
    from modecover.files import require_writable

    gates = [parse_gate(word, "under") for word in given.pop("fail_under")]
    gates += [parse_gate(word, "over") for word in given.pop("fail_over")]
    require_possible(gates)
    out, json_out = Path(given.pop("out")), given.pop("json")
    if out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out is {out}: give a name that ends in .html, and --json FILE for the numbers.")
    if json_out not in (None, "-") and Path(json_out).suffix.lower() != ".json":
        raise UserError(f"--json is {json_out}: give a name that ends in .json, or - to print the numbers.")
    for place in (out, *([] if json_out in (None, "-") else [Path(json_out)])):
        require_writable(place)
    audit = _audited(given)
    _write(audit, out, json_out)
    return _held_against(audit, gates, quiet=json_out == "-")


def _parser() -> Parser:
    parser = Parser(
        "modecover audit",
        description="Judge samples of any generator against real data: missing modes, imbalance, shrink, low quality, "
        "copying. Writes a page and tells the verdicts.",
        epilog="exit codes: 0 all thresholds kept, 2 bad input, 3 a threshold broken",
    )
    parser.add_argument("--real", metavar="A", required=True, help=SOURCES)
    parser.add_argument("--fake", metavar="B", required=True, help=MADE)
    parser.add_argument("--train", metavar="C", help="what the generator learned from, if not A: for copies")
    parser.add_argument("--test", metavar="D", help="real samples that it has not seen, for comparison")
    parser.add_argument("--out", default="audit.html", metavar="FILE", help="the page [audit.html]")
    parser.add_argument("--json", metavar="FILE", help="all numbers as JSON; - prints them instead of the summary")
    group = parser.add_argument_group("thresholds, which end the command with exit code 3")
    for side, example in (("under", "coverage=0.8"), ("over", "missing=0.05")):
        text = f"fail where a metric or a verdict's effect is {side} a number, as in {example}"
        group.add_argument(f"--fail-{side}", metavar="NAME=X", action="append", default=[], help=text)
    group = parser.add_argument_group("how it is measured")
    add_audit_flags(group)
    group = parser.add_argument_group("opening the data")
    add_data_flags(group)
    group.add_argument(
        "--fake-key", metavar="NAME", default=argparse.SUPPRESS, help="as --key, of the generated samples"
    )
    group.add_argument("--of-seed", type=whole_number, metavar="N", help="which of a run's models [its first]")
    return parser


def add_audit_flags(group: argparse._ArgumentGroup) -> None:
    """A flag for each setting of `modecover.audit` beside the samples."""

    def flag(name: str, **options: Any) -> None:
        group.add_argument(name, default=argparse.SUPPRESS, **options)

    flag("--samples", type=whole_number, metavar="N", help="of each side at most [10000]")
    flag("--seed", type=whole_number, metavar="N", help="of every random choice [0]")
    flag("--memory", type=memory, metavar="SIZE", help="what distances may take at a time, as in 500MB [1GB]")
    choices = "pixels, random-convolutions, classifier (of the labels), inception:FILE"
    default = "classifier for images with labels, else pixels"
    flag("--features", metavar="NAME", help=f"what missing modes are looked for in: {choices} [{default}]")


def memory(word: str) -> int:
    """Bytes in words such as 1GB, 500M, 2GiB or 1000000."""
    from modecover.data.room import byte_count

    try:
        return int(number(word, "bytes")) if re.fullmatch(r"\d+(e\d)?", word) else byte_count(word)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _audited(given: dict[str, Any]) -> Audit:
    from modecover.auditing.run import audit
    from modecover.cli.progress import Display

    options = take_data_options(given)
    shared = ("size", "channels", "layout", "value_range", "memory_limit")
    fake_options = {str(name): options[name] for name in shared if name in options}
    if "fake_key" in given:
        fake_options["key"] = given.pop("fake_key")
    real, fake = given.pop("real"), given.pop("fake")
    with Display() as display:
        return audit(
            real,
            fake,
            real_options=options,
            fake_options=fake_options,
            progress=lambda stage, share: display.preparing(f"audit ({stage})", round(100 * share), 100),
            **given,
        )


def _write(audit: Audit, out: Path, json_out: str | None) -> None:
    page = audit.save(out)
    if json_out == "-":
        print(audit.to_json(), end="")
        return
    from modecover.cli.findings import print_audit
    from modecover.errors import printable

    print_audit(audit)
    if json_out is not None:
        print(f"JSON: {printable(audit.save(json_out))}")
    print(f"Page: {printable(page)}")


def _held_against(audit: Audit, gates: list[Gate], *, quiet: bool) -> int:
    """Tell what became of each threshold, and the exit code that follows."""
    from modecover.auditing.gates import check_gates

    outcomes = check_gates(audit, gates)
    for outcome in outcomes:
        if outcome.broken or not quiet:
            words = f"BROKEN: {outcome.sentence}" if outcome.broken else f"kept: {outcome.sentence}"
            print(words, file=sys.stderr if quiet else sys.stdout)
    return EXIT_BROKEN if any(outcome.broken for outcome in outcomes) else 0
