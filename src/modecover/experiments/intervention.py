"""Does the intervention loss help, and which part of it? Taken apart over four games on points and on digits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modecover.experiments.declared import SMOKE, SMOKE_OF_IMAGES, Arm, Experiment, Result, Sheets, Table
from modecover.experiments.mixtures import DECAY, LEARNING
from modecover.experiments.report import (
    LEGEND,
    counts,
    made_anew,
    own_settings,
    provenance,
    table,
    told,
)
from modecover.experiments.stacked import FULL, IV_R3GAN, QUARTER, R3GAN, RATE, SHARED, SMALL_WEIGHTS, UNROLLED
from modecover.metrics.seeds import LEVEL, interval, signed_ranks
from modecover.pictures.images import drawn, empty_figure, save_png_atomic


@dataclass(frozen=True)
class Game:
    """An adversarial game: what it is called, the method that is it alone, with its settings, and those of IVGAN over
    it; and what both have on a CPU."""

    title: str
    method: str
    alone: Mapping[str, Any]
    within: Mapping[str, Any]
    cpu: Mapping[str, Any] = field(default_factory=dict)


Parts = Mapping[str, Mapping[str, Any]]
"""What is added to a game, or changed in it, by its name."""

AUTO_ENCODER = "auto-encoder alone (mu = 0)"
NONE: Mapping[str, Any] = {"mu_G": 0.0, "mu_E": 0.0}

ADAM: Mapping[str, Any] = {"beta1": 0.0, "beta2": 0.9}
GAMES = (
    Game("binary cross-entropy", "gan", {}, {"adversarial": "bce"}),
    Game("least squares", "lsgan", {}, {"adversarial": "ls"}),
    Game(
        "WGAN-GP",
        "wgan-gp",
        {"critic_steps": 1, "penalty": 1.0, **ADAM},
        {"adversarial": "wgan-gp", "penalty": 1.0, **ADAM},
    ),
    Game(
        "relativistic, R1 and R2",
        "r3gan",
        {"gamma": 0.1, **ADAM},
        {"adversarial": "relativistic", "penalty": 0.1, **ADAM},
    ),
)
ANNEALED: Mapping[str, Any] = {
    "loss_schedule": "; ".join(f"G/{term}=0:1,0.5~0" for term in ("intervention", "reconstruction", "latent"))
}
"""Over the first half of the run; after that G plays its game alone, and E goes on learning."""
PARTS: Parts = {
    AUTO_ENCODER: NONE,
    "intervention": {},
    "without the cap": {"cap": False},
    "a fifth of the weights": SMALL_WEIGHTS,
    "3 encoder steps": {"encoder_steps": 3},
    "one index a minibatch": {"index": "minibatch"},
    "weights that fall to 0": ANNEALED,
}

FAST: Mapping[str, Any] = {"lr": 1.6e-3}
QUIET: Mapping[str, Any] = {"instance_noise": "0"}
"""The method on images has noise at the discriminator's input by default, which a game alone has not."""
IMAGE_GAMES = (
    Game("binary cross-entropy", "gan", {}, {"adversarial": "bce", **QUIET}, FAST),
    Game("least squares", "lsgan", {}, {"adversarial": "ls", **QUIET}, FAST),
    Game(
        "WGAN-GP",
        "wgan-gp",
        {"critic_steps": 1, "lr": 1e-4},
        {"adversarial": "wgan-gp", "lr": 1e-4, **ADAM, **QUIET},
        FAST,
    ),
    Game(
        "relativistic, R1 and R2",
        "r3gan",
        {**R3GAN, "gamma": 10.0, "lr": RATE},
        {"adversarial": "relativistic", "penalty": 10.0, "beta1": 0.0, "beta2": 0.99, "lr": RATE, **QUIET},
    ),
)
"""At the rates that were found for stacked digits on a CPU; the relativistic game at one that both its arms are good at
at any scale."""
IMAGE_PARTS: Parts = {
    AUTO_ENCODER: {**SMALL_WEIGHTS, **NONE},
    "intervention": SMALL_WEIGHTS,
    "one index a minibatch": {**SMALL_WEIGHTS, "index": "minibatch"},
}
FURTHER: Parts = {
    "2 interventions": {**SMALL_WEIGHTS, "k": 2},
    "10 interventions": {**SMALL_WEIGHTS, "k": 10},
    "3 encoder steps": {**SMALL_WEIGHTS, "encoder_steps": 3},
    "an encoder without batch norm": {**SMALL_WEIGHTS, "norm_E": "none"},
    "weights that fall to 0": {**SMALL_WEIGHTS, **ANNEALED},
    "the paper's weights": {},
    "without the cap": {**SMALL_WEIGHTS, "cap": False},
}
"""On points the noise has too few dimensions for another number of blocks, and the encoders no norm to leave out."""

