"""Experiments: what is declared can be run, what broke off does not take the others with it, and what the page says."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import modecover
from modecover import experiments
from modecover.cli import main as command
from modecover.data import Dataset, open_data, opened
from modecover.errors import UserError
from modecover.experiments import intervention, mixtures, runner, stacked
from modecover.experiments.declared import Arm, Experiment, Result, Table
from modecover.experiments.measures import scores
from modecover.experiments.report import cell, page, pairs_table, provenance, save_curves, verdict
from modecover.experiments.report import table as lines_of
from modecover.experiments.report import told as in_a_page
from modecover.experiments.runner import Place, choose, run_job, run_jobs
from modecover.experiments.store import Job, Store, at_once, jobs
from modecover.files import plain, write_json
from modecover.methods.ivgan import IVGAN
from modecover.metrics.seeds import differs
from modecover.runs.listener import Listener
from modecover.runs.log import with_numbers
from modecover.runs.run import train
from modecover.runs.settings import resolve

TINY = {"seeds": 2, "steps": 4, "batch": 8, "width": 4, "evaluate_samples": 64, "sample_every": 0}


def test_numbers_that_are_not_finite_come_back_as_numbers(tmp_path: Path) -> None:
    write_json(tmp_path / "summary.json", {"last": [{"kl": math.nan, "modes_any": 0.0}], "seeds": [0]})
    assert json.loads((tmp_path / "summary.json").read_text())["last"][0]["kl"] == "NaN"
    summary = with_numbers(json.loads((tmp_path / "summary.json").read_text()))
    assert math.isnan(summary["last"][0]["kl"])
    assert summary["last"][0]["modes_any"] == 0.0 and summary["seeds"] == [0]


def declared() -> list[tuple[str, Table, Arm, dict[str, Any]]]:
    """Every run that is declared: its experiment, table, arm and settings, those of the searches included."""
    found = []
    for name in experiments.names():
        each = experiments.get(name)
        for table in each.tables:
            for arm in table.arms:
                found += [(name, table, arm, {**table.settings, **each.search, **own}) for own in arm.candidates]
                found += [(name, table, arm, {**table.settings, **arm.settings})] * (not arm.candidates)
                of_scales = [scale for scale in ("cpu", "full") if scale in table.scales or scale in arm.scales]
                for scale in of_scales:
                    own = {**table.scales.get(scale, {}), **arm.settings, **arm.scales.get(scale, {})}
                    found += [(name, table, arm, {**table.settings, **own, **(arm.candidates or ({},))[0]})]
    return found


def test_every_declared_arm_has_settings_its_method_takes() -> None:
    there = {table.data: table.stand_in or table.data for _, table, _, _ in declared() if table.data}
    shapes = {name: open_data(data, size=28 if data == "digits" else None).shape for name, data in there.items()}
    for _, table, arm, settings in declared():
        if not table.data:
            continue
        settings = {name: value for name, value in settings.items() if name not in opened.OPTIONS}
        if table.prepare is not None:
            _, settings = table.prepare(table.stand_in, "", settings)
            if isinstance(settings.get("networks"), dict):  # made, not named
                settings.pop("networks")
        named = {kind: settings.pop(kind, None) for kind in ("protocol", "preset")}
        _, found = resolve(arm.method, shapes[table.data], **named, chosen=settings)
        assert all(getattr(found, name) == value for name, value in settings.items() if hasattr(found, name))


def test_every_arm_is_called_differently_in_its_table() -> None:
    for name in experiments.names():
        for table in experiments.get(name).tables:
            assert len({arm.label for arm in table.arms}) == len(table.arms)


def test_every_method_has_the_same_budget_and_no_candidate_twice() -> None:
    for place, table in zip(mixtures.SETS, mixtures.EXPERIMENT.tables, strict=False):
        assert place.name == table.name
        for arm in table.arms:
            candidates = [tuple(sorted(own.items())) for own in arm.candidates]
            assert len(set(candidates)) == len(candidates) == mixtures.BUDGET
    first, count = mixtures.SEARCH["seed"], mixtures.TABLE["seeds"]
    assert first >= mixtures.TABLE["seed"] + count, "searched on seeds that are not the table's"


def result(label: str, modes: list[int], *, any_: list[int] | None = None, distance: float = 0.5) -> Result:
    rows = [
        {"modes_any": float(a), "modes_many": float(m), "high_quality": 0.5, "wasserstein": distance}
        for m, a in zip(modes, any_ or modes, strict=True)
    ]
    summary: dict[str, Any] = {"last": rows, "best": rows, "evaluation": {"modes": 8}, "processor_seconds": 3.0}
    control = {"modes_any": 8.0, "modes_many": 8.0, "high_quality": 0.99, "wasserstein": 0.01}
    return Result(Arm(label, "gan"), {**summary, "control": control})


def test_all_methods_of_a_table_have_one_prior() -> None:
    """What a table compares is the method: also of those whose codes are normalised."""
    for name in ("2d", "circle-mdgan"):
        for table in experiments.get(name).tables:
            assert len({{**table.settings, **arm.settings}.get("prior") for arm in table.arms}) == 1
    uniform, normal = ({arm.label for arm in table.arms} for table in mixtures.EXPERIMENT.tables[2:4])
    assert mixtures.SETS[2].settings["prior"] == "uniform01" and normal - uniform == {"VAEGAN", "LDMGAN"}
    assert [t.arms[0].settings["prior"] for t in experiments.get("circle-mdgan").tables] == ["uniform01", "normal"]


FACTS = {"seeds": [0], "steps": 4, "commit": None, "hardware": {"accelerators": [], "processor": "P"}}
FACTS |= {"versions": {"torch": "2", "python": "3"}, "schedule": "D -> G"}


def test_a_page_has_a_table_for_each_of_the_experiment_s() -> None:
    made = result("GAN", [8])
    made.summary.update(FACTS)
    tables = tuple(Table(name, "ring", TINY, (made.arm,)) for name in "ab")
    lines = page(Experiment("two", "Which?", tables), {"cpu": [[made], [made]]}).splitlines()
    assert [line for line in lines if line.startswith("## ")] == ["## A, `cpu`", "## B, `cpu`"]
    assert sum(line.startswith("| GAN | last") for line in lines) == 2
    assert sum(line.startswith("Data ring; seeds 2") for line in lines) == 2


def test_a_page_where_everything_broke_off_says_so() -> None:
    broken = Result(Arm("Odd", "gan"), {}, "NaN")
    text = page(Experiment("one", "Which?", (Table("", "ring", TINY, (broken.arm,)),)), {"cpu": [[broken]]})
    assert "| Odd | broke off: NaN |" in text and "ideal sampler" not in text


@pytest.mark.parametrize("name", experiments.names())
def test_every_experiment_runs_at_the_smallest_scale_and_has_its_page(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(["reproduce", name, "--scale", "smoke"]) == 0
    text = Path("results", f"{name}.smoke.md").read_text()
    arms = [arm.label for table in experiments.get(name).tables for arm in table.at("smoke")]
    assert text == capsys.readouterr().out.partition("# ")[2].join(["# ", ""])[: len(text)]
    if experiments.get(name).spread:
        assert "| arms | with a number |" in text and Path("results", "images", f"{name}.smoke", "smoke.png").is_file()
    else:
        assert all(text.count(f"| {label} | ") >= arms.count(label) for label in arms) and "not run" not in text
    assert "same data" not in text
    assert len(Store(Path("results", f"{name}.smoke.jsonl")).rows) == len(jobs(experiments.get(name), "smoke"))


def test_the_page_of_the_mixtures_compares_games_with_and_without_the_intervention() -> None:
    each = mixtures.EXPERIMENT
    results = []
    for place in each.tables:
        made = [dataclasses.replace(result(arm.label, [8, 3]), arm=arm, table=place.name) for arm in place.arms]
        for one in made:
            one.summary.update(FACTS)
        results.append(made)
    text = page(each, {"cpu": results})
    assert sum(" | last | " in line for line in text.splitlines()) == sum(map(len, results)) == 74
    assert "| ring | IVDCGAN against GAN | +0.0 (0 more, 0 fewer)" in text
    assert text.count("Published: ") == 1 and "7.9 / 95.6 [P]" in text


def test_what_the_intervention_adds_is_told_on_the_seeds_that_both_arms_have() -> None:
    def made(label: str, seeds: list[int], modes: list[int], method: str = "ivgan") -> Result:
        summary = {**result("", modes).summary, "seeds": seeds}
        return Result(Arm(label, method), summary)

    rows = [
        made("A", [0, 1, 2], [5, 3, 4], "gan"),
        made(f"A: {intervention.AUTO_ENCODER}", [0, 1, 2], [6, 6, 6]),
        made("A: intervention", [2, 0], [8, 7]),  # in the order of their ends; one is missing
        made("A: another game", [0, 1, 2], [4, 2, 3], "gan"),
    ]

    def lines_of_effects(rows: list[Result], against: str = "") -> list[str]:
        columns = intervention.OF_POINTS
        return intervention.effects_table(intervention.effects(rows, columns, against), columns)

    lines = lines_of_effects(rows)
    assert [line.split(" | ")[1:3] for line in lines[2:]] == [
        [intervention.AUTO_ENCODER, "+2.0 [-0.5, +4.5]"],
        ["intervention", "+3.0 [-9.7, +15.7]"],
        ["another game", "-1.0 [-1.0, -1.0]"],
    ]
    lines = lines_of_effects(rows, intervention.AUTO_ENCODER)
    assert [line.split(" | ")[1:3] for line in lines[2:]] == [["intervention", "+1.5 [-4.9, +7.9]"]]
    single = [rows[0], made("A: intervention", [1], [8])]
    assert "| A | intervention | +5.0, one seed | " in lines_of_effects(single)[-1]
    gone = dataclasses.replace(rows[0], broken="not run")
    assert "| A | intervention | not run | | | |" in lines_of_effects([gone, *rows[1:]])
    strangers = [rows[0], made("A: intervention", [7], [8])]
    assert "| A | intervention | no seed in common | | | |" in lines_of_effects(strangers)


def test_the_page_of_the_intervention_begins_with_what_was_found_and_draws_it(tmp_path: Path) -> None:
    """Eight seeds that all gain two modes are sure (p = 2 / 2^8), seeds that gain and lose are not."""
    each = intervention.EXPERIMENT
    seeds = list(range(8))

    def made(label: str, modes: list[int]) -> Result:
        arm = next(arm for arm in each.tables[0].arms if arm.label == label)
        return Result(arm, {**result("", modes).summary, **FACTS, "seeds": seeds, "schedule": ""}, "", "circle")

    plain = [3, 4, 3, 4, 3, 4, 3, 4]
    given = {
        "least squares": plain,
        f"least squares: {intervention.AUTO_ENCODER}": [modes + 2 for modes in plain],
        "least squares: intervention": [modes + place % 3 - 1 for place, modes in enumerate(plain)],
        "least squares: one index a minibatch": [modes + 3 for modes in plain],
    }
    circle = [
        made(arm.label, given[arm.label]) if arm.label in given else Result(arm, {}, "not run", "circle")
        for arm in each.tables[0].arms
    ]
    others = [[Result(arm, {}, "not run", place.name) for arm in place.arms] for place in each.tables[1:]]
    text = page(each, {"cpu": [circle, *others]}, "images/intervention")
    short = text[text.index("## In short") : text.index("## Every change")]
    assert "| least squares | 3.5 | 5.5* | 3.4+ | 6.5*+ |" in short and "of 8 |" in short
    assert "against its game alone, of 3 comparisons more in 2;" in short
    assert "against the auto-encoder alone, of 2 comparisons more in 1, fewer in 1." in short
    assert short.count("\n\nNot run.\n") == len(others)
    assert "](images/intervention/cpu.png)" in short
    assert save_curves(each, [circle, *others], tmp_path / "drawn.png") and (tmp_path / "drawn.png").stat().st_size
    nothing = [[dataclasses.replace(row, broken="not run", summary={}) for row in circle], *others]
    assert not save_curves(each, nothing, tmp_path / "nothing.png") and not (tmp_path / "nothing.png").exists()
    assert "](" not in page(each, {"cpu": nothing}), "no picture"


def test_the_rates_of_stacked_digits_are_those_that_the_searches_found() -> None:
    """By the rule that the searches state, from the rows that are kept: least divergence of the averaged weights."""

    def best(name: str, table: str, label: str) -> Mapping[str, Any]:
        rows = Store(Path(__file__).parent.parent / "results" / f"{name}.jsonl").rows.values()
        found = [row for row in rows if row["table"] == table and row["label"].startswith(f"{label}, ")]
        assert len(found) > 1
        return min(found, key=lambda row: row["summary"]["last"][0]["ema_kl_uniform"])["settings"]

    for label in list(stacked.FOUND)[2:]:
        assert best("stacked-rates", "rates", label)["lr"] == stacked.FOUND[label], label
    alone, within = (best("r3gan-search", "the best of each", label) for label in ("R3GAN", "IV-R3GAN"))
    assert (alone["lr"], within["lr"]) == (stacked.FOUND["R3GAN"], stacked.FOUND["IV-R3GAN"])
    assert stacked.R3GAN.items() <= alone.items()
    wide = best("r3gan-search", "the rate at full width", "IV-R3GAN")
    assert IVGAN.presets["r3gan"].items() <= wide.items()
    assert {**IVGAN.presets["r3gan"], "lr": within["lr"]}.items() <= within.items()


# ---------------------------------------------------------------- rows that are kept


def two(arms: tuple[Arm, ...] = (Arm("GAN", "gan"), Arm("LSGAN", "lsgan")), **table: Any) -> Experiment:
    return Experiment("two", "Which?", (Table("", "ring", TINY, arms, **table),))


def finished(job: Job, modes: list[int], **more: Any) -> dict[str, Any]:
    """The row of a run that found so many modes, as its end would have written it."""
    summary = {**result("", modes).summary, **FACTS, "seeds": list(range(len(modes)))}
    head = {"key": job.key, "table": job.table.name, "label": job.arm.label, "method": job.arm.method}
    return {**head, "scale": job.scale, "own": {}, "broken": "", "summary": summary, "curve": [], **more}


def test_rows_are_added_once_and_read_again_with_every_number(tmp_path: Path) -> None:
    first, second = jobs(two(), "cpu")
    store = Store(tmp_path / "rows.jsonl")
    store.add({**finished(first, [8, 3]), "curve": [[4, {"kl": [math.inf, 0.5]}]]})
    store.add(finished(first, [0, 0]))
    assert first in store and second not in store
    again = Store(store.path)
    assert again.rows.keys() == {first.key} and again.twice == 0
    gan, lsgan = again.results(two(), "cpu")[0]
    assert [row["modes_many"] for row in gan.summary["last"]] == [8, 3] and lsgan.broken == "not run"
    assert gan.curves == (((4, {"kl": math.inf}),), ((4, {"kl": 0.5}),))


def test_half_a_line_of_a_killed_program_is_dropped_and_lines_of_another_machine_count(tmp_path: Path) -> None:
    first, second = jobs(two(), "cpu")
    here, there = Store(tmp_path / "here.jsonl"), Store(tmp_path / "there.jsonl")
    here.add(finished(first, [8, 3]))
    there.add(finished(second, [1, 1]))
    there.add(finished(first, [0, 0]))
    merged = tmp_path / "merged.jsonl"
    merged.write_text(here.path.read_text() + there.path.read_text() + '{"key": "torn')
    store = Store(merged)
    assert store.rows.keys() == {first.key, second.key} and store.twice == 1
    assert store.rows[first.key]["summary"]["last"][0]["modes_many"] == 8, "of two the first counts"
    store.add(finished(jobs(two(), "smoke")[0], [2, 2]))
    assert len(merged.read_text().splitlines()) == 4 and len(Store(merged).rows) == 3


def test_a_store_is_added_to_where_it_is_and_another_encoding_is_read_or_refused(tmp_path: Path) -> None:
    first, second = jobs(two(), "cpu")
    place = tmp_path / "elsewhere.jsonl"
    place.write_text("\ufeff" + json.dumps(plain(finished(first, [8, 3]))) + "\r\n" + '{"key": "torn', "utf-8")
    (tmp_path / "rows.jsonl").symlink_to(place)
    store = Store(tmp_path / "rows.jsonl")
    store.add(finished(second, [1, 1]))
    assert (tmp_path / "rows.jsonl").is_symlink() and Store(place).rows.keys() == {first.key, second.key}
    place.write_text(place.read_text("utf-8-sig"), "utf-16")
    with pytest.raises(UserError, match="in UTF-16: save it in UTF-8"):
        Store(place)


ADDING = """
import json, sys
from pathlib import Path
from modecover.experiments.store import Store

