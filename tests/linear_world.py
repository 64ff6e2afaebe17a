"""One step of a method in PyTorch beside its paper's algorithm box in NumPy, on the linear networks of `by_hand`.

`play` goes through them update by update, each on its own copy of the weights, and compares what is updated, in which
order, on which terms, with which gradients, to which final weights.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from by_hand import Affine, Array, Judge, Weights, added, game
from numpy.typing import NDArray
from torch import Tensor, nn

from modecover import random
from modecover.engine.handle import ForwardOptions, Handle
from modecover.methods.base import Method

LATENT, DATA, BATCH = 4, 3, 5
RATE = 0.05


# ---------------------------------------------------------------------------------------------- the torch networks


class Linear(nn.Module):
    """A network as methods see it, with the weights of the NumPy world; remembers the kind of each input.

    A discriminator of pairs reads the data and the latent rows side by side.
    """

    def __init__(self, weights: Weights):
        super().__init__()
        self.weights = nn.ParameterDict({name: torch.as_tensor(value).clone() for name, value in weights.items()})
        self.kinds: list[str] = []

    def forward(self, *rows: Tensor, head: str = "adversarial", kind: str = "prior") -> Tensor:
        w, x = self.weights, torch.cat(rows, dim=1)
        if "trunk" not in w:
            self.kinds.append(kind)
            return x @ w["weight"].T + w["bias"]
        phi = x @ w["trunk"].T
        if head == "features":
            return phi
        return phi @ w["classes"].T + w["classes_bias"] if head == "classes" else phi @ w["score"] + w["score_bias"]

    def after_step(self, loss: Tensor, rate: float) -> Handle:
        return Handle("D", "discriminator", self, ForwardOptions(False, torch.zeros(()), "fp32")).after_step(loss, rate)

    @torch.no_grad()
    def clamp_(self, bound: float) -> None:
        for parameter in self.parameters():
            parameter.clamp_(-bound, bound)


# ----------------------------------------------------------------------------------------------- one step, twice


@dataclass
class Draws:
    """All that is random in a step, known beforehand: minibatches, prior noise and the method's own draws, in order."""

    data: list[Array]
    prior: list[Array]
    normal: list[Array] = field(default_factory=list)
    uniform: list[Array] = field(default_factory=list)
    index: list[NDArray[np.int64]] = field(default_factory=list)

    def queue(self, kind: str) -> Callable[[], Any]:
        """A function that gives the draws of this kind one by one."""
        return iter(getattr(self, kind)).__next__

    def pick(self, count: int, *, shared: bool) -> NDArray[np.int64]:
        """The numbers of the interventions, of `count`: one for each row, or the first row's for all."""
        index = self.index[0] % count
        return np.full_like(index, index[0]) if shared else index


Expected = list[tuple[str, dict[str, float], dict[str, Weights]]]
"""The updates of one yield: the names ("G" or "G+E"), the terms, and the gradient of their sum by network."""

Box = Callable[[Any, dict[str, Any], Draws], Iterator[Expected]]
"""An algorithm box: (method, NumPy networks, draws) to the updates; its caller moves the networks in between."""


def discriminate(name: str, D: Any, real: Array, fakes: dict[str, Array], loss: str) -> Expected:
    """D descends its loss on real samples and on each kind of fake ones."""
    value, d = game(loss, D.score(real))["real"]
    terms, grads = {"real": value}, [D.pull(real, score=d)[0]]
    for term, fake in fakes.items():
        terms[term], d = game(loss, D.score(fake))["fake"]
        grads.append(D.pull(fake, score=d)[0])
    return [(name, terms, {name: added(*grads)})]


def make_world(method: Method, seed: int = 3) -> dict[str, Weights]:
    g = np.random.default_rng(seed)
    classes = method.classes or 4

    def judge(inputs: int) -> Weights:
        shapes = {"trunk": (2, inputs), "score": (2,), "score_bias": (), "classes": (classes, 2)}
        return {n: np.asarray(g.normal(0, 0.5, s)) for n, s in (shapes | {"classes_bias": (classes,)}).items()}

    def affine(inputs: int, outputs: int) -> Weights:
        return {"weight": g.normal(0, 0.5, (outputs, inputs)), "bias": g.normal(0, 0.5, outputs)}

    make = {
        "generator": lambda: affine(LATENT, DATA),
        "encoder": lambda: affine(DATA, 2 * LATENT if method.stochastic_codes else LATENT),
        "discriminator": lambda: judge(DATA * method.packing),
        "latent discriminator": lambda: judge(LATENT),
        "joint discriminator": lambda: judge(DATA + LATENT),
    }
    return {name: make[role]() for name, role in method.roles().items()}


def make_draws(batches: int, priors: int, *, normal: int = 0, uniform: int = 0, index: Any = None) -> Draws:
    g = np.random.default_rng(8)
    z = [g.normal(size=(BATCH, LATENT)) for _ in range(priors + normal)]
    x = [g.normal(1.0, 1.5, size=(BATCH, DATA)) for _ in range(batches)]
    u = [g.uniform(size=(BATCH, 1)) for _ in range(uniform)]
    return Draws(x, z[:priors], z[priors:], u, [] if index is None else [np.asarray(index)])


