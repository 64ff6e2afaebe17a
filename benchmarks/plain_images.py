"""Intervention GAN on images as its Algorithm 1 is usually written, and the oracle of the fast step's gradients.

Each update has forward passes of its own, its gradients run into every network, optimisers are torch's plain ones, and
minibatches come from a data loader. One encoder step; block interventions; `paper`'s reading of the text, in which E
and G move on gradients taken before either moves. Nothing here is shared with the package: networks are written anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


@dataclass(frozen=True)
class Setting:
    """What the updates depend on beside networks and draws; the defaults are the paper's.

    Attributes:
        adversarial: "bce" or "ls".
        noise: std of the Gaussian noise on what D judges; 0 draws none.
        descent: gradient descent at this rate instead of Adam: None, or for whoever compares gradients.
    """

    adversarial: str = "bce"
    latent: int = 100
    k: int = 4
    lambda_G: float = 0.25
    mu_G: float = 0.5
    lambda_E: float = 1.0
    mu_E: float = 1.0
    classifier_weight: float = 0.5
    noise: float = 0.05
    lr: float = 2e-4
    lr_E: float = 1e-2
    weight_decay_E: float = 5e-4
    descent: float | None = None


@dataclass(frozen=True)
class Draws:
    """The random numbers of one step, in the order in which they are drawn.

    Attributes:
        z: prior rows (B, d).
        index: the intervention of each row (B,).
        in_code, in_prior: what it puts into E(x) and into z (B, d).
        on_real, on_fake, on_fake_for_G: noise on what D judges, of an image's shape; zeros where there is none.
    """

    z: Tensor
    index: Tensor
    in_code: Tensor
    in_prior: Tensor
    on_real: Tensor
    on_fake: Tensor
    on_fake_for_G: Tensor

    @classmethod
    def make(cls, x: Tensor, setting: Setting) -> Draws:
        """From torch's own generator, for the minibatch x."""

        def rows() -> Tensor:
            return torch.randn(len(x), setting.latent, device=x.device, dtype=x.dtype)

        def noise() -> Tensor:
            return setting.noise * torch.randn_like(x) if setting.noise else torch.zeros_like(x)

        z = rows()
        index = torch.randint(setting.k, (len(x),), device=x.device)
        return cls(z, index, rows(), rows(), noise(), noise(), noise())


# ------------------------------------------------------------------------------------------------------------ networks


