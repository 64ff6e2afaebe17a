"""`modecover list` and `modecover describe METHOD`: what there is, and what it does."""

from __future__ import annotations

import dataclasses
import inspect
import shutil
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from modecover.cli.parser import Parser, default_of, field_docs, shown_value
from modecover.cli.process import own_command
from modecover.methods import registry
from modecover.methods.base import FAMILIES, Method


def run_list(words: list[str]) -> int:
    """`modecover list`"""
    from modecover.data import NAMES, mixtures
    from modecover.interventions import INTERVENTIONS
    from modecover.networks import PRESETS
    from modecover.runs.settings import PROTOCOLS

    parser = Parser("modecover list", description="Name all there is to choose from.")
    parser.add_argument("module", nargs="?", metavar="MODULE", help="a module of yours, to name the methods in it too")
    module = parser.parse(words).module
    methods = {name: registry.get(name) for name in registry.names()}
    grouped = {  # families in the order of FAMILIES, any other after them
        family: {name: method for name, method in methods.items() if method.family == family}
        for family in dict.fromkeys([*FAMILIES, *(method.family for method in methods.values())])
    }
    grouped |= {f"of {module}": registry.methods_in(module)} if module else {}
    for family, members in grouped.items():
        rows = ((name, f"{method.title}\n{method.citation}".rstrip()) for name, method in members.items())
        _section(f"Methods: {family}", rows)
    data = dict(NAMES)
    first: dict[str, str] = {}
    for name, values in mixtures.PRESETS.items():  # with parameters as --data takes them
        text = ",".join(f"{key}={value}" for key, value in values.items())
        same = first.setdefault(text, name)
        data[name] += f" ({text if same == name else f'the same points as {same}'})"
    data |= {
        "hf:NAME": "a Hugging Face data set",
        "PATH": "a folder of images, or a .npy, .npz, idx, .csv or parquet file",
    }
    _section("Data (--data)", data.items())
    _section("Networks (--networks)", ((name, preset.source) for name, preset in PRESETS.items()))
    _section("Protocols (--protocol)", ((name, protocol.source) for name, protocol in PROTOCOLS.items()))
    interventions = {name: (inspect.getdoc(each) or "").partition("\n")[0] for name, each in INTERVENTIONS.items()}
    _section("Interventions (--intervention)", interventions.items())
    print("`modecover describe METHOD` tells what a method does; `modecover train METHOD --help` names its settings.")
    return 0


def _section(title: str, rows: Iterable[tuple[str, str]]) -> None:
    if not (told := dict(rows)):
        return
    width = max(map(len, told)) + 2
    print(title)
    for name, text in told.items():
        for number, line in enumerate(text.split("\n")):
            start, indent = f"  {'' if number else name:{width}}", " " * (width + 2)
            print(textwrap.fill(line, _width(), initial_indent=start, subsequent_indent=indent, break_on_hyphens=False))
    print()


def run_describe(words: list[str]) -> int:
    """`modecover describe METHOD`"""
    parser = Parser("modecover describe", description="A method's objective, schedule, networks, settings, citation.")
    parser.add_argument("method", metavar="METHOD", help="a name from `modecover list`, or module:Class of yours")
    name = parser.parse(words).method
    method = registry.get(name)
    docs, usual = field_docs(method), method()

    # The docstrings of the method and of those it is a variant of.
    classes = [cls for cls in method.__mro__ if issubclass(cls, Method) and cls is not Method]
    paragraphs = "\n\n".join(inspect.cleandoc(cls.__doc__) for cls in classes if cls.__doc__).split("\n\n")

    networks = [f"{network}  {role}" for network, role in method.roles().items()]
    asked = {
        f"a second head of the discriminator that tells {usual.classes} classes apart": usual.classes,
        "a generator that keeps batch statistics of prior noise and of codes apart": usual.split_statistics,
        "an encoder that returns a Gaussian for each row, means and log variances": usual.stochastic_codes,
        f"a discriminator that judges {usual.packing} rows at once": usual.packing > 1,
    }
    networks += [f"and {text}" for text, needed in asked.items() if needed]

    # The updates of a step, and those of presets in which they differ.
    own = {field.name for field in dataclasses.fields(method)}
    schedules = [schedule(usual)]
    for preset, values in method.presets.items():
        other = schedule(method(**{key: value for key, value in values.items() if key in own}))
        if other != schedules[0]:
            schedules.append(f"{other}   with --preset {preset}")

    settings = []
    for field in dataclasses.fields(method):
        settings.append(f"--{field.name.replace('_', '-')} [{shown_value(default_of(field))}]")
        settings.append(_wrapped(docs.get(field.name, ""), "    "))
    presets = {f"--preset {preset}": _assignments(values) for preset, values in method.presets.items()}
    sections = {
        "": "\n\n".join(_wrapped(" ".join(paragraph.split())) for paragraph in paragraphs),
        "Objective": textwrap.dedent(method.objective).strip(),
        "Schedule of updates": "\n".join(schedules),
        "Networks": "\n".join(networks),
        "Settings": "\n".join(settings) or "none of its own",
        "Training settings it prefers": _assignments(method.defaults),
        **presets,
        "Citation": _wrapped(method.citation),
    }
    print(f"{name}: {method.title}\n")
    for title, text in sections.items():
        if text:
            print(*[title] * bool(title), textwrap.indent(text, "  "), "", sep="\n")
    print(f"Try it: {own_command()} train {name} --data ring --out runs/{name.replace(':', '.')}")
    return 0


def schedule(method: Method) -> str:
    """The updates of one step, such as "D x5 -> G", seen by doing one on a small problem of points."""
    import torch

    from modecover.data import open_data
    from modecover.runs.build import build_engine
    from modecover.runs.settings import Settings

    small = Settings(batch=16, latent=4 * (method.classes or 1), prior="normal", networks="mlp", width=8)
    engine = build_engine(method, small, open_data("ring"), device=torch.device("cpu"))
    engine.step()
    return engine.schedule()


def _assignments(values: Mapping[str, Any]) -> str:
    return _wrapped(", ".join(f"{key} = {shown_value(value)}" for key, value in values.items()))


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _width() - 4, initial_indent=indent, subsequent_indent=indent)


def _width() -> int:
    return min(120, shutil.get_terminal_size((100, 24)).columns)
