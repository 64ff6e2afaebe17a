"""Evaluations where modes are not known: the Frechet distance to real rows, against rows whose distance is known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

import modecover
from modecover.comparing.runs import compare
from modecover.data import open_data
from modecover.errors import UserError
from modecover.features import fit_features
from modecover.runs.evaluation import Evaluator, evaluator_for, score

ROWS = np.random.default_rng(0).normal(size=(6_000, 2)) * (2.0, 50.0) + (1.0, -30.0)


def evaluator(source: Any, samples: int | None = None, features: str = "auto", **opening: Any) -> Evaluator:
    found = evaluator_for(open_data(source, **opening), samples, features=features)
    assert found is not None
    return found


def test_points_are_compared_in_units_of_their_own_spread() -> None:
    found = evaluator(ROWS)
    assert found.samples == 2_000  # a third: real rows, the control and what features are fitted to are others
    assert found.control()["frechet"] < 0.02
    fake = np.random.default_rng(1).normal(size=(2_000, 2))
    spread, shift = np.array([[0.5, 0.2], [0.0, 1.5]]), np.array([3.0, -1.0])
    numbers = found.judge(torch.from_numpy((fake @ spread + shift) * (2.0, 50.0) + (1.0, -30.0)).float())
    # |mu1 - mu2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of N(0, I) and N(shift, spread' spread).
    covariance = spread.T @ spread
    known = shift @ shift + np.trace(np.eye(2) + covariance - 2 * np.real(sqrtm(covariance)))
    assert numbers["frechet"] == pytest.approx(known, rel=0.06)  # of 2,000 samples and as many real rows


def test_images_that_lack_classes_are_farther_than_others_of_the_data() -> None:
    data = open_data("digits")
    found = evaluator("digits", 600)
    assert str(found.facts["features"]).startswith("classifier-32:") and found.facts["samples"] == 600
    assert data.labels is not None
    few = torch.nonzero(data.labels < 6)[:600, 0]
    control, lacking = found.control()["frechet"], found.judge(data.fetch(few))["frechet"]
    assert lacking > 10 * control > 0
    assert found.control()["frechet"] == control
    again = evaluator("digits", 600)
    assert again.facts == found.facts and again.control()["frechet"] == pytest.approx(control, rel=1e-9)


def test_a_run_that_has_diverged_has_no_distance_and_is_never_the_best() -> None:
    found = evaluator(ROWS, 100)
    for value in (math.nan, math.inf, 1e30):
        assert math.isnan(found.judge(torch.full((100, 2), value))["frechet"])
    rows = [{"frechet": 3.0}, {"frechet": math.nan}, {"frechet": 2.0}]
    assert max(rows, key=score) == {"frechet": 2.0}


def test_features_are_refused_where_no_distance_can_be_taken() -> None:
    with pytest.raises(UserError, match=r"has 29 rows, too few for a Frechet distance: leave out evaluate_features"):
        evaluator(ROWS[:29])
    assert evaluator(ROWS[:30]).samples == 10
    with pytest.raises(UserError, match=r"There are no features called 'fid': choose one of auto"):
        evaluator(ROWS, features="fid")
    assert evaluator_for(open_data(ROWS)) is None


def test_real_rows_are_looked_at_once_for_several_runs_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[str] = []

    def fit(choice: str, *arguments: Any, **options: Any) -> Any:
        fitted.append(choice)
        return fit_features(choice, *arguments, **options)

    monkeypatch.setattr("modecover.runs.evaluation.fit_features", fit)
    monkeypatch.setattr("modecover.runs.evaluation._REAL", {})
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (300, 1, 8, 8), np.uint8)
    labels = np.repeat(np.arange(3), 100)
    first, again = (evaluator(images, 50, "classifier", labels=labels) for _ in range(2))
    assert fitted == ["classifier"]
    fake = torch.from_numpy(random.uniform(-1, 1, (50, 1, 8, 8)).astype(np.float32))
    assert first.judge(fake) == again.judge(fake) and first.control() == again.control()
    assert first.control() is not again.control(), "what a run does to its numbers is its own"
    # Anything else is looked at anew, and so are the same rows when others were between.
    evaluator(images, 50, "classifier", labels=labels[::-1].copy())
    evaluator(images, 40, "classifier", labels=labels)
    evaluator(images, 40, "pixels", labels=labels)
    evaluator(255 - images, 40, "pixels", labels=labels)
    evaluator(images, 40, "pixels", labels=labels)
    assert fitted[1:] == ["classifier", "classifier", "pixels", "pixels", "pixels"]


def test_a_network_in_a_file_is_read_again_for_every_run(tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (300, 1, 8, 8), np.uint8)
    facts = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4))
        torch.jit.trace(network, torch.zeros(2, 1, 8, 8)).save(tmp_path / "features.pt")
        facts.append(evaluator(images, 50, str(tmp_path / "features.pt")).facts["features"])
    assert facts[0] != facts[1]


def test_a_run_is_judged_by_its_distance_and_learns_as_without(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 30, "batch": 32, "width": 8, "sample_every": 0, "seeds": 2, "ema": 0.9}
    judged = {"evaluate_features": "pixels", "evaluate_every": 10, "evaluate_samples": 500}
    rows = ROWS.astype(np.float32)
    plain = modecover.train("gan", rows, tmp_path / "plain", **settings)
    run = modecover.train("gan", rows, tmp_path / "run", **settings, **judged)
    assert [step for step, _ in run.evaluations] == [10, 20, 30] and plain.evaluations == []
    for one, other in zip(plain.models, run.models, strict=True):
        assert torch.equal(one.sample(50, seed=1), other.sample(50, seed=1))
    # The last number is that of the model's weights: other noise, equally many samples.
    for numbers, model in zip(run.last, run.models, strict=True):
        again = evaluator(rows, 500, "pixels").judge(model.sample(500, seed=4))["frechet"]
        assert again == pytest.approx(numbers["ema_frechet"], rel=0.2)
    assert run.control is not None and run.control["frechet"] < 0.1
    card = (tmp_path / "run" / "model" / "seed-0" / "README.md").read_text()
    assert "Evaluated with features pixels-2:" in card and "samples 500." in card and "--evaluate-samples 500" in card
    with pytest.raises(UserError, match=r'evaluate_features was "pixels" and is now "auto"'):
        modecover.train("gan", rows, tmp_path / "run", **settings, **{**judged, "evaluate_features": "auto"})
    # Runs on such data can be compared without an audit.
    modecover.train("lsgan", rows, tmp_path / "lsgan", **settings, **judged)
    compared = compare([tmp_path / "run", tmp_path / "lsgan"])
    assert [each.step for each in compared.runs[0].evaluations] == [10, 20, 30]
    best = [min(numbers[seed]["ema_frechet"] for _, numbers in run.evaluations) for seed in (0, 1)]
    assert compared.runs[0].numbers["frechet"].best.value == pytest.approx(sum(best) / 2)
