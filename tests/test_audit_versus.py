"""Generator against generator, and modes that the data do not have: by planted differences, by hand, and as shown."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import audits
import numpy as np
import pytest
from browser import Browser, find_browser
from rich.console import Console

import modecover
from modecover.auditing import run, versus
from modecover.auditing.page import page
from modecover.auditing.results import Estimate, Gallery, Invented, Verdict, signed
from modecover.auditing.versus import Comparison, Difference, Region, compare_generators
from modecover.cli import terminal
from modecover.cli.main import main as command
from modecover.errors import UserError
from modecover.metrics.clumps import clumps
from modecover.metrics.excess import LET_PASS, SHARES, excess_difference
from modecover.metrics.regions import MissedMass

GRID = np.stack(np.meshgrid(np.arange(10.0), np.arange(5.0)), axis=-1).reshape(-1, 2)


def mixture(
    random: np.random.Generator, count: int, without: tuple[int, ...] = (), width: float = 0.1, modes: int = 50
) -> np.ndarray:
    """Equally heavy modes on a grid, a distance of 1 from each other; the first of the grid's 50."""
    kept = np.setdiff1d(np.arange(modes), without)
    return GRID[random.choice(kept, size=count)] + width * random.standard_normal((count, 2))


# ---------------------------------------------------------------- who is better


def test_two_samples_of_one_generator_show_no_difference():
    """20 generators, sound ones and such as miss, weigh, shrink, blur or litter: of all 100 verdicts 5 may be wrong, as
    their intervals hold for all five of a run at once; there are hardly any."""
    wrong = []
    for seed in range(20):
        random = np.random.default_rng(seed)

        def sample(kind: int = seed % 5, random: np.random.Generator = random) -> np.ndarray:
            without = ((0, 1, 2), (), (), (), ())[kind]
            rows = mixture(random, 400, without, (0.1, 0.1, 0.07, 0.15, 0.1)[kind], modes=20)
            if kind == 4:
                rows[:40] = random.uniform(-1, 10, size=(40, 2))
            return rows

        found = compare_generators(mixture(random, 400, modes=20), sample(), sample(), seed=seed)
        wrong += [(seed, each.name, each.better) for each in found.differences if each.better]
    assert len(wrong) <= 1, wrong


@pytest.fixture(scope="module")
def unlike() -> Comparison:
    """A misses 5 of 50 modes, B one other and has one of its own, of 5 % of its samples."""
    random = np.random.default_rng(0)
    a, b = mixture(random, 1500, tuple(range(5))), mixture(random, 1500, (49,))
    b[:75] = np.array([6.5, 7.0]) + 0.1 * random.standard_normal((75, 2))
    return compare_generators(mixture(random, 1500), a, b)


def test_a_generator_that_misses_ten_in_a_hundred_loses_to_one_that_misses_two(unlike):
    found = unlike.difference("missing-mass")
    assert found.better == "B" and found in unlike.better("B") and found.sentence.startswith("B is better, by ")
    assert found.difference.low < 0.08 < found.difference.high
    assert found.difference.value == pytest.approx(0.08, abs=0.02)
    assert found.a == unlike.a.verdict("missing mass").effect and found.b == unlike.b.verdict("missing mass").effect
    assert unlike.difference("low quality").better == "A"
    assert {each.better for each in unlike.differences} == {"A", "B", None}
    assert unlike.headline == "A is better in low quality; B is better in missing mass (5 verdicts)."


def test_what_only_one_generator_covers_is_told_mode_by_mode(unlike):
    assert len(unlike.only_b) == 5 and len(unlike.only_a) == 1
    for region in unlike.only_b:
        assert region.share == pytest.approx(0.02, abs=0.012)
        assert region.a < 0.002 and region.b == pytest.approx(0.02, abs=0.012)
    (alone,) = unlike.only_a
    assert unlike.gallery is not None
    points = np.stack([unlike.gallery.real[row] for row in alone.examples[:5]])
    assert np.abs(points - GRID[49]).max() < 0.5
    for region in unlike.only_b:
        points = np.stack([unlike.gallery.real[row] for row in region.examples[:5]])
        assert points[:, 0].max() < 4.5 and points[:, 1].max() < 0.5, "the first five modes lie in the first row"


