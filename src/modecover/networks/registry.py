"""Networks by preset: the tables of the papers, built for the shape of the data; and networks from their `config()`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from modecover.errors import UserError
from modecover.networks.arguments import count, size, sizes
from modecover.networks.dcgan import DCGANDiscriminator, DCGANEncoder, DCGANGenerator, image_shape
from modecover.networks.joint import JointDCGANDiscriminator, JointMLPDiscriminator
from modecover.networks.mlp import MLPDiscriminator, MLPEncoder, MLPGenerator

CLASSES: dict[str, type[nn.Module]] = {
    cls.__name__: cls
    for cls in (
        *(MLPGenerator, MLPEncoder, MLPDiscriminator, JointMLPDiscriminator),
        *(DCGANGenerator, DCGANEncoder, DCGANDiscriminator, JointDCGANDiscriminator),
    )
}
"""The networks that `from_config` knows, by class name."""

ROLES = ("generator", "encoder", "discriminator", "latent discriminator", "joint discriminator")


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
class Preset:
    """One row of the table: which networks, and for which data ("points", "images" or "any")."""

    source: str
    data: str
    generator: Stack | None = None
    encoder: Stack | None = None
    discriminator: Stack | None = None


PRESETS: dict[str, Preset] = {
    "mlp": Preset("fully connected, 2x128 ReLU throughout", "any", Stack(2, 128), Stack(2, 128), Stack(2, 128)),
    "dcgan": Preset("IVGAN, Table 1 (DCGAN): see modecover.networks.dcgan", "images"),
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
    dropout: float
    discriminator_norm: str
    widths: Mapping[str, int | None]

    @property
    def codes(self) -> int:
        """How many numbers an encoder returns for a row."""
        return self.latent * (2 if self.stochastic_codes else 1)

    @property
    def packed(self) -> tuple[int, ...]:
        """The shape of what a discriminator judges."""
        return (self.shape[0] * self.packing, *self.shape[1:])


def build(
    roles: Mapping[str, str],
    shape: Sequence[int],
    latent: int,
    *,
    preset: str = "auto",
    classes: int = 0,
    split_statistics: bool = False,
    stochastic_codes: bool = False,
    packing: int = 1,
    width: int | None = None,
    encoder_width: int | None = None,
    discriminator_width: int | None = None,
    encoder_normalize: bool = True,
    input_affine: bool = False,
    dropout: float = 0.0,
    discriminator_norm: str = "batch",
) -> dict[str, nn.Module]:
    """New networks for the named roles, their weights drawn from torch's global generator in the order of `roles`.

    Args:
        roles: name to one of `ROLES`, as `Method.roles()` gives them.
        shape: of one sample of the data.
        latent: the latent dimension.
        preset: a name in `PRESETS`, or "auto": "dcgan" for images, "mlp" for all else.
        classes: size of the discriminators' classifier head; 0 for none.
        split_statistics: the generators' batch norms keep prior noise and codes apart.
        stochastic_codes: encoders return means and log variances side by side, 2 * latent numbers a row.
        packing: rows that discriminators judge together: so many times the channels, or coordinates.
        width: hidden width (fully connected) or channels next to the image (DCGAN); None: the preset's own. A
            convolutional encoder does not follow it: its width is 16 unless `encoder_width` says otherwise.
        encoder_width, discriminator_width: the same for these roles alone.
        encoder_normalize: encoders end with a batch norm without affine map.
        input_affine: generators begin with a learned scale and shift of each latent coordinate.
        dropout: in fully connected discriminators.
        discriminator_norm: "batch" or "none" in convolutional discriminators; fully connected ones have what the
            preset says.

    Raises:
        UserError: an unknown preset or role, a preset that cannot make this data, or an option it does not have.
    """
    options = Options(
        shape=sizes("shape", shape),
        latent=size("latent", latent),
        classes=count("classes", classes),
        split_statistics=split_statistics,
        stochastic_codes=stochastic_codes,
        packing=size("packing", packing),
        input_affine=input_affine,
        # Normalised log variances would be no variances.
        encoder_normalize=encoder_normalize and not stochastic_codes,
        dropout=dropout,
        discriminator_norm=discriminator_norm,
        widths=_widths(width, encoder_width, discriminator_width),
    )
    name = choose_preset(preset, options.shape)
    for network, role in roles.items():
        if role not in ROLES:
            raise UserError(f"{network} has the role {role!r}; a network is one of {', '.join(ROLES)}.")
    if name == "dcgan":
        return {network: _dcgan(role, options) for network, role in roles.items()}
    return {network: _mlp(role, PRESETS[name], options) for network, role in roles.items()}


def choose_preset(preset: str, shape: Sequence[int]) -> str:
    """The preset's name with "auto" resolved; `UserError` where it does not exist or cannot make data of this shape."""
    images = len(shape) == 3
    if preset == "auto":
        preset = "dcgan" if images else "mlp"
    if preset not in PRESETS:
        raise UserError(f"There is no network preset {preset!r}; choose auto or one of {', '.join(PRESETS)}.")
    if preset == "dcgan":
        image_shape(shape)
    if PRESETS[preset].data == "points" and len(shape) != 1:
        cure = 'use the preset "dcgan" or "mlp"' if images else 'use the preset "mlp"'
        raise UserError(
            f"The network preset {preset!r} is for points, but a sample of this data has shape {tuple(shape)}: {cure}."
        )
    return preset


def from_config(config: Mapping[str, Any]) -> nn.Module:
    """The network that `config`, as its own `config()` returned it, describes: same keys and shapes, new weights."""
    if not isinstance(config, Mapping) or not {"class", "arguments"} <= config.keys():
        raise UserError(f'A network is described by its "class" and its "arguments", but this says {config!r}.')
    name, arguments = config["class"], config["arguments"]
    if name not in CLASSES:
        raise UserError(
            f"The description names the network class {name!r}, which this version does not have; "
            f"it has {', '.join(CLASSES)}."
        )
    try:
        return CLASSES[name](**arguments)
    except TypeError as error:
        raise UserError(f"The description of a {name} does not fit this version: {error}.") from error


def _widths(width: int | None, encoder: int | None, discriminator: int | None) -> dict[str, int | None]:
    named = {"width": width, "encoder_width": encoder, "discriminator_width": discriminator}
    for name, value in named.items():
        if value is not None:
            size(name, value)
    judges = dict.fromkeys(("discriminator", "joint discriminator"), width if discriminator is None else discriminator)
    return {"generator": width, "encoder": encoder, "latent discriminator": discriminator, **judges}


def _mlp(role: str, preset: Preset, options: Options) -> nn.Module:
    stack: Stack = getattr(preset, role.rpartition(" ")[2])
    width = options.widths[role]
    if role in ("encoder", "latent discriminator") and width is None:
        width = options.widths["generator"]
    arguments = stack.arguments(width)
    if role == "encoder":
        return MLPEncoder(options.shape, options.codes, normalize=options.encoder_normalize, **arguments)
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
    if options.dropout:
        raise UserError('The network preset "dcgan" has no dropout: leave dropout at 0, or use the preset "mlp".')
    width = options.widths[role]
    if role == "latent discriminator":
        hidden = (512 if width is None else width,) * 4  # IVAAE, Table 4
        return MLPDiscriminator((options.latent,), hidden, classes=options.classes)
    if role == "encoder":
        width = 16 if width is None else width
        return DCGANEncoder(options.shape, options.codes, width, normalize=options.encoder_normalize)
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
