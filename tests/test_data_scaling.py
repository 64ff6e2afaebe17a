"""Points are standardised inside the model, and everything that is shown is in the data's units."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import modecover
from modecover.data import Feed, open_data
from modecover.data.scaling import Scaling
from modecover.errors import UserError
from modecover.runs import checkpoint
from modecover.runs.listener import Listener
from modecover.runs.run import train

QUICK = {"batch": 16, "width": 8, "evaluate_every": 0, "sample_every": 0, "log_every": 1}


def wide(count: int = 400) -> np.ndarray:
    """Ages in decades beside salaries."""
    r = np.random.default_rng(0)
    return np.stack([r.normal(4, 1, count), r.normal(50_000, 20_000, count)], axis=1)


class Same(nn.Module):
    """Its input, and a weight that changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, z: Tensor) -> Tensor:
        return z + 0 * self.weight


def newest(run: Path) -> dict[str, Tensor]:
    found = checkpoint.load_newest(run / "checkpoints")
    assert found is not None
    return found.tensors


def test_the_map_is_the_columns_mean_and_standard_deviation() -> None:
    rows = wide()
    scaling = Scaling.of(torch.tensor(rows))
    assert scaling.center == pytest.approx(rows.mean(axis=0), rel=1e-12)
    assert scaling.scale == pytest.approx(rows.std(axis=0), rel=1e-12)
    inside = scaling.apply(torch.tensor(rows))
    assert inside.dtype == torch.float32
    assert inside.mean(dim=0).abs().max() < 1e-6
    assert inside.std(dim=0, unbiased=False).numpy() == pytest.approx([1, 1], abs=1e-6)


def test_there_and_back_is_one_rounding_to_float32() -> None:
    """Of the standardised number and of the result: half an ulp of each, in units of the column."""
    rows = torch.tensor(wide())
    scaling = Scaling.of(rows)
    error = (scaling.undo(scaling.apply(rows)).double() - rows).abs()
    bound = 2.0**-24 * (torch.tensor(scaling.scale) * scaling.apply(rows).double().abs() + rows.abs())
    assert (error <= 1.001 * bound).all()


@pytest.mark.parametrize("value", [0.0, 7.0, 1e9, -3e37])
def test_a_constant_column_keeps_its_value(value: float) -> None:
    rows = torch.full((20, 1), value)
    scaling = Scaling.of(rows)
    assert scaling.scale == (1.0,)
    assert torch.equal(scaling.apply(rows), torch.zeros(20, 1))
    assert torch.equal(scaling.undo(torch.zeros(20, 1)), rows)


@pytest.mark.parametrize(("offset", "spread"), [(1.7e9, 500.0), (1e6, 1e-2), (0.0, 1e-300)])
def test_columns_that_float32_cannot_tell_apart_are_seen_with_all_their_digits(offset: float, spread: float) -> None:
    """Seconds since 1970, a small spread around a large number, and numbers that float32 takes for 0."""
    rows = offset + spread * np.random.default_rng(0).normal(size=(500, 1))
    data = open_data(rows)
    scaling = Scaling.of(data.exact(torch.arange(500)))
    assert scaling.scale == pytest.approx(rows.std(axis=0), rel=1e-6)
    seen = Feed(data, 500, [0], scaling=scaling).batch(0)
    assert seen.dtype == torch.float32
    assert seen.mean().abs() < 1e-4 and seen.std(unbiased=False).item() == pytest.approx(1, abs=1e-4)
    assert len(seen.unique()) == 500
    assert data.fetch(torch.arange(500)).dtype == torch.float32


def test_a_run_of_an_earlier_version_is_resumed_as_it_was(tmp_path: Path) -> None:
    """It had no such setting, and its networks saw points as they are."""
    train("gan", wide(), tmp_path / "run", steps=4, standardize="off", **QUICK)
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    del run["settings"]["standardize"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(run))
    with pytest.raises(UserError, match='standardize was "off" and is now "auto"'):
        train("gan", wide(), tmp_path / "run", steps=6, **QUICK)
    assert train("gan", wide(), tmp_path / "run", steps=6, standardize="off", **QUICK).step == 6


def test_numbers_near_the_end_of_float32_stay_finite() -> None:
    rows = torch.tensor([[-3e38, 1e-30], [3e38, 3e-30]])
    scaling = Scaling.of(rows)
    assert torch.equal(scaling.apply(rows), torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))
    assert torch.allclose(scaling.undo(scaling.apply(rows)), rows, rtol=1e-6)


