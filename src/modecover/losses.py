"""Losses and divergences in closed form. Scores are logits, shape (B,); every loss is a scalar to descend."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from modecover import random
from modecover.errors import UserError
from modecover.kinds import bounded

Judge = Callable[[Tensor], Tensor]
"""Rows (B, *shape) to scores (B,)."""


@dataclass(frozen=True)
class AdversarialLoss:
    """The three pieces of an adversarial game; D descends `real(D(x)) + fake(D(y))`, G descends `generator(D(y))`."""

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def _means(real: Judge, fake: Judge, generator: Judge) -> AdversarialLoss:
    return AdversarialLoss(lambda s: real(s).mean(), lambda s: fake(s).mean(), lambda s: generator(s).mean())


ADVERSARIAL: dict[str, AdversarialLoss] = {
    # Goodfellow et al. 2014, section 3: the non-saturating form, and the minimax form log(1 - D(y)) of eq. 1. With
    # D = sigmoid(s) of a score s, softplus(-s) is -log D and softplus(s) is -log(1 - D).
    "bce": _means(lambda s: F.softplus(-s), lambda s: F.softplus(s), lambda s: F.softplus(-s)),
    "minimax": _means(lambda s: F.softplus(-s), lambda s: F.softplus(s), lambda s: -F.softplus(s)),
    # Mao et al. 2017, eq. 8: labels real 1, fake -1, and 0 for what G wants D to say.
    "ls": _means(lambda s: 0.5 * (s - 1).square(), lambda s: 0.5 * (s + 1).square(), lambda s: 0.5 * s.square()),
    # Arjovsky et al. 2017, eq. 2-3: the critic ascends E D(x) - E D(y).
    "wasserstein": _means(lambda s: -s, lambda s: s, lambda s: -s),
    # Miyato et al. 2018, eq. 16-17: D wants real scores above 1 and fake ones below -1, and G wants high ones.
    "hinge": _means(lambda s: F.relu(1 - s), lambda s: F.relu(1 + s), lambda s: -s),
}


def relativistic(higher: Tensor, lower: Tensor) -> Tensor:
    """E log(1 + exp(-(higher - lower))), scores paired row by row (Huang et al. 2024, R3GAN, section 2).

    D descends `relativistic(D(x), D(y))`, G descends `relativistic(D(y), D(x))`.
    """
    return F.softplus(lower - higher).mean()


def gradient_penalty(critic: Judge, x: Tensor, y: Tensor) -> Tensor:
    """E (||grad D(t)||_2 - 1)^2 at t uniform on the lines between rows of x and y (Gulrajani et al. 2017, eq. 3)."""
    along = random.uniform_like(x.flatten(1)[:, :1]).view(-1, *[1] * (x.dim() - 1))
    return (_slopes(critic, along * x + (1 - along) * y).norm(dim=1) - 1).square().mean()


def zero_centred_penalty(discriminator: Judge, rows: Tensor) -> Tensor:
    """E ||grad D(t)||_2^2 at constant rows (Mescheder et al. 2018, eq. 9, less gamma/2): R1 at real, R2 at fake."""
    return _slopes(discriminator, rows).square().sum(dim=1).mean()


def _slopes(judge: Judge, rows: Tensor) -> Tensor:
    """The gradient of each row's score in that row, flat: (B, n). The rows are constants."""
    t = rows.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(judge(t).sum(), t, create_graph=True)
    return gradient.flatten(1)


