"""The settings of a training run that all methods share, and from what the user said to a method and settings.

Each layer is over the one before: the settings' own defaults < the method's < the protocol's < the method's preset <
the user's.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from modecover.engine.schedules import Schedule
from modecover.errors import UserError
from modecover.kinds import check_fields, checked, fields_of, joined, or_none
from modecover.methods import registry
from modecover.methods.base import Method

# Settings with the least that they may be; and those above 0, each with an example.
_LEAST = {
    **dict.fromkeys(("steps", "batch", "seeds", "latent", "width", "accumulate"), 1),
    **dict.fromkeys(("log_every", "checkpoint_every", "evaluate_samples"), 1),
    **dict.fromkeys(("seed", "workers", "freeze_bn_from", "sample_every", "evaluate_every"), 0),
    **dict.fromkeys(("clip", "weight_decay_E"), 0),
}
_POSITIVE = {"minutes": "10", **dict.fromkeys(("lr", "lr_G", "lr_D", "lr_E"), "2e-4")}


@dataclass(frozen=True)
class Settings:
    """How a method is trained. `None` means: what the method or the protocol prefers, else what fits the data."""

    steps: int = 10_000
    """Training steps; one step runs the method's algorithm once."""
    minutes: float | None = None
    """Stop after this many minutes, with a checkpoint; the same command goes on. Schedules still follow `steps`."""
    batch: int = 64
    """Samples in a minibatch, for each seed, over all processes."""
    seed: int = 0
    """Seed of the run, and of the first run where several are stacked."""
    seeds: int = 1
    """Independent runs trained as one program, with seeds `seed`, `seed + 1`, ..."""
    latent: int | None = None
    """Dimension of the prior noise. Default: the protocol's, else 100 for images and 2 for points."""
    prior: Literal["normal", "uniform", "uniform01"] | None = None
    """Law of the prior noise: N(0, I), uniform on [-1, 1] or uniform on [0, 1]. Default: normal."""
    conditional: bool = False
    """Tell every network the class of each row, so that samples of a class can be asked for. The data need labels."""
    networks: str = "auto"
    """Networks preset: auto, mlp, dcgan, residual, wae, or a paper's (`modecover.networks.PRESETS` names them all)."""
    width: int | None = None
    """Channels of the first (DCGAN) layer. Default: 64."""
    norm_D: Literal["auto", "batch", "none", "spectral"] = "auto"
    """Normalisation in D: batch, none, or every layer's weight by its spectral norm. Default: batch, and what the
    method prefers: none where it penalises gradients sample by sample."""
    norm_E: Literal["auto", "batch", "none"] = "auto"
    """Batch normalisation, without affine map, of E's codes. Default: batch, and none where a method measures them."""
    standardize: Literal["auto", "on", "off"] = "auto"
    """Whether networks see points with mean 0 and standard deviation 1 in every coordinate; samples are in the data's
    units either way. Default: on, and off for the built-in mixtures, whose settings are stated in their own units."""
    input_affine: bool = False
    """A learnable scale and shift of each coordinate of z at G's input, as the IVGAN authors' runs had."""
    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    """Optimiser of every network."""
    optimizer_D: Literal["adam", "rmsprop", "sgd"] | None = None
    """Optimiser of the discriminators, where it differs."""
    lr: float = 2e-4
    """Learning rate."""
    lr_G: float | None = None
    """Learning rate of the generator, where it differs."""
    lr_D: float | None = None
    """Learning rate of the discriminators, where it differs."""
    lr_E: float | None = None
    """Learning rate of the encoder, where it differs."""
    beta1: float = 0.5
    """Adam's first moment decay."""
    beta2: float = 0.999
    """Adam's second moment decay."""
    weight_decay_E: float = 0.0
    """L2 weight decay of the encoder."""
    lr_schedule: str = "1"
    """Factor on the learning rates over training: points `fraction:factor`, held until the next, or joined by a
    straight line where `~` stands for `:`. For example `0.5:1,1~0`: constant, then down to 0 over the second half."""
    loss_schedule: str = ""
    """Factors on terms of the losses over training, by the names that the log has, each written like lr_schedule. For
    example `G/intervention=0:1,0.5~0; G/reconstruction=0:1,0.5~0`: down to 0 over the first half."""
    instance_noise: str = "0"
    """Std of Gaussian noise on what the adversarial head of D sees, over training; written like lr_schedule."""
    ema: float = 0.0
    """Decay of a moving average of G's and E's weights, less in the first steps; 0: none."""
    clip: float = 0.0
    """Largest gradient norm of an update, for each network and seed; 0: no clipping."""
    accumulate: int = 1
    """Micro-batches a minibatch is cut into, to save memory. Batch norm then takes statistics over each of them."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the networks. Losses are always in float32."""
    capture: bool | None = None
    """Replay each step as one CUDA graph (GPU only). Default: on a GPU, where all steps are known to do the same."""
    freeze_bn_from: int = 0
    """Keep G's batch normalisation in evaluation mode from this step on, a bug the IVGAN authors' runs had from their
    first evaluation; 0: never."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda, cuda:1, ..."""
    workers: int = 0
    """Processes that read ahead, for data that is too large for memory."""
    log_every: int | None = None
    """Steps between lines of the log. Default: a hundredth of the run, at most 100, and 20 where minutes may end it."""
    sample_every: int | None = None
    """Steps between sample pictures. Default: after 32, 64, 128, ... steps, then a tenth of the run, less often where
    they take over 2.5% of its time; 0: only at the end."""
    evaluate_every: int | None = None
    """Steps between evaluations. Default: a tenth of the run, less often where they take over 2.5% of its time; where
    minutes may end it also after 32, 64, 128, ... steps, up to 10% of its time; 0: only at the end."""
    evaluate_samples: int | None = None
    """Samples per evaluation. Default: 26,000 for stacked digits, else 2048."""
    evaluate_features: str | None = None
    """Where modes are not known: features in which evaluations take the Frechet distance to the data: auto, or one of
    those of an audit. Default: no evaluations there."""
    checkpoint_every: int | None = None
    """Steps between checkpoints. Default: after 5 seconds, then 10, 20, 40 more, then every minute; and at
    the end."""
    report_to: Literal["tensorboard", "trackio", "wandb"] | None = None
    """Also tell losses, evaluations and pictures to this tracker."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name, least in _LEAST.items():
            if (value := getattr(self, name)) is not None and value < least:
                raise UserError(f"{name} is {value}: it must be at least {least}.")
        for name, example in _POSITIVE.items():
            if (value := getattr(self, name)) is not None and value <= 0:
                raise UserError(f"{name} is {value}: give a positive number, for example {example}.")
        for name in ("beta1", "beta2", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: it must lie in [0, 1).")
        if self.batch % self.accumulate:
            raise UserError(
                f"A batch of {self.batch} cannot be cut into {self.accumulate} equal micro-batches: "
                "choose an accumulate that divides it."
            )
        if self.capture and self.freeze_bn_from:
            raise UserError("A captured step cannot change its mode: leave out capture, or freeze_bn_from.")
        Schedule.parse(self.lr_schedule, "lr_schedule")
        Schedule.parse(self.instance_noise, "instance_noise")
        Schedule.parse_several(self.loss_schedule, "loss_schedule")

    def learning_rate(self, role: str) -> float:
        """The learning rate of a network with this role, one of `modecover.methods.roles.ROLES`."""
        own = {"generator": self.lr_G, "encoder": self.lr_E}.get(role, self.lr_D)
        return self.lr if own is None else own

    def as_dict(self) -> dict[str, Any]:
        """The settings by name, as JSON values."""
        return dataclasses.asdict(self)


MAY_CHANGE = frozenset(
    ("steps", "minutes", "device", "workers", "log_every", "sample_every", "evaluate_every", "evaluate_samples")
    + ("checkpoint_every", "report_to", "tensorboard", "capture")
)
"""Settings that may differ when a run is resumed: they say how far, how often and where ("tensorboard" in runs of
earlier versions). Schedules are in fractions of `steps`, so that with one of them a longer run is not the run that a
longer one from the start would have been."""


@dataclass(frozen=True)
class Protocol:
    """A benchmark protocol of the literature: networks, prior, optimiser and length, by the name results quote.

    Attributes:
        source: where it is from, and which numbers are ours.
        data: data names it is meant for.
        settings: values of training settings, and of a method's fields where the method has them.
    """

    source: str
    data: tuple[str, ...]
    settings: Mapping[str, Any]


def _settings(networks: str, latent: int, batch: int, lr: float, **others: Any) -> dict[str, Any]:
    """Those of a protocol: one learning rate, where it names no other, and what methods do by default on points."""
    plain = {"instance_noise": "0", "weight_decay_E": 0.0, "k": 2, "t": 2, "unrolled_rate": 0.1}
    return {**plain, "networks": networks, "latent": latent, "batch": batch, "lr": lr, "lr_E": lr, **others}


PROTOCOLS: dict[str, Protocol] = {
    "points": Protocol(
        "Ours, for points of the plane: 2x128 networks, batch 128, learning rates down to 0 over the second half",
        ("ring", "grid", "circle"),
        _settings("mlp", 2, 128, 1e-3, lr_schedule="0.5:1,1~0"),
    ),
    "veegan": Protocol(
        "VEEGAN (Srivastava et al. 2017) as its code runs the mixtures",
        ("ring-veegan", "grid-veegan"),
        _settings("veegan", 254, 500, 1e-3, steps=100_000, evaluate_samples=2500),
    ),
    "pacgan": Protocol(
        "PacGAN (Lin et al. 2018), mixtures",
        ("ring-pacgan", "grid-pacgan"),
        _settings("pacgan", 2, 100, 1e-4, beta1=0.8, steps=400_000, evaluate_samples=2500),
    ),
    "ldmgan": Protocol(
        "LDMGAN, ring and grid: networks, z and evaluation; optimiser, batch and steps are not given and are ours",
        ("ring-ldmgan", "grid-ldmgan"),
        _settings("ldmgan", 2, 128, 1e-3, steps=25_000, evaluate_samples=2048),
    ),
    "mdgan": Protocol(
        "MDGAN (Che et al. 2017), Appendix C; batch, steps and beta1 are not given and are ours",
        ("circle-mdgan",),
        _settings("mdgan", 3, 128, 1e-4, prior="uniform01", steps=25_000, evaluate_samples=2048)
        | {"lambda_1": 0.005, "lambda_2": 0.005, "k": 3, "t": 3},
    ),
    "unrolled": Protocol(
        "Unrolled GAN (Metz et al. 2017), ring; its saturating loss is the setting loss=minimax",
        ("ring-unrolled",),
        _settings("unrolled", 256, 512, 1e-3, lr_D=1e-4, steps=25_000),
    ),
}
"""Where a paper gives no number, `source` says so and the number is ours."""


def settings_of(protocol: str) -> Mapping[str, Any]:
    """The settings of a protocol; "none" has none.

    Raises:
        UserError: there is no protocol of that name.
    """
    if protocol == "none":
        return {}
    if protocol not in PROTOCOLS:
        raise UserError(f"There is no protocol {protocol!r}: choose none or one of {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[protocol].settings


def resolve(
    name: str,
    shape: Sequence[int],
    *,
    preset: str | None = None,
    protocol: str | None = None,
    chosen: Mapping[str, Any] | None = None,
) -> tuple[Method, Settings]:
    """The method and settings of a run.

    Args:
        name: of the method.
        shape: of one sample of the data; points get the protocol "points" where none is named.
        preset: one of the method's presets.
        protocol: a name in `PROTOCOLS`, or "none".
        chosen: what the user set, by name: fields of the method or of `Settings`. The text "none" stands for None where
            a setting can be None, as it does on the command line and in files.

    Raises:
        UserError: a name is unknown, a value is of the wrong kind, or the settings do not fit together.
    """
    method_class = registry.get(name)
    preset, protocol = (checked(key, given, str | None) for key, given in (("preset", preset), ("protocol", protocol)))
    own, shared = fields_of(method_class), fields_of(Settings)
    chosen = dict(chosen or {})
    known = {**own, **shared}
    for setting in chosen:
        if setting not in known:
            near = difflib.get_close_matches(setting, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"`modecover describe {name}` lists its settings."
            raise UserError(f"{name} has no setting {setting!r}: {hint}")
        chosen[setting] = or_none(chosen[setting], known[setting])
    if preset is not None and preset not in method_class.presets:
        has = (
            f"choose {joined(list(method_class.presets))}"
            if method_class.presets
            else "it has none, so leave preset out"
        )
        raise UserError(f"{name} has no preset {preset!r}: {has}.")
    if protocol is None:
        protocol = "points" if len(shape) == 1 else "none"
    layers = [method_class.defaults, settings_of(protocol), method_class.presets[preset] if preset else {}, chosen]
    merged = {key: value for layer in layers for key, value in layer.items()}
    method = method_class(**{key: value for key, value in merged.items() if key in own})
    settings = Settings(**{key: value for key, value in merged.items() if key in shared})
    latent = settings.latent or (100 if len(shape) == 3 else 2)
    settings = dataclasses.replace(settings, latent=latent, prior=settings.prior or "normal")
    if method.normal_prior and settings.prior != "normal":
        raise UserError(
            f"{name} with these settings is for prior noise from N(0, I), and prior is {settings.prior!r}: "
            "set prior to 'normal'."
        )
    method.check(latent=latent, batch=settings.batch // settings.accumulate)
    return method, settings
