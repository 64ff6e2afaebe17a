"""The table of network presets, built for the shape of the data; and networks from their `config()`.

A preset is data: for each role a `Recipe`, the class of the network and what the paper says of it. `build` adds what
the method asks for, as far as the class has an argument for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from torch import nn

from modecover.arguments import held
from modecover.errors import UserError
from modecover.kinds import checked, checked_arguments, fields_of, first_line, shown
from modecover.limits import within_limits
from modecover.networks import dcgan, mlp, residual
from modecover.networks.network import CLASSES, Norm, OwnNetwork, require_image, sizes
from modecover.networks.normalization import Law

Arguments = Callable[[int], Mapping[str, Any]]
"""A width as arguments of a class of networks."""
Hidden = tuple[Any, ...]
"""Hidden layers of a fully connected network: how many, their width, and what more is to be said, as its arguments."""


def hidden(layers: int, **more: Any) -> Arguments:
    """A fully connected network with so many hidden layers of one width."""
    return lambda width: {"hidden": (width,) * layers, **more}


@dataclass(frozen=True)
class Recipe:
    """How one network of a preset is made."""

    network: type[OwnNetwork]
    width: int | None
    """What it is without a choice of the user's; None: `arguments` hold the paper's widths, and none can be chosen."""
    arguments: Arguments = lambda width: {"width": width}
    as_generator: bool = False
    """Whether it is as wide as the user wants the generator, where nothing is said of it alone."""
    quarter: int | None = None
    """The width where a method asks for a quarter of IVGAN's Table 1."""


@dataclass(frozen=True)
class Preset:
    """One row of the table: where it is from, and its networks by role."""

    source: str
    networks: Mapping[str, Recipe]
    points: bool = False
    """Whether it is for points alone."""

    @property
    def sides(self) -> tuple[int, ...]:
        """Of the square images it is for; none where it takes data of any shape."""
        return self.networks["generator"].network.sides


def _connected(source: str, G: Hidden = (2, 128), D: Hidden = (2, 128), points: bool = True) -> Preset:
    """Fully connected networks: the hidden layers of G and E, and those of all discriminators."""

    def recipe(network: type[OwnNetwork], like: Hidden, as_generator: bool = False) -> Recipe:
        layers, width, *more = like
        return Recipe(network, width, hidden(layers, **dict(*more)), as_generator)

    networks = {
        "generator": recipe(mlp.MLPGenerator, G),
        "encoder": recipe(mlp.MLPEncoder, G, as_generator=True),
        "discriminator": recipe(mlp.MLPDiscriminator, D),
        "latent discriminator": recipe(mlp.MLPDiscriminator, D, as_generator=True),
        "joint discriminator": recipe(mlp.JointMLPDiscriminator, D),
    }
    return Preset(source, networks, points)


def _images(width: int, *family: type[OwnNetwork]) -> dict[str, Recipe]:
    """Networks of a convolutional family: the generator, the encoder as its inverse, and two discriminators."""
    G, E, D, joint = family
    return {
        "generator": Recipe(G, width),
        "encoder": Recipe(E, width, as_generator=True),
        "discriminator": Recipe(D, width),
        "joint discriminator": Recipe(joint, width),
        "latent discriminator": Recipe(mlp.MLPDiscriminator, 512, hidden(4)),  # IVAAE, Table 4
    }


_TANH = {"activation": "tanh"}
_DCGAN = _images(64, dcgan.DCGANGenerator, dcgan.DCGANEncoder, dcgan.DCGANDiscriminator, dcgan.JointDCGANDiscriminator)
_WAE = {"generator": Recipe(dcgan.WAEGenerator, 128), "encoder": Recipe(dcgan.WAEEncoder, 128, as_generator=True)}
_RESIDUAL = _images(
    32,
    residual.ResidualGenerator,
    residual.ResidualEncoder,
    residual.ResidualDiscriminator,
    residual.JointResidualDiscriminator,
)


def _digits(width: int | None, G: Arguments, D: Arguments) -> dict[str, Recipe]:
    return {
        **_DCGAN,
        "generator": Recipe(dcgan.DigitGenerator, width, G),
        "encoder": Recipe(mlp.MLPEncoder, 1024, hidden(1)),  # LDMGAN's MLP of two layers
        "discriminator": Recipe(dcgan.DigitDiscriminator, width, D),
        "joint discriminator": Recipe(dcgan.JointDigitDiscriminator, width, D),
    }