def test_both_are_judged_by_one_fit_with_cells_for_the_fewer_samples(monkeypatch):
    fits, plain = [], run.fit_features
    monkeypatch.setattr(run, "fit_features", lambda *given, **more: fits.append(given) or plain(*given, **more))
    random = np.random.default_rng(1)
    real, a, b = (mixture(random, count, modes=20) for count in (1000, 1000, 300))
    found = compare_generators(real, a, b, samples=900)
    assert len(fits) == 2, "one for each half of the real rows"
    assert found.a.settings == found.b.settings and found.a.settings["cells"] == 20
    assert found.a.inputs["real"] == found.b.inputs["real"] and found.b.inputs["fake"]["count"] == 300


def test_one_endless_source_gives_either_side_rows_of_its_own():
    found = compare_generators("ring", "ring", "ring", samples=200)
    assert found.a.inputs["fake"]["fingerprint"] != found.b.inputs["fake"]["fingerprint"]
    assert found.a.inputs["fake"]["fingerprint"] != found.a.inputs["real"]["fingerprint"]
    assert not found.better("A") and not found.better("B")


def test_a_generator_against_itself_differs_by_nothing():
    random = np.random.default_rng(2)
    real, fake = mixture(random, 400, modes=8), mixture(random, 400, (0,), modes=8)
    found = compare_generators(real, fake, fake)
    assert [each.difference.value for each in found.differences] == [0] * 5
    assert found.a.verdicts == found.b.verdicts and found.only_a == found.only_b == ()
    assert found.headline == "No difference seen (5 verdicts)."


# ---------------------------------------------------------------- by hand


def missed(flags: np.ndarray, **changes: Any) -> MissedMass:
    share = float(flags.mean())
    given = {"value": share, "low": 0.0, "high": 1.0, "counted": share, "found": 1.0, "null": 0.0, "finest": 0.0}
    return MissedMass(**{**given, "unsure": 0.0, "flags": flags, "lacking": np.zeros(len(flags)), **changes})


def test_the_difference_of_missed_mass_is_mcnemars():
    """Of 1,000 rows both miss 200, A 60 more and B 20: .04, and a standard error of sqrt(80 - 40^2 / 1,000) / 1,000.

    What both miss is no part of it."""
    flags = np.zeros((2, 1000), bool)
    flags[:, :200], flags[0, 200:260], flags[1, 260:280] = True, True, True
    found = versus._of_missed(missed(flags[0]), missed(flags[1]))
    error = math.sqrt(80 - 1.6 + 0.5) / 1000
    assert (found.value, found.high - found.value) == pytest.approx((0.04, 1.96 * error))
    doubtful = versus._of_missed(missed(flags[0], unsure=0.03), missed(flags[1], unsure=0.04))
    assert doubtful.high - doubtful.value == pytest.approx(1.96 * math.hypot(error, 0.05))
    coarse = versus._of_missed(missed(flags[0], finest=0.1), missed(flags[1], finest=0.1))
    assert (coarse.low, coarse.high) == pytest.approx((-0.06, 0.14)), "less than a cell cannot be seen"
    unlike = versus._of_missed(missed(flags[0], value=0.52), missed(flags[1]))
    assert unlike.low < 0.04 < unlike.value, "corrected unlike: it may be the correction"


def test_the_difference_of_excesses_is_taken_beyond_one_limit():
    real = np.arange(1000.0)
    fakes = np.where(np.arange(500) < 100, 2000.0, 1.0), np.where(np.arange(500) < 25, 2000.0, 1.0)
    found = excess_difference(real, fakes, weights=(np.ones(1000), np.ones(1000)), counts=(500, 500))
    let = 1 - LET_PASS * float((real > found.limit).mean())
    values = [1 - (1 - share) / let for share in (0.2, 0.05)]
    assert found.value == pytest.approx(values[0] - values[1])
    error = math.sqrt((0.2 * 0.8 + 0.001) / 500 + (0.05 * 0.95 + 0.001) / 500) / let
    assert (found.high - found.low) / 2 == pytest.approx(2.6901 * error, rel=1e-4) and len(SHARES) == 7
    swapped = excess_difference(real, fakes[::-1], weights=(np.ones(1000), np.ones(1000)), counts=(500, 500))
    assert swapped.value == -found.value and swapped.high == -found.low


