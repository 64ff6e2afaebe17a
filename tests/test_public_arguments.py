"""Public functions of the library, given what they are not for: one sentence that names what is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import modecover
from modecover.arguments import held
from modecover.data import Mixture, StackedDigits, check
from modecover.errors import UserError
from modecover.features import by_function
from modecover.interventions import BlockSubstitution
from modecover.methods.registry import get
from modecover.networks import build

MAP = nn.Linear(4, 4)


def loss(**changed):
    """An intervention loss on codes of 4 numbers and 4 interventions."""
    given = {"generator": MAP, "encoder": MAP, "classifier": MAP, "interventions": BlockSubstitution(4)}
    return modecover.InterventionLoss(**{**given, **changed})


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: loss(encoder=5), "encoder is 5"),
        (lambda: loss(interventions=4), "BlockSubstitution"),
        (lambda: loss(interventions=BlockSubstitution), "interventions is"),
        (lambda: loss(cap="yes"), "cap is 'yes'"),
        (lambda: loss().intervene(np.ones((8, 4))), "x is array"),
        (lambda: loss(encoder=lambda x: x[:, 0]).intervene(torch.ones(8, 4)), r"encoder gave shape \(8,\) for 8"),
        (lambda: loss()(torch.ones(8, 4)), "made is"),
        (lambda: loss(classifier=nn.Linear(4, 2))(loss().intervene(torch.ones(8, 4))), r"\(8, 2\) .* 4 logits"),
        (lambda: BlockSubstitution("4"), "count is '4'"),
        (lambda: build(["G"], (2,), 2), "roles is"),
        (lambda: build({"D": "discriminator"}, (2,), 2, dropout="x"), "dropout is 'x'"),
        (lambda: build({"D": "discriminator"}, (2,), 2, discriminator_norm="layer"), "batch, none or spectral"),
        (lambda: build({"G": "generator"}, (2,), 10**12), "does not fit into memory"),
        (lambda: check("ring"), "dataset is 'ring'"),
        (lambda: check(modecover.open_data("ring"), samples=-1), "samples is -1"),
        (
            lambda: modecover.open_data(np.eye(4)).fetch([4]),
            "whole numbers from 0 to 3, the indices of rows",
        ),
        (lambda: modecover.open_data(np.ones((9, 4, 4))).fetch("x"), "keys is 'x'"),
        (lambda: modecover.open_data(np.eye(4), labels=range(4)).labels_of(torch.ones(2)), "keys is tensor"),
        (lambda: modecover.open_data("ring").fetch(np.arange(3)), r"give what draw gives, a tensor of shape \(n, 2\)"),
        (lambda: modecover.open_data("ring").sample(3, None), "generator is None"),
        (lambda: modecover.open_data(np.eye(4)).draw("3", torch.Generator()), "count is '3'"),
        (lambda: modecover.open_data(np.eye(4)).to("tpu9"), "device 'tpu9' is not usable here"),
        (lambda: modecover.open_data(np.ones((9, 4, 4))).resized(0), "side is 0"),
        (lambda: Mixture("ab", 0.1, [1, 1]), "numbers"),
        (lambda: Mixture(torch.eye(2), "narrow", torch.ones(2)), "std is 'narrow'"),
        (lambda: StackedDigits(None), "base is None"),
        (lambda: modecover.Display(5), "console is 5"),
        (lambda: get([]), r"method is \[\]"),
        (lambda: modecover.train("gan", "ring", steps=1, networks={"G": nn.LazyLinear(2)}), "lazy layers"),
        (lambda: modecover.audit(np.eye(20), np.eye(20), memory=0), "memory is 0"),
        (
            lambda: modecover.audit(np.eye(20), np.eye(20), memory="1MB"),
            "audit takes at least 5 MB",
        ),
        (lambda: modecover.Audit.from_json(None), "text is None: give a text"),
        (lambda: modecover.Audit.from_json("[" * 100_000), "This is no JSON"),
        (lambda: modecover.audit(np.eye(20), np.eye(20), features=5), "features is 5: give a text, an Extractor"),
        (lambda: modecover.audit(np.eye(20), np.eye(20), real_options={"colour": 1}), "no option 'colour'"),
        (lambda: modecover.audit(np.eye(20), np.eye(20), labels=5), "labels have type"),
    ],
)
def test_a_wrong_argument_is_named(call, named):
    with pytest.raises(UserError, match=named):
        call()


def test_rows_are_fetched_by_indices_of_any_kind_and_whole_numbers_may_have_a_point():
    data = modecover.open_data(np.eye(4))
    for keys in (np.arange(1, 3), [1, 2], range(1, 3), torch.tensor([1, 2])):
        assert torch.equal(data.fetch(keys), torch.eye(4)[1:3])
    run = modecover.train("gan", np.eye(4), steps=2.0, batch=2.0, width=4)
    assert run.step == 2 and repr(run.settings.steps) == "2"


@pytest.mark.parametrize("function", [lambda rows: 1 / 0, nn.Linear(7, 2)])
def test_features_that_raise_are_told_with_the_shape_they_were_given(function):
    with pytest.raises(UserError, match=r"raised \w+Error .* shape \(6, 3\)"):
        by_function(function)(np.ones((6, 3), np.float32))


def test_a_model_that_cannot_be_written_is_told(tmp_path):
    run = modecover.train("gan", "ring", steps=1, batch=8, width=4)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        run.models[0].save_pretrained(tmp_path / "file")
    run.models[0].save_pretrained(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["library"] == "modecover"


def test_held_leaves_right_arguments_and_errors_of_others_alone():
    @held(count=1)
    def repeated(word: str, count: int = 1, *, mark: str | None = None, rows: object = ()) -> str:
        if mark == "raise":
            raise KeyError(mark)
        return word * count + (mark or "")

    assert repeated("a", np.int64(3), mark="!") == "aaa!"
    assert repeated("a") == "a" and repeated.__name__ == "repeated"
    with pytest.raises(UserError, match="count is 0: give at least 1"):
        repeated("a", 0)
    with pytest.raises(UserError, match="word is 5: give a text"):
        repeated(5)
    with pytest.raises(KeyError):
        repeated("a", mark="raise")
    with pytest.raises(TypeError, match="word"):
        repeated()


def test_held_bounds_numbers_and_choices_and_names_an_option_that_is_not_there():
    @held(size=(1, 8192), share=(0.0, 1.0), kind=["NHWC", "points"])
    def opened(
        size: int | None = None,
        share: float = 0.5,
        kind: str | None = None,
        told: Callable[[str], None] | None = None,
        limit: int | str = 0,
        place: str | os.PathLike[str] | None = None,
        rows: Sequence[float] = (),
        **_: object,
    ) -> object:
        return size, share, kind

    assert opened(3, 1, "nhwc", print, "1GB", Path("x"), rows=np.ones(3)) == (3, 1.0, "NHWC")
    for given, said in (
        ({"size": 0}, "size is 0: give at least 1 and at most 8,192."),
        ({"size": 9000}, "size is 9000: give at least 1 and at most 8,192."),
        ({"share": 1.5}, "share is 1.5: give at least 0 and at most 1."),
        ({"kind": "NCHW"}, "kind is 'NCHW': choose NHWC or points."),
        ({"told": 5}, "told is 5: give a function."),
        ({"limit": 1.5}, "limit is 1.5: give a whole number or a text."),
        ({"place": 5}, "place is 5: give a text or a path."),
    ):
        with pytest.raises(UserError) as caught:
            opened(**given)
        assert str(caught.value) == said
    assert opened(sizes=3) == (None, 0.5, None), "a function may take arguments of any name"
    with pytest.raises(UserError, match=r"check has no option 'sample' \(did you mean 'samples'\?\); it has dataset, "):
        check(modecover.open_data("ring"), sample=3)  # type: ignore[call-arg]  # the mistake is the point