def generator(latent: int, channels: int, side: int, width: int = 64) -> nn.Sequential:
    maps = width * side // 8  # channels of the 4x4 map
    layers: list[nn.Module] = [nn.Unflatten(1, (latent, 1, 1)), nn.ConvTranspose2d(latent, maps, 4, 1, 0, bias=False)]
    while maps > width:
        layers += [nn.BatchNorm2d(maps), nn.ReLU(), nn.ConvTranspose2d(maps, maps // 2, 4, 2, 1, bias=False)]
        maps //= 2
    layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.ConvTranspose2d(width, channels, 4, 2, 1), nn.Tanh()]
    return nn.Sequential(*layers)


def trunk(channels: int, side: int, width: int) -> nn.Sequential:
    """From the image to a 4x4 map of width * side / 8 channels."""
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    maps = width
    while maps < width * side // 8:
        layers += [nn.Conv2d(maps, 2 * maps, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * maps), nn.LeakyReLU(0.2)]
        maps *= 2
    return nn.Sequential(*layers)


class Discriminator(nn.Module):
    def __init__(self, channels: int, side: int, k: int, width: int = 64):
        super().__init__()
        self.trunk = trunk(channels, side, width)
        self.score = nn.Linear(width * side * 2, 1)
        self.classes = nn.Linear(width * side * 2, k)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(x).flatten(1)
        return self.score(features).squeeze(1), self.classes(features)


def encoder(latent: int, channels: int, side: int, width: int = 16) -> nn.Sequential:
    last = nn.Conv2d(width * side // 8, latent, 4, 1, 0, bias=False)
    return nn.Sequential(trunk(channels, side, width), last, nn.Flatten(), nn.BatchNorm1d(latent, affine=False))


# ------------------------------------------------------------------------------------------------------------- updates


class PlainIVGAN:
    """One Intervention GAN on images (channels, side, side).

    Attributes:
        gradients: of each network, those it last moved on, in the order of its parameters.
    """

    def __init__(self, channels: int, side: int, setting: Setting | None = None, *, widths: tuple[int, int] = (64, 16)):
        self.setting = s = setting or Setting()
        wide, narrow = widths
        self.networks: dict[str, nn.Module] = {
            "G": generator(s.latent, channels, side, wide),
            "E": encoder(s.latent, channels, side, narrow),
            "D": Discriminator(channels, side, s.k, wide),
        }
        for network in self.networks.values():
            network.apply(_initialize)
        self.gradients: dict[str, list[Tensor]] = {}
        self._make_optimizers()

    def _make_optimizers(self) -> None:
        s = self.setting
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        for name, network in self.networks.items():
            if s.descent is not None:
                self.optimizers[name] = torch.optim.SGD(network.parameters(), s.descent)
            else:
                rate, decay = (s.lr_E, s.weight_decay_E) if name == "E" else (s.lr, 0.0)
                self.optimizers[name] = torch.optim.Adam(network.parameters(), rate, (0.5, 0.999), weight_decay=decay)

    def to(self, device: str) -> PlainIVGAN:
        for network in self.networks.values():
            network.to(device)
        self._make_optimizers()
        return self

    def load(self, networks: Mapping[str, nn.Module]) -> None:
        """Take over the weights of networks of the same layers, in the same order."""
        with torch.no_grad():
            for name, network in self.networks.items():
                for mine, given in zip(network.parameters(), networks[name].parameters(), strict=True):
                    mine.copy_(given)

    def step(self, x: Tensor, draws: Draws | None = None) -> None:
        """Algorithm 1 on the minibatch x (B, channels, side, side)."""
        d = draws or Draws.make(x, self.setting)
        d = replace(d, z=self.intervened(d.z, d.index, d.in_prior))
        self.backward("D", self.of_discriminator(x, d))
        self.move("D")
        self.backward("G", self.of_generator(x, d))
        self.backward("E", self.of_encoder(x, d))
        self.move("G")
        self.move("E")

    def of_discriminator(self, x: Tensor, d: Draws) -> Tensor:
        """Lines 9 to 11: the adversarial loss, and the classifier on intervened samples."""
        G, E, D = self.networks["G"], self.networks["E"], self.networks["D"]
        real, _ = D(x + d.on_real)
        fake, _ = D(G(d.z).detach() + d.on_fake)
        _, guess = D(G(self.intervened(E(x), d.index, d.in_code)).detach())
        return (
            self.says(real, 1) + self.says(fake, -1) + self.setting.classifier_weight * F.cross_entropy(guess, d.index)
        )

    def of_generator(self, x: Tensor, d: Draws) -> Tensor:
        """Line 15: adversarial, reconstructions of x and z, and the classifier that shall not know."""
        G, E, D, s = self.networks["G"], self.networks["E"], self.networks["D"], self.setting
        y = G(d.z)
        score, _ = D(y + d.on_fake_for_G)
        adversarial = self.says(score, 1) if s.adversarial == "bce" else 0.5 * (score**2).mean()
        _, guess = D(G(self.intervened(E(x), d.index, d.in_code)))
        reconstruction = F.l1_loss(G(E(x)), x) + F.l1_loss(E(y), d.z)
        return adversarial + s.lambda_G * reconstruction - s.mu_G * F.cross_entropy(guess, d.index)

    def of_encoder(self, x: Tensor, d: Draws) -> Tensor:
        """Line 17: the same without the adversarial loss, with E's weights."""
        G, E, D, s = self.networks["G"], self.networks["E"], self.networks["D"], self.setting
        w = E(x)
        _, guess = D(G(self.intervened(w, d.index, d.in_code)))
        reconstruction = F.l1_loss(G(w), x) + F.l1_loss(E(G(d.z).detach()), d.z)
        return s.lambda_E * reconstruction - s.mu_E * F.cross_entropy(guess, d.index)

    def says(self, score: Tensor, label: int) -> Tensor:
        """D's loss on rows of this label, 1 for real and -1 for fake."""
        if self.setting.adversarial == "bce":
            return F.binary_cross_entropy_with_logits(score, torch.full_like(score, float(label > 0)))
        return 0.5 * ((score - label) ** 2).mean()

    def intervened(self, code: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        """O_i: block i of each row replaced by noise."""
        out, length = code.clone(), code.shape[1] // self.setting.k
        for i in range(self.setting.k):
            rows = index == i
            block = slice(i * length, (i + 1) * length)
            out[:, block] = torch.where(rows[:, None], noise[:, block], out[:, block])
        return out

    def backward(self, name: str, loss: Tensor) -> None:
        """The gradients of one network; the others get some, too, which are thrown away."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        loss.backward()
        self.gradients[name] = [p.grad for p in self.networks[name].parameters() if p.grad is not None]

    def move(self, name: str) -> None:
        """Let a network step on its own gradients."""
        for parameter, gradient in zip(self.networks[name].parameters(), self.gradients[name], strict=True):
            parameter.grad = gradient
        self.optimizers[name].step()


def gradients(networks: Mapping[str, nn.Module], x: Tensor, draws: Draws, setting: Setting) -> dict[str, list[Tensor]]:
    """The oracle: the gradients on which G, E and D move in one step, in float64, in the order of their parameters.

    Args:
        networks: the package's DCGAN networks G, E and D at the start of the step; they are left as they are.
        x, draws: of the step.
        setting: D moves before G and E do: by its `descent`, or by Adam's first step.
    """
    first, narrow = (next(p for p in networks[name].parameters() if p.dim() == 4) for name in ("D", "E"))
    _, channels, side, _ = x.shape
    plain = PlainIVGAN(channels, side, setting, widths=(len(first), len(narrow)))
    for network in plain.networks.values():
        network.double()
    plain.load(networks)
    doubled = {name: t.double() if t.is_floating_point() else t for name, t in vars(draws).items()}
    plain.step(x.double(), Draws(**doubled))
    return plain.gradients


def minibatches(images: Tensor, batch: int, device: str) -> Iterator[Tensor]:
    """Minibatches without end on the device, shuffled anew in each epoch."""
    loader = DataLoader(
        TensorDataset(images), batch_size=batch, shuffle=True, drop_last=True, pin_memory=device == "cuda"
    )
    while True:
        for (x,) in loader:
            yield x.to(device, non_blocking=True)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
