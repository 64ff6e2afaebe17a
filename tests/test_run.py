"""Runs: what they write, how they resume, how they stop, and what they refuse."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import killable
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import modecover
from modecover.data import open_data
from modecover.engine.finite import NonFiniteError
from modecover.errors import UserError
from modecover.runs import checkpoint, evaluation, loop
from modecover.runs.listener import Listener
from modecover.runs.log import read_log, with_numbers
from modecover.runs.run import train

SMALL: dict[str, Any] = {"width": 8, "batch": 16, "log_every": 5, "evaluate_samples": 200}


def newest(run: Path) -> dict[str, Tensor]:
    found = checkpoint.load_newest(run / "checkpoints")
    assert found is not None
    return found.tensors


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_leaves_what_it_promises_and_its_model_needs_nothing_else(tmp_path: Path) -> None:
    run = train("ivlsgan", "ring", tmp_path / "run", steps=20, seeds=2, **SMALL)
    assert run.finished and len(run.models) == 2 and len(run.last) == 2
    rows = read_log(tmp_path / "run")
    assert [row["step"] for row in rows if "losses" in row] == [1, 5, 10, 15, 20]
    assert {"D/real", "D/classifier", "G/intervention", "E/latent"} <= rows[0]["losses"].keys()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert repr(with_numbers(summary["last"])) == repr(run.last)  # by text: NaN is not equal to itself
    assert summary["control"]["modes_many"] == 8
    assert summary["best"][0]["step"] in range(2, 21)
    assert (tmp_path / "run" / "samples" / "step-000000020.png").stat().st_size > 1000
    for seed in (0, 1):
        loaded = modecover.load(tmp_path / "run", seed=seed)
        assert torch.equal(loaded.sample(5, seed=7), run.models[seed].sample(5, seed=7))
    assert not torch.equal(run.models[0].sample(5), run.models[1].sample(5))
    assert repr(run) == f"Run({run.method.title!r}, step=20, seeds=2, finished=True, folder={str(run.folder)!r})"


def test_nothing_is_written_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = train("gan", np.random.default_rng(0).normal(size=(100, 2)), steps=3, batch=16, width=8)
    assert run.sample(4).shape == (4, 2)
    assert list(tmp_path.iterdir()) == []


class StopAt(Listener):
    """Sends this process Ctrl-C at a step."""

    def __init__(self, step: int):
        self.at = step
        self.resumed_at: int | None = None

    def stepped(self, step: int, steps: int) -> None:
        if step == self.at:
            os.kill(os.getpid(), signal.SIGINT)

    def resumed(self, step: int) -> None:
        self.resumed_at = step


def test_ctrl_c_saves_and_the_same_call_goes_on_bitwise(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)  # a background job of a shell ignores it
    settings = {**SMALL, "steps": 30, "ema": 0.9, "instance_noise": "0:0.1,1~0"}
    straight = train("ivdcgan", "ring", tmp_path / "straight", **settings)
    stopped = train("ivdcgan", "ring", tmp_path / "cut", listener=StopAt(13), **settings)
    assert not stopped.finished
    assert modecover.load(tmp_path / "cut").sample(3).shape == (3, 2)
    listener = StopAt(-1)
    resumed = train("ivdcgan", "ring", tmp_path / "cut", listener=listener, **settings)
    assert listener.resumed_at == 13 and resumed.finished
    assert equal(newest(tmp_path / "cut"), newest(tmp_path / "straight"))
    assert [r["step"] for r in read_log(tmp_path / "cut") if "losses" in r] == [
        r["step"] for r in read_log(tmp_path / "straight") if "losses" in r
    ]
    assert repr(resumed.last) == repr(straight.last)
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    train("gan", "ring", tmp_path / "run", steps=10, **SMALL)
    before = newest(tmp_path / "run")
    assert train("gan", "ring", tmp_path / "run", steps=10, **SMALL).finished
    assert equal(newest(tmp_path / "run"), before)
    train("gan", "ring", tmp_path / "run", steps=14, **SMALL)  # steps may grow
    assert int(newest(tmp_path / "run")["step"]) == 14


def test_a_finished_run_keeps_the_circumstances_of_its_numbers(tmp_path: Path) -> None:
    first = train("gan", "ring", tmp_path / "run", steps=10, **SMALL)
    file = tmp_path / "run" / "summary.json"
    summary = {**json.loads(file.read_text()), "commit": "of the first start"}
    file.write_text(json.dumps(summary))
    drawn = (tmp_path / "run" / "curves.png").stat().st_mtime_ns
    again = train("gan", "ring", tmp_path / "run", steps=10, **SMALL)
    assert again.finished and again.control == first.control
    assert [repr(sorted(row.items())) for row in again.last] == [repr(sorted(row.items())) for row in first.last]
    assert len(again.models) == len(first.models)
    assert json.loads(file.read_text()) == summary
    assert (tmp_path / "run" / "curves.png").stat().st_mtime_ns == drawn
    file.write_text("{half of it")  # as where the first start was killed at its end
    train("gan", "ring", tmp_path / "run", steps=10, **SMALL)
    assert json.loads(file.read_text())["control"] == summary["control"]


def test_looking_and_evaluating_never_change_training(tmp_path: Path) -> None:
    busy = {**SMALL, "steps": 12, "seeds": 2, "sample_every": 1, "evaluate_every": 1, "checkpoint_every": 1}
    quiet = {**SMALL, "steps": 12, "seeds": 2, "sample_every": 0, "evaluate_every": 0, "log_every": 12}
    train("mdgan", "ring", tmp_path / "busy", networks="pacgan", **busy)
    train("mdgan", "ring", tmp_path / "quiet", networks="pacgan", **quiet)
    assert equal(newest(tmp_path / "busy"), newest(tmp_path / "quiet"))


@pytest.mark.parametrize(("share", "looks"), [(0.0, 1), (1e9, 9)])
def test_looking_by_default_keeps_to_its_share_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, looks: int
) -> None:
    monkeypatch.setattr(evaluation, "SHARE", share)
    notes: list[str] = []

    class Notes(Listener):
        def note(self, sentence: str) -> None:
            notes.append(sentence)

    train("gan", "ring", tmp_path / "default", steps=20, listener=Notes(), **SMALL)
    assert sum("some are skipped" in sentence for sentence in notes) == (looks < 9), "said once, where it is so"
    train("gan", "ring", tmp_path / "asked", steps=20, sample_every=2, evaluate_every=4, **SMALL)
    for name, pictures, evaluations in (("default", looks + 1, looks + 1), ("asked", 10, 5)):
        assert len(list((tmp_path / name / "samples").iterdir())) == pictures
        assert sum("evaluation" in row for row in read_log(tmp_path / name)) == evaluations


@pytest.mark.parametrize("has_bf16", [True, False])
def test_bf16_on_a_processor_without_its_instructions_is_told_to_be_slow(
    monkeypatch: pytest.MonkeyPatch, has_bf16: bool
) -> None:
    monkeypatch.setattr("modecover.runs.run.multiplies_bf16", lambda: has_bf16)
    notes: list[str] = []

    class Notes(Listener):
        def note(self, sentence: str) -> None:
            notes.append(sentence)

    for precision in ("fp32", "bf16"):
        train("gan", "ring", steps=2, precision=precision, device="cpu", listener=Notes(), **SMALL)
    told = [sentence for sentence in notes if "no instructions for bf16" in sentence]
    assert len(told) == (not has_bf16), "of the run in bf16 alone, and only where it is so"


def test_an_interlude_waits_until_it_has_its_share_again() -> None:
    by_default = evaluation.Interlude(every=None, default=5)
    assert [step for step in range(1, 16) if by_default.falls_on(step)] == [5, 10, 15]
    assert by_default.has_time(0.0)
    with by_default.timed():
        time.sleep(0.05)
    assert 0.05 <= by_default.seconds < 5
    by_default.seconds = 1.0
    assert (by_default.has_time(39.0), by_default.has_time(41.0)) == (False, True)
    assert evaluation.Interlude(every=2, default=5, seconds=9.0).has_time(1.0)
    assert not any(evaluation.Interlude(every=0, default=5).falls_on(step) for step in range(20))


def test_pictures_come_early_by_default_and_not_where_an_interval_is_asked_for() -> None:
    def steps(every: int | None) -> list[int]:
        return [step for step in range(1, 61) if evaluation.Interlude(every, default=25, first=4).falls_on(step)]

    assert steps(None) == [4, 8, 16, 25, 50]
    assert steps(20) == [20, 40, 60]
    assert steps(0) == []


def test_a_run_that_the_clock_ends_is_judged_early_and_has_a_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A clock on which a millisecond passes whenever it is read: a machine that stands still ends no run here.
    clock = itertools.count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(clock) / 1000))
    train("gan", "ring", tmp_path, steps=10**6, minutes=1 / 30, **SMALL)
    judged = [row["step"] for row in read_log(tmp_path) if "evaluation" in row]
    assert judged[0] == 32 and len(judged) > 2 and judged[-1] < 2_000
    assert set(judged[:-1]) <= {32 * 2**place for place in range(20)}


def test_changed_settings_are_named_and_nothing_is_lost(tmp_path: Path) -> None:
    train("wgan-gp", "ring", tmp_path / "run", steps=3, critic_steps=2, **SMALL)
    before = newest(tmp_path / "run")
    with pytest.raises(UserError, match=r"penalty was 10\.0 and is now 5\.0"):
        train("wgan-gp", "ring", tmp_path / "run", steps=3, critic_steps=2, penalty=5, **SMALL)
    with pytest.raises(UserError, match=r"lr was .* and is now 0\.1"):
        train("wgan-gp", "ring", tmp_path / "run", steps=3, critic_steps=2, lr=0.1, **SMALL)
    with pytest.raises(UserError, match="data was"):
        train("wgan-gp", "grid", tmp_path / "run", steps=3, critic_steps=2, **SMALL)
    assert equal(newest(tmp_path / "run"), before)


class Explodes(nn.Module):
    """A generator whose output becomes infinite at its fifth training step."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.calls = 0

    def forward(self, z: Tensor) -> Tensor:
        self.calls += self.training
        return self.linear(z) * (float("inf") if self.calls == 5 else 1.0)


