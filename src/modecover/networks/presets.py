"""The table of network presets, and the functions that build one network of each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from modecover.errors import UserError
from modecover.networks.dcgan import SIDES, DCGANDiscriminator, DCGANEncoder, DCGANGenerator
from modecover.networks.digits import SIDES as DIGIT_SIDES
from modecover.networks.digits import DigitDiscriminator, DigitGenerator, JointDigitDiscriminator
from modecover.networks.joint import JointDCGANDiscriminator, JointMLPDiscriminator
from modecover.networks.mlp import MLPDiscriminator, MLPEncoder, MLPGenerator
from modecover.networks.residual import SIDES as RESIDUAL_SIDES
from modecover.networks.residual import (
    JointResidualDiscriminator,
    ResidualDiscriminator,
    ResidualEncoder,
    ResidualGenerator,
)
from modecover.networks.wae import SIDES as WAE_SIDES
from modecover.networks.wae import WAEEncoder, WAEGenerator


@dataclass(frozen=True)
class Stack:
    """The hidden layers of one fully connected network."""

    layers: int
    width: int
    activation: str = "relu"
    batch_norm: bool = False
    pieces: int = 5

    def arguments(self, width: int | None) -> dict[str, Any]:
        hidden = (self.width if width is None else width,) * self.layers
        plain = {"hidden": hidden, "activation": self.activation, "batch_norm": self.batch_norm}
        return plain | ({"pieces": self.pieces} if self.activation == "maxout" else {})


@dataclass(frozen=True)
class Options:
    """What `build` was told, beyond names and roles."""

    shape: tuple[int, ...]
    latent: int
    classes: int
    split_statistics: bool
    stochastic_codes: bool
    packing: int
    input_affine: bool
    encoder_normalize: bool
    quarter_encoder: bool
    prior: str
    dropout: float
    discriminator_norm: str
    widths: Mapping[str, int | None]

    @property
    def codes(self) -> int:
        """How many numbers an encoder returns for a row."""
        return self.latent * (2 if self.stochastic_codes else 1)

    @property
    def code_law(self) -> dict[str, Any]:
        """What every encoder is told of the law of its codes."""
        return {"normalize": self.encoder_normalize, "law": self.prior}

    @property
    def packed(self) -> tuple[int, ...]:
        """The shape of what a discriminator judges."""
        return (self.shape[0] * self.packing, *self.shape[1:])


@dataclass(frozen=True)
class Preset:
    """One row of the table: which networks, and for which data ("points", "images" or "any").

    Convolutional ones name the function that makes them, and the sides of the images they are for.
    """

    source: str
    data: str
    generator: Stack | None = None
    encoder: Stack | None = None
    discriminator: Stack | None = None
    convolutional: Callable[[str, Options], nn.Module] | None = None
    sides: tuple[int, ...] = ()


def fully_connected(role: str, preset: Preset, options: Options) -> nn.Module:
    stack: Stack = getattr(preset, role.rpartition(" ")[2])
    width = options.widths[role]
    if role in ("encoder", "latent discriminator") and width is None:
        width = options.widths["generator"]
    arguments = stack.arguments(width)
    if role.endswith("discriminator"):
        arguments["spectral"] = options.discriminator_norm == "spectral"
    if role == "encoder":
        return MLPEncoder(options.shape, options.codes, **options.code_law, **arguments)
    if role == "joint discriminator":
        return JointMLPDiscriminator(options.shape, options.latent, **arguments)
    if role == "latent discriminator":
        return MLPDiscriminator((options.latent,), classes=options.classes, **arguments)
    if role == "discriminator":
        return MLPDiscriminator(options.packed, classes=options.classes, dropout=options.dropout, **arguments)
    return MLPGenerator(
        options.latent,
        options.shape,
        # Images live in [-1, 1]; points anywhere.
        output="tanh" if len(options.shape) == 3 else "none",
        split_statistics=options.split_statistics,
        input_affine=options.input_affine,
        **arguments,
    )


def _dcgan(role: str, options: Options) -> nn.Module:
    _refuse_dropout("dcgan", options)
    width = options.widths[role]
    if role == "latent discriminator":
        hidden = (512 if width is None else width,) * 4  # IVAAE, Table 4
        spectral = options.discriminator_norm == "spectral"
        return MLPDiscriminator((options.latent,), hidden, classes=options.classes, spectral=spectral)
    if role == "encoder":
        if width is None:
            width = 16 if options.quarter_encoder else options.widths["generator"] or 64
        return DCGANEncoder(options.shape, options.codes, width, **options.code_law)
    width = 64 if width is None else width
    if role == "joint discriminator":
        return JointDCGANDiscriminator(options.shape, options.latent, width, norm=options.discriminator_norm)
    if role == "discriminator":
        return DCGANDiscriminator(options.packed, width, classes=options.classes, norm=options.discriminator_norm)
    return DCGANGenerator(
        options.latent,
        options.shape,
        width,
        split_statistics=options.split_statistics,
        input_affine=options.input_affine,
    )


def _dcgan_wide_encoder(role: str, options: Options) -> nn.Module:
    if role == "encoder":
        width = options.widths[role] or options.widths["generator"] or 64
        return DCGANEncoder(options.shape, options.codes, width, **options.code_law)
    return _dcgan(role, options)


def _wae(role: str, options: Options) -> nn.Module:
    """The auto-encoder; whoever judges images beside it is DCGAN's."""
    _refuse_dropout("wae", options)
    if role not in ("generator", "encoder"):
        return _dcgan(role, options)
    width = options.widths[role] or options.widths["generator"] or 128
    if role == "encoder":
        return WAEEncoder(options.shape, options.codes, width, **options.code_law)
    return WAEGenerator(
        options.latent,
        options.shape,
        width,
        split_statistics=options.split_statistics,
        input_affine=options.input_affine,
    )


