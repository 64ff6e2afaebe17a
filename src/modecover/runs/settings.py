"""The settings of a training run that all methods share."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from modecover.engine.schedules import Schedule
from modecover.errors import UserError
from modecover.kinds import check_fields

_LEAST = {
    **dict.fromkeys(("steps", "batch", "seeds", "latent", "width", "accumulate"), 1),
    **dict.fromkeys(("log_every", "checkpoint_every", "evaluate_samples"), 1),
    **dict.fromkeys(("seed", "workers", "freeze_bn_from", "sample_every", "evaluate_every"), 0),
    **dict.fromkeys(("clip", "weight_decay_E"), 0),
}
"""Settings with the least that they may be."""

_POSITIVE = {"minutes": "10", **dict.fromkeys(("lr", "lr_G", "lr_D", "lr_E"), "2e-4")}
"""Settings above 0, each with an example."""


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
    capture: bool = False
    """Replay each step as one CUDA graph (GPU only)."""
    freeze_bn_from: int = 0
    """Keep G's batch normalisation in evaluation mode from this step on, a bug the IVGAN authors' runs had from their
    first evaluation; 0: never."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda, cuda:1, ..."""
    workers: int = 0
    """Processes that read ahead, for data that is too large for memory."""
    log_every: int | None = None
    """Steps between lines of the log. Default: a hundredth of the run, at most 100."""
    sample_every: int | None = None
    """Steps between sample pictures. Default: after 32, 64, 128, ... steps, then a tenth of the run, less often where
    they take over 2.5% of its time; 0: only at the end."""
    evaluate_every: int | None = None
    """Steps between evaluations. Default: a tenth of the run, less often where they take over 2.5% of its time; 0: only
    at the end."""
    evaluate_samples: int | None = None
    """Samples per evaluation. Default: 2048 for 2-D mixtures, 26,000 for stacked digits."""
    checkpoint_every: int | None = None
    """Steps between checkpoints. Default: after about a minute, and at the end."""
    tensorboard: bool = False
    """Also write TensorBoard events."""

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

    def learning_rate(self, role: str) -> float:
        """The learning rate of a network with this role, one of `modecover.methods.roles.ROLES`."""
        own = {"generator": self.lr_G, "encoder": self.lr_E}.get(role, self.lr_D)
        return self.lr if own is None else own

    def as_dict(self) -> dict[str, Any]:
        """The settings by name, as JSON values."""
        return dataclasses.asdict(self)


MAY_CHANGE = frozenset(
    ("steps", "minutes", "device", "workers", "log_every", "sample_every", "evaluate_every", "evaluate_samples")
    + ("checkpoint_every", "tensorboard")
)
"""Settings that may differ when a run is resumed: they say how far, how often and where. Schedules are in fractions of
`steps`, so that with one of them a longer run is not the run that a longer one from the start would have been."""
