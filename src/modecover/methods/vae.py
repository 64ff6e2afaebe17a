from dataclasses import dataclass

from modecover import random
from modecover.losses import gaussian_kl, squared_error
from modecover.methods.base import Method, require
from modecover.methods.ivaae import IVAAE_RUNS
from modecover.methods.roles import Encoder, Feed, Generator, Updates


@dataclass(frozen=True)
class VAE(Method, name="vae"):
    """Variational auto-encoder: a bound on the likelihood of the data, climbed by gradients.

    Kingma & Welling 2014, Algorithm 1 with one draw of each code, equation 10. G gives the mean of a Gaussian of fixed
    standard deviation, where Appendix C.2 has one more output for it; the constant of its likelihood is left out.
    Samples are G(z) itself, without that noise.
    """

    title = "Variational Auto-Encoder (VAE)"
    family = "auto-encoding"
    citation = "Kingma, Welling, Auto-Encoding Variational Bayes, ICLR 2014"
    objective = """
    with E(x) = (mu, log sigma^2), c = mu + sigma e, e standard normal
    G, E descend  E ||x - G(c)||^2 / (2 std^2) + E KL(N(mu, diag sigma^2) || N(0, I))
    """
    defaults = {"lr": 1e-3, "lr_E": 1e-3}
    presets = IVAAE_RUNS
    normal_prior = True  # the KL is to N(0, I)
    stochastic_codes = True

    std: float = 0.1
    """Standard deviation of the data around G(c), in each coordinate: the smaller, the more weight on reconstruction.
    The default is about what small images, in [-1, 1], and mixtures of points keep."""

    def check(self, *, latent: int, batch: int) -> None:
        require(self.std > 0, f"std is {self.std}: give a positive number, for example 0.1.")

    def step(self, G: Generator, E: Encoder, data: Feed) -> Updates:
        x = data()
        moments = E(x)
        y = G(random.gaussian(moments))
        yield (G, E), {"likelihood": squared_error(y, x) / (2 * self.std**2), "kl": gaussian_kl(moments)}
