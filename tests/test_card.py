"""The card of a pushed model: what it says comes from the run, and nothing of this machine is in it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import HfApi
from PIL import Image

import modecover
from modecover.cli import main as command
from modecover.errors import UserError
from modecover.networks import MLPGenerator
from modecover.runs.model import GenerativeModel, load

SHORT: dict[str, Any] = {"steps": 6, "batch": 16, "evaluate_samples": 200}
Push = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture
def push(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Push:
    """Pushes a model to a Hub that is a folder; gives the card's metadata and its text."""
    hub = tmp_path / "hub"

    class Repository:
        repo_id = "someone/else"

    def upload(self: HfApi, *, folder_path: Path, **_: Any) -> str:
        shutil.rmtree(hub, ignore_errors=True)
        shutil.copytree(folder_path, hub)
        return "https://hub"

    monkeypatch.setattr(HfApi, "create_repo", lambda *_, **__: Repository())
    monkeypatch.setattr(HfApi, "upload_folder", upload)

    def pushed(model: GenerativeModel, **options: Any) -> tuple[dict[str, Any], str]:
        assert model.push_to_hub("someone/else", **options) == "https://hub"
        _, head, text = (hub / "README.md").read_text().split("---\n", 2)
        return yaml.safe_load(head), text

    return pushed


def table(text: str, heading: str) -> dict[str, list[str]]:
    """The rows of the table below a heading, by their first cell."""
    lines = text.split(f"## {heading}\n")[1].split("\n## ")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {row[0]: row[1:] for row in cells[2:]}


def test_a_pushed_run_says_what_it_is_and_how_well_it_does(tmp_path: Path, push: Push) -> None:
    out = tmp_path / "run"
    run = modecover.train("lsgan", "ring", out, seeds=2, seed=4, ema=0.5, lr=2e-3, instance_noise="0.1", **SHORT)
    facts, text = push(load(out, seed=5), license="cc-by-4.0")
    assert facts["license"] == "cc-by-4.0" and facts["library_name"] == "modecover" and "pipeline_tag" not in facts
    assert run.control is not None
    numbers = table(text, "How well it covers its data")
    for name in ("modes_any", "high_quality", "std_ratio"):
        value = run.last[1][f"ema_{name}"]  # the weights that the model has
        if value == value:
            assert float(numbers[name.replace("_", " ")][0]) == pytest.approx(value, rel=1e-3)
        assert float(numbers["modes any"][1]) == run.control["modes_any"]
    (index,) = facts["model-index"]
    told = {metric["type"]: metric["value"] for metric in index["results"][0]["metrics"]}
    assert told["modes_any"] == run.last[1]["ema_modes_any"]
    assert "for 6 steps with seed 5; its weights are a moving average" in text
    assert 'modecover.load("someone/else")' in text and "OWNER/NAME" not in text
    with Image.open(tmp_path / "hub" / "samples.png") as picture:
        assert picture.width > 100
    assert "![Samples of lsgan on ring](samples.png)" in text and "## Audit" not in text
    assert load(tmp_path / "hub").sample(3).equal(load(out, seed=5).sample(3))


def test_the_command_of_the_card_makes_the_model_anew(tmp_path: Path, push: Push) -> None:
    for number, (name, data, settings) in enumerate(
        [
            ("lsgan", "ring:modes=5", {"seeds": 2, "seed": 4, "ema": 0.5, "lr": 1 / 3000, "norm_D": "none"}),
            ("ivlsgan", "ring", {"k": 2, "order": "alternate", "lr_E": "none", "input_affine": True}),
            ("wgan-gp", "grid", {"protocol": "pacgan", "width": 8}),
        ]
    ):
        out = tmp_path / str(number)
        modecover.train(name, data, out, **{**SHORT, **settings})
        _, text = push(load(out))
        (line,) = (line.strip() for line in text.splitlines() if line.startswith("    modecover train"))
        again = tmp_path / f"again-{number}"
        assert command([*shlex.split(line)[1:], "--out", str(again), "--evaluate-samples", "50"]) == 0
        assert load(again).sample(9).equal(load(out).sample(9))


