"""The table of the 2-D mixtures from its search to its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modecover.experiments import mixtures
from modecover.experiments.mixtures import MixtureSet
from modecover.experiments.pairs import LEVEL, Pair, pairs_table
from modecover.experiments.report import LEGEND, own_settings, provenance, table
from modecover.experiments.runner import Result, run_experiments
from modecover.runs.listener import Listener

NAME = "2d"
QUESTION = (
    "Every method of the GAN family on three mixtures of the plane. How many modes does it cover, and how well, at its "
    "end and at its best?"
)


def mixtures_page(out: Path, listener: Listener, workers: int | None = None) -> tuple[str, list[Result]]:
    """Search, run and write the table; a second call computes only what is missing. The page, and the table's rows."""
    searches = {
        (place.name, entry.label): mixtures.search(place, entry) for place in mixtures.SETS for entry in place.entries
    }
    found = run_experiments(
        list(searches.values()), [out / "search" / name / label for name, label in searches], listener, workers
    )
    best = {key: choose(results) for key, results in zip(searches, found, strict=True)}
    chosen = {
        place.name: {entry.label: best[place.name, entry.label].arm.settings for entry in place.entries}
        for place in mixtures.SETS
    }
    tables = [mixtures.table(place, chosen[place.name]) for place in mixtures.SETS]
    tables += [mixtures.larger(place) for place in _LARGER]
    results = run_experiments(tables, [out / "table"] * len(tables), listener, workers)
    text = _page(results[: len(mixtures.SETS)], results[len(mixtures.SETS) :])
    return text, [result for of_one in results for result in of_one]


def choose(results: Sequence[Result]) -> Result:
    """The best candidate by its last evaluation: seeds with all modes, then modes by the stricter count, then W1."""
    return max(results, key=merit)


def merit(result: Result) -> tuple[float, float, float]:
    """What candidates are compared by; larger is better."""
    if result.broken:
        return (-1.0, 0.0, 0.0)
    rows: Sequence[Mapping[str, Any]] = result.summary["last"]
    total = result.summary["evaluation"]["modes"]
    every = sum(min(row["modes_any"], row["modes_many"]) == total for row in rows)
    modes = sum(row["modes_many"] for row in rows) / len(rows)
    return (every, modes, -sum(row["wasserstein"] for row in rows) / len(rows))


_LARGER = [place for place in mixtures.SETS if place.name in mixtures.LARGER_SETS]


def _page(results: Sequence[Sequence[Result]], larger: Sequence[Sequence[Result]]) -> str:
    lines = ["# Two-dimensional mixtures", "", QUESTION, "", LEGEND, "", _searched(), ""]
    for place, rows in zip(mixtures.SETS, results, strict=True):
        printed = {entry.label: (entry.published or {}).get(place.name, "") for entry in place.entries}
        lines += [f"## {_title(place)}", "", *table(rows, printed), "", *own_settings(rows), ""]
        lines += [*provenance(rows), ""]
    lines += ["## What the intervention adds", "", _what_is_paired(), "", *pairs_table(_pairs(results)), ""]
    lines += ["## Larger networks, more steps", "", _why_larger(), ""]
    for place, rows in zip(_LARGER, larger, strict=True):
        lines += [f"### {_title(place).partition(',')[0]}", "", *table(rows), "", *own_settings(rows), ""]
        lines += [*provenance(rows), ""]
    return "\n".join(lines)


def _pairs(results: Sequence[Sequence[Result]]) -> list[Pair]:
    """Each game on each set without and with the intervention loss."""
    found = []
    for place, rows in zip(mixtures.SETS, results, strict=True):
        by_label = {row.arm.label: row for row in rows}
        found += [Pair(place.name, by_label[plain], by_label[own]) for plain, own in mixtures.INTERVENED]
    return found


def _what_is_paired() -> str:
    return (
        "The same game with and without the intervention loss, seed by seed at the end of training, each with the "
        "settings chosen for it: mean change of the modes by the stricter count, of HQ and of the distance to the "
        f"data. The last column is a signed-rank test at {LEVEL:g} on the modes, and where it sees nothing on the "
        "distance."
    )


def _title(place: MixtureSet) -> str:
    prior = "N(0, I)" if place.prior == "normal" else "U[0, 1]^d"
    return (
        f"The {place.name}: `{place.data}`, networks and evaluation of the protocol `{place.protocol}`, prior {prior} "
        "for all methods"
    )


def _searched() -> str:
    seeds, first = mixtures.SEARCH["seeds"], mixtures.SEARCH["seed"]
    return (
        f"Settings: for every method and set the best of {mixtures.BUDGET} candidates, on {seeds} seeds from {first} "
        f"on that are not the table's, after {mixtures.SEARCH['steps']} steps; all learning rates go down to 0 over "
        f"the second half (`lr_schedule {mixtures.DECAY}`). Below each table: what was chosen. Published: "
        f"{mixtures.SOURCES}"
    )


def _why_larger() -> str:
    shared = ", ".join(f"{name} {value}" for name, value in mixtures.LARGER.items())
    own = [
        f" On the {name}: {', '.join(f'{key} {value}' for key, value in settings.items())}."
        for name, (settings, _) in mixtures.LARGER_SETS.items()
        if settings
    ]
    return (
        "LDMGAN's discriminator has one hidden layer of 64 units: little for 25 modes. The same sets with networks of "
        f"2x128: {shared}.{''.join(own)} Not searched for each method: the settings of all arms come from some twenty "
        "tries with R3GAN, all but two of them on the grid, with seeds 200 to 203, whose best these were. Two earlier "
        "settings were tried on eight seeds of the grid: 24,000 steps of 128 rows, half of them at the full rate, lost "
        "one to four modes on four of seeds 0 to 7; 12,000, a quarter of them at the full rate, had 24 modes by the "
        "stricter count on one of seeds 8 to 15, and 91 % HQ. So here the rates fall from 1,200 steps on, the grid's "
        "minibatches are larger, and the seeds are others again."
    )
