from dataclasses import dataclass

from torch.nn import functional as F

from modecover.losses import imq_mmd
from modecover.methods.base import Method, require
from modecover.methods.ivaae import WAE_RUNS
from modecover.methods.roles import Encoder, Feed, Generator, Updates


@dataclass(frozen=True)
class WAEMMD(Method, name="wae-mmd"):
    """Wasserstein auto-encoder whose codes are held to the prior by a maximum mean discrepancy: no adversary.

    Tolstikhin et al. 2018, Algorithm 2. Kernel and cost are those of the authors' code: a sum of seven inverse
    multiquadratics; and 0.05 ||x - y||^2 for images in [-1, 1], but with a weight that serves data of any dimension.
    Left out of it: up to 200 steps beforehand that fit the mean and the covariance of the codes to the prior's, since a
    step here does not know its number; and noise of std 0.01 on images. Micro-batches and processes each take the
    discrepancy of their own rows.
    """

    title = "Wasserstein Auto-Encoder, maximum mean discrepancy (WAE-MMD)"
    family = "auto-encoding"
    citation = "Tolstikhin, Bousquet, Gelly, Schoelkopf, Wasserstein Auto-Encoders, ICLR 2018"
    objective = """
    with k(a, b) = sum_s C_s / (C_s + ||a - b||^2), C_s = 2 d s, s = 0.1, 0.2, 0.5, 1, 2, 5, 10
    MMD = mean_{i != j} k(c_i, c_j) + mean_{i != j} k(z_i, z_j) - 2 mean_{i, j} k(c_i, z_j)
    G, E descend  cost E |x - G(c)|^2 + lambda MMD,  c = E(x)  (mean over coordinates)
    """
    defaults = {"latent": 16, "lr": 1e-3, "lr_E": 1e-3}
    presets = WAE_RUNS
    normalized_codes = False  # else the mean and variance of the codes would say nothing

    lambda_: float = 10.0
    """Weight of the discrepancy."""
    cost: float = 50.0
    """Weight of the squared error, a mean over coordinates. The authors' 0.05 ||x - y||^2 is 0.05 times their number:
    51 for grey images of 32x32, 614.4 for colour ones of 64x64 (the presets celeba and cifar)."""

    def check(self, *, latent: int, batch: int) -> None:
        require(batch >= 2, "WAE-MMD compares pairs of codes: use a batch of at least 2.")

    def step(self, G: Generator, E: Encoder, data: Feed, prior: Feed) -> Updates:
        x, z = data(), prior()
        code = E(x)
        error = self.cost * F.mse_loss(G(code), x)
        yield (G, E), {"reconstruction": error, "matching": self.lambda_ * imq_mmd(code, z)}