def verdict(name: str, value: float, low: float, high: float, null: float = 0.0) -> Verdict:
    unit = "ratio of standard deviations" if null else "share of the samples"
    return Verdict(name, False, Estimate(value, low, high), unit, Estimate(null, null, null), "")


def test_of_a_ratio_what_is_nearer_to_the_data_is_better():
    shrunk, wide = verdict("shrink", 0.7, 0.6, 0.8, 1.0), verdict("shrink", 1.1, 0.95, 1.25, 1.0)
    ends = [dataclasses.astuple(versus._failure(each, None)) for each in (shrunk, wide)]
    assert ends[0] == pytest.approx((0.3, 0.2, 0.4)) and ends[1] == pytest.approx((0.1, 0.0, 0.25))
    assert dataclasses.astuple(versus._failure(shrunk, "higher")) == (-0.7, -0.8, -0.6)


@pytest.mark.parametrize(
    ("ends", "better", "sentence"),
    [
        ((0.1, 0.02, 0.2), "B", "B is better, by 10.0%."),
        ((-0.1, -0.2, -0.02), "A", "A is better, by 10.0%."),
        ((0.1, -0.02, 0.2), None, "No difference is seen; one of less than 20.0% may be there."),
        ((math.nan,) * 3, None, "There is not enough to tell."),
    ],
)
def test_who_is_better_hangs_on_the_whole_interval(ends, better, sentence):
    told = versus._told(*[verdict("copying", 0.1, 0.0, 0.2)] * 2, Estimate(*ends))
    assert (told.better, told.sentence) == (better, sentence)
    assert told.verdict == (f"{better} is better" if better else "cannot tell" if ends[0] != ends[0] else told.verdict)


def test_intervals_hold_for_five_verdicts_at_once():
    wide = versus._at_once(Estimate(1.0, 0.0, 3.0), math.inf)
    assert dataclasses.astuple(wide) == pytest.approx((1, 1 - 1.3142, 1 + 2.6284), abs=1e-3)
    # Two shares differ by no more than all.
    assert dataclasses.astuple(versus._at_once(Estimate(-0.9, -0.99, -0.5), 1.0))[1] == -1


def test_differences_have_signs_and_what_rounds_to_nothing_has_none():
    told = [signed(value, "share") for value in (0.05, -0.05, 0.0001, -0.0)]
    assert told == ["+5.0%", "−5.0%", "0.0%", "0.0%"]
    assert [signed(value, "ratio") for value in (0.014, -1.2, math.nan)] == ["+0.01", "−1.20", "not measured"]


# ---------------------------------------------------------------- modes that the data do not have


def test_clumps_are_what_lies_together_and_apart():
    random = np.random.default_rng(0)
    one, other = 0.1 * random.standard_normal((60, 2)), 0.1 * random.standard_normal((30, 2)) + 5
    scattered = random.uniform(-40, 40, (20, 2)) + 60
    rows = np.concatenate([one, other, scattered])
    found = clumps(rows, np.full(len(rows), 4.0), fewest=10)
    assert [len(each) for each in found] == pytest.approx([60, 30], abs=4)
    assert found[0].max() < 60 and found[1].min() >= 60 and found[1].max() < 90
    assert clumps(rows, np.full(len(rows), 0.001), fewest=10) == [], "not apart from what is outside"
    assert clumps(rows[:9], np.full(9, 4.0), fewest=10) == []
    (same,) = clumps(np.ones((12, 3)), np.full(12, np.inf), fewest=10)
    assert same.tolist() == list(range(12))
    with pytest.raises(UserError, match=r"outside has shape \(3,\) for 9 rows"):
        clumps(rows[:9], np.ones(3), fewest=10)


