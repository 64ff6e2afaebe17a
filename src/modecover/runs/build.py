"""Networks, optimisers and the engine of a run, from its settings; and steps on trial with what others have made."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from modecover import networks as rooms
from modecover.data import Dataset, Feed
from modecover.data.classes import Classes, wider
from modecover.data.scaling import Scaling
from modecover.engine.engine import Engine
from modecover.engine.finite import NonFiniteError
from modecover.engine.processes import Processes
from modecover.engine.replay import same_every_step
from modecover.engine.schedules import Schedule
from modecover.engine.side_by_side import AnyEngine, SideBySide
from modecover.engine.stacked import can_be_stacked, stack
from modecover.engine.state import EngineOptions, Prior
from modecover.errors import UserError
from modecover.kinds import first_line, shown
from modecover.methods.base import Method
from modecover.methods.registry import is_registered
from modecover.methods.roles import is_discriminator
from modecover.networks.check import check_network, detached_copy
from modecover.random import derive_seed
from modecover.runs.fitting import networks_that_fit, require_fit, require_short_steps
from modecover.runs.settings import Settings

OwnNetworks = Mapping[str, nn.Module | Callable[[], nn.Module]]
"""A user's own networks by name: a module, or something that makes one (needed where several seeds are stacked)."""

# Settings that are the engine's as they are.
_OPTIONS = ("batch", "accumulate", "clip", "ema", "precision", "steps", "freeze_bn_from")
ROWS, SEEDS, STEPS = 4, 2, 2  # at most, of a rehearsal: rows of a batch, stacked seeds, steps


def build_engine(
    method: Method,
    settings: Settings,
    dataset: Dataset,
    *,
    device: torch.device,
    own: OwnNetworks | None = None,
    processes: Processes | None = None,
    scaling: Scaling | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AnyEngine:
    """The engine of a run before its first step: the same for the same settings, on any device.

    Args:
        scaling: how its networks see rows, and make samples.
        progress: is told of how many seeds the networks are built, and of how many they will be.

    Raises:
        UserError: a network does not fit the data or the method, the data has fewer samples than a batch, a batch has
            fewer rows than the method needs, or the run does not fit into memory or onto the device.
    """
    if settings.capture and device.type != "cuda":
        raise UserError("capture replays a CUDA graph and needs a GPU: leave it out, or use device=cuda.")
    require_short_steps(method)
    # Networks of one seed tell whether those of all will fit.
    classes = classes_of(method, settings, dataset)
    told = 0 if classes is None else len(classes)
    with networks_that_fit(settings):
        members = [build_networks(method, settings, dataset.shape, settings.seed, own, told)]
    require_fit(method, settings, dataset, members[0], device)
    seeds = [settings.seed + i for i in range(settings.seeds)]
    for number, seed in enumerate(seeds[1:], 2):
        members.append(build_networks(method, settings, dataset.shape, seed, own, told))
        if progress is not None:
            progress(number, len(seeds))
    stackable = [can_be_stacked([member[name] for member in members]) for name in members[0]]  # all are looked at
    stacked = len(members) > 1 and all(stackable)
    shared = 1 if processes is None else processes.count
    rehearsed = members[:SEEDS] if stacked else members[:1]
    _rehearse(method, settings, dataset.shape, rehearsed, own or {}, shared, classes)
    captured = captures(method, settings, members[0], device, shared)
    options = EngineOptions(
        capture=captured,
        **{name: getattr(settings, name) for name in _OPTIONS},
        lr_schedule=Schedule.parse(settings.lr_schedule),
        instance_noise=Schedule.parse(settings.instance_noise),
        loss_schedule=Schedule.parse_several(settings.loss_schedule),
        classes=classes,
    )
    roles = method.roles()
    dataset = dataset.to(device)  # once, whoever reads it
    engines = 1 if stacked else len(seeds)
    workers = math.ceil(settings.workers / engines)

    def engine(members: Sequence[Mapping[str, nn.Module]], seeds: Sequence[int]) -> Engine:
        networks = {name: stack([member[name] for member in members]).to(device) for name in roles}
        return Engine(
            method,
            networks,
            {name: _optimizer(network, roles[name], settings, device, captured) for name, network in networks.items()},
            data=Feed(dataset, settings.batch, seeds, device, workers, scaling, classes),
            prior=_prior(settings),
            seeds=seeds,
            device=device,
            processes=processes or Processes(),
            options=options,
        )

    if engines == 1:
        return engine(members, seeds)
    return SideBySide([engine([member], [seed]) for member, seed in zip(members, seeds, strict=True)])


def classes_of(method: Method, settings: Settings, dataset: Dataset) -> Classes | None:
    """What a conditional model is told; None for others. Raises `UserError` where data or method cannot have it."""
    if not settings.conditional:
        return None
    if method.packing > 1:
        raise UserError(
            f"{method.title} judges packs of {method.packing} samples, which would be of different classes: leave "
            "conditional out, or choose another method."
        )
    return Classes.of(dataset.labels, dataset.name, dataset.class_names, dataset.label_column or "")


def build_networks(
    method: Method,
    settings: Settings,
    shape: tuple[int, ...],
    seed: int,
    own: OwnNetworks | None = None,
    classes: int = 0,
) -> dict[str, nn.Module]:
    """The networks of one seed, on the CPU: weights are a pure function of the seed and the name of the network. Of a
    conditional model they take rows that carry one of so many `classes`."""
    own, roles, latent = own or {}, method.roles(), _prior(settings).dimension
    if strangers := sorted(set(own) - set(roles)):
        raise UserError(f"The method has no network named {strangers[0]!r}: its networks are {', '.join(roles)}.")
    usual_norm_D = "none" if method.judged_alone else "batch"
    options = {
        **method.demands(),
        "preset": settings.networks,
        "width": settings.width,
        "input_affine": settings.input_affine,
        "encoder_normalize": method.normalized_codes if settings.norm_E == "auto" else settings.norm_E == "batch",
        "quarter_encoder": method.quarter_encoder,
        "prior": settings.prior,
        "discriminator_norm": usual_norm_D if settings.norm_D == "auto" else settings.norm_D,
    }
    made: dict[str, nn.Module] = {}
    for name, role in roles.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "init", name))
            if name in own:
                made[name] = _own(name, own[name], settings.seeds)
            else:
                taken, noise = shape, latent
                if classes and role == "generator":
                    noise = latent + classes
                elif classes and role != "latent discriminator":
                    taken = wider(shape, classes)
                made |= rooms.build({name: role}, taken, noise, **options)
        check_network(name, role, made[name], shape, latent, **method.demands(), practice=name in own, told=classes)
    return made


