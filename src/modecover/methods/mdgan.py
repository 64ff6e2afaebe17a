from dataclasses import dataclass

from modecover.losses import ADVERSARIAL, distance_named
from modecover.methods.base import Method
from modecover.methods.roles import Discriminator, Encoder, Feed, Generator, Updates


@dataclass(frozen=True)
class MDGAN(Method, name="mdgan"):
    """Manifold-diffusion GAN.

    Che et al. 2017, section 3.3 and Appendix A. The manifold step pulls reconstructions onto the data; the diffusion
    step spreads samples over the reconstructions. Deviations: the appendix prints `D2(z_i)` for `D2(G(z_i))` and
    "gradient ascent" for G's descents; the distance is a mean over coordinates, not a sum. G keeps separate batch
    statistics for noise and for codes (Appendix B).
    """

    title = "Manifold-Diffusion GAN (MDGAN)"
    family = "mode regularised"
    citation = "Che, Li, Jacob, Bengio, Li, Mode Regularized Generative Adversarial Networks, ICLR 2017"
    objective = """
    D1 descends    -E log D1(x) - E log(1 - D1(G(E(x))))                      manifold step
    G, E descend   E d(x, G(E(x))) - lambda_ E log D1(G(E(x)))
    D2 descends    -E log D2(G(E(x))) - E log(1 - D2(G(z)))                   diffusion step
    G descends     -E log D2(G(z))
    """
    split_statistics = True

    lambda_: float = 0.01
    """Weight of D1's judgement beside the reconstruction distance in the manifold step (ours: the paper gives none)."""
    distance: str = "pixel"
    """Reconstruction distance: pixel (a mean), pixel-sum, feature (in D1), or a name of yours in
    `modecover.losses.DISTANCES`."""

    def check(self, *, latent: int, batch: int) -> None:
        distance_named(self.distance)

    def step(self, G: Generator, E: Encoder, D1: Discriminator, D2: Discriminator, data: Feed, prior: Feed) -> Updates:
        adversarial, distance = ADVERSARIAL["bce"], distance_named(self.distance)
        x = data()  # manifold step
        reconstruction = G(E(x), kind="code")
        yield D1, {"real": adversarial.real(D1(x)), "fake": adversarial.fake(D1(reconstruction.detach()))}
        metric = distance(D1, x, reconstruction)
        yield (G, E), {"metric": metric, "manifold": self.lambda_ * adversarial.generator(D1(reconstruction))}
        x, y = data(), G(prior())  # diffusion step
        reconstruction = G(E(x), kind="code").detach()
        yield D2, {"real": adversarial.real(D2(reconstruction)), "fake": adversarial.fake(D2(y.detach()))}
        yield G, {"diffusion": adversarial.generator(D2(y))}
