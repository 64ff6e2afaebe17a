"""Exported files compute what the model computes, in other programs, for batches of any size."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modecover.cli import main as command
from modecover.errors import UserError
from modecover.networks import PRESETS, DCGANEncoder, DCGANGenerator, MLPEncoder, MLPGenerator, build
from modecover.runs.model import GenerativeModel, load

FACTS: dict[str, Any] = {"method": {"name": "ivlsgan", "settings": {}}, "training": {"seed": 3}}


def model_of(networks: dict[str, nn.Module], shape: tuple[int, ...], latent: int = 3, **data: Any) -> GenerativeModel:
    prior = {"law": "uniform", "dimension": latent}
    return GenerativeModel(networks, prior=prior, data={"name": "x", "shape": list(shape), **data}, **FACTS)


def points(seed: int = 0) -> GenerativeModel:
    """Standardised points, with a stochastic encoder: twice as many numbers as codes."""
    torch.manual_seed(seed)
    generator = MLPGenerator(shape=(2,), latent=3, hidden=(16,), batch_norm=True)
    generator(torch.randn(64, 3))
    encoder = MLPEncoder(shape=(2,), latent=6, hidden=(8,), normalize=False)
    scaling = {"center": [100.0, -3.0], "scale": [20.0, 0.5]}
    return model_of({"G": generator, "E": encoder}, (2,), scaling=scaling)


def pictures() -> GenerativeModel:
    torch.manual_seed(1)
    shape = (3, 16, 16)
    generator = DCGANGenerator(shape=shape, latent=3, width=2)
    generator(torch.randn(64, 3))
    return model_of({"G": generator, "E": DCGANEncoder(shape=shape, latent=3, width=2)}, shape)


def run(path: Path, rows: Tensor) -> np.ndarray[Any, Any]:
    """What another program makes of the rows."""
    if path.suffix == ".onnx":
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: rows.numpy()})[0]  # type: ignore[no-any-return]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(path)(rows).numpy()  # type: ignore[no-any-return]


@pytest.mark.parametrize("ending", ["onnx", "pt"])
@pytest.mark.parametrize("make", [points, pictures])
def test_the_file_gives_what_sample_and_encode_give(make: Any, ending: str, tmp_path: Path) -> None:
    if ending == "onnx":
        pytest.importorskip("onnxscript")
    model = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = model.export(tmp_path / f"g.{ending}")
        coder = model.export(tmp_path / f"e.{ending}", part="encoder")
    samples = model.sample(7, seed=5)
    scale = samples.abs().max().item()
    found = run(made.path, model.latents(7, seed=5))
    assert found.dtype == np.float32 and np.abs(found - samples.numpy()).max() <= 1e-5 * scale
    codes = model.encode(samples).numpy()
    assert codes.shape == (7, 3)
    assert np.abs(run(coder.path, samples) - codes).max() <= 1e-4 * np.abs(codes).max()
    assert made.difference is not None and made.difference <= 1e-5 * made.largest
    assert (made.input_shape, made.output_shape) == ((3,), model.shape)
    assert (coder.takes, coder.gives, coder.output_shape) == ("x", "codes", (3,))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"e.{ending}", f"g.{ending}"]


@pytest.mark.parametrize("preset", ["mlp", "dcgan", "residual", "wae"])
def test_every_kind_of_generator_can_be_exported(preset: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    sides = PRESETS[preset].sides or (32,)
    shape = (2,) if preset == "mlp" else (3, min(sides), min(sides))
    networks = build({"G": "generator"}, shape, 3, preset=preset, width=2)
    model = model_of(networks, shape)
    for ending in ("onnx", "pt"):
        made = model.export(tmp_path / f"g.{ending}")
        assert made.difference is not None and made.difference <= 1e-5


class Own(nn.Module):
    """A network of a user's that a trace cannot hold."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind, self.layer = kind, nn.Linear(3, 2)

    def forward(self, z: Tensor) -> Tensor:
        if self.kind == "noise":
            return torch.as_tensor(self.layer(z) + torch.randn(len(z), 2))
        return torch.from_numpy(self.layer(z).detach().numpy() * 2.0)


@pytest.mark.parametrize("kind", ["noise", "numpy"])
@pytest.mark.parametrize("ending", ["onnx", "pt"])
def test_what_a_file_cannot_hold_is_refused_and_leaves_nothing(kind: str, ending: str, tmp_path: Path) -> None:
    if ending == "onnx":
        pytest.importorskip("onnxscript")
    model = model_of({"G": Own(kind)}, (2,))
    with pytest.raises(UserError, match=r"The (exported )?generator (cannot be written|differs|does not take)"):
        model.export(tmp_path / f"g.{ending}")
    assert list(tmp_path.iterdir()) == []


def test_wrong_requests_are_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of({"G": MLPGenerator(shape=(2,), latent=3, hidden=(4,))}, (2,))
    with pytest.raises(UserError, match="has no encoder"):
        model.export(tmp_path / "e.pt", part="encoder")
    with pytest.raises(UserError, match=r"does not say its format: end it in \.onnx or \.pt"):
        model.export(tmp_path / "g.bin")
    with pytest.raises(UserError, match="format is 'pickle': choose onnx or torchscript"):
        model.export(tmp_path / "g.bin", "pickle")  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        model.export(tmp_path / "file" / "g.pt")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"ONNX export needs the package onnxscript: .*modecover\[export\]"):
        model.export(tmp_path / "g.onnx")


def test_one_file_cannot_be_of_both_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model_of({"G": MLPGenerator(shape=(2,), latent=3, hidden=(4,))}, (2,)).save_pretrained(tmp_path / "model")
    (tmp_path / "x").write_text("old")
    words = ["--onnx", str(tmp_path / "x"), "--torchscript", str(tmp_path / "model" / ".." / "x")]
    assert command(["export", str(tmp_path / "model"), *words]) == 2
    assert "give each a file of its own" in capsys.readouterr().err
    assert (tmp_path / "x").read_text() == "old"


def test_without_onnxruntime_the_file_is_written_and_said_not_to_be_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert points().export(tmp_path / "g.onnx").difference is None
    assert (tmp_path / "g.onnx").stat().st_size > 1000


def test_the_command_exports_the_chosen_seed_and_says_how_far_it_is_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (2, 10):
        model = points(seed)
        model.training_facts["seed"] = seed
        model.save_pretrained(tmp_path / "model" / f"seed-{seed}")
    out = tmp_path / "deep" / "g.pt"
    assert command(["export", str(tmp_path), "--torchscript", str(out), "--of-seed", "10"]) == 0
    said = capsys.readouterr()
    assert (
        "takes z (batch, 3), gives samples (batch, 2)" in said.out and "differs from the model by at most" in said.out
    )
    assert "warn" not in (said.out + said.err).lower()
    expected = load(tmp_path, seed=10)
    assert np.allclose(run(out, expected.latents(4)), expected.sample(4).numpy(), rtol=1e-5)
    pytest.importorskip("onnxscript")
    words = [sys.executable, "-m", "modecover", "export", str(tmp_path), "--onnx", str(out.with_suffix(".onnx"))]
    fresh = subprocess.run([*words, "--torchscript", str(out)], check=True, capture_output=True, text=True)
    assert "warn" not in fresh.stderr.lower() and "W1" not in fresh.stderr
    assert "ONNX, opset 20" in fresh.stdout and "Run by onnxruntime" in fresh.stdout
    assert command(["export", str(tmp_path)]) == 2
    assert "Say what to write" in capsys.readouterr().err