store, row = Store(Path(sys.argv[1])), json.loads(sys.argv[2])
for number in range(60):
    store.add({**row, "key": f"{sys.argv[3]} {number}"})
    store.add({**row, "key": f"both {number}"})
"""


def test_programs_that_add_at_a_time_lose_no_row_and_have_none_twice(tmp_path: Path) -> None:
    row = json.dumps(plain(finished(jobs(two(), "cpu")[0], [8, 3], padding="x" * 9_000)))
    path = tmp_path / "rows.jsonl"
    words = [sys.executable, "-c", ADDING, str(path), row]
    adding = [subprocess.Popen([*words, name], stderr=subprocess.PIPE) for name in "abc"]
    assert [(each.communicate(timeout=120)[1], each.returncode) for each in adding] == [(b"", 0)] * 3
    store = Store(path)
    wanted = {f"{name} {number}" for name in ("a", "b", "c", "both") for number in range(60)}
    assert store.rows.keys() == wanted and not store.twice


def test_lines_that_are_no_rows_do_not_count_and_stay(tmp_path: Path) -> None:
    first, second = jobs(two(), "cpu")
    row = {**finished(first, [8, 3]), "curve": [[4, {"kl": [0.5, 0.5]}]]}
    summary: dict[str, Any] = row["summary"]
    damaged: list[dict[str, Any]] = [{"key": first.key}, {**row, "broken": {}}, {**row, "curve": [1]}]
    damaged += [{**row, "summary": {**summary, name: 7}} for name in ("seeds", "last", "hardware", "commit")]
    damaged += [{**row, "summary": {**summary, "versions": {}}}, {**row, "curve": [[4, {"kl": [0.5]}]]}]
    # What a page would fail on: texts for numbers, and numbers for texts.
    one, other = summary["last"]
    for bad in ("0,69", None, [1], True, 10**400):
        damaged.append({**row, "summary": {**summary, "last": [{**one, "modes_any": bad}, other]}})
    damaged.append({**row, "summary": {**summary, "best": [{"modes_many": 8}, other]}})
    damaged.append({**row, "summary": {**summary, "commit": {"commit": 7, "modified": False}}})
    damaged.append({**row, "summary": {**summary, "hardware": {"accelerators": 7, "processor": ""}}})
    damaged += [{**row, "summary": {**summary, name: "x"}} for name in ("steps", "evaluation", "control")]
    damaged += [{**row, "curve": [["x", {"kl": [0.5, 0.5]}]]}, {**row, "curve": [[4, {"kl": ["x", 0.5]}]]}]
    path = tmp_path / "rows.jsonl"
    strange = b"[1]\n\n<<<<<<< HEAD\n\xff\xfe\0\n" + b"".join(f"{json.dumps(each)}\n".encode() for each in damaged)
    path.write_bytes(strange + json.dumps(row).encode())
    with pytest.warns(UserWarning, match=f"{3 + len(damaged)} lines of .* are no rows of finished runs"):
        store = Store(path)
    assert store.rows == {first.key: row} and not store.twice
    store.add(finished(second, [1, 1]))
    assert path.read_bytes().startswith(strange + json.dumps(row).encode() + b"\n"), "nothing is thrown away"
    with pytest.warns(UserWarning, match="are no rows"):
        assert Store(path).rows.keys() == {first.key, second.key}


def test_rows_that_cannot_be_added_are_told_before_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "square-fitting.smoke.jsonl").mkdir()
    words = ["reproduce", "square-fitting", "--scale", "smoke", "--results", str(tmp_path)]
    assert command(words) == 2
    said = capsys.readouterr()
    assert "square-fitting.smoke.jsonl is no plain file" in said.err and "are to be done" not in said.out


def test_what_is_set_makes_the_key_and_seeds_apart_are_runs_of_their_own() -> None:
    keys = [
        [job.key for job in jobs(each, scale)]
        for each, scale in (
            (two(), "cpu"),
            (two(), "full"),
            (two((Arm("GAN", "gan", {"lr": 1e-3}), Arm("LSGAN", "lsgan"))), "cpu"),
            (two(scales={"cpu": {"steps": 5}}), "cpu"),
        )
    ]
    assert len({key for each in keys for key in each}) == 7, "the same LSGAN at one scale has one key"
    apart = jobs(two(apart=True), "cpu")
    assert [(job.arm.label, job.settings["seed"], job.settings["seeds"]) for job in apart] == [
        *(("GAN", 0, 1), ("LSGAN", 0, 1)),
        *(("GAN", 1, 1), ("LSGAN", 1, 1)),
    ]
    assert [job.arm.label for job in jobs(two(), "cpu", "LSGAN")] == ["LSGAN"]


def test_runs_of_several_seeds_are_one_row_of_the_table_and_it_says_what_lacks(tmp_path: Path) -> None:
    each = two(apart=True)
    store = Store(tmp_path / "rows.jsonl")
    for job, modes in zip(jobs(each, "cpu"), (8, 3), strict=False):
        store.add(finished(job, [modes]))
    gan, lsgan = store.results(each, "cpu")[0]
    assert gan.summary["short"] == lsgan.summary["short"] == "1 of 2 runs broke off or were not run"
    text = page(each, {"cpu": [[gan, lsgan]]})
    assert "|  | 1 of 2 runs broke off or were not run |" in text and '--only "GAN"' in text
    store.add(finished(jobs(each, "cpu")[2], [5]))
    (gan, _) = store.results(each, "cpu")[0]
    assert [row["modes_many"] for row in gan.summary["last"]] == [8, 5] and not gan.summary["short"]


def test_a_curve_of_every_seed_is_drawn(tmp_path: Path) -> None:
    curve = tuple((step, {"kl": 1 / step}) for step in (1, 2, 3))
    drawn = dataclasses.replace(result("GAN", [8, 8]), curves=(curve, curve))
    each = dataclasses.replace(two(), curve="kl")
    assert save_curves(each, [[drawn]], tmp_path / "images" / "cpu.png")
    assert (tmp_path / "images" / "cpu.png").read_bytes().startswith(b"\x89PNG")
    assert not save_curves(each, [[result("GAN", [8, 8])]], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_a_run_that_was_evaluated_once_is_seen_among_the_curves(tmp_path: Path) -> None:
    once = dataclasses.replace(result("GAN", [8]), curves=(((3, {"kl": 0.5}),),))
    assert save_curves(dataclasses.replace(two(), curve="kl"), [[once]], tmp_path / "cpu.png")
    pixels = np.asarray(Image.open(tmp_path / "cpu.png").convert("RGB")).astype(int)
    left_of_the_legend = pixels[:, : pixels.shape[1] * 3 // 4]
    assert (np.abs(left_of_the_legend - (31, 119, 180)).max(axis=-1) < 30).sum() > 5, "the first colour"


def test_what_is_measured_or_computed_is_a_column(tmp_path: Path) -> None:
    each = Experiment("sums", "?", (Table("", "", {"base": 3}, (Arm("twice", "", {"factor": 2}),), compute=product),))
    store, (job,) = Store(tmp_path / "rows.jsonl"), jobs(each, "cpu")
    (row,) = run_job(job, Place(tmp_path))
    assert row["summary"]["last"] == [{"product": 6}]
    store.add(row)
    assert "| twice | 0 | 6 |" in page(each, {"cpu": store.results(each, "cpu")})
    trained = two(measure=weights)
    (row,) = run_job(jobs(trained, "cpu")[0], Place(tmp_path))
    assert row["summary"]["last"][0]["numbers of G"] > 0
    assert row["summary"]["last"][0]["modes_any"] >= 0 and row["curve"], "beside what every run is judged by"


def product(settings: dict[str, Any], seed: int) -> dict[str, float]:
    return {"product": settings["base"] * settings["factor"]}


def weights(folder: Path, data_dir: str, samples: int) -> dict[str, float]:
    return {"numbers of G": sum(p.numel() for p in modecover.load(folder).networks["G"].parameters())}


# ---------------------------------------------------------------- an experiment is one file

ONE_FILE = """
from modecover.experiments.declared import Arm, Experiment, Table

