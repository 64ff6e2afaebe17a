"""A network as one step of gradient descent would leave it: closed form, twice, and stacked."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modecover import random
from modecover.engine.handle import ForwardOptions, Handle
from modecover.engine.stacked import stack

RATE = 0.1


def handle(module: nn.Module, noise: float = 0.0, role: str = "discriminator") -> Handle:
    return Handle("D", role, module, ForwardOptions(noise > 0, torch.tensor(noise), "fp32"))


def scaling(weight: float) -> nn.Linear:
    module = nn.Linear(1, 1, bias=False).double()
    module.weight.data.fill_(weight)
    return module


def test_two_unrolled_steps_of_a_scalar_in_closed_form():
    """D(y) = w y on (w y)^2 / 2: a step multiplies w by 1 - rate y^2, and the slope in y goes through that factor."""
    module, y = scaling(3.0), torch.tensor([[2.0]], dtype=torch.float64, requires_grad=True)
    D = handle(module)
    moved = D
    for _ in range(2):
        moved = moved.after_step(0.5 * moved(y).square().mean(), RATE)
    score = moved(y)
    shrink = 1 - RATE * 2.0**2
    torch.testing.assert_close(score.item(), 3.0 * shrink**2 * 2.0)
    (slope,) = torch.autograd.grad(score.sum(), y)
    # score = w (1 - r y^2)^2 y, so that d/dy = w (1 - r y^2)^2 - 4 w r y^2 (1 - r y^2).
    torch.testing.assert_close(slope.item(), 3.0 * shrink**2 - 4 * 3.0 * RATE * 4.0 * shrink)
    assert module.weight.item() == 3.0, "the network itself stays"


def test_stacked_seeds_take_the_steps_they_would_take_alone():
    weights, x = (3.0, -1.0), torch.tensor([[2.0], [0.5], [1.0], [4.0]], dtype=torch.float64)

    def said(module: nn.Module, rows: Tensor) -> Tensor:
        D = handle(module)
        return D.after_step(0.5 * D(rows).square().mean(), RATE)(rows)

    with random.active(random.Streams([0, 1])):
        together = said(stack([scaling(w) for w in weights]), x)
    alone = [said(scaling(w), rows) for w, rows in zip(weights, x.chunk(2), strict=True)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_instance_noise_is_for_what_looks_at_data():
    x = torch.ones(1000, 1, dtype=torch.float64)
    assert handle(scaling(1.0), noise=0.5)(x).std() > 0.4
    assert handle(scaling(1.0), noise=0.5, role="joint discriminator")(x).std() > 0.4
    assert handle(scaling(1.0), noise=0.5, role="latent discriminator")(x).std() == 0
