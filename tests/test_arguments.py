"""Wrong arguments of `train` from Python: one sentence each that names the argument; and methods of one's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import modecover
from modecover.errors import UserError
from modecover.methods.base import Method
from modecover.methods.gan import GAN
from modecover.runs.listener import Listener

POINTS = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
SMALL: dict[str, Any] = {"steps": 2, "batch": 8, "width": 4}


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("out", 3, "out is 3: give the path of a folder, or leave it out."),
        ("out", b"run", "out is b'run': give the path"),
        ("out", "", "out is '': give the path of a folder, or leave it out."),
        ("preset", " ", "preset is ' ': give the name"),
        ("protocol", "", "protocol is '': give the name"),
        ("networks", "", "networks is '': give the name"),
        ("preset", 3, "preset is 3: give the name"),
        ("protocol", b"none", "protocol is b'none': give the name"),
        ("networks", nn.Linear(2, 2), "networks is Linear(in_features=2, out_features=2, bias=True): give the name of"),
        ("networks", [1], "networks is [1]: give the name of a preset, or your modules by the method's names"),
        ("size", "32", "size is '32': give a whole number."),
        ("size", True, "size is True: give a whole number."),
        ("channels", 2, "channels is 2: choose 1 or 3."),
        ("data_dir", 3, "data_dir is 3: give a text or a path."),
        ("split", None, "split is None: give a text."),
        ("key", 3, "key is 3: give the name of an array or column, or a list of names."),
        ("layout", 3, "layout is 3: give a text."),
        ("memory_limit", "much", "memory_limit: 'much' is no amount of memory"),
        ("value_range", "0..2", "value_range is '0..2': choose 0..1 or -1..1."),
        ("listener", print, "listener is <built-in function print>: give an instance"),
        ("listener", Listener, "listener is <class 'modecover.runs.listener.Listener'>: give an instance"),
        ("steps", "10", "steps is '10': give a whole number."),
        ("seed", None, "seed is None: give a whole number."),
        ("batch", 8.5, "batch is 8.5: give a whole number."),
        ("steps", np.arange(99).reshape(9, 11), "steps is array([[ 0, 1, 2"),
        ("prior", np.arange(3), "prior is array([0, 1, 2]): choose normal"),
    ],
)
def test_a_wrong_argument_is_named(name: str, value: Any, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        modecover.train("gan", POINTS, **{**SMALL, name: value})
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "data is None: give a name"),
        (3, "data is 3: give a name"),
        (b"ring", "data is b'ring': give a name"),
        ("", "data is '': give a name"),
        (lambda count: count, "data is <function"),
    ],
    ids=["none", "number", "bytes", "empty", "function"],
)
def test_data_that_is_none_is_told(data: Any, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        modecover.train("gan", data, **SMALL)
    assert str(caught.value).startswith(sentence)


@dataclass(frozen=True)
class Mine(GAN):
    """A method that no registry knows."""

    title = "Mine"
    power: float = 2.0


class Unreadable(Method):
    def step(self, network: Any, data: Any) -> Any:
        yield network, data()


def test_a_method_of_one_s_own_is_trained_and_described_by_its_qualified_name(tmp_path: Path) -> None:
    run = modecover.train(Mine(power=3.0), POINTS, tmp_path / "run", **SMALL)
    assert run.method == Mine(power=3.0) and run.sample(3).shape == (3, 2)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["method"] == f"{__name__}.Mine"
    assert modecover.train(Mine, POINTS, tmp_path / "run", **{**SMALL, "steps": 3, "power": 3.0}).step == 3
    with pytest.raises(UserError, match=r"method\.power was 3\.0 and is now 2\.0"):
        modecover.train(Mine(), POINTS, tmp_path / "run", **SMALL)


def test_a_registered_method_given_as_a_class_is_the_run_of_its_name() -> None:
    named, given = (modecover.train(method, POINTS, **SMALL) for method in ("gan", GAN(loss="nonsaturating")))
    assert torch.equal(named.sample(5), given.sample(5))


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (None, "method is None: give a name that `modecover list` shows, or a Method."),
        (nn.Linear, "method is <class 'torch.nn.modules.linear.Linear'>: give a name"),
        (Unreadable, "Unreadable is no method that can be trained: Unreadable.step names 'network': annotate it"),
        (Method, "Method is no method that can be trained"),
    ],
)
def test_what_is_no_method_is_told(method: Any, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        modecover.train(method, POINTS, **SMALL)
    assert str(caught.value).startswith(sentence)


def test_a_device_may_be_torch_s_own() -> None:
    assert modecover.train("gan", POINTS, device=torch.device("cpu"), **SMALL).settings.device == "cpu"


def test_micro_batches_of_networks_with_batch_norm_are_noted() -> None:
    class Notes(Listener):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def note(self, sentence: str) -> None:
            self.heard.append(sentence)

    heard = {}
    for method in ("ivgan", "gan"):
        listener = Notes()
        modecover.train(method, "ring", listener=listener, accumulate=2, evaluate_samples=50, **SMALL)
        heard[method] = [note for note in listener.heard if "micro-batch" in note]
    assert heard["gan"] == []
    assert [note.partition(": ")[2] for note in heard["ivgan"]] == ["4 rows of 8, which is not the run of accumulate=1"]