TINY = {settings}
ARMS = (
    Arm("GAN", "gan", candidates=({{"lr": 1e-3}}, {{"lr": 1e-4}}), published="7 / 90 [P]"),
    Arm("LSGAN", "lsgan"),
)
EXPERIMENT = Experiment("added", "Which one?", (Table("first", "ring", TINY, ARMS),), search={{"seed": 9, "steps": 2}})
"""


def test_adding_an_experiment_is_adding_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "added.py").write_text(ONE_FILE.format(settings=TINY))
    monkeypatch.setattr(experiments, "__path__", [*experiments.__path__, str(tmp_path)])
    monkeypatch.chdir(tmp_path)
    words = ["reproduce", "added", "--workers", "1"]
    assert command(words) == 0
    said = capsys.readouterr().out
    assert said.startswith("Which one? 2 of 2 runs are to be done.\n# added")
    runs = tmp_path / "runs" / "added" / "cpu" / "first"
    assert sorted(folder.name[:-11] for folder in runs.iterdir()) == [
        *("GAN", "GAN_ candidate 1", "GAN_ candidate 2", "LSGAN"),
    ]
    page, rows = Path("results/added.md").read_text(), Path("results/added.jsonl").read_text()
    assert "| 7 / 90 [P] |" in page and len(rows.splitlines()) == 4
    table = {row["label"]: row for row in map(json.loads, rows.splitlines())}
    assert table["GAN"]["own"]["lr"] in (1e-3, 1e-4) and "seed" not in table["GAN"]["settings"]
    assert table["GAN, candidate 2"]["settings"]["seed"] == 9
    # Rows that are there are not run again, nor is their page another: not even where the runs' folders are gone.
    shutil.rmtree(tmp_path / "runs")
    assert command(words) == command([*words, "--page"]) == 0
    assert Path("results/added.md").read_text() == page and Path("results/added.jsonl").read_text() == rows
    assert not (tmp_path / "runs").exists()
    # One row anew, elsewhere, has the same numbers.
    assert command([*words, "--only", "LSGAN", "--results", "again"]) == 0
    (anew,) = map(json.loads, Path("again/added.jsonl").read_text().splitlines())
    assert anew["key"] == table["LSGAN"]["key"] and anew["summary"]["last"] == table["LSGAN"]["summary"]["last"]
    # All rows of a table that is named are there already.
    (named,) = {row["table"] for row in table.values()}
    capsys.readouterr()
    assert command([*words, "--only", named]) == 0
    assert capsys.readouterr().out.startswith("Which one? 0 of 2 runs are to be done.")
    assert command([*words, "--only", "GAN3"]) == 2
    assert f"choose one of GAN, LSGAN; or a table: {named}." in capsys.readouterr().err
    monkeypatch.delitem(sys.modules, "modecover.experiments.added")


def test_a_name_that_is_no_experiment_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["reproduce", "3d"]) == 2
    assert "There is no experiment '3d': choose one of" in capsys.readouterr().err


def test_the_search_asks_for_all_modes_first_then_for_modes_then_for_the_distance() -> None:
    most_seeds, most_modes = result("a", [8, 8, 1]), result("b", [7, 7, 7])
    nearer, broken = result("c", [7, 7, 7], distance=0.4), Result(Arm("d", "gan"), {}, "NaN")
    assert choose([most_modes, most_seeds, broken]) is most_seeds
    assert choose([most_modes, nearer]) is nearer
    assert choose([broken, result("e", [0, 0, 0], distance=9.0)]).arm.label == "e"
    # Of two that have hardly a mode by the stricter count, the one that is all over the data, not the collapsed one.
    spread, collapsed = result("f", [0, 1, 0], any_=[7, 7, 7]), result("g", [1, 1, 0])
    assert choose([collapsed, spread]) is spread


def test_the_table_counts_seeds_by_both_counts_and_keeps_what_broke_off() -> None:
    lines = lines_of(
        [
            result("GAN", [8, 8, 2], any_=[8, 8, 8]),
            Result(Arm("Odd", "gan", published="1 / 2"), {}, "NaN"),
        ]
    )
    row = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert row[:5] == ["GAN", "last", "3", "2 of 3", "1"]
    assert row[5:7] == ["8.0", "6.0 (2.0-8.0)"]
    assert lines[4].startswith("| Odd | broke off: NaN |") and lines[4].endswith("| 1 / 2 |")
    assert len({line.count("|") for line in lines}) == 1, "every line has as many cells as the heading"
    assert lines[-1].startswith("| ideal sampler |") and "99.0" in lines[-1]


def test_a_cell_says_of_how_many_seeds_it_is_the_mean_where_some_have_no_number() -> None:
    assert cell("frechet", [2.0, 4.0]) == "3 (2-4)"
    assert cell("frechet", [2.0, math.nan, 4.0]) == "3 (2-4) [2 of 3]"
    assert cell("frechet", [math.nan, 4.0]) == "4 [1 of 2]"
    assert cell("frechet", [math.nan]) == "-"


def test_what_some_runs_alone_have_measured_is_a_column_and_the_data_s_own_stands_below() -> None:
    def measured(label: str, *rows: dict[str, float]) -> Result:
        return Result(Arm(label, "gan"), {"last": list(rows), "processor_seconds": 3.0, **FACTS})

    later = {"frechet": 3.0, "coverage": 0.5, "coverage_of_the_data": 0.9}
    lines = lines_of([measured("GAN", {"frechet": 2.0}, later), measured("LSGAN", {"frechet": 4.0})])
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][2:] == ["Frechet", "coverage"]
    assert cells[2][2:] == ["2.5 (2-3)", "0.5 [1 of 2]"] and cells[3][2:] == ["4", "-"]
    assert cells[4][2:] == ["-", "0.9"]


def test_divergences_of_digits_stand_both_ways_round_and_from_even_shares_alone() -> None:
    last = {"kl_uniform": 0.5, "kl_reference": 0.4, "reverse_kl_uniform": 0.7}
    last |= {f"ema_{name}": value / 2 for name, value in last.items()}
    lines = lines_of([Result(Arm("GAN", "gan"), {"last": [last], "processor_seconds": 3.0, **FACTS})])
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][2:] == ["KL", "reverse KL", "EMA KL"]
    assert cells[2][2:] == ["0.500", "0.700", "0.250"]


def test_a_run_that_ends_far_beyond_its_best_distance_has_collapsed() -> None:
    def by_distance(label: str, last: list[float], best: list[float]) -> Result:
        summary: dict[str, Any] = {"last": [{"frechet": each} for each in last], "steps": 20, "processor_seconds": 3.0}
        summary |= {"best": [{"step": 10, "frechet": each} for each in best], "evaluation": {"samples": 64}}
        return Result(Arm(label, "gan"), {**summary, **FACTS})

    held = by_distance("held", [19.0, 8.0], [10.0, 8.0])
    fell = by_distance("fell", [21.0, math.nan, 8.0], [10.0, 9.0, 8.0])
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines_of([held, fell])]
    assert lines[0] == ["", "", "CPU s", "collapsed", "Frechet"]
    assert [line[3] for line in lines[2:]] == ["0", "", "2", ""]
    each = Experiment("two", "?", (Table("", "digits", {}, (held.arm, fell.arm)),))
    assert "more than 2 times it" in page(each, {"cpu": [[held, fell]]})


def test_a_slow_machine_judges_at_the_same_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modecover.runs import evaluation

    monkeypatch.setattr(evaluation, "SHARE", 0.0)  # no time is left for evaluations that were not asked for
    settings = {name: value for name, value in TINY.items() if name != "evaluate_every"} | {"steps": 20}
    table = Table("", "ring", settings, (Arm("GAN", "gan"),))
    (row,) = run_job(jobs(Experiment("two", "?", (table,)), "cpu")[0], Place(tmp_path))
    assert [step for step, _ in row["curve"]] == [*range(2, 21, 2)]


def test_data_are_opened_once_for_all_runs_of_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    def counted(source: str, **options: Any) -> Dataset:
        told.append((source, options))
        return open_data(source, **options)

    monkeypatch.setattr(opened, "open_data", counted)
    opened._opened.cache_clear()
    settings = {"size": 16, "steps": 2, "batch": 4, "width": 4, "sample_every": 0, "evaluate_every": 0}
    arms = (Arm("GAN", "gan"), Arm("Reg-GAN", "reg-gan"), Arm("wider", "gan", {"size": 32}))
    table = Table("", "digits", settings, arms, apart=True, measure=scores, samples={"cpu": 64})
    first, second, wider = jobs(Experiment("two", "?", (table,)), "cpu")
    rows = [row for job in (first, second, wider) for row in run_job(job, Place(tmp_path / "together"))]
    assert told == [("digits", {"size": 16}), ("digits", {"size": 32})]
    opened._opened.cache_clear()
    (alone,) = run_job(second, Place(tmp_path / "alone"))
    assert alone["summary"]["last"] == rows[1]["summary"]["last"] and len(told) == 3
    described = [json.loads((tmp_path / "together" / job.folder / "run.json").read_text()) for job in (first, wider)]
    assert [each["data"]["opened"] for each in described] == [{"source": "digits", "size": side} for side in (16, 32)]


@pytest.mark.parametrize("has_bf16", [True, False])
def test_a_run_declared_in_bf16_is_in_fp32_where_the_processor_has_no_instructions_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_bf16: bool
) -> None:
    monkeypatch.setattr("modecover.experiments.runner.multiplies_bf16", lambda: has_bf16)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    each = Experiment("two", "?", (Table("", "ring", {**TINY, "precision": "bf16"}, (Arm("GAN", "gan"),)),))
    (job,) = jobs(each, "cpu")
    (row,) = run_job(job, Place(tmp_path))
    run = json.loads((tmp_path / job.folder / "run.json").read_text())
    assert run["settings"]["precision"] == ("bf16" if has_bf16 else "fp32")
    assert row["settings"]["precision"] == "bf16", "what is declared makes the key"
    assert row["summary"].get("precision") == (None if has_bf16 else "fp32")
    store = Store(tmp_path / "rows.jsonl")
    store.add(row)
    told = ", in fp32 for want of instructions for bf16;"
    assert (told in page(each, {"cpu": store.results(each, "cpu")})) is not has_bf16


def test_where_the_last_evaluation_is_the_best_of_every_seed_it_has_one_line() -> None:
    one, other = result("GAN", [3, 8]), result("LSGAN", [3, 8])
    for row, steps in ((one, (4, 4)), (other, (4, 2))):
        row.summary["steps"] = 4
        row.summary["best"] = [{**each, "step": step} for each, step in zip(row.summary["best"], steps, strict=True)]
    found = [line.split(" | ")[:2] for line in lines_of([one, other])[2:5]]
    assert found == [["| GAN", "last, best"], ["| LSGAN", "last"], ["| LSGAN", "best"]]


def test_an_arm_that_breaks_off_is_a_result_and_the_others_go_on(tmp_path: Path) -> None:
    wild = Arm("wild", "wgan-gp", {"lr": 1e30, "optimizer": "sgd", "steps": 50})
    each = two((Arm("well", "gan"), wild))
    store = Store(tmp_path / "rows.jsonl")
    for job in jobs(each, "cpu"):
        (row,) = run_job(job, Place(tmp_path))
        store.add(row)
    ((well, broken),) = store.results(each, "cpu")
    assert well.summary["finished"] and well.summary["processor_seconds"] > 0 and not well.broken
    assert broken.summary == {} and "step" in broken.broken
    assert "broke off" in page(each, {"cpu": [[well, broken]]})


class Heard(Listener):
    def __init__(self) -> None:
        self.steps: list[int] = []
        self.totals: set[int] = set()
        self.notes: list[str] = []

    def stepped(self, step: int, total: int) -> None:
        self.steps.append(step)
        self.totals.add(total)

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


def test_runs_are_in_processes_of_their_own_and_rows_of_all_in_the_store(tmp_path: Path) -> None:
    each, heard = two((Arm("longer", "gan", {"steps": 6}), Arm("shorter", "lsgan"))), Heard()
    store = Store(tmp_path / "rows.jsonl")
    assert run_jobs(jobs(each, "cpu"), {"two": store}, Place(tmp_path, workers=1), heard)
    (found,) = store.results(each, "cpu")
    assert [(result.arm.label, result.summary["steps"]) for result in found] == [("longer", 6), ("shorter", 4)]
    assert heard.steps == sorted(heard.steps) and heard.steps and heard.totals == {6 + 4}


def test_what_another_program_has_done_meanwhile_is_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run ends as a row of the other appears, which another program has added to the file."""
    each, begun = two((Arm("GAN", "gan"), Arm("LSGAN", "lsgan"))), list[str]()
    first, second = jobs(each, "cpu")
    store = Store(tmp_path / "rows.jsonl")

    def one_at_a_time(waiting: list[Job], is_done: Callable[[Job], bool], *_: Any) -> Iterator[tuple[Job, list[Any]]]:
        for job in waiting:
            if not is_done(job):
                begun.append(job.arm.label)
                Store(store.path).add(finished(second, [1, 1]))
                yield job, [finished(job, [8, 3])]

    monkeypatch.setattr(runner, "_over_processes", one_at_a_time)
    assert run_jobs([first, second], {"two": store}, Place(tmp_path), Heard())
    assert begun == ["GAN"] and store.rows[second.key]["summary"]["last"][0]["modes_many"] == 1


