"""`train`, `sample` and `evaluate` from end to end on a small run, and what the display shows of it."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import killable
import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

import modecover
from modecover.cli import main as command
from modecover.cli.models import open_again, without_nan
from modecover.cli.parser import add_flags
from modecover.cli.terminal import Display, by_network, print_evaluation, shown, summary
from modecover.cli.train import train_parser
from modecover.data import open_data
from modecover.errors import UserError
from modecover.methods import registry
from modecover.runs.settings import Settings

SMALL = "--data ring --steps 12 --batch 8 --width 8 --evaluate-samples 200 --seeds 2 --seed 3".split()
SMALL += "--evaluate-every 6 --sample-every 6".split()


def say(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = command([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `ivlsgan` with seeds 3 and 4."""
    folder = tmp_path_factory.mktemp("runs") / "ring"
    assert command(["train", "ivlsgan", *SMALL, "--k", "2", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on images: 16x16, grey."""
    folder = tmp_path_factory.mktemp("runs")
    pixels = np.random.default_rng(0).integers(0, 256, (20, 16, 16), dtype=np.uint8)
    np.savez(folder / "two.npz", a=pixels, b=pixels[:10])
    words = f"train gan --data {folder}/two.npz --key a --steps 2 --batch 4 --width 4 --latent 3 --out {folder}/run"
    assert command(words.split()) == 0
    return folder / "run"


# ---------------------------------------------------------------- train


@pytest.mark.parametrize("name", registry.names())
def test_every_setting_of_every_method_is_a_flag_with_help(name):
    method = registry.get(name)
    own = {field.name for field in _fields(method)}
    shared = {field.name for field in _fields(Settings)}
    assert not own & shared, "a method's setting may not hide one of training"
    actions = {action.dest: action for action in train_parser(name, method)._actions}
    assert own | shared <= actions.keys()
    assert all(len(actions[setting].help or "") > 10 for setting in own | shared)


def _fields(cls):
    import dataclasses

    return dataclasses.fields(cls)


def test_train_passes_on_what_was_said_and_nothing_else(trained):
    run = json.loads((trained / "run.json").read_text())
    said = {"steps": 12, "batch": 8, "width": 8, "evaluate_samples": 200, "seeds": 2, "seed": 3, "method.k": 2}
    assert run["method"] == "ivlsgan"
    assert {name: run["settings"][name] for name in said} == said
    assert run["settings"]["method.mu_G"] == registry.get("ivlsgan")().mu_G


def test_the_same_command_again_resumes_and_another_is_refused(trained, capsys):
    before = modecover.load(trained, seed=4).sample(5)
    code, said, progress = say(capsys, "train", "ivlsgan", *SMALL, "--k", 2, "--out", trained)
    assert code == 0
    assert "Resumed at step 12." in progress
    assert "seed 3" in said and "seed 4" in said and "modes 8, samples 200" in said
    assert torch.equal(modecover.load(trained, seed=4).sample(5), before)
    code, said, error = say(capsys, "train", "ivlsgan", *SMALL, "--k", 2, "--mu_G", 0.75, "--out", trained)
    assert (code, said) == (2, "")
    assert error.count("\n") == 1
    assert "mu_G was 0.5 and is now 0.75" in error


def test_train_from_python_and_from_the_command_line_end_at_the_same_weights(trained):
    settings = {"steps": 12, "batch": 8, "width": 8, "evaluate_samples": 200, "seeds": 2, "seed": 3, "k": 2}
    run = modecover.train("ivlsgan", data="ring", **settings)
    assert torch.equal(run.models[1].sample(20), modecover.load(trained, seed=4).sample(20))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("gan --out x", "Missing: --data."),
        ("--data ring gan", "Name the method first"),
        ("ivlsgan --data digits --norm x", "There is no flag '--norm': did you mean --norm-D or --norm-E?"),
        ("r3gan --data ring --mu-G 0.1", "There is no flag '--mu-G': it is a setting of ivgan, ivdcgan, ivlsgan."),
        ("gna --data ring", "There is no method called 'gna': did you mean 'gan'?"),
        ("gan --data rign", "unknown data 'rign' (did you mean 'ring'?)"),
        ("gan --data ring --batch many", "--batch: 'many' is not a whole number."),
        ("gan --data ring --batch 0", "batch is 0: it must be at least 1."),
        ("gan --data ring --preset official", "gan has no preset 'official': it has none, so leave preset out."),
        ("gan --data ring --optimizer adamw", "--optimizer: 'adamw' is not one of adam, rmsprop, sgd."),
        ("gan --data ring --lr-schedule 1:0:1", "lr_schedule is '1:0:1'"),
        ("ivlsgan --data ring --latent 6 --k 4", "k = 4 equal blocks do not divide"),
        ("wgan --data ring --k 4", "There is no flag '--k'"),
    ],
)
def test_bad_settings_are_one_sentence_and_leave_nothing_behind(words, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said, error = say(capsys, "train", *words.split())
    assert (code, said) == (2, "")
    assert error.startswith(f"modecover: {sentence}")
    assert error.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_a_foreign_folder_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("work of years")
    code, _, error = say(capsys, "train", "gan", *SMALL, "--out", tmp_path)
    assert code == 2
    assert "thesis.tex" in error
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_loss_that_is_not_finite_is_a_failure_and_not_the_user_s_input(tmp_path, capsys):
    diverging = "--data ring --steps 50 --batch 8 --width 8 --optimizer sgd --lr 1e30 --lr-schedule 1".split()
    code, _, error = say(capsys, "train", "lsgan", *diverging, "--out", tmp_path / "run")
    assert code == 1
    last = error.splitlines()[-1]
    assert last.startswith("modecover: Training stopped at step")
    assert "not a finite number" in last


def test_dry_run_shows_schedule_and_sizes_and_keeps_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said, _ = say(capsys, "train", "wgan-gp", "--data", "ring", "--width", 8, "--batch", 8, "--dry-run")
    lines = dict(line.split(maxsplit=1) for line in said.splitlines())
    assert code == 0
    assert lines["schedule"] == f"D x{registry.get('wgan-gp')().critic_steps} -> G"
    # 2-8-8-2 and 2-8-8-1, with biases
    assert lines["networks"] == "G 114 weights, D 105 weights"
    assert "10,000 steps take about" in lines["cost"]
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("length", ["", "--minutes 60"])
def test_ctrl_c_keeps_a_checkpoint_and_the_same_command_goes_on(tmp_path, length):
    words = f"train gan --data ring --steps 1000000 {length} --batch 4 --width 4 --evaluate-samples 50 --log-every 1"
    process = killable.start([*words.split(), "--out", str(tmp_path / "run")], tmp_path / "output.txt")
    log = tmp_path / "run" / "log.jsonl"
    deadline = time.monotonic() + 180
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    process.join(timeout=180)
    said = (tmp_path / "output.txt").read_text()
    assert process.exitcode == 130, said
    done = len(log.read_text().splitlines()) - 1  # a line for each step, and one for the evaluation at the end
    assert f"Stopped after {done:,} of 1,000,000 steps, and saved in {tmp_path / 'run'}: the same command goes" in said
    assert list((tmp_path / "run" / "checkpoints").glob("*.safetensors"))
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert modecover.load(tmp_path / "run").sample(3).shape == (3, 2)


def test_the_end_of_the_minutes_is_no_failure_and_the_same_command_goes_on(tmp_path, capsys):
    words = "train gan --data ring --steps 1000000 --batch 4 --width 4 --evaluate-samples 50 --log-every 1".split()
    out = tmp_path / "run"
    stops = []
    for _ in range(2):
        code, said, _ = say(capsys, *words, "--sample-every", 0, "--evaluate-every", 0, "--minutes", 1e-3, "--out", out)
        assert code == 0
        stops.append(modecover.load(out).training_facts["step"])
        assert said.startswith(
            f"Stopped after {stops[-1]:,} of 1,000,000 steps, and saved in {out}: the same command goes on from here."
        )
    assert 0 < stops[0] < stops[1]


def test_only_the_first_of_several_processes_talks(tmp_path, capsys, monkeypatch):
    import modecover.runs.run as run

    listeners = []

    def train(*words: object, listener: object, **options: object) -> object:
        listeners.append(listener)
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "train", train)
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert say(capsys, "train", "gan", "--data", "ring", "--out", tmp_path)[0] == 130
    assert [type(listener).__name__ for listener in listeners] == ["Display", "Listener"]


# ---------------------------------------------------------------- sample and evaluate


def test_sample_writes_an_array_that_the_python_call_gives(trained, tmp_path, capsys):
    file = tmp_path / "new" / "samples.npy"
    code, said, _ = say(capsys, "sample", trained, "--of-seed", 4, "--count", 7, "--seed", 5, "--out", file)
    assert (code, said.strip()) == (0, str(file))
    assert np.array_equal(np.load(file), modecover.load(trained, seed=4).sample(7, seed=5).numpy())


def test_sample_draws_a_picture_into_the_run_folder(trained, capsys):
    code, said, error = say(capsys, "sample", trained)
    assert (code, said.strip()) == (0, str(trained / "samples.png"))
    assert "seeds 3, 4: this is the first; --of-seed N draws another" in error
    with Image.open(trained / "samples.png") as picture:
        assert min(picture.size) > 200


def test_sample_writes_single_images_pixel_for_pixel(images, tmp_path, capsys):
    assert say(capsys, "sample", images, "--count", 3, "--out", tmp_path / "many")[0] == 0
    expected = modecover.load(images).sample_images(3).numpy()
    (tmp_path / "file").touch()
    code, _, error = say(capsys, "sample", images, "--count", 3, "--out", tmp_path / "file")
    assert code == 2 and "file is a file, not a folder. Choose another place" in error
    names = sorted(path.name for path in (tmp_path / "many").iterdir())
    assert names == ["000000.png", "000001.png", "000002.png"]
    for name, pixels in zip(names, expected, strict=True):
        assert np.array_equal(np.asarray(Image.open(tmp_path / "many" / name)), pixels[0])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("nowhere", "nowhere does not exist"),
        ("RUN --of-seed 9", "has no seed 9: choose one of 3, 4."),
        ("RUN --count 0", "0 samples were asked for"),
        ("RUN --out a.jpg", "--out is a.jpg: give a name that ends in .png"),
        ("RUN --out folder", "are not single images"),
    ],
)
def test_sample_says_what_it_cannot_do(words, sentence, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _, error = say(capsys, "sample", *(trained if word == "RUN" else word for word in words.split()))
    assert code == 2
    assert sentence in error
    assert not any(tmp_path.iterdir())


def test_evaluate_judges_every_seed_and_the_real_data(trained, capsys):
    from modecover.metrics import mixture_modes

    code, said, _ = say(capsys, "evaluate", trained, "--samples", 300, "--json", "--no-audit")
    report = json.loads(said)
    assert code == 0
    assert list(report["models"]) == ["seed 3", "seed 4"]
    mixture = modecover.open_data("ring").mixture
    samples = modecover.load(trained, seed=4).sample(300)
    expected = mixture_modes(samples, mixture.centres, mixture.std)
    assert report["models"]["seed 4"]["modes_any"] == expected.modes_any
    assert report["models"]["seed 4"]["high_quality"] == expected.high_quality
    assert report["real data"]["modes_any"] == 8
    code, said, _ = say(capsys, "evaluate", trained, "--samples", 300, "--no-audit")
    rows = [line.split()[:2] for line in said.splitlines()]
    assert ["seed", "3"] in rows
    assert ["real", "data"] in rows


@pytest.mark.parametrize(
    ("which", "words", "sentence"),
    [
        ("trained", "--data digits", "The model makes samples of shape (2,), and digits has (1, 28, 28)"),
        ("images", "--no-audit", "two.npz are not known, so they cannot be counted: leave out --no-audit"),
        ("images", "--data digits --no-audit", "are not known, so they cannot be counted"),
    ],
)
def test_evaluate_says_what_it_cannot_judge(which, words, sentence, request, capsys):
    code, _, error = say(capsys, "evaluate", request.getfixturevalue(which), *words.split())
    assert code == 2
    assert sentence in error
    assert error.count("\n") == 1


def test_the_run_s_data_is_opened_again_with_the_options_it_was_opened_with(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ring = modecover.open_data("ring")
    points = ring.sample(100, torch.Generator().manual_seed(0)).numpy()
    np.savez("points.npz", a=points, b=points[:50])
    for folder, words in (("ring", "ring:modes=5,radius=1"), ("file", "points.npz --key b")):
        assert command(["train", "gan", *SMALL, "--data", *words.split(), "--out", folder]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    code, said, error = say(capsys, "evaluate", "../ring", "--samples", 100, "--json", "--no-audit")
    assert (code, error) == (0, "")
    assert json.loads(said)["facts"]["modes"] == 5

    recorded = json.loads(Path("../file/run.json").read_text())["data"]
    assert recorded["opened"] == {"source": str(tmp_path / "points.npz"), "key": "b"}
    model = modecover.load("../file", seed=3)
    assert model.data["opened"] == recorded["opened"]
    assert open_again(model, None, {}).fingerprint == recorded["fingerprint"]
    assert capsys.readouterr().err == ""
    np.savez("../points.npz", a=points, b=points[:49])
    assert open_again(model, None, {}).size == 49
    said = capsys.readouterr().err
    assert said == "Note: points.npz is no longer what the model was trained on; its content changed.\n"
    Path("../points.npz").unlink()
    with pytest.raises(UserError, match=r"cannot be opened again: say what it is .*there is no file"):
        open_again(model, None, {})


def test_data_from_memory_must_be_named_to_be_evaluated(tmp_path, capsys):
    points = modecover.open_data("ring").sample(64, torch.Generator().manual_seed(0))
    modecover.train("gan", points, tmp_path / "run", steps=2, batch=8, width=8)
    code, said, error = say(capsys, "evaluate", tmp_path / "run")
    assert (code, said) == (2, "")
    assert "say what it is (--data, data=...). It came from memory" in error
    assert say(capsys, "evaluate", tmp_path / "run", "--data", "ring", "--samples", 100, "--no-audit")[0] == 0


def test_a_run_goes_on_where_its_data_is_named_in_another_way(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("points.npy", np.random.default_rng(0).normal(size=(40, 2)))
    for source in ("points.npy", "./points.npy", tmp_path / "points.npy"):
        words = "gan --steps 2 --batch 8 --width 4 --out run --data".split()
        code, _, error = say(capsys, "train", *words, source)
        assert code == 0, error
    assert "Resumed at step 2." in error


def test_images_of_every_source_are_resized_for_dcgan_networks(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("two.npz", a=np.zeros((9, 3, 18, 20), np.uint8), b=np.zeros((9, 1, 3, 3), np.uint8))
    words = "gan --data two.npz --key a --layout nchw --channels 1 --steps 1 --batch 4 --width 4 --out run".split()
    code, _, progress = say(capsys, "train", *words)
    assert code == 0, progress
    assert "images of 18x20 are resized to 16x16" in progress
    opened = modecover.load("run").data["opened"]
    assert opened == {
        "source": str(tmp_path / "two.npz"),
        **{"size": 16, "channels": 1, "key": "a", "layout": "NCHW"},
    }
    assert modecover.open_data(**opened).fingerprint == modecover.load("run").data["fingerprint"]
    assert "shape (1, 16, 16)" in say(capsys, "train", *words, "--dry-run")[1]


def test_json_has_no_nan():
    assert without_nan({"a": {"kl": float("nan"), "modes": 0}, "b": "x"}) == {"a": {"kl": None, "modes": 0}, "b": "x"}


# ---------------------------------------------------------------- data check


def test_data_check_reports_the_data_and_saves_a_picture_where_it_is_asked_to(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pixels = np.zeros((5, 8, 8), np.uint8)
    pixels[:, :4] = 255
    np.save("halves.npy", pixels)
    code, said, _ = say(capsys, "data", "check", "halves.npy")
    assert (code, "picture" in said, os.listdir()) == (0, False, ["halves.npy"])
    code, said, _ = say(capsys, "data", "check", "halves.npy", "--out", "halves.png")
    lines = dict(line.split(maxsplit=1) for line in said.splitlines())
    assert code == 0
    assert lines["samples"] == "5"
    assert lines["each"].startswith("images, 1x8x8")
    assert lines["range"] == "-1 to 1 (in the source 0 to 255)"
    assert (lines["mean"], lines["std"]) == ("0", "1")
    assert lines["picture"] == "halves.png"
    grid = np.asarray(Image.open("halves.png").convert("L"))
    assert {0, 255} <= set(np.unique(grid).tolist())


def test_points_that_cannot_be_drawn_are_checked_learned_and_sampled(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("wide.npy", np.random.default_rng(0).normal(size=(50, 5)))
    code, said, _ = say(capsys, "data", "check", "wide.npy")
    assert (code, "points of 5 coordinates" in said, "picture" in said) == (0, True, False)
    code, _, error = say(capsys, "data", "check", "wide.npy", "--out", "wide.png")
    assert code == 2 and "wide.npy has no picture" in error
    words = ("--data", "wide.npy", "--steps", 2, "--batch", 8, "--out", "run")
    assert say(capsys, "train", "gan", *words)[0] == 0
    assert say(capsys, "sample", "run", "--count", 7)[:2] == (0, f"{Path('run/samples.npy')}\n")
    assert np.load("run/samples.npy").shape == (7, 5)


# ---------------------------------------------------------------- the display


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def display(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> tuple[Display, io.StringIO, Clock]:
    clock, text = Clock(), io.StringIO()
    monkeypatch.setattr("modecover.cli.terminal.time.perf_counter", clock)
    return Display(Console(file=text, force_terminal=terminal, width=120)), text, clock


def test_without_a_terminal_a_line_comes_every_ten_seconds(monkeypatch):
    shown_by, text, clock = display(monkeypatch, terminal=False)
    shown_by.logged(10, {"D/real": 0.5, "D/fake": 0.25, "G/adversarial": 1.0}, 20.0)
    for step in range(1, 101):
        clock.now += 0.5
        shown_by.stepped(step, 100)
    lines = text.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(
        "training: 21 of 100  2 steps/s  0:00:40 left  (step 10) D: real 0.5, fake 0.25  G: adversarial 1"
    )


def test_the_first_and_the_newest_picture_are_named(monkeypatch):
    shown_by, text, _ = display(monkeypatch, terminal=False)
    for step in (32, 64):
        shown_by.sampled(step, Path(f"run/samples/step-{step}.png"))
    assert text.getvalue() == ("Picture of samples, at step 32: run/samples/step-32.png (others beside it)\n")
    assert shown_by.picture == Path("run/samples/step-64.png")


def test_the_time_left_follows_the_pace_of_the_last_minute_and_ends_with_the_minutes(monkeypatch):
    shown_by, text, clock = display(monkeypatch, terminal=False)
    for step in range(1, 201):
        clock.now += 10.0 if step <= 10 else 1.0  # a slow start
        shown_by.stepped(step, 1000)
    assert "1 steps/s  0:13:" in text.getvalue().splitlines()[-1]
    settings = Settings(minutes=2.0)
    shown_by.started(registry.get("gan")(), settings, open_data("ring"), [0], torch.device("cpu"))
    clock.now += 30
    shown_by.stepped(230, 1000)
    assert text.getvalue().splitlines()[-1].endswith("0:01:30 left")
    shown_by.preparing("classifier", 1, 10)
    clock.now += 20
    shown_by.preparing("classifier", 3, 10)
    assert text.getvalue().splitlines()[-1] == "preparing the classifier: 3 of 10  0:01:10 left"


def test_runs_behind_a_search_have_a_time_left_of_their_own(monkeypatch):
    shown_by, text, clock = display(monkeypatch, terminal=False)
    for most in (1000, 100):  # as many steps of a search, and then of what it has chosen
        for step in range(1, most + 1):
            clock.now += 1.0
            shown_by.stepped(step, 1000)
    assert text.getvalue().splitlines()[-1] == "training: 91 of 1,000  1 steps/s  0:15:09 left"


def test_on_a_terminal_the_bar_is_drawn_at_most_ten_times_a_second(monkeypatch):
    shown_by, _, clock = display(monkeypatch, terminal=True)
    drawn = []
    monkeypatch.setattr(shown_by.progress, "refresh", lambda: drawn.append(clock.now))
    with shown_by:
        for step in range(1, 1001):
            clock.now += 0.001
            shown_by.stepped(step, 1000)
    assert 9 <= len(drawn) <= 12


def test_evaluations_show_the_mean_and_range_over_seeds(monkeypatch):
    shown_by, text, _ = display(monkeypatch, terminal=False)
    rows = [{"modes_any": 8.0, "high_quality": 0.5}, {"modes_any": 7.0, "high_quality": 0.5}]
    shown_by.evaluated(1000, rows, ("modes_any", "high_quality"))
    assert text.getvalue() == "step 1,000: modes (any) 7.5 (7 to 8), high quality 50.0%\n"


def test_numbers_that_no_sample_could_give_are_dashes():
    nan = float("nan")
    assert shown("kl", nan) == "-"
    assert summary("kl", [nan, 1.0, 2.0]) == "1.500 (1.000 to 2.000)"
    assert summary("kl", [nan]) == "-"


def test_averaged_weights_have_a_row_of_their_own(capsys):
    print_evaluation([{"kl": 0.5, "modes_any": 3.0, "ema_kl": 0.25, "ema_modes_any": 4.0}], None, ["seed 0"])
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert rows == ["modes (any) KL", "seed 0 3 0.500", "seed 0, average 4 0.250"]


def test_losses_are_grouped_by_network():
    assert (
        by_network({"D/real": 0.5, "G/adversarial": 1.0, "D/fake": 0.25}) == "D: real 0.5, fake 0.25  G: adversarial 1"
    )


def test_a_field_of_an_unknown_type_is_no_flag():
    @dataclass
    class Odd:
        value: dict[str, int] | None = None

    import argparse

    with pytest.raises(UserError, match="cannot be a flag"):
        add_flags(argparse.ArgumentParser().add_argument_group(), Odd)


def test_the_process_s_own_words_are_the_default(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["modecover", "--version"])
    assert command() == 0
    assert capsys.readouterr().out.startswith("modecover ")
    assert os.environ["HF_HUB_OFFLINE"] == "1", "no test may reach the network"