def test_the_first_non_finite_loss_stops_training_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match=r"step 4: the loss term 'fake' of D is not a finite number"):
        train("gan", "ring", tmp_path / "run", networks={"G": Explodes()}, steps=9, checkpoint_every=2, **SMALL)
    state = newest(tmp_path / "run")
    assert int(state["step"]) == 4
    assert all(value.isfinite().all() for value in state.values())


def test_a_non_finite_gradient_names_network_and_seed() -> None:
    from tiny import engine_of

    engine = engine_of("gan", (5, 9))
    D = engine.networks["D"]
    with torch.no_grad():
        D.get_parameter("body.adversarial_head.weight")[1] = 1e200  # finite losses, overflowing squares
    weight = D.get_parameter("body.layers.0.weight")
    weight.register_hook(lambda g: torch.cat([g[:1], g[1:] * float("inf")]))
    before = weight.clone()
    with pytest.raises(NonFiniteError, match=r"step 0: .* D .*not a finite number"):
        engine.step()
    assert torch.equal(weight, before)


@pytest.mark.parametrize(
    ("method", "settings", "words"),
    [
        ("gann", {}, "did you mean 'gan'"),
        ("gan", {"lrr": 1}, "did you mean 'lr'"),
        ("gan", {"steps": 0}, "steps is 0: it must be at least 1"),
        ("gan", {"steps": 2.5}, "steps is 2.5: give a whole number"),
        ("gan", {"loss": "hinge"}, "choose nonsaturating or minimax"),
        ("ivlsgan", {"k": 3, "latent": 4}, "k = 3 equal blocks do not divide 4 latent dimensions: use k = 2, 4"),
        ("ivlsgan", {"intervention": "blok"}, "choose block, cumulative, radial, svgd or identity"),
        ("gan", {"lr_schedule": "1:1,0.5:0"}, "fractions must rise"),
        ("gan", {"batch": 10, "accumulate": 3}, "choose an accumulate that divides it"),
        ("gan", {"networks": "dcgan"}, "DCGAN networks need images"),
        ("gan", {"preset": "paper"}, "gan has no preset 'paper': it has none"),
        ("ivlsgan", {"preset": "offical"}, "choose paper, official or official-stacked"),
        ("gan", {"protocol": "veegans"}, "There is no protocol 'veegans'"),
    ],
)
def test_bad_settings_are_one_sentence(method: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        train(method, "ring", **settings)
    assert "\n" not in str(caught.value)


def test_a_folder_of_others_and_a_damaged_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("do not touch")
    with pytest.raises(UserError, match=r"no run folder .*thesis\.tex"):
        train("gan", "ring", tmp_path / "mine", steps=2, **SMALL)
    train("gan", "ring", tmp_path / "run", steps=8, checkpoint_every=4, **SMALL)
    last = tmp_path / "run" / "checkpoints" / "checkpoint-000000008.safetensors"
    last.write_bytes(last.read_bytes()[:-100])
    listener = StopAt(-1)
    with pytest.warns(UserWarning, match="Damaged"):
        train("gan", "ring", tmp_path / "run", steps=8, checkpoint_every=4, listener=listener, **SMALL)
    assert listener.resumed_at == 4


def test_own_networks_play_any_role_and_shape_errors_help() -> None:
    own = {"G": nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)), "D": nn.Linear(2, 1)}
    assert train("gan", "ring", networks=own, steps=3, batch=16).sample(3).shape == (3, 2)
    makers = {"G": lambda: nn.Linear(2, 2)}
    assert len(train("gan", "ring", networks=makers, steps=3, seeds=2, batch=16).models) == 2
    with pytest.raises(UserError, match=r"G returned shape \(2, 3\) .* needs \(2, 2\)"):
        train("gan", "ring", networks={"G": nn.Linear(2, 3)}, steps=3)
    with pytest.raises(UserError, match="a function that makes it"):
        train("gan", "ring", networks={"G": nn.Linear(2, 2)}, steps=3, seeds=2)
    with pytest.raises(UserError, match="no network named 'F'"):
        train("gan", "ring", networks={"F": nn.Linear(2, 2)}, steps=3)


