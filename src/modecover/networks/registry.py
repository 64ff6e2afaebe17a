"""Networks by preset: the tables of the papers, built for the shape of the data; and networks from their `config()`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from modecover.arguments import held
from modecover.errors import UserError
from modecover.kinds import checked_arguments, first_line, joined, shown
from modecover.limits import within_limits
from modecover.networks.arguments import count, size, sizes
from modecover.networks.dcgan import DCGANDiscriminator, DCGANEncoder, DCGANGenerator, image_shape
from modecover.networks.digits import DigitDiscriminator, DigitGenerator, JointDigitDiscriminator
from modecover.networks.joint import JointDCGANDiscriminator, JointMLPDiscriminator
from modecover.networks.mlp import MLPDiscriminator, MLPEncoder, MLPGenerator
from modecover.networks.presets import PRESETS, Options, fully_connected
from modecover.networks.residual import (
    JointResidualDiscriminator,
    ResidualDiscriminator,
    ResidualEncoder,
    ResidualGenerator,
)
from modecover.networks.wae import WAEEncoder, WAEGenerator

CLASSES: dict[str, type[nn.Module]] = {
    cls.__name__: cls
    for cls in (
        *(MLPGenerator, MLPEncoder, MLPDiscriminator, JointMLPDiscriminator),
        *(DCGANGenerator, DCGANEncoder, DCGANDiscriminator, JointDCGANDiscriminator),
        *(WAEGenerator, WAEEncoder),
        *(ResidualGenerator, ResidualEncoder, ResidualDiscriminator, JointResidualDiscriminator),
        *(DigitGenerator, DigitDiscriminator, JointDigitDiscriminator),
    )
}
"""The networks that `from_config` knows, by class name."""

NORMS = ("batch", "none", "spectral")
"""Of discriminators."""

ROLES = ("generator", "encoder", "discriminator", "latent discriminator", "joint discriminator")


@held()
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
    quarter_encoder: bool = False,
    prior: str = "normal",
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
        width: hidden width (fully connected) or channels next to the image (convolutional); None: the preset's own.
        encoder_width, discriminator_width: the same for these roles alone.
        encoder_normalize: encoders end with a batch norm without affine map, and a map of its codes to the prior's law.
        quarter_encoder: DCGAN's encoder has 16 channels next to the image, as in IVGAN's runs, where it is else as wide
            as the generator.
        prior: the law of prior noise, "normal", "uniform" on [-1, 1]^d or "uniform01" on [0, 1]^d.
        input_affine: generators begin with a learned scale and shift of each latent coordinate.
        dropout: in fully connected discriminators.
        discriminator_norm: "batch" or "none" in convolutional discriminators, where fully connected and residual ones
            have what the preset says; or "spectral" in every layer of any discriminator.

    Raises:
        UserError: an unknown preset or role, a preset that cannot make this data, or an option it does not have.
    """
    if discriminator_norm not in NORMS:
        raise UserError(f"discriminator_norm is {shown(discriminator_norm)}: choose {joined(NORMS)}.")
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
        quarter_encoder=quarter_encoder,
        prior=prior,
        dropout=dropout,
        discriminator_norm=discriminator_norm,
        widths=_widths(width, encoder_width, discriminator_width),
    )
    name = choose_preset(preset, options.shape)
    for network, role in roles.items():
        if role not in ROLES:
            raise UserError(f"{network} has the role {role!r}; a network is one of {', '.join(ROLES)}.")
    chosen = PRESETS[name]
    if chosen.convolutional is not None:
        return {network: chosen.convolutional(role, options) for network, role in roles.items()}
    return {network: fully_connected(role, chosen, options) for network, role in roles.items()}


def choose_preset(preset: str, shape: Sequence[int]) -> str:
    """The preset's name with "auto" resolved; `UserError` where it does not exist or cannot make data of this shape."""
    images = len(shape) == 3
    if preset == "auto":
        preset = "dcgan" if images else "mlp"
    if preset not in PRESETS:
        raise UserError(f"There is no network preset {preset!r}; choose auto or one of {', '.join(PRESETS)}.")
    if PRESETS[preset].sides:
        image_shape(shape, PRESETS[preset].sides, preset.upper())
    if PRESETS[preset].data == "points" and len(shape) != 1:
        cure = 'use the preset "dcgan" or "mlp"' if images else 'use the preset "mlp"'
        raise UserError(
            f"The network preset {preset!r} is for points, but a sample of this data has shape {tuple(shape)}: {cure}."
        )
    return preset


def from_config(config: Mapping[str, Any]) -> nn.Module:
    """The network that `config`, as its own `config()` returned it, describes: same keys and shapes, new weights.

    Raises:
        UserError: the description is none, of another version, or cannot be built; whatever it holds.
    """
    if not isinstance(config, Mapping) or not {"class", "arguments"} <= config.keys():
        raise UserError(f'A network is described by its "class" and its "arguments", but this says {shown(config)}.')
    name, arguments = config["class"], config["arguments"]
    if not isinstance(name, str) or name not in CLASSES:
        raise UserError(
            f"The description names the network class {shown(name)}, which this version does not have; "
            f"it has {', '.join(CLASSES)}."
        )
    if not isinstance(arguments, Mapping):
        raise UserError(f"The arguments of a {name} are {shown(arguments)}: they must be given by name.")
    try:
        with within_limits():
            return CLASSES[name](**checked_arguments(CLASSES[name], arguments))
    except UserError as error:
        raise UserError(f"The description of a {name} does not fit this version: {error}") from error
    except Exception as error:  # values of the right kinds that do not go together: the description is to blame
        raise UserError(f"The description of a {name} does not fit this version: {first_line(error)}.") from error


def _widths(width: int | None, encoder: int | None, discriminator: int | None) -> dict[str, int | None]:
    named = {"width": width, "encoder_width": encoder, "discriminator_width": discriminator}
    for name, value in named.items():
        if value is not None:
            size(name, value)
    judges = dict.fromkeys(("discriminator", "joint discriminator"), width if discriminator is None else discriminator)
    return {"generator": width, "encoder": encoder, "latent discriminator": discriminator, **judges}