HEAVIER = "no intervention, R1 and R2 of three times the weight"
"""The relativistic game alone is better with more than it has with the intervention."""


def _arms(games: Sequence[Game], parts: Parts, **shared: Any) -> list[Arm]:
    arms = []
    for game in games:
        scales = {"cpu": game.cpu} if game.cpu else {}
        arms.append(Arm(game.title, game.method, game.alone, scales=scales))
        own = {**game.within, "cap": True, **shared}
        arms += [
            Arm(f"{game.title}: {part}", "ivgan", {**own, **changed}, scales=scales) for part, changed in parts.items()
        ]
    return arms


def _set(name: str, data: str, protocol: str, prior: str) -> Table:
    shared = {"protocol": protocol, "prior": prior, "seeds": 8, "seed": 400, "steps": 5_000, "sample_every": 0}
    learning = {"lr_schedule": DECAY, **LEARNING[0]}
    scales = {"smoke": SMOKE, "full": {"steps": 20_000, "seeds": 16}}
    minutes = {"smoke": 1.2, "cpu": 1.2, "full": 10.0}
    arms = tuple(_arms(GAMES, PARTS))
    return Table(name, data, {**shared, **learning}, arms, scales, most={"smoke": 2}, minutes=minutes)


IMAGES = Table(
    name="stacked digits",
    data="stacked-mnist",
    settings={**SHARED, "seed": 400, "seeds": 3, "evaluate_every": 0},
    arms=(
        *_arms(IMAGE_GAMES[1::2], IMAGE_PARTS, lr_E=1e-3),
        Arm(f"{IMAGE_GAMES[-1].title}: {HEAVIER}", "r3gan", {**IMAGE_GAMES[-1].alone, "gamma": 30.0}),
        *_arms(IMAGE_GAMES[::2], IMAGE_PARTS, lr_E=1e-3),
        *(arm for arm in _arms(IMAGE_GAMES[1::2], FURTHER, lr_E=1e-3) if ": " in arm.label),
    ),
    scales={
        "smoke": SMOKE_OF_IMAGES,
        "cpu": {**QUARTER, "steps": 2_000},
        "full": {**FULL, "seeds": 5},
    },
    apart=True,
    most={"smoke": 2, "cpu": 17},
    minutes={"smoke": 0.2, "cpu": 3, "full": 12},
    reduced=(
        "On a CPU networks of a quarter of the width, 2,000 steps, three seeds, and the parts of all games; more of "
        "them, over least squares before a discriminator of a quarter, are on the page `stability`."
    ),
)
PLAIN, RELATIVISTIC = IMAGE_GAMES[1].title, IMAGE_GAMES[3].title
SHRUNKEN = Table(
    name="stacked digits, a discriminator of a quarter",
    data="stacked-mnist:fresh",
    settings={
        **{**SHARED, **UNROLLED, "networks": "unrolled-quarter"},
        **{"seed": 400, "seeds": 3, "evaluate_every": 0},
    },
    arms=(
        *(
            Arm(label, method, own, scales={"cpu": FAST})
            for label, method, own in (
                (PLAIN, "lsgan", {}),
                (f"{PLAIN}: {AUTO_ENCODER}", "ivlsgan", {**QUIET, **NONE}),
                (f"{PLAIN}: intervention", "ivlsgan", QUIET),
                (f"{PLAIN}: one index a minibatch", "ivlsgan", {**QUIET, "index": "minibatch"}),
            )
        ),
        Arm(RELATIVISTIC, "r3gan", {**IMAGE_GAMES[3].alone, "networks": "unrolled-quarter"}),
        Arm(f"{RELATIVISTIC}: {AUTO_ENCODER}", "ivgan", {**IV_R3GAN, **QUIET, **NONE, "lr": RATE}),
        Arm(f"{RELATIVISTIC}: intervention", "ivgan", {**IV_R3GAN, **QUIET, "lr": RATE}),
        *_arms((IMAGE_GAMES[0], IMAGE_GAMES[2]), {AUTO_ENCODER: NONE, "intervention": {}}),
    ),
    scales={
        "smoke": {name: value for name, value in SMOKE_OF_IMAGES.items() if name != "width"},
        "cpu": {"steps": 4_000, "precision": "bf16", "seeds": 2},
        "full": {**FULL, "batch": 128, "seeds": 5},
    },
    apart=True,
    most={"smoke": 2, "cpu": 7},
    minutes={"smoke": 0.2, "cpu": 7, "full": 20},
    reduced=(
        "On a CPU 4,000 steps instead of 500,000 of the paper of these networks, and two seeds. Least squares with the "
        "weights of IVGAN's paper, at the rate that was found for the usual networks."
    ),
)
TABLES = (
    _set("circle", "circle-mdgan", "mdgan", "uniform01"),
    _set("grid", "grid-ldmgan", "ldmgan", "normal"),
    SHRUNKEN,
    IMAGES,
)