def test_a_run_that_lost_its_log_is_no_row_without_a_curve(tmp_path: Path) -> None:
    (job,) = jobs(two((Arm("GAN", "gan"),)), "cpu")
    (row,) = run_job(job, Place(tmp_path))
    assert row["curve"]
    (tmp_path / job.folder / "log.jsonl").write_text("")
    with pytest.raises(UserError, match="has lost the evaluations of a run that is finished: remove its folder"):
        run_job(job, Place(tmp_path))


def test_pages_have_what_was_done_where_a_run_was_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(declared: list[Job], stores: dict[str, Store], *_: Any) -> bool:
        for (row,) in (run_job(job, Place(tmp_path)) for job in declared[:2]):
            stores["square-fitting"].add(row)
        raise UserError("A run is going on.")

    monkeypatch.setattr(runner, "run_jobs", refuse)
    assert command(["reproduce", "square-fitting", "--scale", "smoke", "--results", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.err == "modecover: A run is going on.\n" and "goes on from here" not in said.out
    assert (tmp_path / "square-fitting.smoke.md").read_text().count("| not run |") == 3


def test_a_row_that_another_scale_has_is_not_offered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["reproduce", "2d", "--scale", "smoke", "--results", str(tmp_path), "--only"]
    assert command([*words, "R3GAN"]) == 2
    refused = capsys.readouterr().err
    assert "There is no row 'R3GAN' at the scale smoke" in refused and refused.count("R3GAN") == 1
    assert command(["reproduce", "square-fitting", "--only", "x", "--results", str(tmp_path)]) == 2
    assert "or a table" not in capsys.readouterr().err


def test_where_runs_cannot_be_kept_none_is_begun(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store, heard = Store(tmp_path / "rows.jsonl"), Heard()
    with pytest.raises(UserError, match=r"file cannot be written \(.*\): choose another folder with --out"):
        run_jobs(jobs(two(), "cpu"), {"two": store}, Place(tmp_path / "file"), heard)
    assert heard.steps == [] and store.rows == {}


def test_when_the_time_is_over_runs_stop_and_with_too_little_left_none_is_begun(tmp_path: Path) -> None:
    endless = {**TINY, "steps": 10**6, "evaluate_every": 0}
    tables = [Table("", "ring", endless, (Arm("GAN", "gan"),), minutes={"cpu": minutes}) for minutes in (1e-4, 10)]
    for table, told in zip(tables, (["the time is over: the runs save where they are"], []), strict=True):
        declared, heard = jobs(Experiment("two", "", (table,)), "cpu"), Heard()
        store, place = Store(tmp_path / "rows.jsonl"), Place(tmp_path / str(len(told)), minutes=0.05)
        assert not run_jobs(declared, {"two": store}, place, heard)
        assert heard.notes == told and not store.rows
    assert not (tmp_path / "0").exists()


def test_seeds_at_once_leave_the_rows_of_runs_apart(tmp_path: Path) -> None:
    """Of images, whose seeds are side by side: bitwise; and what would be measured of a folder is run apart."""
    settings = {**TINY, "size": 16, "steps": 4, "seed": 3, "seeds": 3, "ema": 0.9, "evaluate_every": 2}
    arms = (Arm("GAN", "gan"), Arm("LSGAN", "lsgan"))
    plainly = Table("here", "stacked-mnist", settings, arms, apart=True, stand_in="")
    each = Experiment("two", "?", (plainly, dataclasses.replace(plainly, name="measured", measure=weights)))
    declared = jobs(each, "cpu")
    together = at_once(declared)
    assert [(job.table.name, job.arm.label, 1 + len(job.beside)) for job in together] == [
        *(("here", label, 3) for label in ("GAN", "LSGAN")),
        *(("measured", label, 1) for _ in range(3) for label in ("GAN", "LSGAN")),
    ]
    assert [job.settings["seed"] for job in at_once([declared[0], declared[8]])] == [3, 5], "seed 4 is not beside them"
    one, other = together[0], [job for job in declared if (job.table.name, job.arm.label) == ("here", "GAN")]
    rows = run_job(one, Place(tmp_path / "together"))
    for row, job in zip(rows, other, strict=True):
        (alone,) = run_job(job, Place(tmp_path / "apart"))
        assert row["summary"].pop("at once") == 3
        for part in (
            lambda row: {**row, "summary": 0},
            lambda row: [row["summary"][k] for k in ("seeds", "last", "best")],
        ):
            assert plain(part(row)) == plain(part(alone))
    store = Store(tmp_path / "rows.jsonl")
    for row in rows:
        store.add(row)
    assert Store(tmp_path / "rows.jsonl").results(each, "cpu")[0][0].summary["seeds"] == [3, 4, 5]


def test_where_one_of_several_seeds_breaks_off_the_others_are_run_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modecover.engine.finite import NonFiniteError
    from modecover.runs import run

    really = run.train

    def train(*arguments: Any, **settings: Any) -> Any:
        if settings["seeds"] > 1 or settings["seed"] == 1:
            raise NonFiniteError("step 2")
        return really(*arguments, **settings)

    monkeypatch.setattr(run, "train", train)
    table = Table("", "ring", {**TINY, "steps": 2, "seeds": 2}, (Arm("GAN", "gan"),), apart=True)
    (job,) = at_once(jobs(Experiment("two", "?", (table,)), "cpu"))
    assert [row["broken"] for row in run_job(job, Place(tmp_path))] == ["", "step 2"]


def test_a_run_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    each = two((Arm("GAN", "gan", {"steps": 40, "evaluate_every": 10}),))
    (job,), stop = jobs(each, "cpu"), threading.Event()

    class Telling:
        def put(self, news: tuple[str, int, int]) -> None:
            stop.set()
            time.sleep(0.6)  # a run looks twice a second whether it shall stop, and is over sooner

    assert run_job(job, Place(tmp_path / "stopped"), Telling(), stop) == []  # type: ignore[arg-type]
    assert run_job(job, Place(tmp_path / "stopped"), None, stop) == [], "nor begun where it shall stop"
    stopped, whole = (row for name in ("stopped", "whole") for row in run_job(job, Place(tmp_path / name)))
    for part in (lambda row: row["summary"]["last"], lambda row: row["summary"]["best"], lambda row: row["curve"]):
        assert plain(part(stopped)) == plain(part(whole))
    assert [step for step, _ in whole["curve"]] == [10, 20, 30, 40]


def test_a_refused_run_stops_neither_the_others_nor_the_next_experiment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = Arm("refused", "gan", {"lr": -1.0})
    first = two((refused, Arm("GAN", "gan")))
    second = dataclasses.replace(two(), name="later")
    every, heard = [*jobs(first, "cpu"), *jobs(second, "cpu")], Heard()
    stores = {name: Store(tmp_path / f"{name}.jsonl") for name in ("two", "later")}
    with pytest.raises(UserError, match="two, its table, refused: lr"):
        run_jobs(every, stores, Place(tmp_path / "runs", workers=1), heard)
    assert [len(store.rows) for store in stores.values()] == [1, 2]
    # Where each is refused, no more than a few are tried.
    many = two(tuple(dataclasses.replace(refused, label=str(number)) for number in range(9)))
    with pytest.raises(UserError, match="two, its table, 0: lr"):
        run_jobs(jobs(many, "cpu"), {"two": Store(tmp_path / "many.jsonl")}, Place(tmp_path, workers=1), heard)
    assert len(heard.notes) == 2


def test_data_that_are_not_there_are_not_replaced_and_the_command_says_what_to_give(tmp_path: Path) -> None:
    small = {**TINY, "size": 16, "channels": 1, "seeds": 1}
    stacks = Table("stacks", "stacked-mnist:fresh", {**TINY, "size": 16}, (Arm("GAN", "gan"),), apart=True)
    photos = Table("photos", "photos", small, (Arm("GAN", "gan"),), apart=True, brought="photographs")
    each, heard = Experiment("brought", "?", (stacks, photos)), Heard()
    store = {"brought": Store(tmp_path / "rows.jsonl")}
    with pytest.raises(UserError, match=r"stacked-mnist:fresh are left out.*--data-dir names the folder of MNIST"):
        run_jobs(jobs(each, "cpu"), store, Place(tmp_path / "runs"), heard)
    assert not store["brought"].rows and not (tmp_path / "runs").exists()
    (of_photos,) = heard.notes  # which most users have not, and is no error
    assert "--data-dir names the folder of a folder 'photos' that holds photographs." in of_photos
    # Photographs of several sizes are opened at the table's.
    (tmp_path / "data" / "photos").mkdir(parents=True)
    for number in range(40):
        picture = Image.effect_noise((20 + number, 30), 60)
        picture.save(tmp_path / "data" / "photos" / f"{number}.png")
    place = Place(tmp_path / "runs", str(tmp_path / "data"), workers=1)
    with pytest.raises(UserError, match="stacked-mnist"):  # told at once, and raised behind the others
        run_jobs(jobs(each, "cpu"), store, place, heard)
    assert "stacked-mnist:fresh are left out" in heard.notes[-1]
    assert [row["table"] for row in store["brought"].rows.values()] == ["photos"]


def test_runs_that_were_judged_or_computed_otherwise_stand_by_name_below_their_table() -> None:
    def made(label: str, judge: str, seed: int, **more: Any) -> dict[str, Any]:
        own = {**result(label, [8]).summary, **FACTS, "seeds": [seed], "evaluation": {"features": judge}, **more}
        return own

    first = Result(Arm("GAN", "gan"), {**made("GAN", "one", 0), "runs": [made("GAN", "one", 0), made("GAN", "one", 2)]})
    other = Result(Arm("LSGAN", "lsgan"), made("LSGAN", "other", 0, precision="fp32", steps=9))
    lines = provenance([first, other])
    assert lines[0] == "Seeds 0, 2; 4 or 9 steps."
    assert lines[1].startswith("**Not all were judged alike")
    assert lines[2:4] == [
        "Judged by features one: GAN, seed 0; GAN, seed 2.",
        "Judged by features other: LSGAN, seed 0.",
    ]
    assert lines[4].endswith("Python 3.") and lines[5].endswith("bf16; torch 2, Python 3: LSGAN, seed 0.")
    assert provenance([first])[0] == "Seeds 0, 2; 4 steps; features one."
    # A classifier that is trained where the run is has no name in its row: the data have another number by another.
    unnamed = []
    for label, missed in (("GAN", 61.0), ("MDGAN", 61.0), ("LSGAN", 58.0)):
        run = {**FACTS, "last": [{"numbers_missed": 9.0, "numbers_missed_of_the_data": missed}]}
        unnamed.append(Result(Arm(label, "gan"), run))
    older = Result(Arm("ALI", "ali"), {**FACTS, "last": [{"numbers_missed": 9.0}]})
    assert not any("alike" in line for line in provenance([older, *unnamed[:2]]))
    _, warning, *by, _ = provenance([older, *unnamed])
    assert warning.startswith("**Not all were judged alike")
    assert by == [
        "Judged by what has no name here: ALI, seed 0.",  # which of the two is not known
        "Judged by what has no name here, by which the data have numbers missed 61: GAN, seed 0; MDGAN, seed 0.",
        "Judged by what has no name here, by which the data have numbers missed 58: LSGAN, seed 0.",
    ]


def test_a_row_says_on_which_data_it_was_trained_and_a_page_where_they_were_others(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(2, 64, 2)).astype("float32")
    found = []
    for number, label in enumerate(("GAN", "LSGAN", "WGAN")):
        np.save(tmp_path / "rows.npy", rows[number // 2])  # another file of the same name before the last
        opened._opened.cache_clear()
        each = Experiment(
            "own", "?", (Table("", str(tmp_path / "rows.npy"), {**TINY, "seeds": 1}, (Arm(label, "gan"),)),)
        )
        (row,) = run_job(jobs(each, "cpu")[0], Place(tmp_path / str(number)))
        found.append(Result(Arm(label, "gan"), row["summary"]))
    first, _, last = (str(one.summary["fingerprint"])[:8] for one in found)
    told = f"By its fingerprint {first}: GAN, seed 0; LSGAN, seed 0; by {last}: WGAN, seed 0."
    assert f"**Not all were trained on the same data.** {told}" in provenance(found)
    assert not any("same data" in line for line in provenance(found[:2]))


def test_a_page_of_its_own_has_every_scale_that_was_run() -> None:
    def wrote(scale: str, results: Any, picture: str, sheets: Any) -> str:
        return f"# {scale}: {len(results)}, {picture}"

    each = dataclasses.replace(two(), write=wrote)
    here, absent = Result(Arm("GAN"), {"last": [{}]}), Result(Arm("GAN"), {}, "not run")
    assert (
        page(each, {"full": [[here]], "cpu": [[here]]}, "images")
        == "# full: 1, images/full.png\n# cpu: 1, images/cpu.png"
    )
    assert page(each, {"full": [[absent]], "cpu": [[here]]}) == "# cpu: 1, "
    assert page(each, {"full": [[absent]]}) == "# full: 1, "


def test_a_game_and_its_parts_differ_in_what_they_name_alone() -> None:
    """At every scale: the rates, the batch and the length of a game alone are those of what it is compared with."""
    shape = (3, 32, 32)
    for table in intervention.TABLES:
        data = (2,) if table.settings.get("protocol") else shape
        for scale in ("cpu", "full"):
            shared = {**table.settings, **table.scales.get(scale, {})}
            found: dict[str, set[tuple[Any, ...]]] = {}
            for arm in table.at(scale):
                settings = {k: v for k, v in {**shared, **arm.settings}.items() if k not in opened.OPTIONS}
                named = {kind: settings.pop(kind, None) for kind in ("protocol", "preset")}
                _, own = resolve(arm.method, data, **named, chosen=settings)
                what = (own.lr, own.lr_D, own.batch, own.steps, own.beta1, own.beta2, own.instance_noise)
                found.setdefault(arm.label.partition(": ")[0], set()).add(what)
            assert all(len(each) == 1 for each in found.values()), (table.name, scale, found)


def test_what_is_worth_most_goes_first(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert command(["reproduce", "--list"]) == 0
    listed = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert sorted(listed) == sorted(experiments.names())
    assert listed == sorted(listed, key=lambda name: -experiments.get(name).value)
    for words in (["reproduce"], ["reproduce", "2d", "--queue"]):
        assert command(words) == 2 and "--queue" in capsys.readouterr().err


def test_searches_of_one_experiment_do_not_go_before_the_runs_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = dataclasses.replace(two((Arm("GAN", "gan", candidates=({"lr": 1e-3}, {"lr": 1e-4})),)), name="later")
    order: list[str] = []

    def noted(jobs: list[Job], *_: Any) -> Any:
        for job in jobs:
            order.append(job.experiment)
            empty = {"summary": {}, "broken": "no", "label": "", "method": "", "own": {}, "table": ""}
            yield job, [{"key": job.key, **empty}]

    monkeypatch.setattr(runner, "_over_processes", noted)
    each = [*jobs(two(), "cpu"), *jobs(searched, "cpu")]
    stores = {name: Store(tmp_path / name) for name in ("two", "later")}
    assert run_jobs(each, stores, Place(tmp_path), Heard())
    assert order == ["two", "two", "later", "later", "later"]
    short = [dataclasses.replace(job, table=dataclasses.replace(job.table, minutes={"cpu": 1e-6})) for job in each[2:]]
    long = [dataclasses.replace(job, table=dataclasses.replace(job.table, minutes={"cpu": 1e6})) for job in each[:2]]
    order.clear()
    empty = {name: Store(tmp_path / f"empty {name}") for name in stores}
    assert not run_jobs([*long, *short], empty, Place(tmp_path, minutes=1), Heard())
    assert set(order) == {"later"}, "what fits into the time is run"


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the optional package ray is not installed")
def test_ray_runs_what_processes_run(tmp_path: Path) -> None:
    each, stores = two(), [Store(tmp_path / f"{name}.jsonl") for name in "ab"]
    for store, backend in zip(stores, ("local", "ray"), strict=True):
        place = Place(tmp_path / backend, workers=2, backend=backend)
        assert run_jobs(jobs(each, "cpu"), {"two": store}, place, Heard())
    local, ray = ({key: plain(row["summary"]["last"]) for key, row in store.rows.items()} for store in stores)
    assert local == ray and len(local) == 2


def test_without_ray_a_sentence_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="pip install 'modecover"):
        run_jobs(jobs(two(), "cpu"), {"two": Store(tmp_path / "x")}, Place(tmp_path, backend="ray"), Heard())


def test_an_arm_stops_when_the_process_that_asked_for_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messenger = runner._Messenger("arm", queue.Queue().put)
    monkeypatch.setattr(runner.os, "getppid", lambda: 1)
    run = train("gan", "ring", tmp_path / "run", listener=messenger, steps=20, batch=8, evaluate_every=0)
    assert not run.finished and run.step == 1
    assert train("gan", "ring", tmp_path / "run", steps=20, batch=8, evaluate_every=0).finished


LONG = """
import sys
from contextlib import contextmanager
from pathlib import Path
from modecover.experiments import runner
from modecover.experiments.declared import Arm, Experiment, Table
from modecover.experiments.runner import Place, run_jobs
from modecover.experiments.store import Store, jobs
from modecover.runs.listener import Listener

class Heard(Listener):
    def stepped(self, step, total): print("step", flush=True)
    def note(self, text): print(text, flush=True)

asked_to_stop = runner.asked_to_stop

@contextmanager
def told(*given):
    with asked_to_stop(*given) as asked:
        print("begun", flush=True)  # a signal is waited for from now on, and not before
        yield asked

if __name__ == "__main__":
    runner.asked_to_stop = told
    arms = tuple(Arm(name, "gan") for name in "abc")
    settings = {"steps": 10**6, "batch": 8, "evaluate_every": 0, "sample_every": 0}
    each, out = Experiment("long", "", (Table("", "ring", settings, arms),)), Path(sys.argv[1])
    run_jobs(jobs(each, "cpu"), {"long": Store(out / "rows.jsonl")}, Place(out, workers=1), Heard())
"""


def long_runs(folder: Path) -> subprocess.Popen[str]:
    """A program, in a group of its own, that runs one arm after another and says so when it begins."""
    (folder / "long.py").write_text(LONG)
    words = [sys.executable, str(folder / "long.py"), str(folder / "out")]
    pipe = subprocess.PIPE
    child = subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    assert child.stdout is not None and child.stdout.readline() == "begun\n"
    return child


def test_ctrl_c_stops_the_running_arms_and_starts_no_other(tmp_path: Path) -> None:
    child = long_runs(tmp_path)
    assert child.stdout is not None and child.stdout.readline() == "step\n"
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does
    said, _ = child.communicate(timeout=180)
    assert "the same command goes on from there" in said
    assert child.returncode not in (0, None)
    (folder,) = (tmp_path / "out" / "long" / "cpu").iterdir()
    assert folder.name.startswith("a ")
    assert list((folder / "checkpoints").glob("checkpoint-*")), "it saved where it was"


def test_ctrl_c_while_processes_are_started_stops_as_well(tmp_path: Path) -> None:
    child = long_runs(tmp_path)
    time.sleep(0.5)  # what runs the arms is importing torch
    os.killpg(child.pid, signal.SIGINT)
    said, complaints = child.communicate(timeout=180)
    assert "the same command goes on from there" in said
    assert complaints.count("Traceback") == 1 and complaints.splitlines()[-1] == "KeyboardInterrupt"


@pytest.mark.parametrize("pause", [0.1, 1.0])
def test_a_second_ctrl_c_ends_at_once_and_leaves_nothing_running(tmp_path: Path, pause: float) -> None:
    child = long_runs(tmp_path)
    assert child.stdout is not None and child.stdout.readline() == "step\n"
    for _ in range(3):
        os.killpg(child.pid, signal.SIGINT)
        time.sleep(pause)
        if child.poll() is not None:
            break
    _, complaints = child.communicate(timeout=180)  # until the last process that has its output is gone
    assert child.returncode not in (0, None) and complaints.splitlines()[-1] == "KeyboardInterrupt"
    assert complaints.count("Traceback") == 1


def test_what_runs_the_arms_ends_behind_a_killed_program(tmp_path: Path) -> None:
    child = long_runs(tmp_path)
    assert child.stdout is not None and child.stdout.readline() == "step\n"
    child.kill()
    child.communicate(timeout=180)  # until the last process that has its output is gone
    (folder,) = (tmp_path / "out" / "long" / "cpu").iterdir()
    assert list((folder / "checkpoints").glob("checkpoint-*")), "it saved where it was"


def killed(settings: dict[str, Any], seed: int) -> dict[str, float]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def test_a_run_whose_process_is_killed_is_one_sentence(tmp_path: Path) -> None:
    each = Experiment("killed", "?", (Table("", "", {}, (Arm("this"), Arm("that")), compute=killed),))
    with pytest.raises(UserError, match="was killed, as the system does where memory runs out: give fewer workers"):
        run_jobs(jobs(each, "cpu"), {"killed": Store(tmp_path / "rows.jsonl")}, Place(tmp_path, workers=1), Heard())


def test_a_number_of_workers_that_cannot_work_is_refused(tmp_path: Path) -> None:
    for workers in (0, -1):
        with pytest.raises(UserError, match="give at least one worker"):
            Place(tmp_path, workers=workers)
    for minutes in (0, -1, math.nan):
        with pytest.raises(UserError, match="give a positive number"):
            Place(tmp_path, minutes=minutes)


def test_a_difference_is_seen_where_all_seeds_agree_and_not_where_they_do_not() -> None:
    assert differs([1, 2, 1, 3, 1, 1, 2, 1])  # all signs equal: 2 of 2^8 permutations
    assert not differs([1, -1, 2, -2, 1, -1, 0, 0])
    assert not differs([0] * 8)
    assert not differs([1, 1, 1, 1, 1, 0, 0, 0]), "2 of 2^5 is more than 0.05"
    assert verdict([2.0] * 8, [0.0] * 8) == "helps"
    assert verdict([-2.0] * 8, [-0.1] * 8) == "hurts"
    assert verdict([0.0] * 8, [-0.1] * 8) == "no sure change of modes, nearer to the data"
    assert verdict([0.0] * 8, [0.1] * 8) == "no sure change of modes, farther"
    assert verdict([1.0, -1.0] * 4, [0.1, -0.1] * 4) == "no difference seen"


def test_arms_are_compared_seed_by_seed_at_their_end() -> None:
    plain, other = result("GAN", [3, 4, 5, 6], distance=0.5), result("IVGAN", [4, 6, 5, 5], distance=0.25)
    broken = Result(Arm("Odd", "gan"), {}, "NaN", "ring")
    line, other_line = pairs_table([(plain, dataclasses.replace(other, table="ring")), (plain, broken)])[2:]
    assert line == ("| ring | IVGAN against GAN | +0.5 (2 more, 1 fewer) | +0.0 | -0.250 | no difference seen |")
    assert other_line == "| ring | Odd against GAN | one of them broke off | | | |"


def test_settings_are_told_as_they_were_meant() -> None:
    assert 0.05 * 3 * 32 * 32 != 153.6  # what is told is not what a float says of itself
    meant = {"cost": 0.05 * 3 * 32 * 32, "beta1": 0.0, "lr": 1e-4, "k": 4, "cap": True, "networks": "wae"}
    assert in_a_page(meant) == "cost 153.6, beta1 0.0, lr 0.0001, k 4, cap True, networks wae"
