"""What is made when the site is built: commands from their parsers, the API from the package, the gallery from rows and
pictures of results. Each takes the place of the comment `MARK` in its page."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

from sphinx.application import Sphinx

import modecover
from modecover.cli.main import COMMANDS
from modecover.cli.parser import Parser, shown_value
from modecover.cli.train import train_parser
from modecover.experiments.declared import SCALES
from modecover.experiments.report import command_of
from modecover.methods import registry
from modecover.methods.base import Method

MARK, RESULTS = "<!-- made when the site is built -->", Path(__file__).parents[1] / "results"


def escaped(text: str, special: str = r"[\\*_<>\[\]|$]", code: str = "") -> str:
    """`text` as Markdown that shows it. Options are code, and so is what stands between backticks."""
    parts = re.split(r"(`[^`]*`)", re.sub(r"(?<![`\w-])--[a-zA-Z][\w-]*", r"`\g<0>`", text) if not code else text)
    return "".join(f"{code}{p}{code}" if p[:1] == "`" else re.sub(f"({special})", r"\\\1", p) for p in parts)


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
        usage = parser.usage or usage_of(parser)
        lines += [f"## `modecover {command}`", "", f"{escaped(purpose[0].upper() + purpose[1:])}.", ""]
        lines += ["```text", usage, "```", ""]
        for group in parser._action_groups:
            lines += options(group)
        if parser.epilog:
            lines += [escaped(parser.epilog), ""]
        if command == "train":
            lines += [line for name in registry.names() for line in settings(name)]
    return "\n".join(lines)


def usage_of(parser: Parser) -> str:
    """What has to be said: all flags would be no help beside the list of them."""
    words = [parser.prog]
    for action in parser._actions:
        if action.option_strings:
            words += [f"{action.option_strings[0]} {action.metavar}"] if action.required else []
        else:
            several = f"{action.metavar} [{action.metavar} ...]"
            words.append(
                {"+": several, "*": f"[{several}]", "?": f"[{action.metavar}]"}.get(
                    str(action.nargs), str(action.metavar)
                )
            )
    return " ".join([*words, "[options]"])


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


def api() -> str:
    """The public names: functions, classes, and the rooms of the package that are used by themselves."""
    kinds: dict[str, list[str]] = {"Functions": [], "Classes": [], "Modules": []}
    for name in modecover.__all__:
        value = getattr(modecover, name)
        if inspect.ismodule(value):
            kinds["Modules"] += [f"### `modecover.{name}`", "", *autodoc("module", name)]
        elif inspect.isclass(value):
            kinds["Classes"] += autodoc("exception" if issubclass(value, Exception) else "class", name)
        else:
            kinds["Functions"] += autodoc("function" if callable(value) else "data", name)
    return "\n".join(line for kind, lines in kinds.items() for line in (f"## {kind}", "", *lines))


def autodoc(kind: str, name: str) -> list[str]:
    """The directive that shows the docstrings of a public name."""
    members = [] if kind in ("function", "data") else ["   :members:"]
    return ["```{eval-rst}", f".. auto{kind}:: modecover.{name}", *members, "```", ""]


def prose(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain prose with code between backticks, not reStructuredText."""
    lines[:] = [] if what == "data" else [escaped(line, r"[\\*|]|_(?!\w)", "`") for line in lines]


def plain_names(app: Sphinx, what: str, name: str, thing: object, options: object, *told: str | None) -> Any:
    """Signature and what is returned, with aliases of types by their names."""
    return tuple(text and re.sub(r"TypeAliasForwardRef\('([\w.]+)'\)", r"\1", text) for text in told)


def by_last_name(app: Sphinx, env: Any, node: Any, content: Any) -> Any:
    """A class is documented under its public name, and annotations name the file that it is in."""
    package, _, name = node.get("reftarget", "").partition(".")
    python = env.domains.python_domain
    found = [each for each in python.objects if each.endswith("." + name.rpartition(".")[2])]
    if package != "modecover" or not found:
        return None
    return python.resolve_xref(env, node["refdoc"], app.builder, "obj", min(found, key=len), node, content)