QUESTION = (
    "Does the intervention loss help, and which part of it does? Four adversarial games on two mixtures whose modes "
    "plain games lose, and on stacked digits, each alone, with an auto-encoder beside it, and with interventions; two "
    "of them again where the discriminator is a quarter as wide."
)

IN_SHORT = (
    "The modes that each game covers at the end of training by the stricter count, mean over seeds: alone, with the "
    f"auto-encoder but no interventions, with interventions (indices drawn for each sample, as the paper has them), "
    "and with one index for a whole minibatch, as its authors ran it. A star: other than the game alone, a plus: other "
    f"than the auto-encoder alone, by signed ranks over seeds, p < {LEVEL:g}; of twenty comparisons where nothing "
    "differs one has a mark. In brackets the number of seeds, where it is less than elsewhere in the table."
)

HOW = (
    "Changes against the same game alone, seed by seed on the same seeds, with 95 % t intervals over seeds. Points: of "
    "the modes that have more than 20 of the samples, of the share of good samples, and of the distance to the data "
    "(W1: less is better). Images: of the modes that have at least 5, and of the divergence KL of the last weights and "
    f"of their average (less is better). p: of the modes, by Wilcoxon's signed ranks; below {LEVEL:g} it has a star, "
    "as one row in twenty would by chance, and three seeds cannot come below 0.25. Then the same against the game with "
    "an auto-encoder beside it (mu = 0): what the interventions themselves add."
)

LEARNT = (
    "One setting of learning for all arms of both mixtures, a candidate of the search on the page of the mixtures, "
    "whose seeds are others than these. Networks and evaluation are those of the protocols of LDMGAN and MDGAN; the "
    "noise has as many dimensions as there (2 and 3), which is also the most interventions that blocks of it allow. A "
    "fifth of the weights is a fifth of both, the auto-encoder's and the interventions'; on stacked digits all arms "
    "have these and the cap, where no other is named. Where the discriminator is a quarter as wide the relativistic "
    "game alone has them, as its preset does; the others have the paper's weights, and least squares has no cap, as "
    "in the paper. Rates are those that a search on stacked digits found."
)

Column = tuple[str, Callable[[Mapping[str, float]], float], int]
"""Its heading, its number of a seed's last evaluation, and the digits that are written."""

OF_POINTS: Sequence[Column] = (
    ("modes > 20", lambda row: counts(row)[1], 1),
    ("HQ, points", lambda row: 100 * row["high_quality"], 1),
    ("W1", lambda row: row["wasserstein"], 3),
)
OF_IMAGES: Sequence[Column] = (
    ("modes >= 5", lambda row: counts(row)[1], 1),
    ("KL", lambda row: row["kl_uniform"], 3),
    ("EMA KL", lambda row: row["ema_kl_uniform"], 3),
)


@dataclass(frozen=True)
class Effect:
    """What an arm has more than another one, on the seeds that both have.

    Attributes:
        game, part: of the arm.
        broken: why there is nothing to compare; empty where there is.
        changes: of each column the change on every seed.
        p: of the first column's changes, see `signed_ranks`.
    """

    game: str
    part: str
    broken: str
    changes: tuple[tuple[float, ...], ...] = ()
    p: float = 1.0


