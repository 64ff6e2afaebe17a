"""What is written by hand of the results is what their rows have: in README, in docs/ and in results/."""

from __future__ import annotations

import re
from functools import cache

import pages
import pytest

from modecover import experiments
from modecover.experiments.store import Result, Store

RESULTS = pages.ROOT / "results"
ON_DIGITS = {
    **{"ivgan --preset r3gan": "IV-R3GAN", "r3gan": "R3GAN", "wgan-gp": "WGAN-GP, a step of D"},
    **{"gan": "DCGAN", "ivlsgan": "IVLSGAN", "lsgan": "LSGAN", "reg-gan --distance pixel-sum": "Reg-GAN, d a sum"},
    "ivdcgan": "IVDCGAN",
}
USUAL, QUARTER = "stacked MNIST, 32x32", "a discriminator of a quarter"


@cache
def results(name: str) -> dict[str, dict[str, Result]]:
    """What an experiment found at `cpu`: of each of its tables, by the labels of the arms that were run."""
    tables = Store(RESULTS / f"{name}.jsonl").results(experiments.get(name), "cpu")
    return {rows[0].table: {row.arm.label: row for row in rows if row.summary} for rows in tables}


def values(name: str, table: str, label: str, key: str, which: str = "last") -> list[float]:
    """A number of every seed of an arm; none where it was not run."""
    result = results(name)[table].get(label)
    return [row[key] for row in result.summary[which] if key in row] if result else []


def rows_of(page: str) -> list[list[str]]:
    """The cells of the first table of a page, without its head."""
    lines = re.search(r"^\| .*\n\|[-|]+\n((?:\|.*\n)+)", page, re.MULTILINE)
    assert lines, page[:200]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1].splitlines()]


def words_of(page: str) -> str:
    """A page in one line."""
    return " ".join((pages.ROOT / page).read_text("utf-8").split())


def written(wanted: list[float], decimals: int = 0, last: str = ", ") -> str:
    """As prose has the values of the seeds: 8,340, 7,472 or .51, .91; before the last of them may be a word."""
    each = [f"{value:,.{decimals}f}".removeprefix("0" if decimals else "") for value in wanted]
    return last.join([", ".join(each[:-1]), each[-1]])


def check(cell: str, wanted: list[float], where: object) -> None:
    """A cell has these values, or their mean, and no others: each as far as it is written out."""
    told = re.findall(r"[\d.,]*\d(?:e\+\d+)?", cell)
    assert told or cell == "-", (where, cell)
    if len(told) == 1 and len(wanted) > 1:
        wanted = [sum(wanted) / len(wanted)]

    def as_written(value: float, like: str) -> str:
        digits = f"{value:.0e}" if "e" in like else f"{value:,.{len(like.partition('.')[2])}f}"
        return digits.removeprefix("0") if like.startswith(".") else digits

    assert told == [as_written(value, like) for value, like in zip(wanted, told, strict=True)], (where, cell, wanted)