@pytest.mark.parametrize("dimensions", [2, 16])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_mode_that_the_data_do_not_have_is_found_and_garbage_and_blur_are_none(dimensions, seed):
    random = np.random.default_rng(seed)
    centres = GRID[:20] if dimensions == 2 else random.standard_normal((20, dimensions))
    extra = np.array([2.5, 5.0]) if dimensions == 2 else random.standard_normal(dimensions)

    def draw(width: float = 0.1) -> np.ndarray:
        return centres[random.integers(20, size=1000)] + width * random.standard_normal((1000, dimensions))

    real, added, littered = draw(), draw(), draw()
    added[200:260] = extra + 0.1 * random.standard_normal((60, dimensions))
    littered[:150] = random.uniform(real.min(axis=0) - 0.5, real.max(axis=0) + 0.5, (150, dimensions))
    (mode,) = modecover.audit(real, added).invented
    assert mode.share == pytest.approx(0.06, abs=0.005)
    assert set(mode.examples) <= set(range(200, 260)) and len(mode.examples) > 50
    for rows in (draw(), littered, draw(0.17)):
        assert modecover.audit(real, rows).invented == ()


def test_one_image_that_is_not_of_the_data_repeated_is_a_mode_of_its_own():
    random = np.random.default_rng(0)
    real, fake = (np.tanh(random.normal(-0.5, 0.3, (300, 1, 8, 8))) for _ in range(2))
    fake[:30] = 1.0
    (mode,) = modecover.audit(real, fake).invented
    assert mode.share == pytest.approx(0.1) and sorted(mode.examples) == list(range(30))


@pytest.mark.parametrize("place", [(4.5, 2.5), (40.0, 0.0)])
def test_samples_of_an_untrained_generator_lie_apart_and_are_no_mode_of_their_own(place):
    """Beside the data or far from it, alone or with a few samples that are of the data."""
    random = np.random.default_rng(0)
    real, fake = mixture(random, 1000, modes=20), np.array(place) + 0.1 * random.standard_normal((1000, 2))
    sound = mixture(random, 1000, modes=20)
    for share in (0.0, 0.05, 0.2):
        count = round(share * len(fake))
        found = modecover.audit(real, np.concatenate([fake[count:], sound[:count]]))
        apart = found.verdict("low quality").sentence.startswith("The samples lie apart from the data: ")
        assert apart == (share < 0.1) and [mode.share > 0.7 for mode in found.invented] == [True] * (not apart)


# ---------------------------------------------------------------- as it is shown


def by_hand(shape: tuple[int, ...] = (1, 28, 28)) -> Comparison:
    """A comparison with an example of everything, of two audits that find what `audits.audit` does."""
    a, b = audits.audit(shape), audits.audit(shape, seed=1, invented=(Invented(0.062, (3, 1, 5)),))
    names = [each.name for each in a.verdicts]
    told = [
        Difference(
            name, each.unit, each.effect, each.effect, Estimate(value, value - 0.02, value + 0.02), better, "Told."
        )
        for name, each, value, better in zip(
            names, a.verdicts, (0.08, 0.0, 0.01, -0.05, math.nan), ("B", None, None, "A", None), strict=True
        )
    ]
    assert a.gallery is not None
    real = dict(enumerate(list(a.gallery.fake.values())[:6]))
    regions = (Region(0.077, 0.0, 0.081, (0, 1, 2)), Region(0.021, 0.001, 0.02, (3,)))
    return Comparison(a, b, tuple(told), (Region(0.031, 0.03, 0.0, (4, 5)),), regions, gallery=Gallery(real, {}))


