"""Conditional generation: every network is told the class of each row, and no method knows of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import modecover
from modecover.cli import main as command
from modecover.data import Feed, open_data
from modecover.data.classes import Classes, joined, parted
from modecover.errors import UserError
from modecover.methods import registry
from modecover.runs import build
from modecover.runs.settings import resolve

CENTRES = torch.tensor([[3.0, 0.0], [-3.0, 2.0], [0.0, -3.0]])
LABELS = torch.tensor([2, 5, 9])[torch.arange(600) % 3]
POINTS = CENTRES[torch.arange(600) % 3] + 0.2 * torch.randn(600, 2, generator=torch.Generator().manual_seed(0))
IMAGES = (torch.rand(90, 1, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1).round(decimals=1)
OF_IMAGES = torch.arange(90) % 3
QUICK: dict[str, Any] = {"steps": 2, "batch": 6, "width": 4, "evaluate_every": 0, "sample_every": 0}


def methods() -> list[str]:
    return [name for name in registry.names() if registry.get(name)().packing == 1]


@pytest.mark.parametrize("rows", [POINTS[:6], IMAGES[:6]])
def test_rows_carry_their_class_and_give_it_back(rows: Tensor) -> None:
    classes = Classes.of(LABELS, "x")
    assert classes.labels == (2, 5, 9) and classes.shares == pytest.approx((1 / 3,) * 3)
    carried = classes.rows(torch.tensor([9, 2, 5, 5, 2, 9]))
    assert carried.tolist()[:3] == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    wide = joined(rows, carried)
    assert wide.shape[1] == rows.shape[1] + 3
    back, told = parted(wide, 3)
    assert torch.equal(back, rows) and torch.equal(told, carried)
    # Minibatches that are laid together carry theirs again.
    twice = joined(torch.cat([rows, rows + 1]), carried)
    assert torch.equal(parted(twice, 3)[1], torch.cat([carried, carried]))


def test_minibatches_are_those_of_a_plain_run_with_their_classes() -> None:
    data = open_data(POINTS, labels=LABELS)
    classes = Classes.of(data.labels, data.name)
    plain, wide = Feed(data, 12, [3, 4]), Feed(data, 12, [3, 4], classes=classes)
    for position in (0, 1, 70):
        for part in (0, 1):
            rows, carried = parted(wide.batch(position, part, 2), 3)
            assert torch.equal(rows, plain.batch(position, part, 2))
            near = torch.cdist(rows, CENTRES).argmin(dim=1)
            assert torch.equal(carried.argmax(dim=1), near)


class Spy(nn.Module):
    """Remembers what it is given."""

    def __init__(self, inputs: int, outputs: int, seen: list[Tensor]):
        super().__init__()
        self.layer, self.seen = nn.Linear(inputs, outputs), seen

    def forward(self, rows: Tensor) -> Tensor:
        self.seen.append(rows.detach())
        return self.layer(rows)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_row_by_row_networks_are_told_the_class_of_the_minibatchs_row(accumulate: int) -> None:
    of_g: list[Tensor] = []
    of_d: list[Tensor] = []
    networks = {"G": lambda: Spy(2 + 3, 2, of_g), "D": lambda: Spy(2 + 3, 1, of_d)}
    method, settings = resolve(
        "gan", (2,), chosen={"batch": 8, "accumulate": accumulate, "conditional": True, "standardize": "off"}
    )
    data = open_data(POINTS, labels=LABELS)
    engine = build.build_engine(method, settings, data, device=torch.device("cpu"), own=networks)
    of_g.clear(), of_d.clear()
    for _ in range(3):
        engine.step()
    assert of_g and of_d
    real = [rows for rows in of_d if (torch.cdist(rows[:, :2], CENTRES).min(dim=1).values < 1.5).all()]
    assert len(real) >= 3 * accumulate
    for rows in real:
        assert torch.equal(rows[:, 2:].argmax(dim=1), torch.cdist(rows[:, :2], CENTRES).argmin(dim=1))
    # G's rows and D's fake rows are told what the minibatch is, which D sees in the same micro-batch.
    told = [rows[:, 2:] for rows in real]
    assert all(any(torch.equal(rows[:, 2:], each) for each in told) for rows in of_g)


@pytest.mark.parametrize("name", methods())
def test_every_method_can_be_told_classes(name: str) -> None:
    run = modecover.train(name, IMAGES, labels=OF_IMAGES, conditional=True, **QUICK)
    model = run.models[0]
    zeros, ones = (model.sample(4, labels=label) for label in (0, 1))
    mixed = model.sample(4, labels=[0, 1, 0, 1])
    assert torch.equal(mixed, model.sample(4, labels=np.array([0, 1, 0, 1], np.uint8)))
    assert torch.allclose(mixed[::2], zeros[::2], atol=1e-5) and torch.allclose(mixed[1::2], ones[1::2], atol=1e-5)
    assert not torch.allclose(zeros, ones, atol=1e-5)
    if "E" in model.networks:
        codes = model.encode(IMAGES[:3], labels=OF_IMAGES[:3])
        assert codes.shape == (3, model.prior.dimension)
        assert not torch.allclose(codes, model.encode(IMAGES[:3], labels=OF_IMAGES[:3].flip(0)), atol=1e-6)
        ways = model.interpolate(IMAGES[:2], IMAGES[2:4], steps=3, labels=[0, 2])
        again = model.reconstruct(IMAGES[:2], labels=[0, 2])
        assert torch.allclose(ways[:, 0], again, atol=1e-4)
        assert model.traverse(IMAGES[:2], 0, steps=3, labels=1).shape == (2, 3, 1, 16, 16)
        with pytest.raises(UserError, match="is told the class of every row"):
            model.encode(IMAGES[:3])


def test_a_trained_model_makes_the_class_that_is_asked_for() -> None:
    run = modecover.train(
        "gan", POINTS, labels=LABELS, conditional=True, steps=1200, seeds=2, batch=64, width=32, lr=1e-3, lr_D=2e-3
    )
    for model in run.models:
        for place, label in enumerate((2, 5, 9)):
            near = torch.cdist(model.sample(200, labels=label), CENTRES).argmin(dim=1)
            assert (near == place).float().mean() > 0.9
        # Without a wish classes are as frequent as in the data.
        near = torch.cdist(model.sample(900), CENTRES).argmin(dim=1)
        assert near.bincount(minlength=3).min() > 240


def test_a_stacked_seed_is_the_run_alone_and_a_stopped_run_goes_on_bitwise(tmp_path: Path) -> None:
    options: dict[str, Any] = {"labels": LABELS, "conditional": True, "batch": 16, "width": 8, "evaluate_every": 0}
    both = modecover.train("reg-gan", POINTS, steps=6, seeds=2, **options).models
    alone = modecover.train("reg-gan", POINTS, steps=6, seed=1, **options).models[0]
    assert torch.allclose(both[1].sample(50, labels=5), alone.sample(50, labels=5), atol=1e-4)

    class Stop(modecover.Listener):
        def stepped(self, step: int, steps: int) -> None:
            if step == 4:
                raise RuntimeError("power failure")

    with pytest.raises(RuntimeError, match="power failure"):
        modecover.train(
            "reg-gan", POINTS, tmp_path / "run", steps=6, seed=1, checkpoint_every=3, listener=Stop(), **options
        )
    resumed = modecover.train("reg-gan", POINTS, tmp_path / "run", steps=6, seed=1, checkpoint_every=3, **options)
    assert torch.equal(resumed.sample(50, labels=9), alone.sample(50, labels=9))
    loaded = modecover.load(tmp_path / "run")
    assert torch.equal(loaded.sample(50, labels=9), alone.sample(50, labels=9))
    assert loaded.data["classes"]["labels"] == [2, 5, 9]


def test_replayed_steps_are_the_eager_ones() -> None:
    from modecover.engine.replay import TracedSteps

    data = open_data(POINTS, labels=LABELS)
    method, settings = resolve("ivgan", (2,), chosen={"batch": 16, "width": 8, "conditional": True, "latent": 4})
    found = []
    for replayed in (False, True):
        engine = build.build_engine(method, settings, data, device=torch.device("cpu"))
        steps = TracedSteps(engine)
        for _ in range(8):
            steps.step() if replayed else engine.step()
        assert steps.replaying is replayed
        found.append(engine.state())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_the_generator_is_exported_with_its_classes(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run = modecover.train("gan", POINTS, labels=LABELS, conditional=True, **QUICK)
    run.models[0].export(tmp_path / "g.onnx")
    model = run.models[0]
    z = joined(model.latents(5), model.classes.rows(torch.full((5,), 9)))
    (made,) = onnxruntime.InferenceSession(tmp_path / "g.onnx").run(None, {"z": z.numpy()})
    assert np.allclose(made, model.sample(5, labels=9), atol=1e-5)


def test_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = "train gan --data digits --size 16 --width 4 --steps 2 --batch 8 --conditional --out run"
    assert command(words.split()) == 0
    assert command("sample run --label 3 --count 5 --out three.npy".split()) == 0
    three = np.load("three.npy")
    assert np.allclose(three, modecover.load("run").sample(5, labels=3), atol=1e-6)
    words = "train reg-gan --data digits --size 16 --width 4 --steps 2 --batch 8 --conditional --out coded"
    assert command(words.split()) == 0
    assert all(command(f"{name} coded --count 3".split()) == 0 for name in ("reconstruct", "interpolate", "traverse"))
    capsys.readouterr()
    assert command("reconstruct coded --labels none".split()) == 2
    assert "is told the class of each row, and digits has none" in capsys.readouterr().err
    assert command("sample run --label 12".split()) == 2
    assert "There is no class 12: the classes are 0, 1, 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("gan", {}, "has no classes to be told"),
        ("gan", {"labels": torch.zeros(600, dtype=torch.long)}, "has 1 classes: a conditional model is told 2 to 100"),
        ("gan", {"labels": torch.arange(600)}, "has 600 classes"),
        ("pacgan", {"labels": LABELS}, "judges packs of 2 samples, which would be of different classes"),
    ],
)
def test_what_cannot_be_conditional_is_told(method: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        modecover.train(method, POINTS, conditional=True, **options, **QUICK)


def test_wrong_labels_are_told() -> None:
    told = modecover.train("gan", POINTS, labels=LABELS, conditional=True, **QUICK)
    for labels, words in (
        (3, "There is no class 3: the classes are 2, 5, 9"),
        ([2, 5], "2 labels were given for 4 rows"),
        (0.5, "labels is 0.5: give one of 2, 5, 9"),
        ("two", "labels is 'two'"),
    ):
        with pytest.raises(UserError, match=words):
            told.sample(4, labels=labels)  # type: ignore[arg-type]
    plain = modecover.train("gan", POINTS, labels=LABELS, **QUICK)
    with pytest.raises(UserError, match="was told no classes: leave labels out"):
        plain.sample(4, labels=2)
    for facts in ({"labels": [1], "shares": [1.0]}, {"labels": [2, 1], "shares": [0.5, 0.5]}, [1], {"labels": "ab"}):
        with pytest.raises(UserError, match=r"data\.classes is"):
            Classes.from_facts(facts)