def effects(rows: Sequence[Result], columns: Sequence[Column], against: str = "") -> list[Effect]:
    """The changes of each arm against its game alone, or against the part `against` of it.

    Args:
        rows: of a table, the arm of a game alone before all that have its name and a part.
        columns: what may have changed, the modes first.
    """
    found = []
    by_label = {row.arm.label: row for row in rows}
    for having in rows:
        title, _, part = having.arm.label.partition(": ")
        base = by_label[f"{title}: {against}" if against else title]
        if not part or having is base or (against and having.arm.method != base.arm.method):
            continue
        if broken := base.broken or having.broken:
            found.append(Effect(title, part, broken))
            continue
        alone = dict(zip(base.summary["seeds"], base.summary["last"], strict=True))
        own = zip(having.summary["seeds"], having.summary["last"], strict=True)
        pairs = [(row, alone[seed]) for seed, row in own if seed in alone]
        changes = tuple(tuple(number(b) - number(a) for b, a in pairs) for _, number, _ in columns)
        found.append(Effect(title, part, "" if pairs else "no seed in common", changes, signed_ranks(changes[0])))
    return found


def effects_table(found: Sequence[Effect], columns: Sequence[Column]) -> list[str]:
    """The lines of a table of changes: of each column the mean and its interval over seeds."""
    lines = [
        f"| game | with | {' | '.join(name for name, _, _ in columns)} | p |",
        "|---|---|" + "---|" * (len(columns) + 1),
    ]
    for effect in found:
        if effect.broken:
            lines.append(f"| {effect.game} | {effect.part} | {effect.broken} |{' |' * len(columns)}")
            continue
        cells = []
        for (_, _, digits), changes in zip(columns, effect.changes, strict=True):
            mean, low, high = interval(changes)
            ends = f" [{low:+.{digits}f}, {high:+.{digits}f}]" if len(changes) > 1 else ", one seed"
            cells.append(f"{mean:+.{digits}f}{ends}")
        star = "*" if effect.p < LEVEL else ""
        lines.append(f"| {effect.game} | {effect.part} | {' | '.join(cells)} | {effect.p:.2g}{star} |")
    return lines


SHOWN = (AUTO_ENCODER, "intervention", "one index a minibatch")
"""Parts that the summary and the picture have: what the method is made of, and how the authors ran it."""


def _summary(place: Table, rows: Sequence[Result]) -> list[str]:
    """The modes that each game has in the end, alone and with each of `SHOWN`, in a table; and in a sentence how often
    these change them."""
    column = (OF_IMAGES if place.apart else OF_POINTS)[:1]
    by_label = {row.arm.label: row for row in rows}
    stars = [
        {(effect.game, effect.part): effect for effect in effects(rows, column, against)}
        for against in ("", AUTO_ENCODER)
    ]
    said: list[str] = []
    most = max((len(row.summary["seeds"]) for row in rows if not row.broken), default=0)
    if not most:
        return ["Not run."]
    total = next((f", of {row.summary['evaluation']['modes']:,}" for row in rows if not row.broken), "")
    lines = [f"| {column[0][0]}{total} | alone | {' | '.join(SHOWN)} |", "|---|" + "---|" * (1 + len(SHOWN))]
    for game in dict.fromkeys(label.partition(": ")[0] for label in by_label):
        cells = []
        for part in ("", *SHOWN):
            row = by_label.get(f"{game}: {part}" if part else game)
            if row is None or row.broken:
                cells.append("" if row is None else "not run" if row.broken.startswith("not run") else "broke off")
                continue
            modes = [counts(last)[1] for last in row.summary["last"]]
            marks = "".join(
                mark
                for mark, effect in (("*", stars[0].get((game, part))), ("+", stars[1].get((game, part))))
                if effect is not None and effect.p < LEVEL
            )
            short = f" ({len(modes)})" if len(modes) < most else ""
            cells.append(f"{sum(modes) / len(modes):.1f}{marks}{short}")
        lines.append(f"| {game} | {' | '.join(cells)} |")
    for name, found in (("its game alone", stars[0]), ("the auto-encoder alone", stars[1])):
        compared = [e for e in found.values() if e.part in SHOWN and not e.broken and len(e.changes[0]) > 1]
        sure = [sum(effect.changes[0]) > 0 for effect in compared if effect.p < LEVEL]
        told_of = [f"more in {sum(sure)}" * (sum(sure) > 0), f"fewer in {len(sure) - sum(sure)}" * (not all(sure))]
        if compared:
            changed = ", ".join(filter(None, told_of)) or "no sure change in any"
            said.append(f"against {name}, of {len(compared)} comparisons {changed}")
    few = f"; {most} seeds do not suffice for a mark, whatever they show" if 0 < most < FEWEST_SEEDS else ""
    none = "One seed at most is there of any arm beside what it is compared with, so that nothing can be tested."
    return [*lines, "", f"Modes, {'; '.join(said)}{few}." if said else none]