def test_images_have_a_pipeline_tag_and_a_sheet(tmp_path: Path, push: Push) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "private.npy", rows)
    run = modecover.train("lsgan", tmp_path / "private.npy", tmp_path / "run", steps=2, batch=8, width=4)
    facts, text = push(run.models[0])
    assert facts["pipeline_tag"] == "unconditional-image-generation" and facts["license"] == "unknown"
    assert "model-index" not in facts and "How well" not in text  # its modes are not known
    assert "--data YOUR-DATA" in text and "its data are its author's own" in text
    assert (tmp_path / "hub" / "samples.png").is_file()
    for file in (tmp_path / "hub").iterdir():
        assert str(tmp_path).encode() not in file.read_bytes()


def test_verdicts_are_those_of_the_newest_audit_at_hand_or_of_the_one_given(tmp_path: Path, push: Push) -> None:
    out = tmp_path / "run"
    modecover.train("lsgan", "ring", out, **SHORT)
    assert command(["evaluate", str(out), "--samples", "200"]) == 0
    audit = modecover.Audit.from_json((out / "audit.json").read_text())
    _, text = push(load(out))
    rows = table(text, "Audit")
    for verdict in audit.verdicts:
        found = "**found**" if verdict.fires else "no" if verdict.measured else "cannot tell"
        assert rows[verdict.name][0] == found and rows[verdict.name][3] == verdict.sentence.replace("|", r"\|")
    for given in (audit, audit.to_dict(), out / "audit.json", str(out / "audit.json")):
        assert table(push(load(out / "model"), audit=given)[1], "Audit") == rows
    os.utime(out / "audit.json", (1, 1))  # of an older model
    assert "## Audit" not in push(load(out))[1]
    for wrong, sentence in ((5, "audit is 5: give"), ({"kind": "x"}, "audit is"), ("absent.json", "does not exist")):
        with pytest.raises(UserError, match=sentence):
            push(load(out), audit=wrong)


def test_the_names_of_columns_are_published_with_a_word(tmp_path: Path, push: Push) -> None:
    lines = ["age,city"] + [f"{20 + i % 50},{'Bern' if i % 3 else 'Rome'}" for i in range(200)]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    run = modecover.train("lsgan", tmp_path / "rows.csv", tmp_path / "run", steps=2, batch=8)
    with pytest.warns(UserWarning, match=r"columns \(age, city\), and the words in them, are published"):
        facts, _ = push(run.models[0])
    assert "tabular" in facts["tags"] and "pipeline_tag" not in facts


def test_what_the_hub_does_not_take_is_one_sentence(push: Push, monkeypatch: pytest.MonkeyPatch) -> None:
    model = modecover.train("gan", "ring", steps=1, batch=8, width=4).models[0]
    for options, sentence in (
        ({"license": 5}, "license is 5: give a text"),
        ({"privat": True}, r"push_to_hub has no option 'privat' \(did you mean 'private'\?\)"),
        ({"model_card_kwargs": 5}, "model_card_kwargs is 5"),
    ):
        with pytest.raises(UserError, match=sentence):
            push(model, **options)

    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(HfApi, "create_repo", unreachable)
    with pytest.raises(UserError, match=r"'a/b' on the Hub does not take the model \(no route\): check the name"):
        model.push_to_hub("a/b")
    monkeypatch.undo()
    with pytest.raises(UserError, match="'a b' on the Hub does not take the model"):
        model.push_to_hub("a b")


def test_facts_from_anywhere_make_a_card_that_is_whole(push: Push) -> None:
    numbers: Any = {"a|b": 1.5, "c": "NaN"}
    hostile: list[Any] = [None, 5, "a|b\n# x", [1], {"numbers": 3}, {"numbers": numbers, "real data": []}]
    for value in hostile:
        evaluation = value if isinstance(value, dict) else None
        training = {"settings": value, "step": value, "averaged": value, "evaluation": evaluation}
        model = GenerativeModel(
            {"G": MLPGenerator(shape=(3,), latent=2, hidden=(4,))},
            prior={"law": "normal", "dimension": 2},
            data={"shape": [3], "name": "a|b\n---\n# x", "opened": {"source": value, "size": value}},
            method={"name": "lsgan", "settings": {}},
            training=training,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            facts, text = push(model)
        assert facts["license"] == "unknown" and text.count("\n# ") == 1, json.dumps(value)
        assert "![" not in text  # points of space cannot be drawn