def _shrunken(x: int) -> dict[str, Recipe]:
    """The nets of Metz et al. 2017 whose discriminator has x, 2x and 4x channels."""
    discriminator = {"channels": (x, 2 * x, 4 * x), "kernel": 3, "slope": 0.3, "first_norm": True}
    generator = {"channels": (64, 32, 16, 8), "kernel": 3, "last_doubles": False}
    return _digits(None, lambda _: generator, lambda _: discriminator)


PRESETS: dict[str, Preset] = {
    "mlp": _connected("fully connected, 2x128 ReLU throughout", points=False),
    "mlp-tanh": _connected(
        "fully connected, 2x128: G and E ReLU, D tanh, whose slope has no kinks for penalties on gradients",
        D=(2, 128, _TANH),
        points=False,
    ),
    "dcgan": Preset(
        "IVGAN, Table 1 (DCGAN): see modecover.networks.dcgan",
        {**_DCGAN, "encoder": Recipe(dcgan.DCGANEncoder, 64, as_generator=True, quarter=16)},
    ),
    "dcgan-wide-encoder": Preset(
        "DCGAN with E as wide as D: IVGAN's Table 1 as printed; MDGAN's Appendix B, where E is the inverse of G", _DCGAN
    ),
    "wae": Preset(
        "WAE (Tolstikhin et al. 2018), IVAAE Table 4: see modecover.networks.dcgan; discriminators of images as dcgan",
        {**_DCGAN, **_WAE},
    ),
    "residual": Preset(
        "Residual networks without normalisation, after R3GAN (Huang et al. 2024): see modecover.networks.residual",
        _RESIDUAL,
    ),
    "dcgan28": Preset(
        "DCGAN at 28x28 as PacGAN and VEEGAN ran it; E as LDMGAN's section 5.3, an MLP of two layers (width 1024 ours)",
        _digits(
            64,
            lambda width: {"channels": (8 * width, 4 * width, 2 * width, width)},
            lambda width: {"channels": (width, 2 * width, 4 * width, 8 * width)},
        ),
    ),
    "unrolled-quarter": Preset(
        "Unrolled GAN (Metz et al. 2017), stacked MNIST, D with K = 1/4 of G's size; E (ours) an MLP of two layers",
        _shrunken(2),
    ),
    "unrolled-half": Preset(
        "Unrolled GAN (Metz et al. 2017), stacked MNIST, D with K = 1/2 of G's size; E (ours) an MLP of two layers",
        _shrunken(4),
    ),
    "ivaae-mnist": _connected(
        "IVAAE, Table 3, MNIST at 64x64: 2x1024 ReLU throughout", (2, 1024), (2, 1024), points=False
    ),
    "veegan": _connected("VEEGAN (Srivastava et al. 2017), mixtures: G and E 2x128 ReLU, D 1x128 ReLU", D=(1, 128)),
    "pacgan": _connected(
        "PacGAN (Lin et al. 2018), mixtures: G 4x400 batch norm ReLU, D 3x200 maxout of 5; E (ours) as G",
        (4, 400, {"batch_norm": True}),
        (3, 200, {"activation": "maxout", "pieces": 5}),
    ),
    "ldmgan": _connected("LDMGAN, ring and grid: G and E 2x64 ReLU, D 1x64 ReLU", (2, 64), (1, 64)),
    "mdgan": _connected(
        "MDGAN (Che et al. 2017), circle of 6: G 2x128 ReLU, D 1x128 ReLU; E the inverse of G", D=(1, 128)
    ),
    "unrolled": _connected(
        "Unrolled GAN (Metz et al. 2017), ring: G and D 2x128 tanh; E (ours) as G", (2, 128, _TANH), (2, 128, _TANH)
    ),
}
"""The presets by name. `source` says what each holds and where it is from."""


