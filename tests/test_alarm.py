"""The alarm of a training: when it goes off, which model is kept, and that a look changes nothing."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import killable
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import modecover
from modecover import Method
from modecover.cli import main as command
from modecover.errors import UserError
from modecover.features.kept import Kept
from modecover.features.watch import READINGS, Reading, Watch
from modecover.kinds import spelled
from modecover.methods.roles import Discriminator, Feed, Generator, Updates
from modecover.runs import evaluation, loop
from modecover.runs.alarm import BLIND, OTHERS, SKIPPED, Look, Rule, parse_alarm, read_bounds
from modecover.runs.checkpoint import load_newest
from modecover.runs.listener import Listener
from modecover.runs.log import read_log

ANGLES = torch.arange(8) * (2 * math.pi / 8)
CENTRES = torch.stack([ANGLES.cos(), ANGLES.sin()], dim=1)


class Dial(nn.Module):
    """A generator of the ring that makes as many modes as its one weight says, of `plan`: from each of these settings
    on so many."""

    def __init__(self, plan: tuple[tuple[float, int], ...]):
        super().__init__()
        self.plan, self.setting = plan, nn.Parameter(torch.zeros(()))

    def forward(self, z: Tensor) -> Tensor:
        modes = [count for start, count in self.plan if self.setting.item() >= start][-1]
        place = (torch.special.ndtr(z[:, 0]) * modes).long().clamp(max=modes - 1)
        rows = CENTRES[place] + 0.01 * z[:, 1:]
        return rows + (self.setting - self.setting.detach())  # nothing but a gradient of 1


class Judge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x: Tensor, head: str = "adversarial") -> Tensor:
        return self.layer(x)


@dataclass(frozen=True)
class Turning(Method):
    """Turns a dial up, by the learning rate at every step."""

    title: ClassVar[str] = "A dial"
    objective: ClassVar[str] = "G ascends its own outputs"

    def step(self, G: Generator, D: Discriminator, data: Feed, prior: Feed) -> Updates:
        x = data()
        yield D, {"real": D(x).square().mean()}
        yield G, {"up": -G(prior()).mean()}


COLLAPSES = ((-1.0, 1), (0.15, 8), (0.65, 2))
HEALTHY = ((-1.0, 8),)
NEVER = ((-1.0, 2),)
DIAL: dict[str, Any] = {
    **{"batch": 4, "latent": 3, "protocol": "none", "lr": 0.01, "beta1": 0.0, "beta2": 0.0, "log_every": 5},
    **{"steps": 120, "evaluate_every": 10, "evaluate_samples": 100, "sample_every": 0},
}


def turn(plan: tuple[tuple[float, int], ...], out: Path | None = None, **settings: Any) -> Any:
    networks: dict[str, Any] = {"G": lambda: Dial(plan), "D": Judge}
    return modecover.train(Turning(), "ring", out, networks=networks, **{"alarm": {"missing": 0.2}, **DIAL, **settings})


@pytest.fixture(autouse=True)
def _time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks come at every interval, however slow the machine is at this moment."""
    monkeypatch.setattr(evaluation, "SHARE", math.inf)


# ---------------------------------------------------------------- the number


def ring_rows(modes: int, count: int, seed: int, std: float = 0.01) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    place = torch.randint(modes, (count,), generator=random)
    return CENTRES[place] + std * torch.randn(count, 2, generator=random)


@pytest.mark.parametrize("modes", range(1, 9))
@pytest.mark.parametrize("std", [0.0, 0.005, 0.01, 0.02])
def test_a_watch_reads_the_share_of_the_modes_that_are_missing(modes: int, std: float) -> None:
    real = Kept(ring_rows(8, 4000, 0).numpy())
    watch = _watch(real)
    number = watch.missing(Kept(ring_rows(modes, 2000, 1, std).numpy()))
    assert number.value == pytest.approx(1 - modes / 8, abs=0.03)
    assert number.low <= number.value <= number.high


_watches: list[Watch] = []


def _watch(real: Kept) -> Watch:
    if not _watches:
        _watches.append(Watch(real, fakes=2000))
    return _watches[0]