def _residual(role: str, options: Options) -> nn.Module:
    _refuse_dropout("residual", options)
    if role == "latent discriminator":
        return _dcgan(role, options)
    norm = "spectral" if options.discriminator_norm == "spectral" else "none"
    width = options.widths[role] or options.widths["generator"] or 32
    if role == "encoder":
        return ResidualEncoder(options.shape, options.codes, width, **options.code_law)
    if role == "joint discriminator":
        return JointResidualDiscriminator(options.shape, options.latent, width, norm=norm)
    if role == "discriminator":
        return ResidualDiscriminator(options.packed, width, classes=options.classes, norm=norm)
    return ResidualGenerator(options.latent, options.shape, width, input_affine=options.input_affine)


def _dcgan28(role: str, options: Options) -> nn.Module:
    width = options.widths[role] or 64
    finest_first = [width, 2 * width, 4 * width, 8 * width]
    return _digits("dcgan28", role, options, {"channels": finest_first[::-1]}, {"channels": finest_first})


def _shrunken(preset: str, x: int) -> Callable[[str, Options], nn.Module]:
    """The function that makes the nets of Metz et al. 2017 whose discriminator has x, 2x and 4x channels."""
    generator = {"channels": (64, 32, 16, 8), "kernel": 3, "last_doubles": False}
    discriminator = {"channels": (x, 2 * x, 4 * x), "kernel": 3, "slope": 0.3, "first_norm": True}

    def make(role: str, options: Options) -> nn.Module:
        if role not in ("encoder", "latent discriminator") and options.widths[role] is not None:
            raise UserError(f'The network preset "{preset}" has the widths of its paper: leave the width out.')
        return _digits(preset, role, options, generator, discriminator)

    return make


def _digits(
    preset: str, role: str, options: Options, generator: Mapping[str, Any], discriminator: Mapping[str, Any]
) -> nn.Module:
    """A network for 28x28 pixels; the encoder is LDMGAN's MLP of two layers."""
    _refuse_dropout(preset, options)
    if role == "latent discriminator":
        return _dcgan(role, options)
    if role == "encoder":
        hidden = (options.widths[role] or 1024,)
        return MLPEncoder(options.shape, options.codes, hidden, **options.code_law)
    norm = options.discriminator_norm
    if role == "joint discriminator":
        return JointDigitDiscriminator(options.shape, options.latent, norm=norm, **discriminator)
    if role == "discriminator":
        return DigitDiscriminator(options.packed, classes=options.classes, norm=norm, **discriminator)
    split, affine = options.split_statistics, options.input_affine
    return DigitGenerator(options.latent, options.shape, split_statistics=split, input_affine=affine, **generator)


