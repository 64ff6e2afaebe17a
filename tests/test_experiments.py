"""Experiments: what is declared can be run, what broke off does not take the others with it, and what the page says."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import queue
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modecover import experiments
from modecover.cli import main as command
from modecover.data import open_data
from modecover.errors import UserError
from modecover.experiments import mixtures
from modecover.experiments.declared import Arm, Experiment, Result, Table
from modecover.experiments.report import differs, page, pairs_table, verdict, write_rows
from modecover.experiments.report import table as lines_of
from modecover.experiments.runner import _run_arm, choose, run_experiment
from modecover.files import plain, write_json
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
    return found


def test_every_declared_arm_has_settings_its_method_takes() -> None:
    shapes = {table.data: open_data(table.data).shape for _, table, _, _ in declared()}
    for _, table, arm, settings in declared():
        protocol = settings.pop("protocol", None)
        _, found = resolve(arm.method, shapes[table.data], protocol=protocol, chosen=settings)
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
    return Result(Arm(label, "gan"), Path(label), {**summary, "control": control})


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
    lines = page(Experiment("two", "Which?", tables), [[made], [made]]).splitlines()
    assert [line for line in lines if line.startswith("## ")] == ["## a", "## b"]
    assert sum(line.startswith("| GAN | last") for line in lines) == 2
    assert sum(line.startswith("Data ring; seeds 2") for line in lines) == 1


def test_a_page_where_everything_broke_off_says_so() -> None:
    broken = Result(Arm("Odd", "gan"), Path("x"), {}, "NaN")
    text = page(Experiment("one", "Which?", (Table("", "ring", TINY, (broken.arm,)),)), [[broken]])
    assert "| Odd | broke off: NaN | " in text and "ideal sampler" not in text


@pytest.mark.parametrize(("name", "arms"), [("ring-ldmgan", 5), ("circle-mdgan", 12), ("2d", 74)])
def test_the_page_of_every_experiment_is_written(name: str, arms: int) -> None:
    each = experiments.get(name)
    results = []
    for place in each.tables:
        made = [dataclasses.replace(result(arm.label, [8, 3]), arm=arm, table=place.name) for arm in place.arms]
        for one in made:
            one.summary.update(FACTS)
        results.append(made)
    text = page(each, results)
    assert sum(" | last | " in line for line in text.splitlines()) == sum(map(len, results)) == arms
    if name == "2d":
        assert "| ring | IVDCGAN against GAN | +0.0 (0 more, 0 fewer)" in text
        assert text.count("Published: ") == 1 and "7.9 / 95.6 [P]" in text


def test_rows_keep_every_number(tmp_path: Path) -> None:
    first, broken = result("GAN", [8, 3]), Result(Arm("Odd", "gan", {"lr": 1.0}), Path("x"), {}, "NaN", "b")
    first.summary["last"][0]["kl"] = math.inf
    write_rows(tmp_path / "rows.jsonl", [first, broken])
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert rows[0]["summary"]["last"][0]["kl"] == "Infinity" and rows[0]["summary"] == plain(first.summary)
    assert rows[1] == {
        "group": "b",
        "label": "Odd",
        "method": "gan",
        "settings": {"lr": 1.0},
        "broken": "NaN",
        "summary": {},
    }


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
    assert said.startswith("Which one? 2 arms on ring.\n# added")
    runs = tmp_path / "runs" / "added"
    assert sorted(p.parent.relative_to(runs).as_posix() for p in runs.rglob("summary.json")) == [
        *("search/first/GAN/a", "search/first/GAN/b"),
        *("table/first/GAN", "table/first/LSGAN"),
    ]
    page, rows = Path("results/added.md").read_text(), Path("results/added.jsonl").read_text()
    assert "| 7 / 90 [P] |" in page and len(rows.splitlines()) == 2
    assert json.loads(rows.splitlines()[0])["settings"]["lr"] in (1e-3, 1e-4)
    steps = {path: path.stat().st_mtime_ns for path in runs.rglob("log.jsonl")}
    assert command(words) == 0, "a second call computes only what is missing: nothing"
    assert Path("results/added.md").read_text() == page and Path("results/added.jsonl").read_text() == rows
    assert steps == {path: path.stat().st_mtime_ns for path in runs.rglob("log.jsonl")}
    monkeypatch.delitem(sys.modules, "modecover.experiments.added")


def test_a_name_that_is_no_experiment_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["reproduce", "3d"]) == 2
    assert "There is no experiment '3d': choose one of" in capsys.readouterr().err


def test_the_search_asks_for_all_modes_first_then_for_modes_then_for_the_distance() -> None:
    most_seeds, most_modes = result("a", [8, 8, 1]), result("b", [7, 7, 7])
    nearer, broken = result("c", [7, 7, 7], distance=0.4), Result(Arm("d", "gan"), Path("d"), {}, "NaN")
    assert choose([most_modes, most_seeds, broken]) is most_seeds
    assert choose([most_modes, nearer]) is nearer
    assert choose([broken, result("e", [0, 0, 0], distance=9.0)]).arm.label == "e"


def test_the_table_counts_seeds_by_both_counts_and_keeps_what_broke_off() -> None:
    lines = lines_of(
        [
            result("GAN", [8, 8, 2], any_=[8, 8, 8]),
            Result(Arm("Odd", "gan", published="1 / 2"), Path("x"), {}, "NaN"),
        ]
    )
    row = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert row[:5] == ["GAN", "last", "3", "2 of 3", "1"]
    assert row[5:7] == ["8.0", "6.0 (2.0-8.0)"]
    assert lines[4].startswith("| Odd | broke off: NaN |") and lines[4].endswith("| 1 / 2 |")
    assert len({line.count("|") for line in lines}) == 1, "every line has as many cells as the heading"
    assert lines[-1].startswith("| ideal sampler |") and "99.0" in lines[-1]


def test_an_arm_that_breaks_off_is_a_result_and_the_others_go_on(tmp_path: Path) -> None:
    wild = Arm("wild", "wgan-gp", {"lr": 1e30, "optimizer": "sgd", "steps": 50})
    each = Table("", "ring", TINY, (Arm("well", "gan"), wild))
    well, broken = (_run_arm(each, arm, tmp_path / arm.label, queue.Queue()) for arm in each.arms)
    assert well.summary["finished"] and well.summary["processor_seconds"] > 0 and not well.broken
    assert broken.summary == {} and "step" in broken.broken
    assert "broke off" in page(Experiment("both", "Which breaks?", (each,)), [[well, broken]])


def test_arms_run_in_processes_of_their_own_and_come_back_in_order(tmp_path: Path) -> None:
    steps: list[int] = []

    class Heard(Listener):
        def stepped(self, step: int, total: int) -> None:
            steps.append(step)

    arms = (Arm("longer", "gan", {"steps": 6}), Arm("shorter", "lsgan"))
    tables = (Table("", "ring", TINY, arms),)
    (found,) = run_experiment(Experiment("two", "", tables), tmp_path, Heard(), workers=1)
    assert [(result.arm.label, result.summary["steps"]) for result in found] == [("longer", 6), ("shorter", 4)]
    assert steps == sorted(steps) and steps


def test_an_arm_stops_when_the_process_that_asked_for_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modecover.experiments import runner

    messenger = runner._Messenger("arm", queue.Queue())
    monkeypatch.setattr(runner.os, "getppid", lambda: 1)
    run = train("gan", "ring", tmp_path / "run", listener=messenger, steps=20, batch=8, evaluate_every=0)
    assert not run.finished and run.step == 1
    assert train("gan", "ring", tmp_path / "run", steps=20, batch=8, evaluate_every=0).finished


def test_ctrl_c_stops_the_running_arms_and_starts_no_other(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "from modecover.experiments.declared import Arm, Experiment, Table\n"
        "from modecover.experiments.runner import run_experiment\n"
        "from modecover.runs.listener import Listener\n"
        "class Heard(Listener):\n"
        "    def stepped(self, step, total): print('step', flush=True)\n"
        "    def note(self, text): print(text, flush=True)\n"
        "if __name__ == '__main__':\n"
        "    arms = tuple(Arm(name, 'gan') for name in 'abc')\n"
        "    settings = {'steps': 10**6, 'batch': 8, 'evaluate_every': 0, 'sample_every': 0}\n"
        "    each = Experiment('long', '', (Table('', 'ring', settings, arms),))\n"
        f"    run_experiment(each, Path({str(tmp_path / 'out')!r}), Heard(), workers=1)\n"
    )
    script = tmp_path / "long.py"
    script.write_text(code)
    child = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "step\n"
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does
    said, _ = child.communicate(timeout=60)
    assert "the same command goes on from there" in said
    assert child.returncode not in (0, None)
    assert [folder.name for folder in (tmp_path / "out").iterdir()] == ["a"]
    assert list((tmp_path / "out" / "a" / "checkpoints").glob("checkpoint-*")), "it saved where it was"


def test_a_number_of_workers_that_cannot_work_is_refused(tmp_path: Path) -> None:
    for workers in (0, -1):
        with pytest.raises(UserError, match="give at least one worker"):
            run_experiment(Experiment("none", "", ()), tmp_path, Listener(), workers)


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
    broken = Result(Arm("Odd", "gan"), Path("x"), {}, "NaN", "ring")
    line, other_line = pairs_table([(plain, dataclasses.replace(other, table="ring")), (plain, broken)])[2:]
    assert line == ("| ring | IVGAN against GAN | +0.5 (2 more, 1 fewer) | +0.0 | -0.250 | no difference seen |")
    assert other_line == "| ring | Odd against GAN | one of them broke off | | | |"
