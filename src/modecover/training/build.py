"""Networks, optimisers and the engine of a run, from its settings."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from modecover import networks as rooms
from modecover.data import Dataset, Feed
from modecover.errors import UserError
from modecover.methods.base import Method
from modecover.networks.check import check_network
from modecover.optimizers import eager
from modecover.random import derive_seed
from modecover.training.engine import Engine, EngineOptions
from modecover.training.finite import NonFiniteError
from modecover.training.prior import Prior
from modecover.training.processes import Processes
from modecover.training.resolve import check_parts
from modecover.training.schedules import Schedule
from modecover.training.settings import Settings
from modecover.training.stacked import stack

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
) -> Engine:
    """The engine of a run before its first step: the same for the same settings, on any device.

    Raises:
        UserError: a network does not fit the data or the method, the data has fewer samples than a batch, or a batch
            is too small for the method or for batch normalisation.
    """
    assert settings.latent is not None and settings.prior is not None, "settings are resolved"
    processes = processes or Processes()
    if processes.count > 1:
        check_parts(method, settings, settings.accumulate * processes.count)
    seeds = [settings.seed + i for i in range(settings.seeds)]
    members = [build_networks(method, settings, dataset.shape, seed, own) for seed in seeds]
    networks = {name: stack([member[name] for member in members]).to(device) for name in members[0]}
    roles = method.roles()
    engine = Engine(
        method,
        networks,
        {name: _optimizer(network, roles[name], settings, device) for name, network in networks.items()},
        data=Feed(dataset, settings.batch, seeds, device=device, workers=settings.workers),
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
    if settings.batch == settings.accumulate and engine.normalises:
        _refuse_single_values(engine, settings)
    return engine


def _refuse_single_values(engine: Engine, settings: Settings) -> None:
    """Raise where batch normalisation would get one value of a channel, which has no spread.

    Whether it does depends on the method, which may put several batches into one forward pass, and on the sizes of
    maps. So a step is tried, and undone.
    """
    before = {name: tensor.clone() for name, tensor in engine.state().items()}
    try:
        with torch.random.fork_rng(devices=[engine.device] if engine.device.type == "cuda" else []):
            engine.step()
    except NonFiniteError:
        pass  # which has other cures: training will tell them
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        rows = f"a batch of {settings.batch}"
        if settings.accumulate > 1:
            rows += f" in {settings.accumulate} micro-batches"
        raise UserError(
            f"Batch normalisation cannot normalise one row alone, which is what {rows} gives it: choose a batch of at "
            f"least {2 * settings.accumulate}, or networks without it (norm_E=none, norm_D=none)."
        ) from None
    engine.load(before)


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
        check_network(name, role, made[name], shape, settings.latent, **method.demands())
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
        return copy.deepcopy(given)
    made = given()
    if not isinstance(made, nn.Module):
        raise UserError(f"The function given for {name} made a {type(made).__name__}: it must make a torch.nn.Module.")
    return made


def _optimizer(network: nn.Module, role: str, settings: Settings, device: torch.device) -> torch.optim.Optimizer:
    parameters = list(network.parameters())
    if not parameters:
        raise UserError("A network without parameters cannot be trained: give it at least one layer.")
    decay = settings.weight_decay_E if role == "encoder" else 0.0
    rate: Any = settings.learning_rate(role)
    if settings.capture:  # a captured step reads the rate from the device
        rate = torch.tensor(rate, device=device)
    if settings.optimizer == "adam":
        betas = (settings.beta1, settings.beta2)
        return eager(torch.optim.Adam)(
            parameters, rate, betas=betas, weight_decay=decay, fused=True, capturable=settings.capture
        )
    if settings.optimizer == "rmsprop":
        return eager(torch.optim.RMSprop)(parameters, rate, weight_decay=decay, capturable=settings.capture)
    return eager(torch.optim.SGD)(parameters, rate, weight_decay=decay, fused=settings.capture)