SETS = tuple(f"set {number}" for number in (1, 2, 3, 4))
CLAIMS = {
    "IVGAN: Table 2, Frechet distances": [
        ("ivgan-frechet", ("MNIST",), "frechet", "last"),
        ("ivgan-frechet", ("CIFAR-10",), "frechet", "last"),
        ("ivgan-frechet", ("CIFAR-10",), "ema_frechet", "last"),
    ],
    "IVGAN: Table 3, stacked MNIST": [
        ("stacked", (QUARTER,), "modes_any", "last"),
        ("stacked", (USUAL,), "modes_any", "last"),
    ],
    "IVGAN: Table 4 and Figure 7, k and mu": [
        ("ivgan-ablation", ("CIFAR-10",), "frechet", "best"),
        ("ivgan-ablation", ("CIFAR-10",), "frechet", "last"),
    ],
    "IVAAE: Tables 1 and 2, digits": [
        ("ivaae", ("MNIST",), "frechet_latent", "last"),
        ("ivaae", ("MNIST",), "frechet", "last"),
        ("ivaae", ("MNIST",), "frechet", "best"),
    ],
    "IVAAE: Tables 1 and 2, photographs": [
        ("ivaae-colour", ("CIFAR-10",), "frechet_latent", "last"),
        ("ivaae-colour", ("CIFAR-10",), "frechet", "last"),
    ],
    "IVAAE: Figures 2 and 3, a frozen auto-encoder": [
        ("ivaae-studies", ("a frozen auto-encoder",), "D's loss at the end", "last"),
        ("ivaae-studies", ("a frozen auto-encoder",), "encoder's gradient as printed", "last"),
        ("ivaae-studies", ("a frozen auto-encoder",), "encoder's gradient", "last"),
    ],
    "IVAAE: Figure 5, a probe of the codes": [("ivaae-studies", ("a linear probe",), "error % at the end", "last")],
    "MDGAN and Reg-GAN: Appendix C, the circle of 6": [
        ("circle-mdgan", ("Prior U[0, 1]^3, as in the paper",), "modes_many", "last"),
        ("circle-mdgan", ("Prior N(0, I)",), "modes_many", "last"),
    ],
    "MDGAN and Reg-GAN: Figure 4, coefficients": [
        ("reg-gan-coefficients", ("MNIST",), "frechet", "last"),
        ("reg-gan-coefficients", ("MNIST, d a sum over pixels",), "frechet", "last"),
    ],
    "MDGAN and Reg-GAN: Table 2, compositional MNIST": [
        ("compositional", SETS, "numbers_missed", "last"),
        ("compositional", SETS, "KL", "last"),
        ("compositional", SETS, "numbers_missed_of_the_data", "last"),
    ],
    "MDGAN and Reg-GAN: Tables 3 and 4, missing modes": [
        ("missing-modes", ("MNIST",), "missed, noise 3.5", "last"),
        ("missing-modes", ("MNIST",), "missed, noise 4", "last"),
    ],
    "LDMGAN: Table 3, stacked MNIST": [
        ("stacked", (USUAL,), "modes_any", "last"),
        ("stacked", (USUAL,), "kl_uniform", "last"),
    ],
    "LDMGAN: Table 4, Frechet distances": [("ldmgan-frechet", ("CIFAR-10",), "frechet", "last")],
}
"""For every section of results/claims.md that has a table, its columns: an experiment, tables of it, the number, and at
which evaluation."""


def test_the_tables_of_the_claims_are_those_of_the_rows() -> None:
    """Seed by seed, and with every section that has one."""
    found = set[str]()
    for chapter in (RESULTS / "claims.md").read_text("utf-8").split("\n## ")[1:]:
        paper, *sections = chapter.split("\n### ")
        for section in sections:
            name = f"{paper.strip()}: {section.partition(chr(10))[0]}"
            if "\n| " not in section:
                continue
            found.add(name)
            for label, *cells in rows_of(section):
                for cell, (experiment, tables, key, which) in zip(cells, CLAIMS[name], strict=True):
                    wanted = [each for table in tables for each in values(experiment, table, label, key, which)]
                    check(cell, wanted, (name, label, key))
    assert found == set(CLAIMS)


PAIRS = {"binary cross-entropy": ("GAN", "IVDCGAN"), "least squares": ("LSGAN", "IVLSGAN")}
PAIRS["relativistic"] = ("R3GAN", "IV-R3GAN")
DATA = {
    **{"ring, 8 modes": ("2d", "ring"), "grid, 25": ("2d", "grid"), "circle, 6, uniform noise": ("2d", "circle")},
    "stacked digits, 6,000 steps": ("stacked", USUAL),
    "the same, 12,000 steps, falling rates": ("stacked-harder", "a long run"),
    "a quarter of the discriminator": ("stacked", QUARTER),
    "half of the discriminator": ("stacked-harder", "a discriminator of a half"),
    "four digits, 10,000 modes, 6,000 steps": ("stacked-harder", "four digits, 10,000 modes"),
    "64x64 pixels, 2,000 steps": ("stacked-harder", "stacked MNIST, 64x64"),
}