@pytest.mark.parametrize(
    "facts",
    [
        {"center": [0.0], "scale": [1.0, 1.0]},
        {"center": [0.0, float("nan")], "scale": [1.0, 1.0]},
        {"center": [0.0, 0.0], "scale": [1.0, 0.0]},
        {"center": [0.0, 0.0], "scale": [1.0, -1.0]},
        {"center": [0.0, "1"], "scale": [1.0, 1.0]},
        {"center": [0.0, True], "scale": [1.0, 1.0]},
        {"center": [0.0, 0.0], "scale": [1.0, 1e308]},
        {"center": [0.0, 0.0], "scale": [1.0, 10**400]},
        {"center": "ab", "scale": [1.0, 1.0]},
        {"center": [0.0, 0.0]},
        [0.0, 1.0],
        7,
    ],
    ids=str,
)
def test_what_describes_no_scaling_is_refused(facts: object) -> None:
    with pytest.raises(UserError, match="save or download the model again"):
        Scaling.from_facts(facts, 2)


def test_samples_are_what_g_makes_with_the_map_undone(tmp_path: Path) -> None:
    run = train("gan", wide(), tmp_path / "run", networks={"G": Same()}, latent=2, steps=2, **QUICK)
    scaling = Scaling.of(open_data(wide()).exact(torch.arange(400)))
    z = run.models[0].latents(50, seed=3)
    assert torch.equal(run.sample(50, seed=3), scaling.undo(z))
    again = modecover.load(tmp_path / "run", networks={"G": Same()})
    assert torch.equal(again.sample(50, seed=3), scaling.undo(z))
    assert torch.equal(again(z), scaling.undo(z))
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert Scaling.from_facts(config["data"]["scaling"], 2) == scaling


def test_the_encoder_is_given_what_it_was_trained_on(tmp_path: Path) -> None:
    run = train("vae", wide(), tmp_path / "run", networks={"E": Twice()}, latent=2, steps=2, **QUICK)
    rows = torch.tensor(wide()[:30])
    inside = Scaling.of(open_data(wide()).exact(torch.arange(400))).apply(rows)
    assert torch.equal(run.models[0].encode(rows), inside)


class Twice(nn.Module):
    """Means: its input; log variances: likewise."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x], dim=1) + 0 * self.weight


def test_a_run_on_wide_columns_ends_near_the_data() -> None:
    """Unstandardised, a VAE has no number at its first step, and a GAN samples near 0."""
    samples = train("vae", wide(), steps=400, **{**QUICK, "width": 32, "batch": 64}).sample(500)
    assert samples.mean(dim=0).numpy() == pytest.approx([4, 50_000], rel=0.2)


def test_a_resumed_run_is_the_run(tmp_path: Path) -> None:
    data = tmp_path / "wide.npy"
    np.save(data, wide())
    for name, minutes in (("straight", ({},)), ("stopped", ({"minutes": 1e-9}, {}))):
        for more in minutes:
            train("gan", data, tmp_path / name, steps=8, seeds=2, **QUICK, **more)
    straight, stopped = (newest(tmp_path / name) for name in ("straight", "stopped"))
    assert all(torch.equal(value, stopped[key]) for key, value in straight.items())
    with pytest.raises(UserError, match='standardize was "auto" and is now "off"'):
        train("gan", data, tmp_path / "stopped", steps=8, seeds=2, standardize="off", **QUICK)


class Told(Listener):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_mixtures_keep_their_units_and_wide_columns_are_spoken_of_where_they_are_kept() -> None:
    told = Told()
    assert open_data("ring").own_units is False
    run = train("gan", "ring", steps=2, listener=told, **QUICK)
    assert run.models[0].scaling is None and not any("deviation" in note for note in told.notes)
    assert train("gan", "ring", steps=2, standardize="on", **QUICK).models[0].scaling is not None
    run = train("gan", wide(), steps=2, standardize="off", listener=told, **QUICK)
    assert run.models[0].scaling is None
    assert any("coordinate 1 has a standard deviation of 2" in note for note in told.notes)
    with pytest.raises(UserError, match="images are learned in"):
        train("gan", np.zeros((40, 16, 16), np.uint8), steps=1, standardize="on", **QUICK)


def test_a_single_column_of_integers_is_learned() -> None:
    run = train("gan", np.arange(100)[:, None] * 1000, steps=3, **QUICK)
    assert run.sample(5).shape == (5, 1)
    assert run.models[0].scaling == Scaling.of(torch.arange(100.0)[:, None] * 1000)