def _prior(settings: Settings) -> Prior:
    assert settings.latent is not None and settings.prior is not None, "settings are resolved"
    return Prior(settings.latent, settings.prior)


def _own(name: str, given: nn.Module | Callable[[], nn.Module], seeds: int) -> nn.Module:
    """A network of the user's for one seed: a copy of the module given, or what the function given makes."""
    example = f"for example networks={{{name!r}: lambda: MyNetwork()}}"
    made: object = given
    if isinstance(given, nn.Module):
        if seeds > 1:
            raise UserError(
                f"{name} is one module, and {seeds} seeds need a fresh one each: give a function that makes it, "
                f"{example}."
            )
        made = detached_copy(given)
    elif callable(given):
        try:
            made = given()
        except Exception as error:
            raise UserError(
                f"The function given for {name} failed ({first_line(error)}): it is called without arguments and must "
                f"make a torch.nn.Module, {example}."
            ) from error
    if not isinstance(made, nn.Module):
        what = "given" if made is given else "made"
        raise UserError(
            f"The network {what} for {name} is {shown(made)}: give a torch.nn.Module or a function that makes one, "
            f"{example}."
        )
    if isinstance(made, torch.jit.ScriptModule) and seeds > 1:
        raise UserError(
            f"{name} is a scripted module, of which several seeds cannot be stacked: make it without script."
        )
    return made


def captures(
    method: Method, settings: Settings, networks: Mapping[str, nn.Module], device: torch.device, processes: int
) -> bool:
    """Whether a run's steps are captured as a CUDA graph: where that is asked for; else on a GPU, in one process, where
    every step is known to do the same."""
    if settings.capture is not None:
        return settings.capture
    one = device.type == "cuda" and processes == 1 and not settings.freeze_bn_from
    return one and same_every_step(method, networks.values())


