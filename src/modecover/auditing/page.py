"""The page of an audit: one HTML file that needs nothing else, verdicts first, then what they rest on."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modecover.auditing import plots
from modecover.auditing.gallery import BIN_EXAMPLES, BINS_SHOWN, SHOWN
from modecover.auditing.results import ROLES, VERDICTS, Audit, Gallery, Metric, Verdict
from modecover.auditing.words import interval, number, quantity

Rows = npt.NDArray[np.float32]

_LARGEST_TILE = 152
"""Pixels: larger images are reduced, to twice the size at which they are shown."""

_STYLE = Path(__file__).with_name("page.css")

_WORDS = {0: "No", 1: "One", 2: "Two", 3: "Three", 4: "Four", 5: "Five"}


def page(audit: Audit) -> str:
    """`audit` as one HTML text: no script, and nothing loaded from elsewhere. Pictures come from its gallery."""
    sections = (_head(audit), _examples(audit), _curves(audit), _metrics(audit), _details(audit))
    title = f"Audit of {_name(audit, 'fake')}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>
{_STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<main>
{"".join(sections)}
</main>
</body>
</html>
"""


# Verdicts


def _head(audit: Audit) -> str:
    firing = audit.firing
    count = f"{_WORDS.get(len(firing), len(firing))} failure{'' if len(firing) == 1 else 's'} found"
    names = _listed([f"<b>{escape(verdict.name)}</b>" for verdict in firing])
    found = f"This generator shows {names}. " if firing else "None of the five verdicts fires. "
    if audit.untold:
        found += f"There was not enough to tell of {_listed([escape(verdict.name) for verdict in audit.untold])}. "
    places = {name: place for place, name in enumerate(VERDICTS)}
    ordered = sorted(audit.verdicts, key=lambda v: (not v.fires, places.get(v.name, len(places))))
    return f"""<header>
<p class="eyebrow">modecover audit</p>
<h1 class="{"broken" if firing else "sound"}">{count}</h1>
<p class="lede">{found}{_sides(audit)}</p>
</header>
<div class="verdicts">{"".join(map(_verdict, ordered))}</div>
"""


def _sides(audit: Audit) -> str:
    words = []
    for role, noun in (("fake", "generated samples"), ("real", "real ones")):
        facts = audit.inputs.get(role, {})
        count = facts.get("count")
        words.append(f"{f'{count:,} ' if isinstance(count, int) else ''}{noun} (<b>{escape(_name(audit, role))}</b>)")
    return f"{words[0]} were held against {words[1]}."


def _verdict(verdict: Verdict) -> str:
    value, null = (quantity(e.value, verdict.unit) for e in (verdict.effect, verdict.null))
    bare, sign = value.removesuffix("%"), value[-1:] if value.endswith("%") else ""
    evidence = "".join(f"<dt>{escape(name)}</dt><dd>{number(n)}</dd>" for name, n in verdict.evidence.items())
    more = f'<details><summary>Evidence</summary><dl class="facts">{evidence}</dl></details>' if evidence else ""
    return f"""
<article class="verdict{" fires" if verdict.fires else ""}">
<div>
<h3>{escape(verdict.name)}</h3>
<span class="chip">{verdict.word}</span>
<p class="effect">{bare}<small>{sign}</small></p>
<p class="unit">{escape(verdict.unit)}</p>
</div>
<div class="gauge">{plots.strip(verdict)}
<p>95% interval {interval(verdict.effect, verdict.unit)}<br>
real against real {null}, {interval(verdict.null, verdict.unit)}</p></div>
<div class="says"><p>{escape(verdict.sentence)}</p>{more}</div>
</article>"""


# Examples


def _examples(audit: Audit) -> str:
    if audit.gallery is None or not audit.gallery.fake:
        return ""
    shape = next(iter(audit.gallery.fake.values())).shape
    if len(shape) == 3:
        return (
            _missed_images(audit, audit.gallery)
            + _starved_images(audit, audit.gallery)
            + _images(audit.gallery)
            + (_copied_images(audit, audit.gallery))
        )
    if shape == (2,):
        return _plane(audit, audit.gallery)
    return _lines(audit, audit.gallery) if shape == (1,) else _missed_rows(audit, audit.gallery)


def _missed_images(audit: Audit, shown: Gallery) -> str:
    tiles = [_tile(shown.real[m.index], f"{m.index}") for m in audit.missed[:SHOWN] if m.index in shown.real]
    words = "The real examples least likely to be made by this generator, the surest first, with their rows."
    return _section("Real examples that are missed", words, _row(tiles)) if tiles else ""


