"""The networks of the papers, built from the shape of the data; and the check of a user's own."""

from modecover.networks.check import accepts_option, check_network
from modecover.networks.dcgan import (
    DCGANDiscriminator,
    DCGANEncoder,
    DCGANGenerator,
    DigitDiscriminator,
    DigitGenerator,
    JointDCGANDiscriminator,
    JointDigitDiscriminator,
    WAEEncoder,
    WAEGenerator,
)
from modecover.networks.mlp import JointMLPDiscriminator, Maxout, MLPDiscriminator, MLPEncoder, MLPGenerator
from modecover.networks.network import TwoHeads
from modecover.networks.normalization import CoordinateAffine, SplitBatchNorm
from modecover.networks.registry import PRESETS, build, choose_preset, from_config
from modecover.networks.residual import (
    JointResidualDiscriminator,
    ResidualDiscriminator,
    ResidualEncoder,
    ResidualGenerator,
)
from modecover.networks.spectral import SpectralConv2d, SpectralLinear

__all__ = [
    "PRESETS",
    "CoordinateAffine",
    "DCGANDiscriminator",
    "DCGANEncoder",
    "DCGANGenerator",
    "DigitDiscriminator",
    "DigitGenerator",
    "JointDCGANDiscriminator",
    "JointDigitDiscriminator",
    "JointMLPDiscriminator",
    "JointResidualDiscriminator",
    "MLPDiscriminator",
    "MLPEncoder",
    "MLPGenerator",
    "Maxout",
    "ResidualDiscriminator",
    "ResidualEncoder",
    "ResidualGenerator",
    "SpectralConv2d",
    "SpectralLinear",
    "SplitBatchNorm",
    "TwoHeads",
    "WAEEncoder",
    "WAEGenerator",
    "accepts_option",
    "build",
    "check_network",
    "choose_preset",
    "from_config",
]
