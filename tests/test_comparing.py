"""Runs beside each other: what their logs say, means and intervals by hand, tests, what is refused, and the page."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser, find_browser
from PIL import Image
from scipy import stats
from test_audit_page import Elements, words

import modecover
from modecover.cli import main
from modecover.comparing.page import page
from modecover.comparing.runs import RunComparison, compare, over_seeds
from modecover.errors import UserError
from modecover.metrics.seeds import holm, p_in_words, signed_ranks

NAMES = ("modes_any", "modes_many", "high_quality", "std_ratio", "wasserstein")


def a_run(
    folder: Path,
    curves: Sequence[Sequence[Sequence[float]]],
    *,
    method: str = "gan",
    seed: int = 0,
    steps: int = 0,
    data: str = "ring",
    fingerprint: str = "f" * 64,
    pictured: bool = True,
    summary: Any = None,
    **settings: Any,
) -> Path:
    """A run's folder: `curves` are the values of all numbers alike, evaluation by evaluation and seed by seed."""
    (folder / "samples").mkdir(parents=True)
    last = 10 * len(curves)
    count = len(curves[0]) if curves else 2
    settings = {"seed": seed, "seeds": count, "steps": steps or last, "lr": 1e-3, **settings}
    facts = {"name": data, "fingerprint": fingerprint, "opened": {"source": data}}
    run = {"program": "modecover", "format": 1, "method": method, "data": facts, "settings": settings, "starts": []}
    (folder / "run.json").write_text(json.dumps(run))
    lines: list[dict[str, Any]] = []
    for number, values in enumerate(curves, 1):
        told = [value if math.isfinite(value) else "NaN" for (value,) in values]
        lines.append({"step": 10 * number, "losses": {"G": 0.5}})
        lines.append({"step": 10 * number, "evaluation": dict.fromkeys(NAMES, told)})
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary))
    if pictured:
        Image.new("RGB", (40, 30), "red").save(folder / "samples" / f"step-{last:09d}.png")
    return folder


def rows(*values: Sequence[float]) -> list[list[list[float]]]:
    return [[[value] for value in each] for each in values]


A, B = (1.0, 3.0, 2.0, 5.0, 4.0, 4.0, 2.5), (2.0, 4.0, 4.0, 5.5, 7.0, 5.0, 4.5)


# ---------------------------------------------------------------------------------------------- what is computed


def test_last_and_best_are_means_over_seeds_with_t_intervals(tmp_path: Path) -> None:
    first = a_run(tmp_path / "a", rows((5, 1), (2, 3)), summary={"seconds": 7, "control": {"kl": 0.5, "odd": None}})
    found = compare([first, a_run(tmp_path / "b", rows((1, 1), (1, 1)))])
    number = found.runs[0].numbers["modes_many"]
    half = float(stats.t.ppf(0.975, 1)) * 0.5
    assert vars(number.last) == pytest.approx({"value": 2.5, "low": 2.5 - half, "high": 2.5 + half})
    assert number.best.value == 4.0  # 5 of the first seed, 3 of the second, each at its own step
    assert found.runs[0].seconds == 7 and math.isnan(found.runs[1].seconds)
    assert found.control == {"kl": 0.5}
    assert math.isnan(over_seeds([3.0]).low) and over_seeds([3.0]).value == 3.0
    assert over_seeds([3.0, math.nan, 5.0]) == over_seeds([3.0, 5.0])