def torch_queue(draws: Draws, kind: str) -> Callable[[], Tensor]:
    draw = draws.queue(kind)
    return lambda: torch.as_tensor(draw())


def make_known(draws: Draws, patch: pytest.MonkeyPatch) -> None:
    """Let the package's random functions give `draws`."""

    def like(kind: str) -> Callable[[Tensor], Tensor]:
        draw = torch_queue(draws, kind)

        def rows(x: Tensor) -> Tensor:
            drawn = draw()
            assert drawn.shape == x.shape
            return drawn

        return rows

    def integers(high: int, x: Tensor, *, shared: bool = False) -> Tensor:
        return torch.as_tensor(draws.pick(high, shared=shared))

    patch.setattr(random, "normal_like", like("normal"))
    patch.setattr(random, "uniform_like", like("uniform"))
    patch.setattr(random, "integers", integers)


def start(method: Method, world: dict[str, Weights], draws: Draws, patch: pytest.MonkeyPatch) -> tuple[dict, Iterator]:
    """(networks, updates) of the method's step in PyTorch, with all draws known."""
    make_known(draws, patch)
    networks = {name: Linear(weights) for name, weights in world.items()}
    named = inspect.signature(type(method).step).parameters
    feeds = {kind: torch_queue(draws, kind) for kind in ("data", "prior") if kind in named}
    return networks, iter(method.step(**networks, **feeds))


def gradients(update: tuple, networks: dict, *, keep: bool) -> tuple[str, dict[str, Tensor], dict[str, dict]]:
    """(names, terms, gradient of the sum of the terms by network and weight), as the engine takes them."""
    who, terms = update
    handles = who if isinstance(who, tuple) else (who,)
    names = [next(name for name, network in networks.items() if network is handle) for handle in handles]
    weights = [(name, key, p) for name in names for key, p in networks[name].weights.items()]
    found = torch.autograd.grad(
        sum(terms.values()), [p for *_, p in weights], retain_graph=keep, allow_unused=True, materialize_grads=True
    )
    by_network: dict[str, dict] = {name: {} for name in names}
    for (name, key, _), gradient in zip(weights, found, strict=True):
        by_network[name][key] = gradient
    return "+".join(names), terms, by_network


def assert_detached(who: Any, terms: dict[str, Tensor], networks: dict) -> None:
    """A discriminator's loss reaches no other network: fakes are detached, and no graph behind them is kept."""
    if "trunk" in getattr(who, "weights", {}):
        others = [p for network in networks.values() if network is not who for p in network.parameters()]
        reached = torch.autograd.grad(sum(terms.values()), others, retain_graph=True, allow_unused=True)
        assert all(gradient is None for gradient in reached)


def in_numpy(world: dict[str, Weights]) -> dict[str, Any]:
    return {name: (Judge if "trunk" in weights else Affine)(dict(weights)) for name, weights in world.items()}


def move(hand: dict[str, Any], updates: Expected) -> None:
    """One step of gradient descent on every update of a yield."""
    for _, _, grads in updates:
        for name, of_network in grads.items():
            for key, gradient in of_network.items():
                hand[name].weights[key] = hand[name].weights[key] - RATE * gradient


def assert_same_weights(networks: dict[str, Any], hand: dict[str, Any]) -> None:
    for name, network in networks.items():
        for key, value in hand[name].weights.items():
            np.testing.assert_allclose(network.weights[key].detach(), value, 1e-8, 1e-11, err_msg=f"final {name}.{key}")


def play(method: Method, box: Box, draws: Draws, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Compare every update of the method's step with the box's; returns the networks in PyTorch."""
    world = make_world(method)
    networks, updates = start(method, world, draws, patch)
    hand = in_numpy(world)
    for number, expected in enumerate(box(method, hand, draws)):
        yielded = next(updates)
        assert isinstance(yielded, list) == (len(expected) > 1), f"update {number}: simultaneous or not"
        for who, terms in yielded if isinstance(yielded, list) else [yielded]:
            assert_detached(who, terms, networks)
        found = [gradients(u, networks, keep=True) for u in (yielded if isinstance(yielded, list) else [yielded])]
        assert [names for names, *_ in found] == [names for names, *_ in expected], f"update {number}"
        for (names, terms, grads), (_, terms_by_hand, grads_by_hand) in zip(found, expected, strict=True):
            values = {term: value.item() for term, value in terms.items()}
            assert values == pytest.approx(terms_by_hand, rel=1e-9), f"update {number}, {names}"
            for name, of_network in grads_by_hand.items():
                for key, value in of_network.items():
                    np.testing.assert_allclose(grads[name][key], value, 1e-8, 1e-11, err_msg=f"{number} {name}.{key}")
        for _, _, grads in found:
            for name, of_network in grads.items():
                for key, gradient in of_network.items():
                    networks[name].weights[key].data -= RATE * gradient
        move(hand, expected)
    assert next(updates, None) is None, "the method yields more updates than its box"
    assert_same_weights(networks, hand)
    return networks