def test_the_table_of_the_intervention_is_that_of_the_rows() -> None:
    """Alone and with the intervention, and where numbers of averaged weights or of modes are told beside, these too."""
    told = rows_of((RESULTS / "does-it-help.md").read_text("utf-8"))
    assert len(told) >= 18
    data = ""
    for named, game, alone, with_it, beside in told:
        data = named or data
        experiment, table = DATA[data]
        pair = next(pair for name, pair in PAIRS.items() if game.startswith(name))
        if experiment != "2d":
            pair = tuple(label.replace("GAN", "DCGAN") if label == "GAN" else label for label in pair)
        key = "modes_many" if experiment == "2d" else "kl_uniform" if "KL" in game else "modes_any"
        for label, cell in zip(pair, (alone, with_it), strict=True):
            check(cell, values(experiment, table, label, key), (data, game, label))
        if beside.startswith(("averaged", "modes")):
            other = f"ema_{key}" if beside.startswith("averaged") else "modes_any"
            for label, cell in zip(pair, beside.partition(";")[0].split(" and "), strict=True):
                check(cell, values(experiment, table, label, other), (data, game, label, other))


def test_the_table_of_single_changes_is_that_of_the_rows() -> None:
    """Modes and divergence of each seed at the last step, of every arm that was run."""
    section = (RESULTS / "does-it-help.md").read_text("utf-8").partition("\n## Which change")[2]
    told = rows_of(section)
    for label, modes, divergence in told:
        check(modes, values("stability", "stacked MNIST", label, "modes_any"), label)
        check(divergence, values("stability", "stacked MNIST", label, "kl_uniform"), label)
    assert {label for label, *_ in told} == set(results("stability")["stacked MNIST"])


@pytest.mark.parametrize("name", ["README.md", "docs/which.md"])
def test_the_tables_of_stacked_digits_are_those_of_the_rows(name: str) -> None:
    """Modes and divergence of averaged weights, and modes with a quarter of the discriminator: means over seeds on the
    front page, seed by seed where methods are chosen."""
    page = (pages.ROOT / name).read_text("utf-8").partition("\n| | modes")
    columns = [(USUAL, "ema_modes_any"), (USUAL, "ema_kl_uniform"), (QUARTER, "ema_modes_any")]
    rows = rows_of("".join(page[1:]))
    assert len(rows) >= 5
    for called, *cells in rows:
        (method,) = re.findall(r"^`([^`]+)`", called)
        for cell, (table, key) in zip(cells, columns, strict=True):
            check(cell, values("stacked", table, ON_DIGITS[method], key), (method, key))


def test_what_is_said_of_ten_thousand_modes_is_that_of_the_rows() -> None:
    table = "four digits, 10,000 modes"
    modes = [values("stacked-harder", table, label, "ema_modes_any") for label in ("IV-R3GAN", "R3GAN")]
    told = " and ".join(f"{sum(each) / len(each):,.0f}" for each in modes)
    longer = values("stacked-harder", table, "R3GAN, twice the steps", "ema_modes_any")
    front = words_of("README.md")
    assert f"they have {told} after" in front
    assert f"and the second {sum(longer) / len(longer):,.0f} after twice as many" in front
    of_seeds = " with it and ".join(f"{a:,.0f}, {b:,.0f} and {c:,.0f}" for a, b, c in modes)
    assert f"averaged weights have {of_seeds} without" in words_of("docs/which.md")


@pytest.mark.parametrize(
    ("page", "kind", "label"),
    [
        *(("results/does-it-help.md", "", label) for label in ("IV-R3GAN", "R3GAN")),
        *(("results/does-it-help.md", "", label) for label in ("IV-R3GAN, mu = 0", "R3GAN, twice the steps")),
        *(("docs/which.md", "ema_", label) for label in ("IV-R3GAN, mu = 0", "R3GAN, twice the steps")),
    ],
)
def test_what_is_said_of_parts_of_it_is_that_of_the_rows(page: str, kind: str, label: str) -> None:
    """On ten thousand modes, modes and divergence: by the last weights, to choose a method by averaged ones."""
    modes, divergence = (
        values("stacked-harder", "four digits, 10,000 modes", label, kind + key) for key in ("modes_any", "kl_uniform")
    )
    told = rf"{written(modes)}( modes)?, KL {re.escape(written(divergence, 2))}"
    assert re.search(told, words_of(page)), told


