"""`modecover list` and `modecover describe METHOD`: what there is, and what it does."""

from __future__ import annotations

import dataclasses
import inspect
import shutil
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from modecover.cli.flags import field_docs, shown_value
from modecover.cli.parser import Parser
from modecover.cli.process import own_command
from modecover.methods import registry
from modecover.methods.base import FAMILIES, Method


def run_list(words: list[str]) -> int:
    """`modecover list`"""
    from modecover.data import NAMES, mixtures
    from modecover.interventions import INTERVENTIONS
    from modecover.networks import PRESETS
    from modecover.runs.resolve import PROTOCOLS

    Parser("modecover list", description="Name all there is to choose from.").parse(words)
    parameters = _parameters(mixtures.PRESETS)
    data = {name: f"{NAMES[name]} ({parameters[name]})" if name in parameters else NAMES[name] for name in NAMES}
    for family, members in _families().items():
        _section(f"Methods: {family}", ((name, f"{cls.title}\n{cls.citation}") for name, cls in members.items()))
    _section("Data (--data)", [*data.items(), ("hf:NAME", "a Hugging Face data set"), ("PATH", _PATHS)])
    _section("Networks (--networks)", ((name, preset.source) for name, preset in PRESETS.items()))
    _section("Protocols (--protocol)", ((name, protocol.source) for name, protocol in PROTOCOLS.items()))
    _section("Interventions (--intervention)", ((name, _first_line(family)) for name, family in INTERVENTIONS.items()))
    print("`modecover describe METHOD` tells what a method does; `modecover train METHOD --help` names its settings.")
    return 0


def _parameters(presets: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Each preset's parameters as `--data` takes them, or the first preset that has the same."""
    first: dict[str, str] = {}
    shown = {}
    for name, values in presets.items():
        text = ",".join(f"{key}={value}" for key, value in values.items())
        earlier = first.setdefault(text, name)
        shown[name] = text if earlier == name else f"the same points as {earlier}"
    return shown


def _families() -> dict[str, dict[str, type[Method]]]:
    """The methods by family and name: families in the order of `FAMILIES`, any other after them."""
    methods = {name: registry.get(name) for name in registry.names()}
    families = dict.fromkeys([*FAMILIES, *(method.family for method in methods.values())])
    grouped = {family: {n: method for n, method in methods.items() if method.family == family} for family in families}
    return {family: members for family, members in grouped.items() if members}


_PATHS = "a folder of images, or a .npy, .npz, idx or parquet file"


def run_describe(words: list[str]) -> int:
    """`modecover describe METHOD`"""
    parser = Parser("modecover describe", description="A method's objective, schedule, networks, settings, citation.")
    parser.add_argument("method", metavar="METHOD", help="a name from `modecover list`")
    name = parser.parse(words).method
    print(description(name, registry.get(name)))
    return 0


def description(name: str, method: type[Method]) -> str:
    """What `describe` prints."""
    parts = [
        f"{name}: {method.title}",
        _block("", _words_about(method)),
        _block("Objective", textwrap.dedent(method.objective).strip(), wrap=False),
        _block("Schedule of updates", _schedules(method), wrap=False),
        _block("Networks", _networks(method), wrap=False),
        _block("Settings", _settings(method), wrap=False),
        _block("Training settings it prefers", _assignments(method.defaults)),
        *(_block(f"--preset {preset}", _assignments(values)) for preset, values in method.presets.items() if values),
        _block("Citation", method.citation),
        f"Try it: {own_command()} train {name} --data ring --out runs/{name}",
    ]
    return "\n\n".join(part for part in parts if part)


def _words_about(method: type[Method]) -> str:
    """The docstrings of the method and of those it is a variant of."""
    classes = [cls for cls in method.__mro__ if issubclass(cls, Method) and cls is not Method]
    paragraphs = "\n\n".join(inspect.cleandoc(cls.__doc__) for cls in classes if cls.__doc__).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _schedules(method: type[Method]) -> str:
    """The updates of a step, and those of presets in which they differ."""
    from modecover.cli.dry_run import schedule

    usual = schedule(method())
    lines = [usual]
    for preset, values in method.presets.items():
        own = {name: value for name, value in values.items() if name in {f.name for f in dataclasses.fields(method)}}
        if (other := schedule(method(**own))) != usual:
            lines.append(f"{other}   with --preset {preset}")
    return "\n".join(lines)


def _networks(method: type[Method]) -> str:
    lines = [f"{name}  {role}" for name, role in method.roles().items()]
    if classes := method().classes:
        lines.append(f"and a second head of the discriminator that tells {classes} classes apart")
    if method().split_statistics:
        lines.append("and a generator that keeps batch statistics of prior noise and of codes apart")
    if method().stochastic_codes:
        lines.append("and an encoder that returns a Gaussian for each row, means and log variances")
    if (rows := method().packing) > 1:
        lines.append(f"and a discriminator that judges {rows} rows at once")
    return "\n".join(lines)


def _settings(method: type[Method]) -> str:
    docs = field_docs(method)
    lines = []
    for field in dataclasses.fields(method):
        flag = f"--{field.name.replace('_', '-')} [{shown_value(field.default)}]"
        lines.append(f"{flag}\n{_wrapped(docs.get(field.name, ''), '    ')}")
    return "\n".join(lines) or "none of its own"


def _assignments(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {shown_value(value)}" for key, value in values.items())


def _block(title: str, text: str, *, wrap: bool = True) -> str:
    if not text:
        return ""
    body = "\n".join(_wrapped(line) if line else "" for line in text.splitlines()) if wrap else text
    return f"{title}\n{textwrap.indent(body, '  ')}" if title else textwrap.indent(body, "  ")


def _section(title: str, rows: Iterable[tuple[str, str]]) -> None:
    rows = list(rows)
    width = max(len(name) for name, _ in rows) + 2
    print(title)
    for name, text in rows:
        for number, line in enumerate(text.split("\n")):
            start = f"  {'' if number else name:{width}}"
            indent = " " * (width + 2)
            print(textwrap.fill(line, _width(), initial_indent=start, subsequent_indent=indent, break_on_hyphens=False))
    print()


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _width() - 4, initial_indent=indent, subsequent_indent=indent)


def _width() -> int:
    return min(120, shutil.get_terminal_size((100, 24)).columns)


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]
