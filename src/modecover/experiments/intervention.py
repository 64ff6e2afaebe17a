"""Does the intervention loss help, and which part of it? Taken apart over four games on two mixtures of the plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modecover.experiments.comparing import over_seeds
from modecover.experiments.declared import SMOKE, Arm, Experiment, Result, Table
from modecover.experiments.mixtures import DECAY, LEARNING
from modecover.experiments.report import (
    LEGEND,
    LEVEL,
    counts,
    own_settings,
    provenance,
    signed_ranks,
    table,
    told,
)

GAMMA = 0.1
GAMES: tuple[tuple[str, str, str], ...] = (
    ("binary cross-entropy", "gan", "bce"),
    ("least squares", "lsgan", "ls"),
    ("WGAN-GP", "wgan-gp", "wgan-gp"),
    ("relativistic, R1 and R2", "r3gan", "relativistic"),
)
"""What they are called, the method that has nothing else, and IVGAN's name of them."""

PARTS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("auto-encoder alone (mu = 0)", {"mu_G": 0.0, "mu_E": 0.0}),
    ("intervention", {}),
    ("without the cap", {"cap": False}),
    ("a fifth of the weights", {"lambda_G": 0.05, "mu_G": 0.1}),
    ("3 encoder steps", {"encoder_steps": 3}),
    ("one index a minibatch", {"index": "minibatch"}),
)
"""What is added to a game, or changed in it."""


def _arms() -> tuple[Arm, ...]:
    arms = []
    for title, plain, adversarial in GAMES:
        penalty = {"wgan-gp": 1.0, "relativistic": GAMMA}.get(adversarial)
        named = "gamma" if plain == "r3gan" else "penalty"
        own: dict[str, Any] = {"critic_steps": 1} if plain == "wgan-gp" else {}
        betas = {"beta1": 0.0, "beta2": 0.9} if penalty else {}
        arms.append(Arm(title, plain, {**own, **betas, **({named: penalty} if penalty else {})}))
        shared = {"adversarial": adversarial, "cap": True, **betas, **({"penalty": penalty} if penalty else {})}
        arms += [Arm(f"{title}: {part}", "ivgan", {**shared, **changed}) for part, changed in PARTS]
    return tuple(arms)


def _set(name: str, data: str, protocol: str, prior: str) -> Table:
    settings = {"protocol": protocol, "prior": prior, "seeds": 8, "seed": 400, "steps": 5_000, "sample_every": 0}
    learning = {"lr_schedule": DECAY, **LEARNING[0]}
    minutes = dict.fromkeys(("smoke", "cpu", "full"), 1.2)
    scales = {"smoke": SMOKE, "full": {"steps": 20_000, "seeds": 16}}
    return Table(
        name, data, {**settings, **learning}, _arms(), scales, most={"smoke": 2}, minutes={**minutes, "full": 10}
    )


QUESTION = (
    "Does the intervention loss help, and which part of it does? Four adversarial games on two mixtures whose modes "
    "plain games lose, each alone, with an auto-encoder beside it, and with interventions."
)

HOW = (
    "Changes against the same game alone, seed by seed on the same seeds, with 95 % t intervals over seeds: of the "
    "modes that have more than 20 of the samples, of the share of good samples, and of the distance to the data (W1: "
    f"less is better). p: of the modes, by Wilcoxon's signed ranks; below {LEVEL:g} it has a star, as one row in "
    "twenty would by chance. Then the same against the game with an auto-encoder beside it (mu = 0): what the "
    "interventions themselves add. A fifth of the weights is less of both."
)

UNSEARCHED = (
    "One setting of learning for all arms of both mixtures, a candidate of the search on the page of the mixtures, "
    "whose seeds are others than these. Networks and evaluation are those of the protocols of LDMGAN and MDGAN; the "
    "noise has as many dimensions as there (2 and 3), which is also the most interventions that blocks of it allow."
)


def effects(rows: Sequence[Result], against: str = "") -> list[str]:
    """The lines of a table of changes of each arm against its game alone, or against the part `against` of it."""
    by_label = {row.arm.label: row for row in rows}
    lines = ["| game | with | modes > 20 | HQ, points | W1 | p |", "|---|---|---|---|---|---|"]
    for title, _, _ in GAMES:
        base = by_label.get(f"{title}: {against}" if against else title)
        for part, _ in PARTS:
            having = by_label.get(f"{title}: {part}")
            if base is None or having is None or part == against:
                continue
            if base.broken or having.broken:
                lines.append(f"| {title} | {part} | {base.broken or having.broken} | | | |")
                continue
            pairs = list(zip(having.summary["last"], base.summary["last"], strict=True))
            changes = {
                "modes": [counts(b)[1] - counts(a)[1] for b, a in pairs],
                "quality": [100 * (b["high_quality"] - a["high_quality"]) for b, a in pairs],
                "distance": [b["wasserstein"] - a["wasserstein"] for b, a in pairs],
            }
            cells = []
            for values, digits in zip(changes.values(), (1, 1, 3), strict=True):
                found = over_seeds(values)
                cells.append(f"{found.value:+.{digits}f} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]")
            p = signed_ranks(changes["modes"])
            lines.append(f"| {title} | {part} | {' | '.join(cells)} | {p:.2g}{'*' if p < LEVEL else ''} |")
    return lines


def _page(results: Sequence[Sequence[Result]]) -> str:
    lines = ["# Does the intervention loss help?", "", QUESTION, "", HOW, "", UNSEARCHED, ""]
    for place, rows in zip(TABLES, results, strict=True):
        lines += [f"## The {place.name}: `{place.data}`, prior {place.settings['prior']}", "", *effects(rows), ""]
        lines += ["### Against the auto-encoder alone", "", *effects(rows, PARTS[0][0]), ""]
    lines += ["## All numbers", "", LEGEND, ""]
    for place, rows in zip(TABLES, results, strict=True):
        lines += [
            f"### The {place.name}",
            "",
            *table(rows),
            "",
            *own_settings(rows),
            "",
            f"{told(place.settings)}.",
            "",
        ]
        lines += [*provenance(rows), ""]
    return "\n".join(lines)


TABLES = (
    _set("circle", "circle-mdgan", "mdgan", "uniform01"),
    _set("grid", "grid-ldmgan", "ldmgan", "normal"),
)

EXPERIMENT = Experiment(name="intervention", question=QUESTION, tables=TABLES, write=_page, value=2.9)
