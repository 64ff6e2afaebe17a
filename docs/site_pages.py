"""Pages of the site that are made when it is built: the commands from their parsers, the API from the package, the gallery
from rows and pictures of results. Each takes the place of the comment `<!-- made when the site is built -->` in its page.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import modecover
from modecover.cli.main import COMMANDS
from modecover.cli.parser import Parser, shown_value
from modecover.cli.train import train_parser
from modecover.experiments.declared import SCALES
from modecover.methods import registry
from modecover.methods.base import Method

MARK = "<!-- made when the site is built -->"
RESULTS = Path(__file__).parents[1] / "results"


def escaped(text: str) -> str:
    """`text` as Markdown that shows it; what stands between backticks is code already."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part[:1] == "`" else re.sub(r"([\\*_<>\[\]|$])", r"\\\1", part) for part in parts)


# ---------------------------------------------------------------- commands


class AnyMethod(Method):
    """Stands for a method: it has the settings that all have."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"as `modecover describe METHOD` names them": {}}


def parser_of(command: str) -> Parser:
    """What reads the words behind a command: the parser whose help the command would show."""
    if command == "train":
        return train_parser("METHOD", AnyMethod)
    seen: list[Parser] = []
    module, _, function = COMMANDS[command][0].partition(":")
    with patch.object(Parser, "print_help", lambda self, file=None: seen.append(self)), suppress(SystemExit):
        getattr(importlib.import_module(f"modecover.cli.{module}"), function)(["--help"])
    return seen[0]


def commands() -> str:
    """Every command with its options, and behind `train` the settings of every method."""
    lines: list[str] = []
    for command, (_, purpose) in COMMANDS.items():
        parser = parser_of(command)
        usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
        # Where the usage is made of all flags, it is no help beside the list of them.
        usage = usage if parser.usage else re.sub(r" \[-h\].*?(?=( \[?[A-Z.]+\]?)?$)", " [options]", usage)
        lines += [f"## `modecover {command}`", "", f"{escaped(purpose[0].upper() + purpose[1:])}.", ""]
        lines += ["```text", usage, "```", ""]
        for group in parser._action_groups:
            lines += options(group)
        if parser.epilog:
            lines += [escaped(parser.epilog), ""]
        if command == "train":
            lines += [line for name in registry.names() for line in settings(name)]
    return "\n".join(lines)


def options(group: argparse._ArgumentGroup) -> Iterator[str]:
    """A group of options as a list of definitions."""
    shown = [action for action in group._group_actions if "--help" not in action.option_strings]
    if shown and group.title not in ("options", "positional arguments"):
        yield from (f"**{escaped(group.title or '')}**", "")
    for action in shown:
        kind = action.metavar or ("|".join(map(str, action.choices)) if action.choices else "")
        spelled = ", ".join(action.option_strings) or str(action.metavar)
        term = f"{spelled} {kind}" if action.option_strings and kind and action.nargs != 0 else spelled
        yield from (f"`{term}`", f": {escaped((action.help or 'no more to say').replace('%%', '%'))}", "")


def settings(name: str) -> Iterator[str]:
    """What `modecover train NAME` has beside what all methods have."""
    method = registry.get(name)
    yield from (f"### `modecover train {name}`", "", f"{escaped(method.title)}. {escaped(method.citation)}.", "")
    if method.presets:
        yield from (f"Presets: {', '.join(f'`{preset}`' for preset in method.presets)}.", "")
    if method.defaults:
        told = ", ".join(f"`--{key.replace('_', '-')} {shown_value(value)}`" for key, value in method.defaults.items())
        yield from (f"Trains with {told} unless it is told otherwise.", "")
    groups = train_parser(name, method)._action_groups
    yield from options(next(group for group in groups if group.title == f"settings of {name}"))


# ---------------------------------------------------------------- API


def api() -> str:
    """The public names: functions, classes, and the rooms of the package that are used by themselves."""
    kinds: dict[str, list[str]] = {"Functions": [], "Classes": [], "Modules": []}
    for name in modecover.__all__:
        value = getattr(modecover, name)
        if inspect.ismodule(value):
            kinds["Modules"] += [f"### `modecover.{name}`", "", *autodoc("module", name)]
        elif inspect.isclass(value):
            kinds["Classes"] += autodoc("exception" if issubclass(value, Exception) else "class", name)
        elif callable(value):
            kinds["Functions"] += autodoc("function", name)
        else:
            kinds["Functions"] += [f"`modecover.{name}` is {value!r}: the version of the package.", ""]
    return "\n".join(line for kind, lines in kinds.items() for line in (f"## {kind}", "", *lines))


def autodoc(kind: str, name: str) -> list[str]:
    """The directive that shows the docstrings of a public name."""
    members = [] if kind == "function" else ["   :members:"]
    return ["```{eval-rst}", f".. auto{kind}:: modecover.{name}", *members, "```", ""]


def prose(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain prose with code between backticks, not reStructuredText."""
    for place, line in enumerate(lines):
        parts = re.split(r"(`[^`]*`)", line)
        lines[place] = "".join(
            f"`{part}`" if part[:1] == "`" else re.sub(r"([\\*|]|_(?!\w))", r"\\\1", part) for part in parts
        )