def test_json_and_back_keeps_everything_but_the_pictures(tmp_path):
    made = by_hand()
    content = json.loads(made.to_json())
    assert list(content)[:3] == ["program", "kind", "version"] and content["kind"] == "comparison"
    assert content["only_b"][0] == {"share": 0.077, "a": 0.0, "b": 0.081, "examples": [0, 1, 2]}
    again = Comparison.from_json(made.save(tmp_path / "new" / "c.json").read_text("utf-8"))
    assert again == made and again.gallery is None and again.a == made.a and again.b.invented == made.b.invented
    assert again != made.a and math.isnan(again.differences[-1].difference.value)
    with pytest.raises(UserError, match="This JSON is not a comparison that modecover wrote"):
        Comparison.from_json(made.a.to_json())
    with pytest.raises(UserError, match=r"a comparison is saved as \.html"):
        made.save(tmp_path / "c.pdf")
    assert repr(made) == (
        "Comparison(generated.npz against generated.npz: missing mass B, imbalance same, shrink same, low quality A, "
        "copying not measured)"
    )
    many = dataclasses.replace(made.only_a[0], examples=tuple(range(200)))
    assert repr(many) == "Region(share=0.031, a=0.03, b=0, rows 0, 1, 2 and 197 more)"
    assert repr(Invented(0.062, (3, 1, 5))) == "Invented(share=0.062, rows 3, 1, 5)"


def test_an_audit_of_an_earlier_modecover_that_knew_no_such_modes_is_read():
    content = json.loads(audits.audit().to_json())
    del content["invented"]
    assert run.Audit.from_json(json.dumps(content)) == audits.audit()


