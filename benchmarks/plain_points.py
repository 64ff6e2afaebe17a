"""GAN and LDMGAN on points of the plane as they are usually written: one seed, a data loader, torch's layers and Adam,
`.backward()`, a forward pass for every loss. What ours is measured against, and compared with in its gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

BATCH = 128
LATENT = 2

Optimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


def adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-3, betas=(0.5, 0.999))


def mlp(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def minibatches(points: Tensor) -> Iterator[Tensor]:
    """Minibatches without end, shuffled anew in each epoch."""
    loader = DataLoader(TensorDataset(points), batch_size=BATCH, shuffle=True, drop_last=True)
    while True:
        for (x,) in loader:
            yield x


class PlainGAN:
    """Goodfellow et al. 2014, Algorithm 1, non-saturating, with one z for both steps.

    Attributes:
        gradients: of each network, those it last moved on.
    """

    names: tuple[str, ...] = ("G", "D")

    def __init__(self, optimizer: Optimizer = adam):
        self.networks: dict[str, nn.Module] = {name: self._network(name) for name in self.names}
        self.optimizers = {name: optimizer(network.parameters()) for name, network in self.networks.items()}
        self.gradients: dict[str, list[Tensor]] = {}
        self.bce = nn.BCEWithLogitsLoss()

    @staticmethod
    def _network(name: str) -> nn.Module:
        return mlp(2, 64, 1) if name == "D" else mlp(2, 64, 64, 2)

    def load(self, networks: Mapping[str, nn.Module]) -> None:
        """Take over the weights of networks of the same layers, in the same order."""
        with torch.no_grad():
            for name, network in self.networks.items():
                for mine, given in zip(network.parameters(), networks[name].parameters(), strict=True):
                    mine.copy_(given)

    def real(self, rows: Tensor) -> Tensor:
        """D shall say that they are real."""
        score = self.networks["D"](rows)
        return self.bce(score, torch.ones_like(score))

    def fake(self, rows: Tensor) -> Tensor:
        """D shall say that they are not."""
        score = self.networks["D"](rows)
        return self.bce(score, torch.zeros_like(score))

    def backward(self, name: str, loss: Tensor) -> None:
        """The gradients of one network; others get some, too, which are thrown away."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        loss.backward()
        self.gradients[name] = [p.grad for p in self.networks[name].parameters() if p.grad is not None]

    def move(self, name: str) -> None:
        """Let a network step on its own gradients."""
        for parameter, gradient in zip(self.networks[name].parameters(), self.gradients[name], strict=True):
            parameter.grad = gradient
        self.optimizers[name].step()

    def step(self, x: Tensor) -> None:
        G = self.networks["G"]
        z = torch.randn(len(x), LATENT)
        self.backward("D", self.real(x) + self.fake(G(z).detach()))
        self.move("D")
        self.backward("G", self.real(G(z)))
        self.move("G")


class PlainLDMGAN(PlainGAN):
    """LDMGAN, Algorithm 1 and equations 8-10, its adversarial losses of G non-saturating."""

    names = ("G", "E", "D")

    def step(self, x: Tensor) -> None:
        G, E = self.networks["G"], self.networks["E"]
        z = torch.randn(len(x), LATENT)
        self.backward("D", self.real(x) + self.fake(G(z).detach()) + self.fake(G(E(x)).detach()))
        code = E(x)
        self.backward("E", F.mse_loss(G(code), x) + moment_kl(code))
        y, reconstruction = G(z), G(E(x).detach())
        adversarial = self.real(y) + self.real(reconstruction)
        self.backward("G", adversarial + F.mse_loss(reconstruction, x) + moment_kl(E(y)))
        for name in self.names:  # line 16: all gradients before any network moves
            self.move(name)


def moment_kl(codes: Tensor) -> Tensor:
    """KL(N(mu, diag sigma^2) || N(0, I)) of the Gaussian fitted to the codes, equation 10."""
    mean, variance = codes.mean(0), codes.var(0, unbiased=False)
    return 0.5 * (mean**2 + variance - torch.log(variance) - 1).sum()


PLAIN = {"gan": PlainGAN, "ldmgan": PlainLDMGAN}