@held(latent=1, classes=0, packing=1, width=1, encoder_width=1, discriminator_width=1)
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
        roles: name to role, as `Method.roles()` gives them.
        shape, latent: of one sample of the data; the latent dimension.
        preset: a name in `PRESETS`, or "auto": "dcgan" for images, "mlp" for all else.
        classes, split_statistics, stochastic_codes, packing: what the method asks of its networks: see `Method`.
        width: hidden width (fully connected) or channels next to the image (convolutional); None: the preset's own.
        encoder_width, discriminator_width: the same for these roles alone.
        encoder_normalize: encoders end with a batch norm without affine map, and a map of its codes to the prior's law.
        quarter_encoder: DCGAN's encoder has 16 channels next to the image, as in IVGAN's runs, unless a width is given.
        prior: the law of prior noise, see `Law`.
        input_affine, dropout: as for `MLPGenerator` and `MLPDiscriminator`.
        discriminator_norm: "batch" or "none" in convolutional discriminators, where fully connected and residual ones
            have what the preset says; or "spectral" in every layer of any discriminator.

    Raises:
        UserError: an unknown preset or role, a preset that cannot make this data, or an option it does not have.
    """
    shape, norm = sizes("shape", shape), checked("discriminator_norm", discriminator_norm, Norm)
    name = choose_preset(preset, shape)
    recipes = PRESETS[name].networks
    if dropout and PRESETS[name].sides:
        raise UserError(f'The networks {name!r} have no dropout: leave dropout at 0, or say networks="mlp".')
    widths = {"generator": width, "encoder": encoder_width, "latent discriminator": discriminator_width}
    given = {
        "shape": shape,
        "latent": latent,
        "classes": classes,
        "split_statistics": split_statistics,
        "input_affine": input_affine,
        # Normalised log variances would be no variances.
        "normalize": encoder_normalize and not stochastic_codes,
        "law": checked("prior", prior, Law),
        "spectral": norm == "spectral",
        # Images live in [-1, 1]; points anywhere.
        "output": "tanh" if len(shape) == 3 else "none",
    }
    given_to: dict[str, dict[str, Any]] = {
        "encoder": {"latent": 2 * latent if stochastic_codes else latent},
        "discriminator": {"shape": (shape[0] * packing, *shape[1:]), "dropout": dropout},
        "latent discriminator": {"shape": (latent,)},
    }
    made: dict[str, nn.Module] = {}
    for network, role in roles.items():
        if role not in recipes:
            raise UserError(f"{network} has the role {role!r}; a network is one of {', '.join(recipes)}.")
        recipe = recipes[role]
        chosen = widths.get(role, width if discriminator_width is None else discriminator_width)
        if recipe.width is None and chosen is not None:
            raise UserError(f'The network preset "{name}" has the widths of its paper: leave the width out.')
        if chosen is None and quarter_encoder:
            chosen = recipe.quarter
        if chosen is None:
            chosen = (width if recipe.as_generator else None) or recipe.width or 0
        arguments = {**given, **given_to.get(role, {}), **recipe.arguments(chosen)}
        kinds = fields_of(recipe.network)
        # Residual networks have no batch norm.
        arguments["norm"] = norm if norm in get_args(kinds.get("norm")) else "none"
        made[network] = recipe.network(**{key: value for key, value in arguments.items() if key in kinds})
    return made


def choose_preset(preset: str, shape: Sequence[int]) -> str:
    """The preset's name with "auto" resolved; `UserError` where it does not exist or cannot make data of this shape."""
    images = len(shape) == 3
    if preset == "auto":
        preset = "dcgan" if images else "mlp"
    if preset not in PRESETS:
        raise UserError(f"There is no network preset {preset!r}; choose auto or one of {', '.join(PRESETS)}.")
    if PRESETS[preset].sides:
        require_image(shape, PRESETS[preset].sides, preset.upper())
    if PRESETS[preset].points and len(shape) != 1:
        cure = "say networks=dcgan or networks=mlp" if images else "say networks=mlp"
        raise UserError(
            f"The network preset {preset!r} is for points, but a sample of this data has shape {tuple(shape)}: {cure}."
        )
    return preset


def from_config(config: Mapping[str, Any]) -> nn.Module:
    """The network that `config`, as its own `config()` returned it, describes: same keys and shapes, new weights.
    Raises `UserError` where the description is none, of another version, or cannot be built; whatever it holds."""
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
    except Exception as error:  # also of values of the right kinds that do not go together
        said = error if isinstance(error, UserError) else f"{first_line(error)}."
        raise UserError(f"The description of a {name} does not fit this version: {said}") from error