def words(text: str) -> str:
    text = re.sub(r"<(style|title|svg).*?</\1>", "", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_the_page_tells_who_is_better_in_words(tmp_path):
    said = words(by_hand().save(tmp_path / "c.html").read_text("utf-8"))
    assert "A is better in low quality; B is better in missing mass " in said
    assert (
        "missing mass share of the real mass B is better 29.2% 27.2 to 31.2% 29.2% 27.2 to 31.2% +8.0% +6.0% to" in said
    )
    assert "imbalance share of mass to move no difference seen" in said and "cannot tell" in said
    order = [said.index(part) for part in ("Only A covers", "Only B covers", "do not have: B", "What A makes")]
    assert order == sorted(order)
    assert "7.7% of the real samples 0.0% of the samples of A, 8.1% of those of B 0 1 2" in said
    assert "6.2% of the generated samples 3 1 5" in said


def test_the_page_of_an_audit_shows_modes_that_the_data_do_not_have():
    assert "Modes that the data do not have" not in page(audits.audit())
    said = words(page(audits.audit(invented=(Invented(0.062, (3, 1, 5)),))))
    assert "far from all real ones and near to each other, with their rows. 6.2% of the generated samples 3 1 5" in said
    points = page(audits.audit((2,), invented=(Invented(0.062, (3, 1, 5)),), missed=(), starved={}))
    assert re.findall(r'class="dots (\w+)"', points) == ["real", "fake", "alarm"]
    assert "row 3" in words(page(audits.audit((9,), invented=(Invented(0.062, (3, 1, 5)),))))


def test_without_galleries_the_page_is_there_too():
    made = by_hand()
    bare = Comparison.from_json(made.to_json())
    text = page(bare.a, "versus.html.jinja", comparison=bare)
    assert "B is better" in text and "<img" not in text


needs_browser = pytest.mark.skipif(find_browser() is None, reason="no Chromium or Chrome is installed")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    assert program is not None
    with Browser(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@needs_browser
@pytest.mark.parametrize("shape", [(1, 28, 28), (2,), (9,)], ids=str)
def test_nothing_overflows_and_all_can_be_read_at_any_width(browser, tmp_path, shape):
    place = by_hand(shape).save(tmp_path / "c.html")
    for width in (320, 480, 700, 1400):
        browser.open(place, width)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        wide = f"[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > {width} + 0.5)"
        assert browser.evaluate(f"{wide}.length") == 0
        shown = "[...document.querySelectorAll('.versus td')].filter(e => e.getClientRects().length).length"
        assert browser.evaluate(shown) == 25
        assert browser.evaluate("[...document.images].filter(i => !i.naturalWidth || !i.clientWidth).length") == 0
    assert browser.complaints() == []


# ---------------------------------------------------------------- the command


def say(capsys: pytest.CaptureFixture[str], *given: object) -> tuple[int, str, str]:
    code = command([str(word) for word in given])
    said = capsys.readouterr()
    return code, said.out, said.err


SIDES = ("audit", "--real", "r.npy", "--fake", "a.npy", "--versus", "b.npy")


def test_the_command_from_end_to_end(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(3)
    for name, without in (("r", ()), ("a", (0, 1)), ("b", ())):
        np.save(f"{name}.npy", mixture(random, 600, without, modes=10))
    code, said, error = say(capsys, *SIDES, "--out", "c.html", "--json", "c.json", "--samples", "500")
    assert (code, error) == (0, "")
    assert said.startswith(
        "B is better in missing mass (5 verdicts).\nA is a.npy, B is b.npy; real data: 500 samples (r.npy)"
    )
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert any(
        re.match(r"missing mass 2\d\.\d% 0\.0% \+2\d\.\d% \(\+\d+\.\d% to .* B is better, by 2", line) for line in lines
    )
    assert any(line.startswith("Only B covers ") and ", such as rows " in line for line in lines)
    assert lines[-2:] == ["JSON: c.json", "Page: c.html"]
    found = Comparison.from_json(Path("c.json").read_text("utf-8"))
    assert found == compare_generators("r.npy", "a.npy", "b.npy", samples=500)
    code, said, _ = say(capsys, *SIDES, "--json", "-")
    assert code == 0 and json.loads(said)["kind"] == "comparison"


@pytest.mark.parametrize("width", [60, 80, 160])
def test_numbers_and_sentences_are_whole_on_terminals_of_any_width(width, monkeypatch, capsys):
    made = by_hand()
    monkeypatch.setattr(terminal, "console", lambda _: Console(width=width, highlight=False))
    terminal.print_comparison(made)
    terminal.print_audit(made.a, metrics=False)
    said = capsys.readouterr().out
    lines, joined = [line.rstrip() for line in said.splitlines()], " ".join(said.split())
    assert "…" not in said and max(map(len, lines)) <= width
    for each in made.differences:
        span = "(" + " to ".join(signed(end, each.unit) for end in (each.difference.low, each.difference.high)) + ")"
        assert (span in said) == each.measured
    if width < terminal.WIDE:  # beside each other, cells of a table stand between the words
        assert all(f"{each.name}: {each.sentence}" in joined for each in made.differences)
        assert all(each.sentence in joined for each in made.a.verdicts)
    else:
        row = next(line for line in lines if line.startswith(made.differences[0].name))
        assert row.endswith(made.differences[0].sentence)


@pytest.mark.parametrize("threshold", ["--fail-over=missing=0.1", "--fail-under=coverage=0.5"])
def test_thresholds_are_on_one_generator(tmp_path, monkeypatch, capsys, threshold):
    monkeypatch.chdir(tmp_path)
    code, _, error = say(capsys, *SIDES, threshold)
    assert code == 2 and error.count("\n") == 1
    assert "is about one generator: leave out --versus, and audit each by itself." in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: compare_generators(x, x, x[:5]), "There are 5 other generated samples; an audit needs at least 10"),
        (lambda x: compare_generators(x, x, x[:, :1]), "the other generated ones"),
        (
            lambda x: compare_generators(x, x, x, sample=5),
            r"compare_generators has no option 'sample' \(did you mean 'samples'",
        ),
        (lambda x: compare_generators(x, x, x, samples=1), "samples is 1"),
        (lambda x: compare_generators(x, x, "nowhere.npy"), "The other generated samples cannot be used"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_sentence(call, sentence):
    with pytest.raises(UserError, match=sentence):
        call(np.random.default_rng(0).normal(size=(40, 2)))


def test_the_block_of_the_documentation_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[1] / "docs" / "judge.md").read_text("utf-8")
    block, *_ = re.findall(r"```python\n(.*?)```", text.split("## Which of two is better")[1], re.DOTALL)
    random = np.random.default_rng(4)
    names: dict[str, Any] = {"real": mixture(random, 200, modes=4), "a": mixture(random, 200, modes=4)}
    names["b"] = mixture(random, 200, (0,), modes=4)
    exec(block, names)
    assert isinstance(names["found"], Comparison) and Path("versus.html").is_file()
