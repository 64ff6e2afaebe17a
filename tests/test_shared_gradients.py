"""What two objectives of one graph have in common is computed once, and is what each would compute alone."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from tiny import LATENT, assert_fast_is_plain, engine_of
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from modecover.data import open_data
from modecover.engine.engine import Engine
from modecover.engine.shared_gradients import Objective, gradients, rest_of, weights_of_terms
from modecover.fast_paths import fast_paths
from modecover.networks.convolutions import HalvingConv2d
from modecover.runs.build import build_engine
from modecover.runs.resolve import resolve


def leaf(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape, dtype=torch.float64))


def test_a_loss_is_taken_apart_into_its_terms_and_their_weights() -> None:
    a, b, c = (leaf(3).square().sum() for _ in range(3))
    loss = torch.stack([0.5 * a - 3 * b, -(a + c) / 4, torch.sub(b, c, alpha=2)]).sum() * 8
    assert weights_of_terms(loss) == {a.grad_fn: 8 * (0.5 - 0.25), b.grad_fn: 8 * (-3 + 1), c.grad_fn: 8 * (-0.25 - 2)}
    assert weights_of_terms(torch.zeros(())) == {}


def test_a_weight_that_is_a_tensor_is_part_of_the_term() -> None:
    """Its value may be another in the next step, which a recorded or captured step would not see."""
    a = leaf(3).square().sum()
    for factor in (torch.tensor(2.0, dtype=torch.float64), torch.tensor(2), leaf().abs()):
        loss = a * factor
        assert weights_of_terms(3 * loss) == {loss.grad_fn: 3.0}
    with_a_number = 1 + a
    assert weights_of_terms(with_a_number) == {with_a_number.grad_fn: 1.0}


def graph(draw: random.Random) -> tuple[list[Tensor], list[nn.Parameter]]:
    """Some scalars over layers that use one another's values, and weights that several layers may share."""
    parameters = [leaf(4, 4) for _ in range(draw.randint(2, 6))]
    values: list[Tensor] = [torch.randn(5, 4, dtype=torch.float64), draw.choice(parameters)[:, :1].T.expand(5, 4)]
    for _ in range(draw.randint(3, 14)):
        value = (draw.choice(values) @ draw.choice(parameters)).tanh()
        values.append(value + draw.choice(values) if draw.random() < 0.3 else value)
    terms = [draw.choice(values[2:]).square().mean() for _ in range(draw.randint(1, 5))]
    terms.append(terms[0] * draw.choice(values[2:]).mean() if draw.random() < 0.3 else values[-1].mean())
    return terms, parameters


