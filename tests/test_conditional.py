"""Conditional generation: every network is told the class of each row, and no method knows of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
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
    session = onnxruntime.InferenceSession(tmp_path / "g.onnx")
    assert [value.shape for value in (*session.get_inputs(), *session.get_outputs())] == [["batch", 5], ["batch", 2]]
    (made,) = session.run(None, {"z": z.numpy()})
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


def test_classes_are_asked_for_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names of folders, words of a column, and names that a column of numbers was declared with."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("frog", "cat", "toad")):
        (tmp_path / "animals" / name).mkdir(parents=True)
        for place in range(4):
            Image.new("L", (16, 16), 60 * number + place).save(tmp_path / "animals" / name / f"{place}.png")
    words = "train gan --data animals --size 16 --width 4 --steps 2 --batch 8 --conditional --out run"
    assert command(words.split()) == 0
    model = modecover.load("run")
    assert model.classes.names == ("cat", "frog", "toad")  # in sorted order, as their numbers are
    assert torch.equal(model.sample(4, labels="frog"), model.sample(4, labels=1))
    for words in (["toad", "cat"], ("toad", "cat"), np.array(["toad", "cat"]), np.array(["toad", "cat"], object)):
        assert torch.equal(model.sample(2, labels=words), model.sample(2, labels=[2, 0]))
    assert command("sample run --label frog --count 4 --out frogs.npy".split()) == 0
    assert np.array_equal(np.load("frogs.npy"), model.sample(4, labels=1))
    assert command("sample run --label 1 --count 4 --out frogs.npy".split()) == 0
    capsys.readouterr()
    assert command("sample run --label frogs".split()) == 2
    assert "There is no class 'frogs' (did you mean 'frog'?)" in capsys.readouterr().err
    assert command("data check animals".split()) == 0
    assert "classes      3, of 4 samples each: cat, frog, toad" in capsys.readouterr().out
    card = model.generate_model_card().content
    assert ".sample(64, seed=0, labels='cat')" in card and "asked for, of cat, frog, toad; without" in card
    for wrong in (["toad", 0], "", b"toad", [["toad", "cat"]], {"toad": 1}, "9" * 40):
        with pytest.raises(UserError, match=r"There is no class ''|labels is "):
            model.sample(2, labels=wrong)
    for wrong in ("7", 7):
        with pytest.raises(UserError, match="There is no class 7: the classes are cat, frog, toad"):
            model.sample(4, labels=wrong)
    assert open_data("animals", labels=np.arange(12) % 2).class_names is None  # others than the folders'


def test_the_rows_of_a_table_have_their_class_beside_them(tmp_path: Path) -> None:
    table = "x,y,kind\n" + "".join(f"{number % 7},{number % 5},{'ab'[number % 2]}\n" for number in range(40))
    (tmp_path / "table.csv").write_text(table)
    run = modecover.train("gan", tmp_path / "table.csv", labels="kind", conditional=True, **QUICK)
    rows = run.models[0].sample_table(6, labels="b")
    assert list(rows.columns) == ["x", "y", "kind"] and list(rows["kind"]) == ["b"] * 6
    free = run.models[0].sample_table(300, seed=4)
    alone = run.models[0].sample(300, seed=4, labels=[*free["kind"]])
    assert set(free["kind"]) == {"a", "b"} and torch.equal(alone, run.models[0].sample(300, seed=4))


def test_names_that_a_column_of_classes_was_declared_with(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    kinds = datasets.ClassLabel(names=["low", "high"])
    features = datasets.Features({"a": datasets.Value("float32"), "b": datasets.Value("float32"), "label": kinds})
    columns = {"a": [float(n) for n in range(20)], "b": [0.5] * 10 + [1.5] * 10, "label": [n % 2 for n in range(20)]}
    stored = datasets.Dataset.from_dict(columns, features=features)
    stored.to_parquet(tmp_path / "stored.parquet")
    for source in (stored, tmp_path / "stored.parquet", stored.to_iterable_dataset()):
        data = open_data(source)
        assert (data.class_names, data.label_column) == (("low", "high"), "label"), source


def test_a_model_whose_classes_have_no_names_is_read_as_before() -> None:
    facts = {"labels": [2, 5], "shares": [0.25, 0.75]}
    classes = Classes.from_facts(facts)
    assert classes == Classes((2, 5), (0.25, 0.75)) and classes.called(torch.tensor([5, 2])) == [5, 2]
    named = Classes((2, 5), (0.25, 0.75), ("two", "five"), "kind")
    assert Classes.from_facts(named.facts()) == named
    for wrong in ({**facts, "names": ["two"]}, {**facts, "names": [2, 5]}, {**facts, "column": 3}):
        with pytest.raises(UserError, match=r"data\.classes is"):
            Classes.from_facts(wrong)


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
        ("two", "There is no class 'two': the classes are 2, 5, 9"),
    ):
        with pytest.raises(UserError, match=words):
            told.sample(4, labels=labels)  # type: ignore[arg-type]
    plain = modecover.train("gan", POINTS, labels=LABELS, **QUICK)
    with pytest.raises(UserError, match="was told no classes: leave labels out"):
        plain.sample(4, labels=2)
    for facts in ({"labels": [1], "shares": [1.0]}, {"labels": [2, 1], "shares": [0.5, 0.5]}, [1], {"labels": "ab"}):
        with pytest.raises(UserError, match=r"data\.classes is"):
            Classes.from_facts(facts)