def test_a_watch_and_an_audit_find_the_same() -> None:
    real, fake = ring_rows(8, 4000, 0).numpy(), ring_rows(5, 2000, 1, 0.006).numpy()
    found = modecover.audit(real, fake, samples=4000).verdict("missing mass").effect
    assert Watch(Kept(real), fakes=2000).missing(Kept(fake)).value == pytest.approx(found.value, abs=0.02)


def test_a_generator_of_one_point_or_of_no_numbers_misses_nearly_all() -> None:
    watch = _watch(Kept(ring_rows(8, 4000, 0).numpy()))
    assert watch.missing(Kept(np.zeros((2000, 2), np.float32))).low > 0.9
    assert watch.missing(Kept(np.full((2000, 2), np.nan, np.float32))) == (1, 1, 1)


def test_images_that_miss_classes_are_told_from_blurred_ones() -> None:
    digits = modecover.open_data("digits", size=16)
    assert digits.size is not None and digits.labels is not None
    order = torch.randperm(digits.size, generator=torch.Generator().manual_seed(0))
    watch = Watch(Kept(digits.fetch(order[:2000]).numpy()), fakes=1000)
    fake, labels = digits.fetch(order[2000:4000]), digits.labels[order[2000:4000]]
    blurred = nn.functional.avg_pool2d(nn.functional.pad(fake, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    assert watch.missing(Kept(blurred[:1000].numpy())).value < 0.05
    assert watch.missing(Kept(fake[labels > 3][:1000].numpy())).low > 0.1
    # One class alone: hardly any planted gap is found, and yet it is sure that much is missed.
    one = watch.missing(Kept(fake[labels == 1].repeat(6, 1, 1, 1)[:1000].numpy()))
    assert one.low > 0.5


# ---------------------------------------------------------------- the rule


def judge(bounds: dict[str, float], *looks: dict[str, float | Reading]) -> list[Look]:
    rule, found = Rule(bounds), []
    for number, numbers in enumerate(looks, 1):
        readings = {
            name: value if isinstance(value, Reading) else Reading(value, value - 0.02, value + 0.02)
            for name, value in numbers.items()
        }
        found.append(rule.judge(f"step {number}", readings, "the run was stopped, and {}, is kept"))
        rule = Rule(**json.loads(json.dumps(rule.__dict__)))  # what a checkpoint keeps is all that counts
    return found


def missing(*values: float | Reading) -> list[Look]:
    return judge({"missing-mass": 0.2}, *({"missing-mass": value} for value in values))


def test_the_beginning_does_not_count_nor_what_is_not_sure_nor_one_look() -> None:
    assert not any(look.tripped for look in missing(0.9, 0.8, 0.7, 0.9))
    assert not any(look.tripped for look in missing(0.9, 0.1, 0.21, 0.21, 0.21)), "20 % lies in the interval"
    assert not any(look.tripped for look in missing(0.1, 0.5, 0.1, 0.5, 0.21, 0.5))
    assert [look.tripped for look in missing(0.9, 0.1, 0.5, 0.5)] == [False, False, False, True]
    assert [look.kept for look in missing(0.9, 0.1, 0.21, 0.15, 0.5)] == [False, True, False, True, False]
    assert [look.beyond for look in missing(0.9, 0.1, 0.21, 0.5)] == [True, False, False, True]


SURELY = Reading(math.nan, 0.6, 1.0)


def test_what_cannot_be_told_keeps_no_threshold_and_what_is_sure_breaks_it() -> None:
    unknown, surely = Reading(math.nan, 0.0, 1.0), SURELY
    assert not any(look.kept or look.beyond for look in missing(unknown, unknown))
    looks = missing(0.1, surely, surely)
    assert looks[-1].tripped
    assert "the generator misses at least 60% of the data (alarm at 20%); the run was" in looks[-1].sentence
    assert "misses an unknown share of the data" in missing(unknown)[0].sentence


def test_the_sentence_says_when_how_much_and_which_model_is_kept() -> None:
    looks = missing(0.9, 0.03, 0.4, 0.34)
    assert looks[0].sentence.endswith("misses 90% [88, 92] of the data (alarm at 20%, not kept so far).")
    assert looks[1].sentence == "At step 2 the generator misses 3% [1, 5] of the data (alarm at 20%)."
    assert looks[2].sentence.endswith("(alarm at 20%); if the next look finds that too, the alarm goes off.")
    assert looks[3].sentence == (
        "At step 4 the generator misses 34% [32, 36] of the data (alarm at 20%); the run was stopped, and the model of "
        "step 2, which missed 3%, is kept."
    )


def test_each_seed_counts_for_itself() -> None:
    def seeds(a: float, b: float) -> dict[str, float | Reading]:
        return {"missing-mass of seed 3": a, "missing-mass of seed 4": b}

    # Seed 4 never keeps the threshold, and does not hinder seed 3; two looks in a row are two of one seed.
    looks = judge({"missing-mass": 0.2}, seeds(0.1, 0.9), seeds(0.5, 0.9), seeds(0.5, 0.9))
    assert [look.kept for look in looks] == [True, False, False]
    assert looks[-1].tripped
    assert "the generator of seed 3 misses 50%" in looks[-1].sentence
    assert "seed 4" not in looks[-1].sentence
    looks = judge({"missing-mass": 0.2}, seeds(0.1, 0.1), seeds(0.5, 0.1), seeds(0.1, 0.5), seeds(0.5, 0.1))
    assert not any(look.tripped for look in looks)
    both = judge({"missing-mass": 0.2}, seeds(0.1, 0.1), seeds(0.5, 0.6), seeds(0.5, 0.6))[-1].sentence
    assert both.startswith("At step 3 the generators of seeds 3, 4 miss 50% [48, 52] and 60% [58, 62] of")
    # A bound is no estimate, and a range of the two would be neither.
    bound = judge({"missing-mass": 0.2}, seeds(0.1, 0.1), *2 * [{**seeds(0.5, 0.0), "missing-mass of seed 4": SURELY}])
    assert "of seeds 3, 4 miss 50% [48, 52] and at least 60% of the data (alarm" in bound[-1].sentence
    many = judge({"missing-mass": 0.2}, {f"missing-mass of seed {seed}": 0.3 + seed / 10 for seed in range(5)})[-1]
    assert "the generators of seeds 0, 1, 2, 3, 4 miss 28% to 72% of the data (alarm" in many.sentence
    mixed = judge({"missing-mass": 0.2}, seeds(0.1, 0.9), seeds(0.5, 0.9))[-1].sentence
    assert "the generator of seed 3 misses 50% [48, 52] of the data (alarm at 20%) and the generator of seed 4" in mixed
    assert "misses 90% [88, 92] of the data (alarm at 20%, not kept so far); if the next look" in mixed


# ---------------------------------------------------------------- thresholds


@pytest.mark.parametrize("name", ["missing", "Missing", "missing mass", "missing-mass", "missing_mass"])
def test_a_threshold_is_spelled_as_those_of_an_audit(name: str) -> None:
    from modecover.auditing.gates import KNOWN

    assert read_bounds({name: 0.2}) == {"missing-mass": 0.2}
    assert spelled(name) in KNOWN
    assert {*READINGS, *OTHERS} == {name for name in KNOWN if name in (*READINGS, *OTHERS)}
    assert parse_alarm([f"{name}=.2"]) == {name: 0.2}


def test_no_alarm_is_none_and_nothing() -> None:
    assert read_bounds(None) == {}
    assert parse_alarm([]) is parse_alarm(["none"]) is None


@pytest.mark.parametrize(
    ("alarm", "sentence"),
    [
        (0.2, "alarm is 0.2: give thresholds by name"),
        ({"mising": 0.2}, "there is no number 'mising' (did you mean 'missing-mass'?)"),
        ({"imbalance": 0.2}, "watched for missing-mass alone; audit what it made with --fail-over imbalance=X"),
        ({"missing": 20}, "missing=20: a threshold is a share from 0 to below 1"),
        ({"missing": -0.1}, "missing=-0.1: a threshold is a share from 0 to below 1"),
        ({"missing": "much"}, "alarm missing is 'much': give a number"),
        ({"missing": True}, "alarm missing is True: give a number"),
        ({"missing": math.nan}, "alarm missing is nan: give a finite number"),
        ({"missing": 0.2, "missing mass": 0.3}, "comes after missing-mass=0.2: set one threshold"),
        ({1: 0.2}, "a name in alarm is 1: give a text"),
    ],
)
def test_bad_thresholds_are_one_sentence(alarm: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        modecover.train("gan", "ring", tmp_path / "run", alarm=alarm, steps=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("missing", "--alarm missing is no threshold: give a name and a share, such as missing=0.2"),
        ("missing=", "--alarm missing= is no threshold"),
        ("=0.2", "--alarm =0.2 is no threshold"),
        ("missing=nan", "--alarm missing=nan is no threshold"),
        ("missing=0.2 --alarm none", "--alarm none is no threshold"),
        ("missing=0.2 --alarm missing-mass=0.3", "--alarm missing-mass=0.3 comes after another one on missing-mass"),
        ("copying=0.2", "a run is watched for missing-mass alone"),
        ("missing=1", "The alarm missing=1: a threshold is a share from 0 to below 1"),
    ],
)
def test_bad_words_are_one_sentence(
    words: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    assert command(["train", "gan", "--data", "ring", "--alarm", *words.split(), "--out", out]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- runs


def setting(model: Any) -> float:
    return float(model.networks["G"].setting)


@dataclass
class Notes(Listener):
    said: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        self.said.append(sentence)

    def stepped(self, step: int, steps: int) -> None:
        self.said.append(f"step {step}")


@pytest.mark.parametrize("folder", [True, False])
def test_a_run_that_collapses_is_stopped_and_its_last_good_model_kept(folder: bool, tmp_path: Path) -> None:
    out = tmp_path / "run" if folder else None
    run = turn(COLLAPSES, out)
    # The dial stands at a hundredth of the step: one mode at step 10, eight from 20, two from 70 on.
    assert (run.step, run.finished, run.interrupted, run.alarmed) == (60, False, False, True)
    assert run.alarm.sentence.startswith("At step 80 the generator misses 7")
    assert run.alarm.sentence.endswith("the run was stopped, and the model of step 60, which missed 0%, is kept.")
    assert setting(run.models[0]) == pytest.approx(0.6, abs=1e-4)
    assert run.evaluations[-1][0] == 60
    assert run.last[0]["modes_any"] == 8
    if out is None:
        return
    assert max(path.name for path in (out / "checkpoints").iterdir()) == "checkpoint-000000060.safetensors"
    model = modecover.load(out, networks={"G": Dial(COLLAPSES)})
    assert setting(model) == setting(run.models[0])
    assert model.training_facts["step"] == 60
    looks = [(row["step"], row["alarm"]["missing_mass"][0]) for row in read_log(out) if "alarm" in row]
    assert [step for step, _ in looks] == list(range(10, 90, 10))
    shares = [7 / 8, *[0.0] * 5, 6 / 8, 6 / 8]
    assert [share for _, share in looks] == pytest.approx(shares, abs=0.03)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["alarm"] == {"tripped": True, "sentence": run.alarm.sentence}
    assert (summary["finished"], summary["steps"]) == (False, 60)


def test_the_same_call_says_the_same_and_trains_no_further(tmp_path: Path) -> None:
    first = turn(COLLAPSES, tmp_path)
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "run.json"}
    notes = Notes()
    again = turn(COLLAPSES, tmp_path, listener=notes)
    assert again.alarm == first.alarm
    assert (again.step, again.alarmed, again.control) == (60, True, first.control)
    assert not any(said.startswith("step") for said in notes.said)
    assert all(path.read_bytes() == content for path, content in kept.items() if path.name != ".lock")


@pytest.mark.parametrize("alarm", [None, {"missing": 0.9}])
def test_without_the_alarm_or_with_another_threshold_it_goes_on_from_the_good_model(
    alarm: dict[str, float] | None, tmp_path: Path
) -> None:
    turn(COLLAPSES, tmp_path)
    run = turn(COLLAPSES, tmp_path, alarm=alarm)
    whole = turn(COLLAPSES, alarm=None)
    assert (run.step, run.finished, run.alarmed) == (120, True, False)
    assert setting(run.models[0]) == setting(whole.models[0])
    assert [step for step, _ in run.evaluations] == [step for step, _ in whole.evaluations]
    assert [row["step"] for row in read_log(tmp_path) if "losses" in row] == [1, *range(5, 121, 5)]
    assert json.loads((tmp_path / "summary.json").read_text())["finished"] is True


def test_the_good_checkpoint_outlives_later_ones(tmp_path: Path) -> None:
    class Folder(Listener):
        def saved(self, step: int) -> None:
            names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
            seen.append([int(name[11:20]) for name in names])

    seen: list[list[int]] = []
    turn(COLLAPSES, tmp_path, checkpoint_every=3, listener=Folder())
    assert [60, 75, 78] in seen
    assert seen[-1][-1] == 60


def test_a_healthy_run_does_not_trip_and_has_bit_for_bit_the_same_weights(tmp_path: Path) -> None:
    quick: dict[str, Any] = {"steps": 200, "batch": 32, "seeds": 2, "evaluate_samples": 100, "log_every": 50}
    settings = {**quick, "ema": 0.9, "evaluate_every": 20, "lr": 2e-3}
    watched = modecover.train("vae", "ring:std=0.3", tmp_path / "watched", alarm={"missing": 0.5}, **settings)
    alone = modecover.train("vae", "ring:std=0.3", tmp_path / "alone", **settings)
    assert watched.alarm is not None and alone.alarm is None
    assert watched.finished and not watched.alarmed
    assert watched.alarm.kept
    states = [load_newest(tmp_path / name / "checkpoints") for name in ("watched", "alone")]
    one, other = (state.tensors for state in states if state is not None)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert set(watched.alarm.numbers) == {"missing-mass of seed 0", "missing-mass of seed 1"}
    rows = [row["alarm"] for row in read_log(tmp_path / "watched") if "alarm" in row]
    assert len(rows) == 10
    assert all(len(row["missing_mass"]) == 2 for row in rows)


def test_a_run_that_never_keeps_the_threshold_runs_on_and_is_reported(tmp_path: Path) -> None:
    run = turn(NEVER, tmp_path, steps=40)
    assert run.alarm is not None
    assert (run.step, run.finished, run.alarmed, run.alarm.tripped) == (40, True, True, False)
    assert "of the data (alarm at 20%, not kept so far)." in run.alarm.sentence
    again = turn(NEVER, tmp_path, steps=40)
    assert (again.alarmed, again.alarm) == (True, run.alarm)
    longer = turn(NEVER, tmp_path, steps=60)
    assert (longer.step, longer.alarmed) == (60, True)
    assert not turn(NEVER, tmp_path, steps=60, alarm=None).alarmed
    assert turn(NEVER, tmp_path, steps=60, alarm={"missing": 0.5}).alarmed
    assert not turn(NEVER, tmp_path, steps=60, alarm={"missing": 0.8}).alarmed


def test_a_collapse_that_the_last_step_shows_is_looked_at_twice_there(tmp_path: Path) -> None:
    run = turn(COLLAPSES, tmp_path, steps=70)
    assert run.alarm is not None
    assert (run.step, run.finished, run.alarm.tripped) == (60, False, True)
    assert run.alarm.sentence.startswith("At step 70 the")
    assert run.alarm.sentence.endswith(" (alarm at 20%); the model of step 60, which missed 0%, is kept.")
    assert turn(COLLAPSES, tmp_path, steps=70).alarm == run.alarm


def test_one_of_several_seeds_stops_the_run_and_is_named(tmp_path: Path) -> None:
    plans = iter([HEALTHY, COLLAPSES])
    networks: dict[str, Any] = {"G": lambda: Seeded(next(plans)), "D": Judge}
    settings = {**DIAL, "seeds": 2, "seed": 5, "alarm": {"missing": 0.2}}
    run = modecover.train(Turning(), "ring", tmp_path, networks=networks, **settings)
    assert run.alarm is not None and run.alarm.tripped
    assert "At step 80 the generator of seed 6 misses" in run.alarm.sentence
    assert "seed 5" not in run.alarm.sentence
    assert [model.training_facts["step"] for model in run.models] == [60, 60]
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["seed-5", "seed-6"]


class Seeded(nn.Module):
    """As a dial, of tensors alone, so that several can be stacked."""

    def __init__(self, plan: tuple[tuple[float, int], ...]):
        super().__init__()
        starts, counts = zip(*(plan + ((9.0, 1),) * (3 - len(plan))), strict=True)
        self.register_buffer("starts", torch.tensor(starts))
        self.register_buffer("counts", torch.tensor(counts, dtype=torch.float32))
        self.setting = nn.Parameter(torch.zeros(()))

    def forward(self, z: Tensor) -> Tensor:
        reached = (self.setting.detach() >= self.starts).float()
        last = reached * torch.arange(1.0, 4.0)
        modes = (self.counts * (last == last.max()).float()).sum()
        angle = torch.floor(torch.special.ndtr(z[:, 0]) * modes) * (2 * math.pi / 8)
        rows = torch.stack([angle.cos(), angle.sin()], dim=1) + 0.01 * z[:, 1:]
        return rows + (self.setting - self.setting.detach())


def test_a_stopped_run_that_is_taken_up_trips_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    class Stop(Listener):
        def __init__(self, at: int):
            self.at = at

        def stepped(self, step: int, steps: int) -> None:
            if step == self.at:
                signal.raise_signal(signal.SIGINT)

    whole = turn(COLLAPSES, tmp_path / "whole")
    # Between looks, behind the last good one, and between the two looks that set the alarm off.
    for at in (13, 25, 66, 75):
        run = turn(COLLAPSES, tmp_path / "parts", listener=Stop(at))
        assert (run.step, run.interrupted, run.alarmed) == (at, True, False)
    run = turn(COLLAPSES, tmp_path / "parts")
    assert run.alarm == whole.alarm
    assert setting(run.models[0]) == setting(whole.models[0])


def test_a_kill_between_the_alarm_and_the_end_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modecover.runs.records import RunFolder

    whole = turn(COLLAPSES, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "conclude", lambda *_: os.there_is_no_such_function)
        with pytest.raises(AttributeError):
            turn(COLLAPSES, tmp_path / "cut")
    assert not (tmp_path / "cut" / "summary.json").exists()
    run = turn(COLLAPSES, tmp_path / "cut")
    assert (run.alarm, run.step) == (whole.alarm, 60)
    assert modecover.load(tmp_path / "cut", networks={"G": Dial(COLLAPSES)}).training_facts["step"] == 60


TOGETHER = """
import os, pathlib, sys
from test_alarm import COLLAPSES, setting, turn
for out in ("run", "run"):
    run = turn(COLLAPSES, pathlib.Path(out))
    pathlib.Path(f"said-{os.environ['RANK']}").write_text(f"{run.step} {run.finished} {setting(run.models[0])}")
"""


def test_all_processes_go_back_together_and_say_the_same_again(tmp_path: Path) -> None:
    (tmp_path / "together.py").write_text(TOGETHER)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "together.py"]
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    done = subprocess.run(launch, capture_output=True, text=True, env=environment, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    one, two = ((tmp_path / f"said-{rank}").read_text() for rank in (0, 1))
    assert one == two
    assert one.startswith("60 False 0.59") or one.startswith("60 False 0.6")
    looks = [row["step"] for row in read_log(tmp_path / "run") if "alarm" in row]
    assert looks == list(range(10, 90, 10))


def test_an_alarm_that_cannot_see_says_so(tmp_path: Path) -> None:
    notes, few = Notes(), np.random.default_rng(0).normal(size=(12, 3))
    run = modecover.train("gan", few, alarm={"missing": 0.5}, steps=4, batch=4, width=8, listener=notes)
    assert BLIND in notes.said
    assert run.alarm is not None
    assert run.alarm.sentence == "At step 4 the generator misses an unknown share of the data (alarm at 50%)."
    with pytest.raises(UserError, match="There are 9 samples, and an alarm needs at least 10"):
        modecover.train("gan", few[:9], alarm={"missing": 0.5}, steps=4, batch=4, width=8)


def test_looks_keep_to_their_share_of_the_time_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a clock of the test's own, on which a step takes a second, a look three, and all else no time.
    monkeypatch.undo()
    now = [0.0]
    clock, look = SimpleNamespace(monotonic=lambda: now[0]), Watch.look

    class Ticking(Notes):
        def stepped(self, step: int, steps: int) -> None:
            now[0] += 1

    def slow(self: Watch, *given: Any, **named: Any) -> Any:
        now[0] += 3
        return look(self, *given, **named)

    for module in (loop, evaluation):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(Watch, "look", slow)
    notes = Ticking()
    quick: dict[str, Any] = {"steps": 300, "batch": 8, "width": 8, "evaluate_samples": 50, "sample_every": 0}
    modecover.train("gan", "ring", tmp_path, alarm={"missing": 0.99}, evaluate_every=1, listener=notes, **quick)
    # A fortieth of the time is 3 s after 120 s, for the look before the first step counts; and 6 s after 240 s, of
    # which one look took three. The last comes in any case, and a second time where it finds the threshold broken.
    assert [row["step"] for row in read_log(tmp_path) if "alarm" in row] == [120, 237, 300]
    assert notes.said.count(SKIPPED) == 1


def test_a_look_that_takes_long_is_told_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modecover.runs.alarm.SLOW_LOOK", 0.0)
    notes = Notes()
    modecover.train("gan", "ring", alarm={"missing": 0.5}, steps=2, batch=4, width=8, seeds=1, listener=notes)
    assert sum("each look of the alarm takes about " in said for said in notes.said) == 1


# ---------------------------------------------------------------- the command


BAD = "--data ring:std=0.3 --steps 200 --lr 2e-3 --lr-schedule 0:1,0.6:300 --evaluate-every 20 --sample-every 0".split()


def test_the_command_ends_with_4_and_says_the_same_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "gan", *BAD, "--alarm", "missing=0.5", "--out", str(tmp_path / "run")]
    assert command(words) == 4
    said = capsys.readouterr().out
    assert re.fullmatch(
        r"At step 160 the generator misses \S+% \[\S+, \S+\] of the data \(alarm at 50%\); the run was stopped, and "
        r"the model of step 120, which missed \S+%, is kept\.",
        said.splitlines()[0],
    )
    assert "with --alarm none, or another threshold, it trains on from there." in said
    good = modecover.load(tmp_path / "run")
    assert modecover.audit("ring:std=0.3", good, samples=2000).verdict("missing mass").effect.high < 0.5
    assert command(words) == 4
    assert capsys.readouterr().out.splitlines()[0] == said.splitlines()[0]
    assert command([*words[:-4], "--alarm", "none", *words[-2:]]) == 0
    assert modecover.load(tmp_path / "run").training_facts["step"] == 200


def test_exit_codes_stand_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command(["train", "gan", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "4 the alarm went off" in said
    assert "--alarm NAME=X" in said


def test_a_killed_command_is_taken_up_with_its_alarm(tmp_path: Path) -> None:
    words = "train gan --data ring --steps 2000 --batch 4 --width 4 --alarm missing=0.2 --checkpoint-every 20".split()
    words += f"--evaluate-every 100 --evaluate-samples 50 --sample-every 0 --out {tmp_path / 'run'}".split()
    process = killable.start(words, tmp_path / "output.txt")
    deadline = time.monotonic() + 180
    log = tmp_path / "run" / "log.jsonl"
    while "alarm" not in (log.read_text() if log.exists() else "") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(timeout=180)
    looks = [row for row in read_log(tmp_path / "run") if "alarm" in row]
    assert command(words) == 4
    again = [row for row in read_log(tmp_path / "run") if "alarm" in row]
    assert again[: len(looks)][0] == looks[0]
    assert again[-1]["step"] == 2000


# ---------------------------------------------------------------- other people's loops


def test_an_alarm_in_a_plain_loop_stops_it(tmp_path: Path) -> None:
    alarm = modecover.Alarm(ring_rows(8, 4000, 0), {"missing": 0.2}, samples=1000)
    network = nn.Linear(2, 2)
    scale = nn.Parameter(torch.tensor(1.0))
    optimizer = torch.optim.SGD([scale], lr=0.05)
    good, found, step = None, None, 0
    for step in range(0, 100, 10):
        loss = scale  # a generator that shrinks to a point
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            found = alarm.check(lambda n, seed: float(scale > 0.8) * ring_rows(8, n, seed), step=step)
        if found.kept:
            good = step
        if found.tripped:
            break
    del network
    assert found is not None and found.tripped
    assert (good, step) == (20, 40)
    assert found.numbers["missing-mass"].low > 0.9
    assert found.sentence.endswith("(alarm at 20%); the model of step 20, which missed 0%, is the last that kept it.")


def test_the_loop_of_the_docs_stops_and_keeps_the_good_generator(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[1] / "docs" / "train.md").read_text("utf-8")
    block, *_ = re.findall(r"```python\n(.*?)```", page.split("## An alarm")[1], re.DOTALL)
    generator = Dial(((0, 8), (3000, 2)))

    def train_step() -> None:
        generator.setting.data += 1

    def sample(count: int, seed: int) -> Tensor:
        return generator(torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)))

    names: dict[str, Any] = {"real": ring_rows(8, 4000, 0), "steps": 9000, "generator": generator}
    exec(block, {**names, "train_step": train_step, "sample": sample}, names)
    assert names["step"] == 4000
    assert names["good"].setting.item() == 2001
    assert capsys.readouterr().out.startswith("At step 4,000 the generator misses 7")


def test_an_alarm_goes_on_from_its_state() -> None:
    real = ring_rows(8, 2000, 0)
    first = modecover.Alarm(real, {"missing": 0.2}, samples=1000)
    first.check(ring_rows(8, 1000, 1))
    assert first.check(ring_rows(2, 1000, 2)).sentence.startswith("At check 2 the generator misses 7")
    second = modecover.Alarm(real, {"missing": 0.2}, samples=1000)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.check(ring_rows(2, 1000, 3)).tripped
    with pytest.raises(UserError, match="other thresholds"):
        modecover.Alarm(real, {"missing": 0.3}, samples=1000).load_state_dict(first.state_dict())


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"nosuch": 5}, "give what state_dict of an alarm gave"),
        ({"armed": 5}, "armed of the state is 5: give a list"),
        ({"in_a_row": [1]}, "in_a_row of the state is [1]: give a dict"),
        ({"looks": "x"}, "looks of the state is 'x': give a whole number"),
        ({"good": 5}, "good of the state is 5: give a dict"),
    ],
)
def test_a_damaged_state_is_one_sentence(changed: dict[str, Any], sentence: str) -> None:
    alarm = modecover.Alarm(ring_rows(8, 400, 0), {"missing": 0.2}, samples=100)
    before = alarm.state_dict()
    with pytest.raises(UserError, match=re.escape(sentence)):
        alarm.load_state_dict({**before, **changed})
    with pytest.raises(UserError, match="give what state_dict of an alarm gave"):
        alarm.load_state_dict({"bounds": before["bounds"]})
    assert alarm.state_dict() == before


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda real: modecover.Alarm(real, {"missing": 0.2}, fake_options={"sise": 8}), "no option 'sise'"),
        (lambda real: modecover.Alarm(real, {}), "An alarm needs a threshold"),
        (lambda real: modecover.Alarm(real, {"shrink": 0.2}), "a run is watched for missing-mass alone"),
        (lambda real: modecover.Alarm(real[:9], {"missing": 0.2}), "There are 9 real samples; an alarm needs"),
        (lambda real: modecover.Alarm(real, {"missing": 0.2}, samples=5), "samples is 5: give at least 10"),
        (lambda real: modecover.Alarm(real, {"missing": 0.2}, features="pxels"), "no features called 'pxels'"),
        (lambda real: modecover.Alarm(real, {"missing": 0.2}).check(real[:900]), "was given 900: give as many"),
        (lambda real: modecover.Alarm(real, {"missing": 0.2}).check(real[:, :1]), "are 2 numbers, the generated ones"),
        (lambda real: modecover.Alarm(real, {"missing": 0.2}).check(real * math.nan), "NaN or infinity"),
        (lambda real: modecover.Alarm(real, {"missing": 0.2}).check(real, step=-1), "step is -1: give at least 0"),
    ],
)
def test_what_an_alarm_cannot_use_is_one_sentence(call: Callable[[Tensor], Any], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        call(ring_rows(8, 4000, 0))