@dataclass(frozen=True)
class Plain:
    """An adversarial game on D's adversarial head: real and fake rows are judged by themselves.

    With a `penalty` by a critic whose slope is held at 1 between them (Gulrajani et al. 2017, eq. 3).
    """

    loss: AdversarialLoss
    penalty: float | None = None

    def discriminator(self, D: Judge, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The terms that D descends, on real rows x and fake rows y of one shape; give y detached."""
        terms = {"real": self.loss.real(D(x)), "fake": self.loss.fake(D(y))}
        return terms if self.penalty is None else {**terms, "penalty": self.penalty * gradient_penalty(D, x, y)}

    def generator(self, D: Judge, x: Tensor, y: Tensor) -> Tensor:
        """What G descends through y."""
        return self.loss.generator(D(y))


@dataclass(frozen=True)
class Relativistic:
    """Real and fake rows in pairs, with R1 and R2 (Huang et al. 2024, R3GAN, section 2); `penalty` is gamma."""

    penalty: float = 1.0

    def discriminator(self, D: Judge, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        r1, r2 = (self.penalty / 2 * zero_centred_penalty(D, rows) for rows in (x, y))
        return {"pairs": relativistic(D(x), D(y)), "r1": r1, "r2": r2}

    def generator(self, D: Judge, x: Tensor, y: Tensor) -> Tensor:
        return relativistic(D(y), D(x))


Game = Plain | Relativistic

GAMES: dict[str, Game] = {
    **{name: Plain(ADVERSARIAL[name]) for name in ("bce", "minimax", "ls", "hinge")},
    "wgan-gp": Plain(ADVERSARIAL["wasserstein"], penalty=10.0),
    "relativistic": Relativistic(),
}
"""Adversarial games by name, for methods that add a term of their own to any of them."""


def game_named(name: str, penalty: float | None = None) -> Game:
    """The game of that name, with a `penalty` of this weight if one is given; `UserError` where it has none."""
    game = GAMES[name]
    if penalty is not None and game.penalty is None:
        raise UserError(f"{name} has no gradient penalty: leave penalty out, or use wgan-gp or relativistic.")
    return game if penalty is None else dataclasses.replace(game, penalty=penalty)


def moment_kl(codes: Tensor) -> Tensor:
    """KL(N(mu, diag sigma^2) || N(0, I)) of the Gaussian fitted to each coordinate of the minibatch.

    `sum_i [(mu_i^2 + sigma_i^2)/2 - log sigma_i] - M/2` (LDMGAN, eq. 10 with its fraction bar restored), codes of
    shape (B, M); with stacked seeds one Gaussian per seed, and the mean over seeds. The logarithm is that of
    sigma_i^2 + 1e-8: the gradient, 1/sigma_i as printed, is then at most 5e3 where all codes of a minibatch agree.
    """
    each = random.by_seed(codes)
    variance = each.var(dim=1, unbiased=False)
    kl = 0.5 * (each.mean(dim=1).square() + variance - (variance + 1e-8).log() - 1)
    return kl.sum(dim=-1).mean()


def gaussian_kl(moments: Tensor) -> Tensor:
    """E KL(N(mu, diag sigma^2) || N(0, I)), one Gaussian for each row (Kingma & Welling 2014, Appendix B).

    `moments` (B, 2d) are the means and the log variances side by side.
    """
    mean, log_variance = moments.chunk(2, dim=1)
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1).mean()


IMQ_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def imq_mmd(codes: Tensor, prior: Tensor, scales: Sequence[float] = IMQ_SCALES) -> Tensor:
    """Squared maximum mean discrepancy between the laws of two samples (B, d), without bias (a U-statistic).

    sum_{i != j} [k(c_i, c_j) + k(p_i, p_j)] / (B (B - 1)) - 2 sum_{i, j} k(c_i, p_j) / B^2 (WAE, Algorithm 2), with
    the inverse multiquadratic kernel k(a, b) = sum_s C_s / (C_s + ||a - b||^2), C_s = 2 d s, whose scales s are those
    of the authors' code. At least two rows; with stacked seeds one value per seed, and the mean over seeds.
    """
    rows = torch.cat([random.by_seed(codes), random.by_seed(prior)], dim=1)
    count, squares = rows.shape[1] // 2, rows.square().sum(dim=2)
    distance = (squares[:, :, None] + squares[:, None] - 2 * rows @ rows.mT).clamp_min(0)
    sizes = [2 * rows.shape[2] * scale for scale in scales]
    kernel: Tensor = sum((size / (size + distance) for size in sizes), torch.zeros_like(distance))
    weight = rows.new_full((2 * count, 2 * count), -1 / count**2)
    for own in (weight[:count, :count], weight[count:, count:]):
        own.fill_(1 / (count * (count - 1)))
    return (kernel * weight.fill_diagonal_(0)).sum(dim=(1, 2)).mean()


def not_class(logits: Tensor, index: Tensor) -> Tensor:
    """E -log(1 - p_index), p = softmax(logits): what fools a classifier without ascending its cross-entropy.

    For two classes it is the cross-entropy with the labels exchanged: the non-saturating form of a GAN. Logits (B, k),
    index (B,) in [0, k).
    """
    own = torch.arange(logits.shape[1], device=index.device) == index[:, None]
    return (logits.logsumexp(1) - logits.masked_fill(own, -torch.inf).logsumexp(1)).mean()


def multi_jensen_shannon(densities: Tensor, volume: float = 1.0) -> Tensor:
    """Equal-weight JS(p_1..p_k) = H(mean p) - mean H(p) in nats, 0 <= JS <= log k (IVGAN, eq. 2).

    Args:
        densities: (k, n) values of k densities on n cells.
        volume: volume of a cell; the density values times it sum to one for each row.
    """
    of_mixture, of_each = (torch.special.entr(p).sum(dim=-1) * volume for p in (densities.mean(dim=0), densities))
    return of_mixture - of_each.mean()


def squared_error(y: Tensor, x: Tensor) -> Tensor:
    """E ||y - x||^2: the sum over a row's coordinates, the mean over rows."""
    return (y - x).square().flatten(1).sum(dim=1).mean()


def pixel_distance(D: Any, x: Tensor, y: Tensor) -> Tensor:
    """Mean squared difference, over rows and coordinates."""
    return F.mse_loss(y, x)


def pixel_sum_distance(D: Any, x: Tensor, y: Tensor) -> Tensor:
    """Squared norm of the difference, mean over rows, as MDGAN and LDMGAN print it: n times `pixel` for n numbers."""
    return (y - x).square().flatten(1).sum(dim=1).mean()


def feature_distance(D: Any, x: Tensor, y: Tensor) -> Tensor:
    """Mean squared difference of D's last features; those of the real rows x are constants."""
    return F.mse_loss(D(y, head="features"), D(x, head="features").detach())


DISTANCES: dict[str, Callable[[Any, Tensor, Tensor], Tensor]] = {
    "pixel": pixel_distance,
    "pixel-sum": pixel_sum_distance,
    "feature": feature_distance,
}
"""Reconstruction distances d(x, y) by name, called with (D, x, y); add your own under a new name."""


def distance_named(name: str) -> Callable[[Any, Tensor, Tensor], Tensor]:
    """The distance of that name; `UserError` where there is none."""
    return DISTANCES[bounded("distance", name, list(DISTANCES))]