def _optimizer(
    network: nn.Module, role: str, settings: Settings, device: torch.device, captured: bool
) -> torch.optim.Optimizer:
    weights, rate = list(network.parameters()), settings.learning_rate(role)
    options: dict[str, Any] = {"weight_decay": settings.weight_decay_E if role == "encoder" else 0.0}
    kind = settings.optimizer if settings.optimizer_D is None or not is_discriminator(role) else settings.optimizer_D
    options["lr"] = torch.tensor(rate, device=device) if captured else rate  # a captured step reads it there
    if kind == "sgd":
        return torch.optim.SGD(weights, fused=True, **options)
    options["capturable"] = captured
    if kind == "rmsprop":
        return torch.optim.RMSprop(weights, **options)
    return torch.optim.Adam(weights, betas=(settings.beta1, settings.beta2), fused=True, **options)


# ---------------------------------------------------------------- steps on trial


def has_batch_norm(network: nn.Module) -> bool:
    """Whether a layer of the network takes statistics over the rows of a batch."""
    return any("BatchNorm" in type(module).__name__ for module in network.modules())


def _rehearse(
    method: Method,
    settings: Settings,
    shape: Sequence[int],
    members: Sequence[Mapping[str, nn.Module]],
    own: Mapping[str, Any],
    processes: int,
    classes: Classes | None,
) -> None:
    """Raise `UserError` where steps fail with these networks, or with so few rows as there are, or have no such losses.

    Two are taken on noise, with copies, where that is not known: with networks (`own`) or a method of others, with a
    single row, and with factors on terms of the losses. `members` are the networks of each seed that is taken along;
    so many `processes` share a batch.
    """
    rows = settings.batch // settings.accumulate  # batch norm takes those of all processes; losses have fewer
    prior = _prior(settings)
    method.check(latent=prior.dimension, batch=max(1, rows // processes))
    if rows > 1 and not own and not settings.loss_schedule and is_registered(type(method)):
        return
    pieces = f" in {settings.accumulate} micro-batches has a single row in each"
    single = f"A batch of {settings.batch}{pieces if settings.accumulate > 1 else ' is a single row'}"
    more = f"use a batch of at least {2 * settings.accumulate}{' or fewer micro-batches' * (settings.accumulate > 1)}"
    try:
        networks = {name: stack([detached_copy(member[name]).cpu() for member in members]) for name in members[0]}
        optimizers = {name: torch.optim.SGD(network.parameters(), 1e-6) for name, network in networks.items()}
        weighted = Schedule.parse_several(settings.loss_schedule)
        options = EngineOptions(batch=min(rows, ROWS), classes=classes, loss_schedule=weighted)
        taken = tuple(shape) if classes is None else wider(shape, len(classes))
        noise = _Noise((len(members) * options.batch, *taken))
        with torch.random.fork_rng(devices=[]):
            engine = Engine(
                method, networks, optimizers, data=noise, prior=prior, seeds=range(len(members)), options=options
            )
            for _ in range(STEPS):
                engine.step()
    except UserError:
        raise
    except NonFiniteError as error:  # with more rows: noise is no data
        if rows == 1:
            raise UserError(f"{single}, and the method needs more ({error}): {more}.") from error
    except (Exception, SystemExit) as error:
        normalising = [name for name, network in members[0].items() if has_batch_norm(network)]
        if rows == 1 and normalising:
            raise UserError(
                f"{single}, and batch norm in {' and '.join(normalising)} takes statistics over rows: {more}, or "
                "networks without batch norm."
            ) from error
        given = f"your {' and '.join(own)}" if own else f"the method {type(method).__qualname__}"
        raise UserError(
            f"A step with {given} fails ({type(error).__name__}: {first_line(error)}): change what "
            f"{type(method).__qualname__}.step cannot be taken with."
        ) from error


class _Noise:
    """Minibatches of noise in place of data."""

    def __init__(self, shape: tuple[int, ...]):
        self._shape = shape

    def batch(self, position: int, part: int = 0, parts: int = 1) -> Tensor:
        generator = torch.Generator().manual_seed(derive_seed("rehearsal", position))
        return torch.randn(self._shape, generator=generator).tanh()