def _starved_images(audit: Audit, shown: Gallery) -> str:
    blocks = []
    for label, rows in list(audit.starved.items())[:BINS_SHOWN]:
        tiles = [_tile(shown.real[row], f"{row}") for row in rows[:BIN_EXAMPLES] if row in shown.real]
        blocks.append(f'<div class="bin"><h3>Bin {label}</h3><p>{_bin_shares(audit, label)}</p>{_row(tiles)}</div>')
    rest = len(audit.starved) - len(blocks)
    more = f" The {len(blocks)} most starved of {len(audit.starved)} are shown." if rest else ""
    words = (
        f"Bins of the real data with significantly too few generated samples; these are real samples from them.{more}"
    )
    return _section("Starved bins", words, "".join(blocks)) if blocks else ""


def _images(shown: Gallery) -> str:
    tiles = [_tile(image, f"{row}") for row, image in list(shown.fake.items())[:SHOWN]]
    return _section("What the generator makes", "Generated samples, in the order given.", _row(tiles))


def _copied_images(audit: Audit, shown: Gallery) -> str:
    pairs = [
        f'<figure class="tile pair"><div>{_picture(shown.fake[c.fake], f"generated {c.fake}")}'
        f"{_picture(shown.train[c.train], f'training {c.train}')}</div>"
        f"<figcaption>{c.fake} · {c.train}<br>{number(c.distance)} apart</figcaption></figure>"
        for c in audit.copies[:12]
        if c.fake in shown.fake and c.train in shown.train
    ]
    words = "Left the generated sample, right the training sample nearest to it; the closest pairs first."
    return _section("Nearest to the training data", words, _row(pairs)) if pairs else ""


def _plane(audit: Audit, shown: Gallery) -> str:
    real, fake = np.stack(list(shown.real.values())), np.stack(list(shown.fake.values()))
    rows = {m.index for m in audit.missed}.union(*audit.starved.values())
    marked = np.array([shown.real[row] for row in sorted(rows) if row in shown.real]).reshape(-1, 2)
    limits = plots.plane_limits(real)
    missed = _key("alarm", "real points missed, or in a starved bin") if len(marked) else ""
    panels = (
        _plot("Real points", plots.scatter_plot(real, "real", marked, limits), _key("real", "real") + missed),
        _plot("Generated points", plots.scatter_plot(fake, "fake", marked[:0], limits), _key("fake", "generated")),
    )
    return _section("The plane", "Both on the same axes.", _grid(panels))


def _lines(audit: Audit, shown: Gallery) -> str:
    real, fake = (np.stack(list(rows.values()))[:, 0] for rows in (shown.real, shown.fake))
    drawn = plots.histograms(real, fake, title="Real and generated numbers", x_label="the one feature")
    panel = _plot("Real and generated numbers", drawn, _key("real block", "real") + _key("fake block", "generated"))
    return _section("The line", "Shares of the samples, in common bins.", _grid([panel]))


def _missed_rows(audit: Audit, shown: Gallery) -> str:
    """Rows of points in more dimensions than can be drawn: their first numbers."""
    rows = [
        f'<tr><td>{m.index}</td><td class="number">{number(m.score)}</td><td>{_vector(shown.real[m.index])}</td></tr>'
        for m in audit.missed[:12]
        if m.index in shown.real
    ]
    head = '<tr><th>row</th><th class="number">score</th><th>first numbers</th></tr>'
    words = "The real examples least likely to be made by this generator, the surest first."
    return _section("Real examples that are missed", words, f"<table>{head}{''.join(rows)}</table>") if rows else ""


def _vector(row: Rows) -> str:
    words = ", ".join(number(float(value)) for value in row[:6])
    return words if len(row) <= 6 else f"{words}, ..."


def _tile(image: Rows, words: str) -> str:
    return f'<figure class="tile">{_picture(image, words)}<figcaption>{escape(words)}</figcaption></figure>'


def _picture(image: Rows, words: str) -> str:
    from modecover.pictures.images import image_grid

    picture = image_grid(image[None], scale=1)
    small = max(picture.size) < _LARGEST_TILE
    picture.thumbnail((_LARGEST_TILE, _LARGEST_TILE))
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    code = base64.b64encode(file.getvalue()).decode()
    return f'<img src="data:image/png;base64,{code}" alt="{escape(words)}"{" class=pixels" if small else ""}>'


def _bin_shares(audit: Audit, label: int) -> str:
    bins = audit.curves.bins
    if bins is None or label >= len(bins.real):
        return ""
    real, fake = (counts[label] / max(1, sum(counts)) for counts in (bins.real, bins.fake))
    return f"{100 * real:.2g}% of the real samples, {100 * fake:.2g}% of the generated ones"