def by_last_name(app: Sphinx, env: BuildEnvironment, node: nodes.Element, content: nodes.Element) -> Any:
    """A class is documented under its public name, and annotations name the file that it is in."""
    target = str(node.get("reftarget", ""))
    if node.get("refdomain") != "py" or not target.startswith("modecover."):
        return None
    last = target.rpartition(".")[2]
    python = env.domains.python_domain
    found = [name for name in python.objects if name.rpartition(".")[2] == last]
    if not found:
        return None
    name = min(found, key=len)
    document = str(node.get("refdoc", env.docname))
    return python.resolve_xref(env, document, app.builder, "obj", name, node, content)  # type: ignore[arg-type]


# ---------------------------------------------------------------- gallery


def gallery(results: Path = RESULTS) -> str:
    """Each sheet of samples among the results with how it was made: from its row, or from the page that shows it."""
    rows: dict[str, dict[str, Any]] = {}
    for path in sorted(results.glob("*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            rows.setdefault(str(row.get("key")), row)
    pages = {path: path.read_text("utf-8") for path in sorted(results.glob("*.md"))}
    lines: list[str] = []
    for picture in sorted((results / "images").rglob("*.png")):
        if picture.stem in rows:
            lines += by_row(picture.relative_to(results), rows[picture.stem])
        elif picture.stem not in SCALES:  # those are curves
            lines += by_page(picture.relative_to(results), pages)
    return "\n".join(lines)


def by_row(picture: Path, row: dict[str, Any]) -> list[str]:
    """A sheet whose run is a row of results."""
    made = row["summary"]
    hardware = made["hardware"]
    device = ", ".join(map(str, hardware.get("accelerators") or ())) or hardware["processor"]
    again = f'modecover reproduce {row["experiment"]} --scale {row["scale"]} --only "{row["label"]}"'
    facts = [f"`{row['method']}` on {escaped(row['data'])}"]
    facts += [f"{made['steps']:,} steps"] if "steps" in made else []
    facts += [f"{made['processor_seconds'] / 60:,.1f} minutes of CPU time", escaped(device)]
    title = f"{row['label']}, {row['table'] or row['experiment']}"
    page = f"Page: [{row['experiment']}](../results/{row['experiment']}.md)."
    return [
        *(f"## {escaped(title)}", "", f"![Samples: {escaped(title)}](../results/{picture.as_posix()})", ""),
        *("; ".join(facts) + f". {page}", "", f"    {again}", ""),
    ]


def by_page(picture: Path, pages: dict[Path, str]) -> list[str]:
    """A sheet that a page of results tells of: the section's heading, commands and first paragraph behind these."""
    for path, text in pages.items():
        for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
            found = re.search(rf"!\[([^\]]*)\]\({re.escape(picture.as_posix())}\)", section)
            if found is None:
                continue
            heading, told = section.split("\n", 1)
            blocks = [block for block in told.split("\n\n") if block.strip()]
            again = [block for block in blocks if block.strip("\n").startswith("    ")]
            said = next(block for block in blocks if block not in again and block.lstrip()[0] not in "|!-")
            setting = text.split("\n\n")[1]
            return [
                *(f"## {heading}: {found[1]}", "", f"![{found[1]}](../results/{picture.as_posix()})", ""),
                *(relinked(setting), "", relinked(said.strip("\n")), "", *(line.strip("\n") for line in again)),
                *("", f"Page: [{path.stem}](../results/{path.name}).", ""),
            ]
    return []


def relinked(text: str) -> str:
    """Links of a page of results, seen from docs/."""
    return re.sub(r"\]\((?!https?:|#)([^)]+)\)", r"](../results/\1)", text)


# ---------------------------------------------------------------- Sphinx

MADE: dict[str, Callable[[], str]] = {"docs/commands": commands, "docs/api": api, "docs/gallery": gallery}


def fill(app: Sphinx, docname: str, content: list[str]) -> None:
    """Put what is made into its page."""
    if docname in MADE:
        assert content[0].count(MARK) == 1, f"{docname} has no place for what is made: {MARK}"
        content[0] = content[0].replace(MARK, MADE[docname]())


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", prose, priority=400)  # before napoleon's 500
    app.connect("missing-reference", by_last_name)
    return {"parallel_read_safe": True}