def _refuse_dropout(preset: str, options: Options) -> None:
    if options.dropout:
        raise UserError(f'The network preset "{preset}" has no dropout: leave dropout at 0, or use the preset "mlp".')


PRESETS: dict[str, Preset] = {
    "mlp": Preset("fully connected, 2x128 ReLU throughout", "any", Stack(2, 128), Stack(2, 128), Stack(2, 128)),
    "mlp-tanh": Preset(
        "fully connected, 2x128: G and E ReLU, D tanh, whose slope has no kinks for penalties on gradients",
        "any",
        Stack(2, 128),
        Stack(2, 128),
        Stack(2, 128, "tanh"),
    ),
    "dcgan": Preset(
        "IVGAN, Table 1 (DCGAN): see modecover.networks.dcgan", "images", convolutional=_dcgan, sides=SIDES
    ),
    "dcgan-wide-encoder": Preset(
        "DCGAN with E as wide as D: IVGAN's Table 1 as printed; MDGAN's Appendix B, where E is the inverse of G",
        "images",
        convolutional=_dcgan_wide_encoder,
        sides=SIDES,
    ),
    "wae": Preset(
        "WAE (Tolstikhin et al. 2018), IVAAE Table 4: see modecover.networks.wae; discriminators of images as dcgan",
        "images",
        convolutional=_wae,
        sides=WAE_SIDES,
    ),
    "residual": Preset(
        "Residual networks without normalisation, after R3GAN (Huang et al. 2024): see modecover.networks.residual",
        "images",
        convolutional=_residual,
        sides=RESIDUAL_SIDES,
    ),
    "dcgan28": Preset(
        "DCGAN at 28x28 as PacGAN and VEEGAN ran it; E as LDMGAN's section 5.3, an MLP of two layers (width 1024 ours)",
        "images",
        convolutional=_dcgan28,
        sides=DIGIT_SIDES,
    ),
    "unrolled-quarter": Preset(
        "Unrolled GAN (Metz et al. 2017), stacked MNIST, D with K = 1/4 of G's size; E (ours) an MLP of two layers",
        "images",
        convolutional=_shrunken("unrolled-quarter", 2),
        sides=DIGIT_SIDES,
    ),
    "unrolled-half": Preset(
        "Unrolled GAN (Metz et al. 2017), stacked MNIST, D with K = 1/2 of G's size; E (ours) an MLP of two layers",
        "images",
        convolutional=_shrunken("unrolled-half", 4),
        sides=DIGIT_SIDES,
    ),
    "ivaae-mnist": Preset(
        "IVAAE, Table 3, MNIST at 64x64: 2x1024 ReLU throughout", "any", Stack(2, 1024), Stack(2, 1024), Stack(2, 1024)
    ),
    "veegan": Preset(
        "VEEGAN (Srivastava et al. 2017), mixtures: G and E 2x128 ReLU, D 1x128 ReLU",
        "points",
        Stack(2, 128),
        Stack(2, 128),
        Stack(1, 128),
    ),
    "pacgan": Preset(
        "PacGAN (Lin et al. 2018), mixtures: G 4x400 batch norm ReLU, D 3x200 maxout of 5; E (ours) as G",
        "points",
        Stack(4, 400, batch_norm=True),
        Stack(4, 400, batch_norm=True),
        Stack(3, 200, activation="maxout", pieces=5),
    ),
    "ldmgan": Preset(
        "LDMGAN, ring and grid: G and E 2x64 ReLU, D 1x64 ReLU",
        "points",
        Stack(2, 64),
        Stack(2, 64),
        Stack(1, 64),
    ),
    "mdgan": Preset(
        "MDGAN (Che et al. 2017), circle of 6: G 2x128 ReLU, D 1x128 ReLU; E the inverse of G",
        "points",
        Stack(2, 128),
        Stack(2, 128),
        Stack(1, 128),
    ),
    "unrolled": Preset(
        "Unrolled GAN (Metz et al. 2017), ring: G and D 2x128 tanh; E (ours) as G",
        "points",
        Stack(2, 128, "tanh"),
        Stack(2, 128, "tanh"),
        Stack(2, 128, "tanh"),
    ),
}
"""The presets by name. `source` says what each holds and where it is from."""