# Plots


def _curves(audit: Audit) -> str:
    curves, panels = audit.curves, []
    if curves.noise is not None:
        words = "How much real mass a discriminator finds missing when noise blurs what it sees. Without noise it also "
        words += "counts blur and flaws as missing; on the plateau only whole regions are left."
        keys = _key("alarm", "generated") + _key("real", "held-out real samples")
        panels.append(_plot("Noise sweep", plots.sweep_plot(curves.noise), keys, words))
    if curves.bins is not None:
        keys = (
            _key("real block", "real")
            + _key("quiet", "generated")
            + _key("alarm", "too few")
            + _key("fake", "too many")
        )
        words = "Bins are fixed on the real samples; coloured dots differ significantly (two-proportion test, Holm)."
        panels.append(_plot("Bins of the real data", plots.bins_plot(curves.bins), keys, words))
    if curves.neighbours is not None:
        keys = _key("real block", "unseen real samples") + _key("fake block", "generated")
        words = "Copies of training samples lie to the left of what unseen real samples show."
        drawn = plots.distances_plot(curves.neighbours)
        panels.append(_plot("Neighbour distances", drawn, keys, words))
    return _section("What the verdicts rest on", "", _grid(panels)) if panels else ""


def _plot(title: str, drawn: str, keys: str, words: str = "") -> str:
    caption = f'<span class="keys">{keys}</span>{words}'
    return f'<figure class="plot"><h3>{title}</h3>{drawn}<figcaption>{caption}</figcaption></figure>'


def _key(kind: str, words: str) -> str:
    return f'<span class="key {kind}">{words}</span>'


# Metrics and details


def _metrics(audit: Audit) -> str:
    head = '<tr><th>metric</th><th class="number">value</th><th class="number">real against real</th></tr>'
    body = "".join(map(_metric, audit.metrics))
    words = "Beside each number what real samples get at the same sample sizes. ↑: higher is better; ↓: lower."
    return _section("Metrics", words, f"<table>{head}{body}</table>") if body else ""


def _metric(metric: Metric) -> str:
    arrow = {"higher": " ↑", "lower": " ↓"}.get(metric.better or "", "")
    name, bracket, extractor = metric.name.partition(" [")
    identity = f'<span class="mono">{escape((bracket + extractor).strip())}</span>' if bracket else ""
    interval = ""
    if metric.low is not None and metric.high is not None:
        interval = f"<small>{number(metric.low)} to {number(metric.high)}</small>"
    null = "" if metric.null is None else number(metric.null)
    return (
        f'<tr><td>{escape(name)}{arrow}{identity}</td><td class="number"><b>{number(metric.value)}</b>{interval}</td>'
        f'<td class="number">{null}</td></tr>'
    )


def _details(audit: Audit) -> str:
    inputs = "".join(
        f"<div><h3>{escape(ROLES.get(role, role).capitalize())} samples</h3>{_facts(facts)}</div>"
        for role, facts in audit.inputs.items()
        if isinstance(facts, Mapping)
    )
    settings = f"<div><h3>Settings</h3>{_facts(audit.settings)}</div>"
    versions = f"<div><h3>Versions</h3>{_facts({**audit.versions, 'JSON format': audit.version})}</div>"
    return _section("Inputs, settings, versions", "", f'<div class="columns">{inputs}{settings}{versions}</div>')


def _facts(facts: Mapping[str, Any]) -> str:
    lines = (f"<dt>{escape(str(name).replace('_', ' '))}</dt><dd>{_fact(value)}</dd>" for name, value in facts.items())
    return f'<dl class="facts">{"".join(lines)}</dl>'


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, Mapping):
        return "<br>".join(f"{escape(str(name))}: {_fact(item)}" for name, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_fact, value))
    text = "none" if value is None else str(value)
    if re.fullmatch(r"[0-9a-f]{40,}", text):
        return f'<span class="mono" title="{text}">{text[:16]}…</span>'
    return escape(text)


# Words


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _name(audit: Audit, role: str) -> str:
    facts = audit.inputs.get(role, {})
    return str(facts.get("name", role)) if isinstance(facts, Mapping) else role


def _section(title: str, words: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{f'<p>{words}</p>' if words else ''}{content}</section>\n"


def _row(tiles: Iterable[str]) -> str:
    return f'<div class="row">{"".join(tiles)}</div>'


def _grid(panels: Iterable[str]) -> str:
    return f'<div class="plots">{"".join(panels)}</div>'
