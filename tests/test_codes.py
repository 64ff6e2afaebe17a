"""Reconstructions, ways between codes and traversals: against linear networks by hand, and the geometry of priors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import modecover
from modecover.errors import UserError
from modecover.networks import MLPEncoder, MLPGenerator
from modecover.pictures.images import to_pixels
from modecover.runs.codes import between, varied
from modecover.runs.model import GenerativeModel

A = torch.tensor([[2.0, 1.0], [0.0, 4.0]])
B = torch.tensor([0.5, -3.0])
SCALING = {"center": [100.0, -7.0], "scale": [10.0, 0.5]}


class Decoder(nn.Module):
    """z -> A z + B."""

    def forward(self, z: Tensor) -> Tensor:
        return z @ A.T + B


class Encoder(nn.Module):
    """The inverse of the decoder, but for `off`, which is added to every code."""

    def __init__(self, off: float = 0.0) -> None:
        super().__init__()
        self.off = off

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.solve(A, (x - B).T).T + self.off


class Stochastic(Encoder):
    """Tells log variances too."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([super().forward(x), torch.full((len(x), 2), 9.0)], dim=1)


def linear(encoder: nn.Module, law: str = "normal", scaling: Any = None) -> GenerativeModel:
    return GenerativeModel(
        {"G": Decoder(), "E": encoder},
        prior={"law": law, "dimension": 2},
        data={"name": "points", "shape": [2], "value_range": None, "scaling": scaling},
        method={"name": "mine", "settings": {}},
        training={"seed": 0},
    )


ROWS = torch.tensor([[1.0, 2.0], [-3.0, 0.5], [0.0, 0.0]])


@pytest.mark.parametrize("encoder", [Encoder(), Stochastic()])
def test_an_encoder_that_inverts_the_decoder_gives_every_row_back(encoder: nn.Module) -> None:
    torch.testing.assert_close(linear(encoder).reconstruct(ROWS, batch=2), ROWS)


def test_what_an_encoder_misses_is_what_the_decoder_makes_of_it() -> None:
    expected = ROWS + A @ torch.tensor([0.25, 0.25])
    torch.testing.assert_close(linear(Encoder(0.25)).reconstruct(ROWS.double().numpy()), expected)


def test_rows_in_the_datas_units_are_scaled_as_in_training_and_come_back_in_them() -> None:
    center, scale = (torch.tensor(SCALING[name]) for name in ("center", "scale"))
    model, rows = linear(Encoder(0.25), "uniform", SCALING), center + scale * ROWS
    torch.testing.assert_close(model.encode(rows), torch.linalg.solve(A, (ROWS - B).T).T + 0.25)
    off = scale * (A @ torch.tensor([0.25, 0.25]))
    torch.testing.assert_close(model.reconstruct(rows), rows + off)
    made = model.interpolate(rows[:1], rows[1:2], steps=3)[0]
    torch.testing.assert_close(made, torch.stack([rows[0], (rows[0] + rows[1]) / 2, rows[1]]) + off)
    found = model.traverse(rows, 1, steps=2)
    first = torch.linalg.solve(A, (ROWS - B).T).T[:, 0] + 0.25
    for column, value in enumerate((-1.0, 1.0)):
        codes = torch.stack([first, torch.full_like(first, value)], dim=1)
        torch.testing.assert_close(found[:, column], center + scale * (codes @ A.T + B))


def test_codes_are_decoded_by_the_batch_statistics_of_codes() -> None:
    torch.manual_seed(0)
    G = MLPGenerator(shape=(2,), latent=2, hidden=(8,), batch_norm=True, split_statistics=True)
    G(3 * torch.randn(64, 2) + 5, kind="code")
    model = GenerativeModel(
        {"G": G, "E": MLPEncoder(shape=(2,), latent=2, hidden=(8,))},
        prior={"law": "normal", "dimension": 2},
        data={"shape": [2]},
        method={},
        training={},
    )
    inside = model.networks["G"]
    expected = inside(model.encode(ROWS), kind="code")
    assert not torch.allclose(expected, inside(model.encode(ROWS)))
    torch.testing.assert_close(model.reconstruct(ROWS), expected)


def test_pixels_are_seen_as_floats_are() -> None:
    class Flat(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)

    class Square(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return z.unflatten(1, (1, 2, 2))

    model = GenerativeModel(
        {"G": Square(), "E": Flat()},
        prior={"law": "uniform", "dimension": 4},
        data={"shape": [1, 2, 2]},
        method={},
        training={},
    )
    pixels = np.array([[[[0, 255], [7, 128]]]], dtype=np.uint8)
    assert torch.equal(to_pixels(model.reconstruct(pixels)), torch.from_numpy(pixels))


# ------------------------------------------------------------------------------------------------- geometry


def test_codes_of_normal_noise_turn_evenly_and_lengths_change_evenly() -> None:
    a, b = torch.tensor([[3.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0]])
    expected = [
        (3 - 0.5 * k) * torch.tensor([math.cos(k * t), 0.0, math.sin(k * t)]) for k in range(5) for t in [math.pi / 8]
    ]
    torch.testing.assert_close(between(a, b, 5, "normal")[0], torch.stack(expected))


def test_the_middle_of_a_way_has_the_law_of_the_prior() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 4000, 100, generator=generator)
    draws, middle = a.norm(dim=1), between(a, b, 3, "normal")[:, 1].norm(dim=1)
    straight = between(a, b, 3, "uniform")[:, 1].norm(dim=1)
    assert abs(middle.mean() - draws.mean()) < 4 * draws.std() / 4000**0.5
    assert straight.mean() < draws.min()  # as short as none of 4,000 draws is