FEWEST_SEEDS = 6
"""With fewer, signed ranks do not come below `LEVEL` even where all agree."""


def _draw(results: Sequence[Sequence[Result]], path: Path) -> bool:
    """Changes of modes with their intervals, a panel for each table that has any."""
    panels = []
    for place, rows in zip(TABLES, results, strict=True):
        column = (OF_IMAGES if place.apart else OF_POINTS)[:1]
        changes = {
            name: {(e.game, e.part): e.changes[0] for e in effects(rows, column, against) if not e.broken}
            for name, against in (("against the game alone", ""), ("against the auto-encoder alone", AUTO_ENCODER))
        }
        known = [(effect.game, effect.part) for effect in effects(rows, column) if effect.part in SHOWN]
        known = [name for name in known if any(len(found.get(name, ())) > 1 for found in changes.values())]
        if known:
            panels.append((place, column[0][0], known, changes))
    if not panels:
        return False
    heights = [0.3 * len(known) + 1.2 for _, _, known, _ in panels]
    figure = empty_figure(9, sum(heights))
    places = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
    for axes, (place, counted, known, changes) in zip(places, panels, strict=True):
        axes.axvline(0, color="0.6", lw=1)
        for shift, (name, found) in zip((-0.14, 0.14), changes.items(), strict=True):
            there = [(at, interval(found[each])) for at, each in enumerate(known) if len(found.get(each, ())) > 1]
            means = [mean for _, (mean, _, _) in there]
            ends = [[mean - low for _, (mean, low, _) in there], [high - mean for _, (mean, _, high) in there]]
            axes.errorbar(means, [at + shift for at, _ in there], xerr=ends, fmt="o", ms=4, capsize=2, label=name)
        axes.set_yticks(range(len(known)), [f"{game}: {part}" for game, part in known], fontsize=8)
        axes.invert_yaxis()
        axes.set(title=f"the {place.name}", xlabel=f"change of {counted}, with its 95 % interval")
    places[0].legend(fontsize=8)
    save_png_atomic(drawn(figure), path)
    return True


def _page(scale: str, results: Sequence[Sequence[Result]], picture: str, sheets: Sheets) -> str:
    lines = ["# Does the intervention loss help?", "", QUESTION, "", "## In short", "", IN_SHORT, ""]
    for place, rows in zip(TABLES, results, strict=True):
        lines += [f"**The {place.name}**", "", *_summary(place, rows), ""]
    lines += [f"![Changes of modes with their intervals]({picture})", ""] * bool(picture)
    lines += ["## Every change", "", HOW, "", LEARNT, ""]
    for place, rows in zip(TABLES, results, strict=True):
        columns, prior = OF_IMAGES if place.apart else OF_POINTS, place.settings.get("prior", "normal")
        lines += [f"### The {place.name}: `{place.data}`, prior {prior}", ""]
        lines += [*effects_table(effects(rows, columns), columns), ""]
        lines += ["Against the auto-encoder alone:", ""]
        lines += [*effects_table(effects(rows, columns, AUTO_ENCODER), columns), ""]
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
            made_anew("intervention", scale, place),
            "",
        ]
        lines += [f"{place.reduced}\n"] * (scale == "cpu" and bool(place.reduced))
        lines += [*provenance(rows), ""]
    return "\n".join(lines)


EXPERIMENT = Experiment(
    name="intervention", question=QUESTION, tables=TABLES, write=_page, draw=_draw, sheets=False, value=8.0
)