def test_what_is_said_of_photographs_and_of_single_changes_is_that_of_the_rows() -> None:
    """In docs/which.md: distances and coverage of two seeds, and modes of every seed that was run."""
    page = words_of("docs/which.md")
    for label in ("Reg-GAN", "IV-R3GAN", "R3GAN", "WGAN-GP"):
        distances, covered = (values("ivgan-frechet", "CIFAR-10", label, key) for key in ("frechet", "coverage"))
        assert written(distances) in page, label
        assert written(covered, 2, " and " if label == "Reg-GAN" else ", ") in page, label
    lsgan, whole, alone, falling, relativistic = (
        written(values("stability", "stacked MNIST", label, "modes_any"), last=" and ")
        for label in ("LSGAN", "IVLSGAN", "no intervention (mu = 0)", "weights that fall to 0", "relativistic")
    )
    assert f"`lsgan` has {lsgan} of 1,000 modes, `ivlsgan` {whole}, and {alone} with `--mu-G 0 --mu-E 0`" in page
    assert f"With weights that fall to zero on the way it has {falling}," in page
    assert f"with the paper's weights and noise it has {relativistic}." in page
    faster = [
        written(values("stability", "stacked MNIST", f"an encoder {times} as fast", "modes_any"), last=" and ")
        for times in ("twice", "4 times", "16 times")
    ]
    assert f"with {faster[0]} (at 2e-2 it has {faster[1]})" in page
    assert f"it ends at {faster[2]}." in words_of("results/does-it-help.md")
    assert f"with {faster[0]} modes to" in words_of("results/README.md")


def test_what_is_said_of_the_rate_of_the_presets_encoder_is_that_of_the_rows() -> None:
    """Divergence by averaged weights, of the rates in their order."""
    searched = "lr 0.0008, penalty 10.0, mu_G 0.1, lambda_G 0.05"
    before = [f"{searched}, lr_E 0.0003", searched]
    later = [f"IV-R3GAN, lr_E {rate}" for rate in (0.003, 0.01, 0.03)]
    places = [*(("IV-R3GAN", label) for label in before), *(("three more of each", label) for label in later)]
    found = [value for place in places for value in values("r3gan-search", *place, "ema_kl_uniform")]
    assert f"the averaged weights' divergence is {written(found, 3, ' and ')}." in words_of(
        "docs/decisions/0020-the-preset-r3gan.md"
    )
    assert min(found) == found[1]


def test_the_table_of_the_plane_is_that_of_the_rows() -> None:
    """Modes by the stricter count at the end of training, and where they are told the seeds that have all."""
    page = (pages.ROOT / "docs" / "which.md").read_text("utf-8").partition("## Points of the plane")[2]
    found: dict[tuple[str, str], tuple[list[float], int]] = {}
    columns = [("ring", 8), ("grid", 25), ("circle", 6), ("circle, normal prior", 6)]
    for table, total in columns:
        for row in results("2d")[table].values():
            full = sum(min(each["modes_any"], each["modes_many"]) == total for each in row.summary["last"])
            found[row.arm.method, table] = [each["modes_many"] for each in row.summary["last"]], full
    rows = rows_of(page)
    assert len(rows) >= 18
    for called, *cells in rows:
        (method,) = re.findall(r"^`([\w-]+)", called)
        for cell, (table, _) in zip(cells, columns, strict=True):
            modes, full = found.get((method, table), ([], 0))
            wanted = f"{sum(modes) / len(modes):.1f} ({full})" if modes else ""
            assert cell == wanted, (method, table)
