"""What experiments measure of finished runs, held against models whose answer is known; and the data they are given."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from modecover.data import open_data, opened
from modecover.engine.engine import Engine
from modecover.errors import UserError
from modecover.experiments import compositional, latent, mdgan, measures, mixtures
from modecover.experiments.compositional import DIGIT, LEFT, SIDE, TOP, WIDTH, compose, law
from modecover.experiments.declared import Arm, Experiment, Result, Table
from modecover.experiments.report import PICTURES, page, save_curves, save_sheets
from modecover.experiments.runner import Place, run_job
from modecover.experiments.store import Job, Store, jobs
from modecover.features import by_function
from modecover.pictures.images import GAP, to_pixels
from modecover.runs.build import build_engine
from modecover.runs.model import load
from modecover.runs.run import train
from modecover.runs.settings import resolve


def test_three_digits_stand_side_by_side_with_the_chances_of_their_set() -> None:
    images, settings = compose(2, "digits", "", {"batch": 8}, count=400)
    assert images.shape == (400, SIDE, SIDE) and images.dtype == np.uint8 and settings == {"batch": 8}
    assert not images[:, :TOP].any() and not images[:, TOP + DIGIT :].any() and not images[:, :, 3 * WIDTH :].any()
    assert np.array_equal(images, compose(2, "digits", "", {}, count=400)[0])
    assert not np.array_equal(images, compose(2, "digits", "", {}, count=400, seed=1)[0])
    assert all(np.allclose(law(number).sum(axis=1), 1) for number in mdgan.MISSED)
    assert not np.allclose(law(1), law(2))
    # Every third is a digit of the source, without the columns that are cut off.
    digits = open_data("digits").pixels[:, 0, :, LEFT : LEFT + WIDTH].numpy()  # type: ignore[attr-defined]
    whole = {digit.tobytes() for digit in digits}
    for place in range(3):
        thirds = images[:20, TOP : TOP + DIGIT, place * WIDTH : (place + 1) * WIDTH]
        assert all(third.tobytes() in whole for third in thirds)


def test_test_images_are_never_training_images_in_their_place(tmp_path: Path) -> None:
    """Of data that have both; digits that come with pip and a folder without subfolders have one set of images."""
    data = tmp_path / "mnist"
    data.mkdir()
    head = np.array([0x803, 20, 28, 28], ">u4").tobytes()
    for stem, value in (("train", 0), ("t10k", 255)):
        (data / f"{stem}-images-idx3-ubyte").write_bytes(head + bytes([value]) * (20 * 28 * 28))
        (data / f"{stem}-labels-idx1-ubyte").write_bytes(np.array([0x801, 20], ">u4").tobytes() + bytes(20))

    def test_of(source: str) -> float:
        model: Any = SimpleNamespace(data={"opened": {"source": source, "data_dir": str(tmp_path)}})
        return float(measures.images_of(model, "", split="test").fetch(torch.arange(3)).mean())

    assert test_of("mnist") == 1.0
    (data / "t10k-images-idx3-ubyte").write_bytes(head + b"\0" * 99)
    opened._opened.cache_clear()
    with pytest.raises(UserError, match="t10k-images-idx3-ubyte"):
        test_of("mnist")
    (data / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(UserError):
        test_of("mnist")
    for split, value in (("train", 0), ("test", 255)):
        (tmp_path / "both" / split).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (8, 8), value).save(tmp_path / "both" / split / f"{number}.png")
    assert test_of(str(tmp_path / "both")) == 1.0 and test_of(str(tmp_path / "both" / "train")) == -1.0
    assert test_of("digits") < 0.0


def test_a_perfect_generator_of_three_digits_misses_what_fresh_data_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    def sample(count: int, seed: int) -> Tensor:
        return torch.from_numpy(compose(1, "digits", "", {}, count=count, seed=7)[0])[:, None].float() / 127.5 - 1

    monkeypatch.setattr(compositional, "load", lambda folder: SimpleNamespace(sample=sample))
    found = compositional.coverage(1, Path(), "", 3_000)
    assert abs(found["numbers_missed"] - found["numbers_missed_of_the_data"]) < 60
    assert found["KL"] == pytest.approx(found["KL_of_the_data"], abs=0.05) and found["KL"] < 0.3
    one = lambda count, seed: sample(1, 0).expand(count, -1, -1, -1)
    monkeypatch.setattr(compositional, "load", lambda folder: SimpleNamespace(sample=one))
    assert compositional.coverage(1, Path(), "", 300)["numbers_missed"] == 999


def test_a_third_party_is_sure_of_what_a_generator_never_makes_and_of_nothing_else() -> None:
    random = torch.Generator().manual_seed(0)
    bright, dark = ((level + 0.1 * torch.randn(300, 1, 16, 16, generator=random)).clamp(-1, 1) for level in (0.5, -0.5))
    both = torch.cat([bright, dark])

    def sure(fake: Tensor, asked: Tensor) -> float:
        odds = measures._odds(both, fake, asked, 0.5, steps=150, width=16)
        return float((odds.sigmoid() > measures.SURE).float().mean())

    assert sure(bright, dark) > 0.9 and sure(bright, bright) < 0.1 and sure(both.flip(0), both) < 0.2


def test_photographs_that_a_model_never_makes_are_not_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    flat = random.uniform(-1, 1, (600, 3, 1, 1)).astype(np.float32)
    grain = random.uniform(-1, 1, (600, 3, 32, 32)).astype(np.float32)
    images = np.concatenate([np.broadcast_to(flat, grain.shape) + 0.05 * grain, grain])
    monkeypatch.setattr(measures, "fit_features", lambda choice, rows: by_function(lambda x: x.std(axis=(2, 3))))
    monkeypatch.setattr(measures, "_REAL", {})
    data: Any = Codes(torch.from_numpy(images), torch.zeros(len(images)))
    data.fingerprint = "photographs"

    def covered(made: np.ndarray) -> dict[str, float]:
        model: Any = SimpleNamespace(sample=lambda count, seed: torch.from_numpy(made[:count].copy()))
        return measures._coverage(model, data, 300)

    half = covered(images[::-1])  # the grain alone
    assert 0.3 < half["coverage"] < 0.6 < 0.85 < half["precision"] and half["coverage_of_the_data"] > 0.9
    both = covered(random.permutation(images))
    assert both["coverage"] == pytest.approx(both["coverage_of_the_data"], abs=0.06)
    assert covered(np.full_like(images, 0.5) + 20 * grain.repeat(2, axis=0))["precision"] < 0.1


class Codes:
    """Images of two classes, whose codes are what a test says."""

    def __init__(self, codes: Tensor, labels: Tensor):
        self.name, self.pixels, self.labels, self.shape = "codes", codes, labels, codes.shape[1:]

    def fetch(self, rows: Tensor) -> Tensor:
        return self.pixels[rows]


def test_a_probe_reads_labels_that_codes_tell_and_only_these(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (900,), generator=random)
    noise = torch.randn(900, 2, generator=random)
    monkeypatch.setattr(latent, "load", lambda folder: SimpleNamespace(encode=lambda rows: rows))
    errors = []
    for codes in (noise, noise + 6 * labels[:, None]):
        data = Codes(codes, labels)
        monkeypatch.setattr(latent, "images_of", lambda *_, data=data, **__: data)
        errors.append(latent.probe(tmp_path, "", 150))
    assert errors[0]["error % at the end"] > 30 and errors[1]["error % at the end"] < 2
    assert errors[0]["covariance, diagonal off by"] < 0.3 and errors[1]["covariance, diagonal off by"] > 5
    kept = {path.stem for path in (tmp_path / PICTURES).iterdir()}
    assert kept == {"covariance of the codes", "error of the probe"}
    assert errors[0]["covariance beside it"] < 0.2 and errors[1]["covariance beside it"] > 5


@pytest.mark.parametrize("t", [1, 4])
def test_a_discriminator_alone_cannot_tell_codes_that_are_the_prior(
    t: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Known(torch.nn.Module):
        def __init__(self, shift: float):
            super().__init__()
            self.shift = torch.nn.Parameter(torch.tensor(shift))

        def forward(self, rows: Tensor) -> Tensor:
            return rows.flatten(1)[:, :4] + self.shift

    settings = resolve("ivaae-rad", (1, 8, 8), chosen={"latent": 4, "networks": "mlp"})[1]
    pixels = torch.randn(2_000, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    data = Codes(pixels, torch.zeros(2_000))
    found = []
    for shift in (0.0, 6.0):
        model = SimpleNamespace(
            networks={"E": Known(shift)},
            method={"name": "ivaae-rad", "settings": {"t": t}},
            training_facts={"settings": settings.as_dict()},
        )
        monkeypatch.setattr(latent, "load", lambda folder, model=model: model)
        monkeypatch.setattr(latent, "images_of", lambda *_, **__: data)
        found.append(latent.frozen(tmp_path, "", 3_000))
    assert found[0]["D's loss at the end"] == pytest.approx(1, abs=0.05)
    assert found[1]["D's loss at the end"] < (0.1 if t == 1 else 0.8)
    assert {path.stem for path in (tmp_path / PICTURES).iterdir()} == {
        *("loss of D", "gradient of E", "gradient of E as printed"),
    }
    # Where D is certain the slope of its cross-entropy is gone, and that of the text's loss of the encoder is large.
    assert all(0 < each["encoder's gradient"] < math.inf for each in found)
    assert found[1]["encoder's gradient as printed"] > 50 * found[1]["encoder's gradient"]


# ---------------------------------------------------------------- the grid search


def test_the_grid_has_every_setting_once_and_all_methods_search_it_in_one_order() -> None:
    assert len(mdgan.GRID) == len({tuple(each.items()) for each in mdgan.GRID}) == 2_592
    plain, regularised, matched = ([arm.label for arm in table.arms] for table in mdgan.GRID_SEARCH.tables)
    assert plain == regularised == matched
    assert [len(jobs(mdgan.GRID_SEARCH, scale)) for scale in ("smoke", "cpu", "full")] == [3, 3 * 128, 3 * 2_592]


def test_settings_of_the_grid_become_networks() -> None:
    chosen = {"layers_G": 3, "layers_D": 2, "size_G": 800, "size_D": 512, "divide": 4, "dropout": True}
    source, settings = mdgan.grid_networks("digits", "", {**chosen, "encoder": True, "lr": 1e-3})
    assert source == "digits" and set(settings) == {"lr", "networks"}
    made = {name: make() for name, make in settings["networks"].items()}
    assert list(made["G"].hidden) == list(made["E"].hidden) == [200, 200, 200]
    assert list(made["D"].hidden) == [128, 128] and made["D"].dropout == 0.5
    assert "E" not in mdgan.grid_networks("digits", "", {**chosen, "encoder": False})[1]["networks"]


def test_discriminators_may_have_an_optimiser_of_their_own(tmp_path: Path) -> None:
    method, settings = resolve("gan", (2,), chosen={"optimizer": "sgd", "optimizer_D": "adam"})
    engine = build_engine(method, settings, open_data("ring"), device=torch.device("cpu"))
    assert isinstance(engine, Engine)
    kinds = engine.optimizers
    assert isinstance(kinds["G"], torch.optim.SGD) and isinstance(kinds["D"], torch.optim.Adam)
    # A run of before the setting was there is taken up as ever.
    run = partial(train, "gan", "ring", tmp_path / "run", steps=2, batch=8, evaluate_every=0)
    run()
    described = (tmp_path / "run" / "run.json").read_text()
    (tmp_path / "run" / "run.json").write_text(described.replace('    "optimizer_D": null,\n', ""))
    assert run().finished


# ---------------------------------------------------------------- what a page shows


def made(each: list[Job], folder: Path) -> Store:
    """The rows of these runs, whose folders are in `runs`."""
    store = Store(folder / "rows.jsonl")
    for job in each:
        (row,) = run_job(job, Place(folder / "runs"))
        store.add(row)
    return store


def test_a_sheet_of_samples_is_kept_and_outlives_its_run(tmp_path: Path) -> None:
    settings = {"size": 16, "steps": 1, "batch": 4, "width": 4, "seeds": 2, "sample_every": 0}
    arms = (Arm("GAN", "gan"), Arm("LSGAN", "lsgan"))
    each = Experiment("pictures", "?", (Table("", "digits", settings, arms, apart=True),))
    first, other = jobs(each, "cpu")[:2]
    store = made([first], tmp_path)
    run_job(other, Place(tmp_path / "runs"))  # and has no row: as of a run that was stopped
    assert list((tmp_path / "runs" / other.folder / "samples").iterdir())
    kept = save_sheets(each, "cpu", tmp_path / "runs", tmp_path / "images", store)
    assert kept == {("", "GAN"): {"samples": tmp_path / "images" / f"{first.key}.png"}}
    with Image.open(kept["", "GAN"]["samples"]) as sheet:
        assert sheet.width == 400 and sheet.height < sheet.width
    assert save_sheets(each, "cpu", tmp_path / "gone", tmp_path / "images", store) == kept
    results = [[Result(arm, {}, "not run") for arm in arms]]
    text = page(each, {"cpu": results}, "", {"cpu": {name: {"samples": f"{first.key}.png"} for name in kept}})
    assert f"| GAN | ![GAN: samples]({first.key}.png) |" in text and "LSGAN: samples" not in text


def test_the_sheet_of_an_earlier_seed_takes_the_place_of_a_later_ones(tmp_path: Path) -> None:
    settings = {"size": 16, "steps": 1, "batch": 4, "width": 4, "seeds": 2, "sample_every": 0}
    each = Experiment("pictures", "?", (Table("", "digits", settings, (Arm("GAN", "gan"),), apart=True),))
    first, second = jobs(each, "cpu")
    store = Store(tmp_path / "rows.jsonl")
    for run in (second, first):
        store.add(run_job(run, Place(tmp_path / "runs"))[0])
        kept = save_sheets(each, "cpu", tmp_path / "runs", tmp_path / "images", store)
        assert [path.stem for path in (tmp_path / "images").iterdir()] == [run.key]
        assert kept["", "GAN"]["samples"] == tmp_path / "images" / f"{run.key}.png"


def test_what_a_measure_draws_stands_beside_the_samples(tmp_path: Path) -> None:
    """Of an encoder the reconstructions and the ways between images, which begin and end with these."""
    settings = {"size": 16, "steps": 1, "batch": 4, "width": 4, "sample_every": 0}
    arms = (Arm("Reg-GAN", "reg-gan"), Arm("GAN", "gan"))
    table = Table("", "digits", settings, arms, apart=True, measure=measures.scores, samples={"cpu": 64})
    each = Experiment("drawn", "?", (table,))
    kept = save_sheets(each, "cpu", tmp_path / "runs", tmp_path / "images", made(jobs(each, "cpu"), tmp_path))
    assert set(kept["", "Reg-GAN"]) == {"samples", "reconstructions", "between two images", "the data"}
    assert set(kept["", "GAN"]) == {"samples"}
    with Image.open(kept["", "Reg-GAN"]["between two images"]) as picture:
        assert picture.width / picture.height == pytest.approx((measures.WAY + 2) / measures.SHOWN, rel=0.05)
    names = {name: {caption: path.name for caption, path in each.items()} for name, each in kept.items()}
    text = page(each, {"cpu": [[Result(arm, {}, "not run") for arm in arms]]}, "", {"cpu": names})
    row = next(line for line in text.splitlines() if line.startswith("| GAN | ![GAN: samples]"))
    assert row.count("|") == 5 and "![Reg-GAN: reconstructions](" in text
    assert f"| the data | ![the data: samples]({names['', 'Reg-GAN']['the data']}) |  |  |" in text


def test_ways_between_draws_of_the_noise_begin_and_end_with_their_samples(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"size": 16, "steps": 10, "batch": 8, "width": 4, "lr": 0.02, "sample_every": 0}
    train("gan", "digits", tmp_path / "run", **settings)
    numbers = measures.scores_and_ways(tmp_path / "run", "", 64)
    assert numbers.keys() == measures.scores(tmp_path / "run", "", 64).keys()
    ends = to_pixels(load(tmp_path / "run").sample(2 * measures.SHOWN))[:, 0].int()
    with Image.open(tmp_path / "run" / PICTURES / "between two draws.png") as picture:
        shown = torch.from_numpy(np.asarray(picture.convert("L"), dtype=np.int32))
    tile = (shown.shape[1] + GAP) // measures.WAY
    lines = shown.unfold(0, tile - GAP, tile).unfold(1, tile - GAP, tile)
    lines = lines[..., :: (tile - GAP) // 16, :: (tile - GAP) // 16]
    assert lines.shape == (measures.SHOWN, measures.WAY, 16, 16)
    # One level of 256: the batch that an image is made in changes its rounding.
    assert (lines[:, 0] - ends[: measures.SHOWN]).abs().max() <= 1
    assert (lines[:, -1] - ends[measures.SHOWN :]).abs().max() <= 1
    assert (lines[:, 0] - ends[measures.SHOWN :]).abs().max() > 10


def test_points_are_shown_at_several_moments_and_on_the_page_of_the_mixtures(tmp_path: Path) -> None:
    settings = {"steps": 20, "batch": 8, "width": 4, "sample_every": 1, "evaluate_samples": 64}
    each = Experiment("moments", "?", (Table("", "ring", settings, (Arm("GAN", "gan"),)),))
    store = made(jobs(each, "cpu"), tmp_path)
    kept = save_sheets(each, "cpu", tmp_path / "runs", tmp_path / "images", store)["", "GAN"]
    assert set(kept) == {"samples", "over training"}
    with Image.open(kept["samples"]) as last, Image.open(kept["over training"]) as several:
        assert several.width == last.width and several.height == 5 * last.height  # steps 1, 5, 9, 13, 17 of 20
        first = several.crop((0, 0, last.width, last.height))
        assert first.tobytes() != several.crop((0, 4 * last.height, last.width, 5 * last.height)).tobytes()
    place = mixtures.SETS[0]
    rows = [Result(arm, {}, "not run", place.name) for arm in place.arms]
    others = [[Result(arm, {}, "not run", one.name) for arm in one.arms] for one in mixtures.EXPERIMENT.tables[1:]]
    text = page(mixtures.EXPERIMENT, {"cpu": [rows, *others]}, "", {"cpu": {(place.name, "GAN"): {"samples": "a.png"}}})
    assert text.count("| GAN | ![GAN: samples](a.png) |") == 1


def test_a_run_on_data_from_memory_is_not_measured(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16), dtype=np.uint8)
    train("gan", pixels, tmp_path / "run", steps=1, batch=4, width=4, sample_every=0)
    with pytest.raises(UserError, match="cannot be opened again: say what it is"):
        measures.scores(tmp_path / "run", "", 64)


def test_many_arms_are_shown_by_how_their_number_is_spread(tmp_path: Path) -> None:
    def result(value: float) -> Result:
        facts: dict[str, Any] = {"commit": None, "hardware": {"accelerators": ["card"]}, "seeds": [0]}
        facts |= {"versions": {"torch": "2", "python": "3"}, "last": [{"score": value}]}
        return Result(Arm(f"{value}", "gan"), facts, table="GAN")

    arms = tuple(Arm(str(float(value))) for value in range(5))
    each = Experiment("many", "?", (Table("GAN", "", {}, arms),), spread=("score",))
    results = [[*map(result, map(float, range(5))), Result(Arm("odd"), {}, "NaN")]]
    text = page(each, {"cpu": results}, "images")
    assert "| score | 6 | 5 | 0 | 1 | 2 | 3 | 4 | - |" in text and "![score](images/cpu.png)" in text
    assert "against" not in text
    assert save_curves(each, results, tmp_path / "cpu.png") and (tmp_path / "cpu.png").stat().st_size > 1_000


def test_tables_of_many_arms_are_compared_setting_by_setting(tmp_path: Path) -> None:
    def result(table: str, label: str, value: float | None) -> Result:
        if value is None:
            return Result(Arm(label, "gan"), {}, "NaN", table)
        row = {"score": value, "score_of_the_data": 8.0, "printed": -value}
        facts: dict[str, Any] = {"commit": None, "hardware": {"accelerators": ["card"]}, "seeds": [0], "last": [row]}
        return Result(Arm(label, "gan"), facts | {"versions": {"torch": "2", "python": "3"}}, table=table)

    plain, other = [1.0, 2.0, 4.0, 5.0, None, 3.0], [2.0, 1.0, 7.0, 5.0, 9.0, None]
    results = [
        [result(table, label, value) for label, value in zip("abcdef", values, strict=True)]
        for table, values in (("GAN", plain), ("Reg-GAN", other))
    ]
    tables = tuple(Table(rows[0].table, "digits", {}, tuple(row.arm for row in rows), apart=True) for rows in results)
    each = Experiment("many", "?", tables, spread=("score", "printed"))
    text = page(each, {"cpu": results})
    # 4 of 8 is half of what the data have.
    assert "| arms | with a number |" in text and "at least half of the data's |" in text
    assert "| score | 6 | 5 | 1 | 2 | 3 | 4 | 5 | 2: 8 |" in text
    assert "| score | 6 | 5 | 1 | 2 | 5 | 7 | 9 | 3: 8 |" in text
    assert "| printed | 6 | 5 | -9 | -7 | -5 | -2 | -1 | - |" in text
    # Of a, b, c and d: +1, -1, +3 and 0; of signed ranks 1.5 and 3 against 1.5, 6 of 8 signs are as far apart.
    line = next(line for line in text.splitlines() if line.startswith("| Reg-GAN against GAN | score "))
    assert line.startswith("| Reg-GAN against GAN | score | 4 | 2 | 1 | -0.25 | +0.5 | +1.5 | 0.75 |")
    assert "| Reg-GAN against GAN | printed | 4 | 1 | 2 | -1.5 | -0.5 | +0.25 | 0.75 |" in text
    # What the data themselves have tells that another judged one of the tables.
    assert "judged alike" not in text
    for row in results[1]:
        for last in row.summary.get("last", ()):
            last["score_of_the_data"] = 7.5
    text = page(each, {"cpu": results})
    assert text.count("judged alike") == 1 and "the data have a score of 8 (GAN), 7.5 (Reg-GAN)." in text
    # Of all these arms the best of each table has its samples shown.
    store = Store(tmp_path / "rows.jsonl")
    for job, of in zip(jobs(each, "cpu"), [*results[0], *results[1]], strict=True):
        folder = tmp_path / "runs" / job.folder
        facts = {"key": job.key, "scale": "cpu", "table": job.table.name, "label": job.arm.label, "method": "gan"}
        summary = {**of.summary, "best": of.summary["last"]} if of.summary else {}
        store.add({**facts, "own": {}, "broken": of.broken, "summary": summary})
        (folder / "samples").mkdir(parents=True)
        (folder / "summary.json").write_text("{}")
        Image.new("RGB", (40, 40)).save(folder / "samples" / "step-000000001.png")
    kept = save_sheets(each, "cpu", tmp_path / "runs", tmp_path / "images", store)
    assert set(kept) == {("GAN", "d"), ("Reg-GAN", "e")}
