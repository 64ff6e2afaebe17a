"""Networks, optimisers and the engine of a run, from its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from modecover import networks as rooms
from modecover.data import Dataset, Feed
from modecover.data.scaling import Scaling
from modecover.engine.engine import Engine, EngineOptions
from modecover.engine.prior import Prior
from modecover.engine.processes import Processes
from modecover.engine.schedules import Schedule
from modecover.engine.stacked import stack
from modecover.errors import UserError
from modecover.kinds import first_line, shown
from modecover.methods.base import Method
from modecover.networks.check import check_network
from modecover.networks.copies import detached_copy
from modecover.random import derive_seed
from modecover.runs.fitting import networks_that_fit, require_fit
from modecover.runs.rehearsal import rehearse
from modecover.runs.settings import Settings

OwnNetworks = Mapping[str, nn.Module | Callable[[], nn.Module]]
"""A user's own networks by name: a module, or something that makes one (needed where several seeds are stacked)."""


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
) -> Engine:
    """The engine of a run before its first step: the same for the same settings, on any device.

    Args:
        scaling: how its networks see rows, and make samples.
        progress: is told of how many seeds the networks are built, and of how many they will be.

    Raises:
        UserError: a network does not fit the data or the method, the data has fewer samples than a batch, a batch has
            fewer rows than the method needs, or the run does not fit into memory.
    """
    with networks_that_fit(settings):
        members = [build_networks(method, settings, dataset.shape, settings.seed, own)]
    require_fit(method, settings, dataset, members[0], device)
    seeds = [settings.seed + i for i in range(settings.seeds)]
    for number, seed in enumerate(seeds[1:], 2):
        members.append(build_networks(method, settings, dataset.shape, seed, own))
        if progress is not None:
            progress(number, len(seeds))
    rehearse(method, settings, dataset.shape, members, own or {}, 1 if processes is None else processes.count)
    networks = {name: stack([member[name] for member in members]).to(device) for name in members[0]}
    roles = method.roles()
    assert settings.latent is not None and settings.prior is not None, "settings are resolved"
    return Engine(
        method,
        networks,
        {name: _optimizer(network, roles[name], settings, device) for name, network in networks.items()},
        data=Feed(dataset, settings.batch, seeds, device=device, workers=settings.workers, scaling=scaling),
        prior=Prior(settings.latent, settings.prior),
        seeds=seeds,
        device=device,
        processes=processes,
        options=EngineOptions(
            batch=settings.batch,
            accumulate=settings.accumulate,
            clip=settings.clip,
            ema=settings.ema,
            precision=settings.precision,
            steps=settings.steps,
            freeze_bn_from=settings.freeze_bn_from,
            lr_schedule=Schedule.parse(settings.lr_schedule),
            instance_noise=Schedule.parse(settings.instance_noise),
        ),
    )


def build_networks(
    method: Method, settings: Settings, shape: tuple[int, ...], seed: int, own: OwnNetworks | None = None
) -> dict[str, nn.Module]:
    """The networks of one seed, on the CPU: weights are a pure function of the seed and the name of the network."""
    own = own or {}
    roles = method.roles()
    if strangers := sorted(set(own) - set(roles)):
        raise UserError(f"The method has no network named {strangers[0]!r}: its networks are {', '.join(roles)}.")
    assert settings.latent is not None
    made: dict[str, nn.Module] = {}
    for name, role in roles.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "init", name))
            if name in own:
                made[name] = _own(name, own[name], settings.seeds)
            else:
                made |= rooms.build({name: role}, shape, settings.latent, **_options(method, settings))
        check_network(name, role, made[name], shape, settings.latent, **method.demands(), practice=name in own)
    return made


def _options(method: Method, settings: Settings) -> dict[str, Any]:
    return {
        **method.demands(),
        "preset": settings.networks,
        "width": settings.width,
        "input_affine": settings.input_affine,
        "encoder_normalize": method.normalized_codes if settings.norm_E == "auto" else settings.norm_E == "batch",
        "quarter_encoder": method.quarter_encoder,
        "prior": settings.prior,
        "discriminator_norm": _norm_of_discriminators(method, settings),
    }


def _norm_of_discriminators(method: Method, settings: Settings) -> str:
    if settings.norm_D == "auto":
        return "none" if method.judged_alone else "batch"
    return settings.norm_D


def _own(name: str, given: nn.Module | Callable[[], nn.Module], seeds: int) -> nn.Module:
    if isinstance(given, nn.Module):
        if seeds > 1:
            raise UserError(
                f"{name} is one module, and {seeds} seeds need a fresh one each: give a function that makes it, "
                f"for example networks={{{name!r}: lambda: MyNetwork()}}."
            )
        return detached_copy(given)
    if not callable(given):
        raise UserError(
            f"The network given for {name} is {shown(given)}: give a torch.nn.Module or a function that makes one, for "
            f"example networks={{{name!r}: lambda: MyNetwork()}}."
        )
    try:
        made = given()
    except Exception as error:
        raise UserError(
            f"The function given for {name} failed ({first_line(error)}): it is called without arguments and must make "
            f"a torch.nn.Module, for example networks={{{name!r}: lambda: MyNetwork()}}."
        ) from error
    if not isinstance(made, nn.Module):
        raise UserError(f"The function given for {name} made a {type(made).__name__}: it must make a torch.nn.Module.")
    if isinstance(made, torch.jit.ScriptModule) and seeds > 1:
        raise UserError(
            f"{name} is a scripted module, of which several seeds cannot be stacked: make it without script."
        )
    return made


def _optimizer(network: nn.Module, role: str, settings: Settings, device: torch.device) -> torch.optim.Optimizer:
    parameters = list(network.parameters())
    decay = settings.weight_decay_E if role == "encoder" else 0.0
    rate: Any = settings.learning_rate(role)
    if settings.capture:  # a captured step reads the rate from the device
        rate = torch.tensor(rate, device=device)
    if settings.optimizer == "adam":
        betas = (settings.beta1, settings.beta2)
        return torch.optim.Adam(
            parameters, rate, betas=betas, weight_decay=decay, fused=True, capturable=settings.capture
        )
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, rate, weight_decay=decay, capturable=settings.capture)
    return torch.optim.SGD(parameters, rate, weight_decay=decay, fused=True)