@pytest.mark.parametrize("seed", range(150))
def test_gradients_of_any_graph_are_those_of_each_loss_alone(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    terms, parameters = graph(draw)
    objectives = []
    for _ in range(draw.randint(2, 3)):
        chosen = draw.sample(terms, draw.randint(1, len(terms)))
        loss = torch.stack([draw.choice([-2.0, 0.0, 0.5, 1.0, 4.0]) * term for term in chosen]).sum()
        objectives.append(Objective(3 * loss, draw.sample(parameters, draw.randint(1, len(parameters)))))
    alone = [
        torch.autograd.grad(o.loss, o.parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
        for o in objectives
    ]
    for found, expected in zip(gradients(objectives), alone, strict=True):
        for mine, theirs in zip(found, expected, strict=True):
            mine = torch.zeros_like(theirs) if mine is None else mine
            torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


class Passes:
    """A layer that counts how often gradients go through it."""

    def __init__(self) -> None:
        self.weight, self.count = leaf(4, 4), 0

    def __call__(self, x: Tensor) -> Tensor:
        out = (x @ self.weight).tanh()
        out.register_hook(self._through)
        return out

    def _through(self, slope: Tensor) -> None:
        self.count += 1


def test_an_encoder_s_loss_does_not_go_through_the_generator_again() -> None:
    E, G, D = Passes(), Passes(), Passes()
    code = E(torch.randn(5, 4, dtype=torch.float64))
    told, made = D(G(code)).square().mean(), G(code.flip(1)).abs().mean()
    of_g = Objective(0.5 * told - 2 * made, [G.weight])
    of_e = Objective(torch.stack([told, 3.0 * made]).sum(), [E.weight])
    assert rest_of(of_e, of_g) is not None
    gradients([of_g, of_e])
    assert (D.count, G.count, E.count) == (1, 2, 1)
    with fast_paths(False):
        code = E(torch.randn(5, 4, dtype=torch.float64))
        told = D(G(code)).square().mean()
        gradients([Objective(told, [G.weight]), Objective(told, [E.weight])])
    assert (D.count, G.count, E.count) == (3, 4, 2)


class Turned(nn.Module):
    """A layer through which gradients flow with the other sign."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, z: Tensor) -> Tensor:
        out = self.layer(z)
        if out.requires_grad:
            out.register_hook(torch.neg)
        return out


def test_a_node_of_others_may_differentiate_what_it_wants_in_its_backward() -> None:
    inner = HalvingConv2d(LATENT, 2).double()

    class Inside(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x.clone()

        @staticmethod
        def backward(ctx: Any, slope: Tensor) -> Tensor:
            with torch.enable_grad():
                maps = ctx.saved_tensors[0].detach().tanh()[:, :, None, None].expand(-1, LATENT, 2, 2)
                (of_weight,) = torch.autograd.grad(inner(maps).sum(), inner.weight)
            return slope * of_weight.sum()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(LATENT, LATENT, dtype=torch.float64)

        def forward(self, z: Tensor) -> Tensor:
            out: Tensor = Inside.apply(self.layer(z))
            return out[:, :2]

    engine = engine_of("gan")
    engine.networks["G"] = engine.handles["G"].module = G = Net()
    engine.optimizers["G"] = torch.optim.SGD(G.parameters(), 0.1)
    engine._rates["G"] = [0.1]
    before = G.layer.weight.detach().clone()
    engine.step()
    assert not torch.equal(G.layer.weight, before)


def test_networks_with_hooks_of_their_own_are_left_alone() -> None:
    def make() -> Engine:
        torch.manual_seed(0)
        G = nn.Sequential(Turned(nn.Tanh()), nn.Linear(LATENT, 8), nn.Tanh(), nn.Linear(8, 2)).double()
        engine = engine_of("ivgan")
        engine.networks["G"] = engine.handles["G"].module = G
        engine.handles["G"]._kind = False  # its forward takes none
        engine.optimizers["G"] = torch.optim.SGD(G.parameters(), 0.1)
        engine._rates["G"] = [0.1]
        return engine

    assert_fast_is_plain(make)


def test_a_long_sum_is_taken_apart_once() -> None:
    term = leaf(3).square().sum()
    total = term
    for _ in range(60):  # 2^60 paths
        total = total + 0.01 * total
    assert weights_of_terms(total) == {term.grad_fn: pytest.approx(1.01**60)}


def test_losses_that_one_operation_made_are_different_terms() -> None:
    weight = leaf(4, 2)
    one, other = weight.square().sum(dim=0).unbind()
    found = gradients([Objective(one, [weight]), Objective(other, [weight])])
    assert [g[0].abs().sum(dim=0).gt(0).tolist() for g in found if g[0] is not None] == [[True, False], [False, True]]


def test_weights_that_differ_too_much_are_not_divided() -> None:
    weight, other = leaf(4, 4), leaf(4, 4)
    term = (weight @ other).square().sum()
    for small in (1e-310, 1e-30, -1e-12):
        assert rest_of(Objective(term, [other]), Objective(small * term, [weight])) is None
        assert rest_of(Objective(small * term, [other]), Objective(term, [weight])) is None


def test_nothing_is_shared_where_there_is_nothing_to_save() -> None:
    weight, other = leaf(4, 4), leaf(4)
    term, stranger = (weight @ other).square().sum(), other.sum()
    whole = Objective(2 * term, [weight])
    assert rest_of(Objective(stranger, [other]), whole) is None
    assert rest_of(Objective(term, [leaf(2)]), whole) is None
    assert rest_of(Objective(term, [weight]), Objective(0 * term, [weight])) is None


@pytest.mark.parametrize(
    "chosen", [{}, {"mu_G": 0.0}, {"lambda_G": 0.0}, {"mu_E": 0.0}, {"lambda_G": 1.0, "mu_G": 1.0}, {"cap": True}]
)
def test_a_step_of_ivgan_whatever_its_weights(chosen: dict[str, float]) -> None:
    assert_fast_is_plain(lambda: engine_of("ivgan", settings=chosen))


def test_arithmetic_of_ivgan_on_images() -> None:
    """Of D's, G's and E's passes 2.33 times DCGAN's, less what G's and E's losses share: 2.05 times (32x32)."""
    done: dict[tuple[str, bool], int] = {}
    images = open_data(np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), np.uint8))
    for name in ("ivdcgan", "gan"):
        for fast in (False, True):
            method, settings = resolve(name, (3, 32, 32), chosen={"steps": 2, "batch": 8})
            engine = build_engine(method, settings, images, device=torch.device("cpu"))
            with fast_paths(fast), FlopCounterMode(display=False) as counter:
                engine.step()
            done[name, fast] = counter.get_total_flops()
    assert done["gan", True] == pytest.approx(done["gan", False], rel=0.02)
    assert done["ivdcgan", False] / done["gan", False] == pytest.approx(2.33, abs=0.03)
    assert done["ivdcgan", True] / done["gan", True] == pytest.approx(2.05, abs=0.03)