def gallery(results: Path = RESULTS) -> str:
    """Of every method on every data set a sheet of samples, that of the longest run, with how it was made: from its
    row, or from the page that shows it."""
    lines = [line for path in sorted(results.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines()]
    rows = {row["key"]: row for row in map(json.loads, lines) if "key" in row}
    pages = {path: path.read_text("utf-8") for path in sorted(results.glob("*.md"))}
    found, of_rows = list[str](), defaultdict[str, list[Path]](list)
    for picture in sorted((results / "images").rglob("*.png")):
        if (key := picture.stem.partition("-")[0]) in rows:
            of_rows[key].append(picture.relative_to(results))
        elif picture.stem not in SCALES:  # those are curves
            found += by_page(picture.relative_to(results), pages)
    longest: dict[tuple[str, str], str] = {}
    for key in sorted(of_rows, key=lambda key: rows[key]["summary"]["steps"]):
        longest[rows[key]["data"], rows[key]["method"]] = key
    for _, key in sorted(longest.items()):
        for picture in of_rows[key]:
            found += by_row(picture, rows[key])
    return "\n".join(found)


def sheet(title: str, picture: Path, told: str, commands: str, page: str) -> list[str]:
    """A picture below its heading, and what made it. Links of a page of results are seen from docs/."""
    told = re.sub(r"\]\((?!https?:|#)", "](../results/", f"{told} ([{page}]({page}.md))")
    return [f"## {title}", "", f"![{title}](../results/{picture.as_posix()})", "", told, "", commands, ""]


def by_row(picture: Path, row: dict[str, Any]) -> list[str]:
    """A picture whose run is a row of results: KEY.png, a sheet of samples, or KEY-WHAT-IT-SHOWS.png."""
    made, hardware = row["summary"], row["summary"]["hardware"]
    device = ", ".join(map(str, hardware.get("accelerators") or ())) or hardware["processor"]
    facts = f"`{row['method']}` on {escaped(row['data'])}; {made['steps']:,} steps; "
    facts += f"{made['processor_seconds'] / 60:,.1f} minutes of CPU time; {escaped(device)}."
    again = f"    {command_of(row['experiment'], row['scale'], row['label'], row['data'])}"
    shown = picture.stem.partition("-")[2].replace("-", " ") or "samples"
    label = row["label"] if re.search("[A-Za-z]", row["label"]) else f"{row['method']} {row['label']}"
    title = escaped(f"{label}, {row['table'] or row['experiment']}: {shown}")
    return sheet(title, picture, facts, again, row["experiment"])


def by_page(picture: Path, pages: dict[Path, str]) -> list[str]:
    """A sheet that a page of results tells of: the section's heading, its first paragraph and its commands."""
    for path, text in pages.items():
        for section in text.split("\n## ")[1:]:
            if found := re.search(rf"!\[([^\]]*)\]\({re.escape(picture.as_posix())}\)", section):
                heading, *blocks = (block.strip("\n") for block in section.split("\n\n"))
                again = [block for block in blocks if block.startswith("    ")]
                said = next(block for block in blocks if block[0] not in " |!-")
                setting = text.split("\n\n")[1]  # machine, versions and data of the whole page
                return sheet(f"{heading}: {found[1]}", picture, f"{setting}\n\n{said}", "\n".join(again), path.stem)
    return []


MADE: dict[str, Callable[[], str]] = {"docs/commands": commands, "docs/api": api, "docs/gallery": gallery}


def fill(app: Sphinx, docname: str, content: list[str]) -> None:
    """Put what is made into its page."""
    if docname in MADE:
        assert content[0].count(MARK) == 1, f"{docname} has no place for what is made: {MARK}"
        content[0] = content[0].replace(MARK, MADE[docname]())


def setup(app: Sphinx) -> None:
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", prose, priority=400)  # before napoleon's 500
    app.connect("autodoc-process-signature", plain_names)
    app.connect("missing-reference", by_last_name)