def test_images_are_resized_for_networks_of_ours_and_left_as_they_are_for_your_own() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 10, 10), dtype=np.uint8)
    own: dict[str, nn.Module] = {
        "G": nn.Sequential(nn.Linear(3, 100), nn.Unflatten(1, (1, 10, 10))),
        "D": nn.Sequential(nn.Flatten(), nn.Linear(100, 1)),
    }
    small: dict[str, Any] = {"steps": 1, "batch": 4, "latent": 3}
    assert train("gan", images, networks=own, **small).sample(2).shape == (2, 1, 10, 10)
    assert train("gan", images, width=4, **small).sample(2).shape == (2, 1, 16, 16)
    assert train("gan", open_data(images), width=4, **small).sample(2).shape == (2, 1, 16, 16)
    assert train("gan", images, networks="mlp", width=4, **small).sample(2).shape == (2, 1, 10, 10)
    with pytest.raises(UserError, match="these are 10x10: open the data with size=16"):
        train("gan", images, size=10, width=4, **small)


COMMAND = "train gan --data ring --steps 300 --seeds 2 --batch 8 --width 4 --checkpoint-every 3 --log-every 50"
COMMAND += " --evaluate-every 0 --evaluate-samples 50 --sample-every 0"


def test_ten_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    """SIGKILL, resume, ten times: the last checkpoint equals that of a run that was left alone, bitwise."""
    cut, straight, output = tmp_path / "cut", tmp_path / "straight", tmp_path / "output.txt"
    draw = random.Random(0)
    steps = []
    for _ in range(10):
        process = killable.start([*COMMAND.split(), "--out", str(cut)], output)
        before = files_in(cut)
        while process.exitcode is None and files_in(cut) == before:  # until it has come as far as a new checkpoint
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.1))  # some steps take a millisecond, a checkpoint a few
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, output.read_text()
        steps.append(int(newest(cut)["step"]))
    assert steps == sorted(set(steps)) and steps[-1] < 300, "every start went on from where the last was killed"
    for out in (cut, straight):
        process = killable.start([*COMMAND.split(), "--out", str(out)], output)
        process.join(timeout=120)
        assert process.exitcode == 0, output.read_text()
        assert int(newest(out)["step"]) == 300
    assert equal(newest(cut), newest(straight))


def files_in(run: Path) -> set[str]:
    """The names of a run's whole checkpoints."""
    return {path.name for path in (run / "checkpoints").glob("*.safetensors")}


def test_training_in_a_thread_leaves_signals_alone() -> None:
    done: list[bool] = []
    worker = threading.Thread(target=lambda: done.append(train("gan", "ring", steps=2, batch=16, width=8).finished))
    worker.start()
    worker.join(timeout=180)
    assert done == [True]


def test_a_run_that_left_no_checkpoint_begins_anew_and_says_so(tmp_path):
    heard = []

    class Heard(Listener):
        def note(self, sentence: str) -> None:
            heard.append(sentence)

    first = train("gan", "ring", tmp_path, steps=4, **SMALL)
    for path in (tmp_path / "checkpoints").iterdir():
        path.unlink()  # as where a machine went down in the first seconds
    again = train("gan", "ring", tmp_path, steps=4, listener=Heard(), **SMALL)
    assert any("left no checkpoint, so that it begins anew" in sentence for sentence in heard)
    assert torch.equal(first.sample(9), again.sample(9))
