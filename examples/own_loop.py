"""The intervention loss in a training loop that is not modecover's: plain PyTorch, the ring of eight Gaussians.

    python examples/own_loop.py [STEPS]

The loop in `train` is all there is to it: `made` are samples whose codes were intervened on; D's second output tells
which intervention it was, and G and E make it guess. The last line says how many of the eight modes G reaches.
"""

from __future__ import annotations

import argparse
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modecover import InterventionLoss
from modecover.interventions import BlockSubstitution

LATENT, BATCH = 2, 128
ANGLES = torch.arange(8) * (2 * torch.pi / 8)
CENTRES = torch.stack([ANGLES.cos(), ANGLES.sin()], dim=1)
SIGMA = 0.05


def network(inputs: int, outputs: int, *last: nn.Module) -> nn.Module:
    hidden = (nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    return nn.Sequential(*hidden, nn.Linear(64, outputs), *last)


def ring(count: int) -> Tensor:
    return CENTRES[torch.randint(8, (count,))] + SIGMA * torch.randn(count, 2)


def train(steps: int) -> nn.Module:
    G, E, D = network(LATENT, 2), network(2, LATENT, nn.BatchNorm1d(LATENT, affine=False)), network(2, 1 + 2)
    of_d = torch.optim.Adam(D.parameters(), 1e-3, betas=(0.5, 0.999))
    of_g = torch.optim.Adam(chain(G.parameters(), E.parameters()), 1e-3, betas=(0.5, 0.999))
    intervention = InterventionLoss(G, E, lambda x: D(x)[:, 1:], BlockSubstitution(2), cap=True)

    for _ in range(steps):
        x, y = ring(BATCH), G(torch.randn(BATCH, LATENT))
        made = intervention.intervene(x)
        loss = F.softplus(-D(x)[:, 0]).mean() + F.softplus(D(y.detach())[:, 0]).mean() + intervention.classifier(made)
        of_d.zero_grad()
        loss.backward()
        of_d.step()
        loss = F.softplus(-D(y)[:, 0]).mean() + 0.5 * intervention(made) + F.l1_loss(G(E(x)), x)
        of_g.zero_grad()
        loss.backward()
        of_g.step()
    return G


def modes(samples: Tensor) -> int:
    """How many of the eight centres have their hundredth of the samples within three standard deviations."""
    return int(((torch.cdist(samples, CENTRES) < 3 * SIGMA).float().mean(dim=0) >= 0.01).sum())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The intervention loss in a training loop of one's own.")
    parser.add_argument("steps", nargs="?", type=int, default=4000)
    torch.manual_seed(0)
    generator = train(parser.parse_args().steps)
    with torch.no_grad():
        print(f"{modes(generator(torch.randn(2048, LATENT)))} of 8 modes")  # noqa: T201  (a script)