def test_uniform_codes_go_straight_and_never_leave_their_cube() -> None:
    a, b = torch.tensor([[-1.0, 1.0]]), torch.tensor([[1.0, 1.0]])
    assert torch.equal(between(a, b, 3, "uniform")[0], torch.tensor([[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0]]))


@pytest.mark.parametrize(
    ("a", "b"),
    [([1.0, 2.0], [1.0, 2.0]), ([0.0, 0.0], [1.0, 2.0]), ([1.0, 1.0], [2.0, 2.0]), ([0.0, 0.0], [0.0, 0.0])],
)
def test_ends_without_a_great_circle_are_joined_by_a_line(a: list[float], b: list[float]) -> None:
    one, other = torch.tensor([a]), torch.tensor([b])
    torch.testing.assert_close(between(one, other, 3, "normal")[0, 1], (one + other)[0] / 2)


def test_one_dimension_has_no_circle() -> None:
    assert between(torch.tensor([[-1.0]]), torch.tensor([[1.0]]), 3, "normal").flatten().tolist() == [-1, 0, 1]


def test_opposite_ends_turn_about_the_origin() -> None:
    way = between(torch.tensor([[2.0, 0.1, 0.0]]), torch.tensor([[-2.0, -0.1, 0.0]]), 9, "normal")[0]
    torch.testing.assert_close(way.norm(dim=1), torch.full((9,), (4.01) ** 0.5))
    steps = (way[1:] - way[:-1]).norm(dim=1)
    torch.testing.assert_close(steps, steps[:1].expand(8))


def test_a_coordinate_is_varied_and_no_other() -> None:
    found = varied(torch.tensor([[1.0, 2.0, 3.0]]), 1, torch.tensor([-5.0, 5.0]))
    assert found.tolist() == [[[1, -5, 3], [1, 5, 3]]]


# ------------------------------------------------------------------------------------------- what is left alone


def test_nothing_that_training_or_others_draw_from_is_changed(tmp_path: Path) -> None:
    model = linear(Encoder())
    state, weights = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    model.encode(ROWS)
    model.reconstruct(ROWS)
    model.interpolate(ROWS, ROWS.flip(0))
    model.traverse(ROWS, 0)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(weights[k], v) for k, v in model.state_dict().items()) and not model.training

    # A run that is looked at half way ends as one that is not.
    options: dict[str, Any] = {"batch": 8, "seed": 3, "width": 4, "log_every": 1}
    for place, looked_at in (("a", True), ("b", False)):
        half = modecover.train("reg-gan", "ring", tmp_path / place, steps=4, **options)
        if looked_at:
            x = half.models[0].sample(5)
            half.models[0].reconstruct(x)
            half.models[0].interpolate(x, x.flip(0))
        modecover.train("reg-gan", "ring", tmp_path / place, steps=8, **options)
    one, other = (modecover.load(tmp_path / place).state_dict() for place in "ab")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_method_without_an_encoder_names_one_that_has_it() -> None:
    model = GenerativeModel(
        {"G": Decoder()}, prior={"law": "normal", "dimension": 2}, data={"shape": [2]}, method={}, training={}
    )
    for call in (model.encode, model.reconstruct, lambda x: model.interpolate(x, x), lambda x: model.traverse(x, 0)):
        with pytest.raises(UserError, match=r"no encoder.* for example reg-gan"):
            call(ROWS)
    from modecover.methods import registry

    assert "E" in registry.get("reg-gan").roles()


def test_wrong_arguments_are_sentences() -> None:
    model = linear(Encoder())
    for call, words in (
        (lambda: model.interpolate(ROWS, ROWS[:2]), "give as many of b as of a"),
        (lambda: model.interpolate(ROWS, ROWS, steps=1), "at least 2"),
        (lambda: model.interpolate(ROWS, ROWS, steps=10**15), "at most 10,000"),
        (lambda: model.traverse(ROWS, 2), "0 to 1"),
        (lambda: model.traverse(ROWS, -1), "at least 0"),
        (lambda: model.traverse(ROWS, 0, low=float("nan")), "finite"),
        (lambda: model.reconstruct(ROWS[:, :1]), r"reconstruct was given shape \(3, 1\)"),
        (lambda: model.reconstruct("x"), "reconstruct was given 'x'"),
    ):
        with pytest.raises(UserError, match=words):
            call()
    assert model.reconstruct(ROWS[:0]).shape == (0, 2)
    assert model.interpolate(ROWS[:0], ROWS[:0]).shape == (0, 8, 2)