@pytest.fixture(scope="module")
def unknown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of two seeds on points whose modes nobody has said."""
    folder = tmp_path_factory.mktemp("unknown")
    np.save(folder / "points.npy", np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32))
    for method in ("gan", "lsgan"):
        quick = {"steps": 30, "batch": 16, "width": 8, "seed": 3, "seeds": 2, "sample_every": 0}
        modecover.train(method, folder / "points.npy", folder / method, **quick)
    return folder


def test_where_modes_are_not_known_runs_are_compared_by_audits_of_every_seed(
    unknown: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, heard = [unknown / "gan", unknown / "lsgan"], list[float]()
    assert "audit=True" in compare(runs).notes[0] and not compare(runs).names
    found = compare(runs, audit=True, auditing=lambda what, done: heard.append(done))
    assert heard == sorted(heard) and heard[0] < 0.1 and heard[-1] > 0.9
    for run in found.runs:
        (last,) = run.evaluations
        for place, seed in enumerate((3, 4)):
            alone = modecover.audit(unknown / "points.npy", modecover.load(run.folder, seed=seed), samples=2000)
            told = {metric.key: metric.value for metric in alone.metrics}
            told |= {verdict.name: verdict.effect.value for verdict in alone.verdicts}
            told["audit_frechet"] = told["frechet"]
            for name in ("missing mass", "copying", "audit_frechet", "precision", "recall", "coverage"):
                assert last.numbers[name][place] == pytest.approx(told[name], nan_ok=True), name
    assert found.control["missing mass"] == 0 and found.control["coverage"] > 0.8
    assert found.runs[1].numbers["audit_frechet"].p is not None
    assert "missing mass %" in page(found)

    monkeypatch.chdir(unknown)
    assert main(["compare", "gan", "lsgan", "--audit", "--data", "points.npy"]) == 0
    out = capsys.readouterr().out
    assert "Frechet of the audit" in out and "best" not in out.split("last, best")[0] and "gan, 2 seeds" in out
    assert main(["compare", "gan", "lsgan", "--data", "points.npy"]) == 2
    assert "say --audit, too" in capsys.readouterr().err


def test_audits_beside_evaluations_are_numbers_of_the_last_one(tmp_path: Path) -> None:
    for method in ("gan", "lsgan"):
        quick = {"steps": 20, "batch": 16, "width": 8, "evaluate_every": 10, "evaluate_samples": 50, "sample_every": 0}
        modecover.train(method, "ring", tmp_path / method, **quick)
    found = compare([tmp_path / "gan", tmp_path / "lsgan"], audit=True)
    before, last = found.runs[0].evaluations
    assert "audit_frechet" in last.numbers and "modes_any" in last.numbers and "audit_frechet" not in before.numbers
    assert math.isfinite(found.runs[0].numbers["audit_frechet"].last.value)


def test_audits_are_refused_where_the_data_are_not_what_they_were(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    quick = {"steps": 2, "batch": 16, "width": 4, "sample_every": 0}
    for name in "ab":
        modecover.train("gan", points, tmp_path / name, **quick)
    with pytest.raises(UserError, match=r"cannot be opened again: say what it is .*It came from memory"):
        compare([tmp_path / "a", tmp_path / "b"], audit=True)
    assert compare([tmp_path / "a", tmp_path / "b"], audit=True, data=points).names
    np.save(tmp_path / "p.npy", points)
    for name in "cd":
        modecover.train("gan", tmp_path / "p.npy", tmp_path / name, **quick)
    np.save(tmp_path / "p.npy", points + 1)
    with pytest.raises(UserError, match="is no longer what the runs were trained on"):
        compare([tmp_path / "c", tmp_path / "d"], audit=True)


def test_the_best_of_stacked_digits_has_the_least_kl(tmp_path: Path) -> None:
    for name in "ab":
        folder = a_run(tmp_path / name, rows((0.0,)), steps=20)
        told = [{"modes_any": [5.0], "kl_uniform": [0.2]}, {"modes_any": [9.0], "kl_uniform": [0.4]}]
        lines = [json.dumps({"step": 10 * place, "evaluation": each}) for place, each in enumerate(told, 1)]
        (folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    best = {
        name: number.best.value for name, number in compare([tmp_path / "a", tmp_path / "b"]).runs[0].numbers.items()
    }
    assert best == {"modes_any": 5.0, "kl_uniform": 0.2}


def test_the_same_seeds_are_paired_and_all_signs_are_counted(tmp_path: Path) -> None:
    found = compare([a_run(tmp_path / "a", rows(A)), a_run(tmp_path / "b", rows(B), method="lsgan")])
    number = found.runs[1].numbers["modes_any"]
    changes = [y - x for x, y in zip(A, B, strict=True)]
    ranks = stats.rankdata(np.abs(changes))
    sums = np.array([np.dot(signs, ranks) for signs in itertools.product((0, 1), repeat=7)])
    above = np.dot(np.array(changes) > 0, ranks)
    expected = min(1.0, 2 * min((sums >= above).mean(), (sums <= above).mean()))
    assert number.p == pytest.approx(expected) and number.test == "signed ranks"
    assert number.verdict == "better" and found.runs[1].numbers["wasserstein"].verdict == "worse"
    assert found.runs[1].numbers["std_ratio"].verdict == "differs"
    assert found.runs[0].numbers["modes_any"].p is None
    assert signed_ranks([0.0, 0.0]) == 1.0
    assert p_in_words(signed_ranks([float(each) for each in range(1, 40)])) == "< .001", "no more draws are made"
    assert p_in_words(0.0123) == "0.012"


def test_other_seeds_are_compared_by_welchs_t(tmp_path: Path) -> None:
    found = compare([a_run(tmp_path / "a", rows(A)), a_run(tmp_path / "b", rows(B[:4]), seed=3)])
    number = found.runs[1].numbers["modes_any"]
    assert number.p == pytest.approx(float(stats.ttest_ind(A, B[:4], equal_var=False).pvalue))
    assert number.test == "Welch's t"
    same = compare([tmp_path / "a", a_run(tmp_path / "c", rows((1.0, 1.0)), seed=9)])
    assert same.runs[1].numbers["modes_any"].p is not None
    flat = compare([a_run(tmp_path / "d", rows((2.0, 2.0))), a_run(tmp_path / "e", rows((3.0, 3.0)), seed=9)])
    assert flat.runs[1].numbers["modes_any"].p is None  # no spread to measure it by


def test_p_values_are_corrected_for_the_number_of_runs(tmp_path: Path) -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.6]) == [1.0, 1.0] and holm([]) == []
    folders = [a_run(tmp_path / "a", rows(A)), a_run(tmp_path / "b", rows(B)), a_run(tmp_path / "c", rows(A))]
    alone, both = compare(folders[:2]), compare(folders)
    single = alone.runs[1].numbers["modes_any"].p
    assert single is not None and both.runs[1].numbers["modes_any"].p == pytest.approx(2 * single)
    assert both.runs[2].numbers["modes_any"].p == 1.0


def test_chance_alone_is_called_a_difference_as_seldom_as_promised() -> None:
    random = np.random.default_rng(0)
    found = [signed_ranks(list(random.normal(size=8))) < 0.05 for _ in range(100)]
    assert np.mean(found) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 100)


def test_seeds_without_a_number_are_told_and_not_tested(tmp_path: Path) -> None:
    found = compare([a_run(tmp_path / "a", rows((1, math.nan, 3))), a_run(tmp_path / "b", rows((2, 3, 4)))])
    number = found.runs[0].numbers["modes_any"]
    assert number.last.value == 2 and number.seeds == 2
    assert found.runs[1].numbers["modes_any"].p is None
    assert any("a has numbers that only 2 of 3 seeds have" in note for note in found.notes)
    assert "2 of 3 seeds" in words(page(found))


def test_too_few_seeds_for_any_difference_are_told(tmp_path: Path) -> None:
    folders = [a_run(tmp_path / "a", rows((1, 2, 3))), a_run(tmp_path / "b", rows((2, 3, 5)))]
    assert any(
        "3 shared seeds cannot come below p = 0.05 against 1 other run: train 6" in n for n in compare(folders).notes
    )
    assert signed_ranks([1, 2, 3, 4, 5]) > 0.05 > signed_ranks([1, 2, 3, 4, 5, 6])
    single = compare([a_run(tmp_path / "c", rows((1,))), a_run(tmp_path / "d", rows((2,)))])
    assert any("One seed has no interval" in note for note in single.notes)


def test_settings_that_differ_and_no_others(tmp_path: Path) -> None:
    first = a_run(tmp_path / "a", rows((1, 2)), **{"method.loss": "minimax", "evaluate_samples": 50})
    second = a_run(tmp_path / "b", rows((1, 2)), method="lsgan", lr=0.5, evaluate_samples=None, x=[1])
    found = compare([first, second])
    assert found.differing == {
        "method": ("gan", "lsgan"),
        "lr": ("0.001", "0.5"),
        "evaluate_samples": ("50", "none"),
        "x": ("not set", "[1]"),
        "of its own": ("loss minimax", "nothing"),
    }
    assert any("more samples find more modes" in note for note in found.notes)


def test_long_settings_are_compared_whole_and_shown_cut(tmp_path: Path) -> None:
    long = "0:0.05," * 60
    folders = [
        a_run(tmp_path / name, rows((1, 2)), noise=long + last, none="none")
        for name, last in zip("ab", "12", strict=True)
    ]
    shown = compare(folders).differing
    assert list(shown) == ["noise"] and all(len(text) < 240 and "421 characters" in text for text in shown["noise"])
    folders.append(a_run(tmp_path / "c", rows((1, 2)), noise=long, none=None))
    assert "none" in compare(folders).differing


def test_what_is_kept_and_read_back(tmp_path: Path) -> None:
    found = compare([a_run(tmp_path / "a", rows((1, math.nan), (2, 3))), a_run(tmp_path / "b", rows(A, B))])
    assert RunComparison.from_json(found.to_json()) == found
    assert "gallery" not in found.to_dict()
    frame = found.to_frame()
    assert len(frame) == 2 * 2 + 2 * 7
    one = frame[(frame.run == "b") & (frame.seed == 3) & (frame.step == 20)]
    assert one.modes_any.tolist() == [B[3]]
    assert found._repr_html_().startswith("<iframe")
    assert found.save(tmp_path / "c.json").read_text() == found.to_json()


# ------------------------------------------------------------------------------------------------- odd runs


def test_runs_that_were_judged_by_different_judges_are_told_apart(tmp_path: Path) -> None:
    first, other = ({"evaluation": {"features": f"classifier-32:{name}"}} for name in ("aaaa", "bbbb"))
    a, b = (a_run(tmp_path / name, rows(A), summary=each) for name, each in (("a", first), ("b", other)))
    told = "a by features classifier-32:aaaa; b by features classifier-32:bbbb."
    assert any("cannot be compared" in note and note.endswith(told) for note in compare([a, b]).notes)


def test_runs_of_trainings_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {"steps": 4, "batch": 8, "width": 4, "seeds": 2, "evaluate_samples": 50}
    trained = [modecover.train(name, "ring", tmp_path / name, **options) for name in ("gan", "lsgan")]
    found = modecover.compare(trained)
    assert found.data == "ring" and found.differing["method"] == ("gan", "lsgan")
    assert "Judged by: modes 8, samples 50." in found.notes
    for run, each in zip(trained, found.runs, strict=True):
        assert each.step == 4 and len(each.evaluations) == len(run.evaluations)
        assert each.evaluations[-1].numbers["modes_any"] == tuple(row["modes_any"] for row in run.last)
    assert found.control["modes_any"] == (trained[0].control or {})["modes_any"]
    summary = json.loads((tmp_path / "gan" / "summary.json").read_text())
    best = found.runs[0].numbers["wasserstein"].best.value
    assert best == pytest.approx(np.mean([row["wasserstein"] for row in summary["best"]]))
    capsys.readouterr()
    words_of = ["compare", str(tmp_path / "gan"), str(tmp_path / "lsgan")]
    assert main([*words_of, "--out", str(tmp_path / "p.html"), "--json", str(tmp_path / "p.json")]) == 0
    told = capsys.readouterr().out
    assert "method: gan (gan), lsgan (lsgan)" in told and "real data" in told and f"Page: {tmp_path}" in told
    assert "2 runs on ring" in (tmp_path / "p.html").read_text()
    assert main([*words_of, "--json", "-"]) == 0
    assert RunComparison.from_json(capsys.readouterr().out) == found
    nothing = modecover.train("gan", "ring", **{**options, "seeds": 1})
    with pytest.raises(UserError, match="without `out`"):
        modecover.compare([trained[0], nothing])


def test_an_unfinished_run_is_told(tmp_path: Path) -> None:
    found = compare([a_run(tmp_path / "a", rows((1, 2), (3, 4))), a_run(tmp_path / "b", rows((1, 2)), steps=90)])
    assert found.notes[:2] == ("b is at step 10 of 90.", "The last evaluations are of different steps.")
    begun = a_run(tmp_path / "c", (), steps=90, pictured=False)
    (begun / "log.jsonl").unlink()
    found = compare([tmp_path / "a", begun])
    assert found.runs[1].numbers == {} and "c is at step 0 of 90." in found.notes
    Elements(page(found))


def test_a_run_that_its_alarm_stopped_is_that_of_its_last_good_model(tmp_path: Path) -> None:
    ended = {"steps": 10, "alarm": {"tripped": True, "sentence": ""}}
    found = compare([a_run(tmp_path / "a", rows((1, 2), (9, 9)), summary=ended), a_run(tmp_path / "b", rows((1, 2)))])
    assert [each.step for each in found.runs[0].evaluations] == [10] and "step 10, is compared" in found.notes[0]


def test_runs_without_evaluations_show_settings_and_samples(tmp_path: Path) -> None:
    folders = [a_run(tmp_path / name, (), steps=5, lr=lr) for name, lr in (("a", 1.0), ("b", 2.0))]
    found = compare(folders)
    assert "--audit (audit=True)" in found.notes[-1] and found.names == []
    text = page(found)
    assert text.count("<img") == 2 and "Over training" not in text
    assert main(["compare", *map(str, folders)]) == 0


@pytest.mark.parametrize(
    "line",
    [
        '{"step": 20, "evaluation": {"modes_any": [1, 2, 3]}}',
        '{"step": 20, "evaluation": {"modes_any": 1}}',
        '{"step": 20, "evaluation": {"modes_any": ["x", 2]}}',
        '{"step": 20, "evaluation": {"modes_any": [true, 2]}}',
        '{"step": "20", "evaluation": {"modes_any": [1, 2]}}',
        '{"step": 20, "evaluation": []}',
        '{"evaluation": null}',
    ],
)
def test_damaged_evaluations_are_left_out_and_told(tmp_path: Path, line: str) -> None:
    first = a_run(tmp_path / "a", rows((1, 2)))
    (first / "log.jsonl").write_text((first / "log.jsonl").read_text() + line + "\n")
    found = compare([first, a_run(tmp_path / "b", rows((1, 2)))])
    assert [each.step for each in found.runs[0].evaluations] == [10]
    assert any("log of a that are damaged and left out: 1" in note for note in found.notes)


def test_what_is_refused_is_refused_in_a_sentence(tmp_path: Path) -> None:
    a, b = a_run(tmp_path / "a", rows((1, 2))), a_run(tmp_path / "b", rows((1, 2)))
    other = a_run(tmp_path / "grid", rows((1, 2)), data="grid", fingerprint="0" * 64)
    changed = a_run(tmp_path / "changed", rows((1, 2)), fingerprint="1" * 64)
    odd = [a_run(tmp_path / f"odd{n}", rows((1, 2)), seeds=n) for n in (0, "x", 10**12, None)]
    link = tmp_path / "link"
    link.symlink_to(a)
    requests: list[tuple[Any, str]] = [
        ([a, tmp_path], "is no run folder"),
        ([a, other], "was trained on ring and .*grid on grid: compare runs on the same data"),
        ([a, changed], "other contents of ring"),
        ([a, b, a], "a is named twice"),
        ([a, link], "link is named twice"),
        ([a], "1 run to compare"),
        ([], "0 runs to compare"),
        ([a] * 101, "101 runs to compare"),
        ("ab", "'ab'"),
        (None, "None"),
        ([a, 3], "is 3"),
        *(([a, each], "run.json is damaged") for each in odd),
    ]
    for runs, told in requests:
        with pytest.raises(UserError, match=told) as caught:
            compare(runs)
        assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    assert main(["compare", str(a), str(b), "--out", "x.png"]) == 2


def test_runs_of_one_name_are_told_by_their_folders(tmp_path: Path) -> None:
    folders = [a_run(tmp_path / place / "run", rows((1, 2))) for place in ("a", "b")]
    assert [run.name for run in compare(folders).runs] == [str(folder) for folder in folders]


# -------------------------------------------------------------------------------------------------- the page


def many(tmp_path: Path, count: int) -> RunComparison:
    random = np.random.default_rng(0)
    folders = []
    for number in range(count):
        values = random.uniform(0, 8, (5, 6)).tolist()
        name = f"a-rather-long-name-of-a-run-{number}" * (1 + number % 2)
        folders.append(a_run(tmp_path / name, rows(*values), lr=float(number), seed=number % 3))
    return compare(folders)


def test_names_that_look_like_html_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    nasty = "<script>alert(1)<&\"'"
    folders = [a_run(tmp_path / name, rows((1, 2)), method=nasty, x=nasty) for name in (nasty, "b")]
    text = page(compare(folders))
    assert "<script" not in text
    Elements(text)


def test_curves_break_where_no_seed_has_the_number(tmp_path: Path) -> None:
    nan = math.nan
    found = compare(
        [a_run(tmp_path / "a", rows((1, 1), (nan, nan), (2, 2), (3, 3))), a_run(tmp_path / "b", rows((1, 1)))]
    )
    lines = [
        each
        for each in Elements(page(found)).all("polyline")
        if each["class"] == "line run0 dash0" and each["points"] != "1,3 29,3"
    ]
    per_number = [len((line["points"] or "").split()) for line in lines[:2]]
    assert len(lines) == 2 * len(NAMES) and per_number == [1, 2]


def test_a_picture_that_is_damaged_or_absent_is_told(tmp_path: Path) -> None:
    first = a_run(tmp_path / "a", rows((1, 2)))
    (first / "samples" / "step-000000010.png").write_bytes(b"nothing")
    text = page(compare([first, a_run(tmp_path / "b", rows((1, 2)), pictured=False)]))
    assert "cannot be read" in text and "<img" not in text


@pytest.mark.skipif(find_browser() is None, reason="no browser")
def test_thirty_runs_fit_on_the_page_at_any_width(tmp_path: Path) -> None:
    program = find_browser()
    assert program is not None
    place = many(tmp_path, 30).save(tmp_path / "page.html")
    assert place.stat().st_size < 2**21
    Elements(place.read_text())
    with Browser(program, tmp_path / "profile") as browser:
        for width in (320, 700, 1400):
            browser.open(place, width)
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            outside = "[...document.querySelectorAll('main *')].filter(e => !e.closest('svg') && !e.closest('.scroll'))"
            outside += (
                f".filter(e => e.getBoundingClientRect().right > {width} + 0.5).map(e => e.outerHTML.slice(0, 80))"
            )
            assert browser.evaluate(outside) == []
            assert browser.evaluate("[...document.images].filter(i => !i.naturalWidth || !i.clientWidth).length") == 0
            assert browser.complaints() == []
            assert [url for url in browser.requested() if not url.startswith("data:")] == [place.absolute().as_uri()]
            # No number of a table is broken into lines.
            tall = "[...document.querySelectorAll('td.number b')].filter(e => e.getClientRects().length > 1).length"
            assert browser.evaluate(tall) == 0
