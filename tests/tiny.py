"""Small engines for tests: fixed data, small networks, any method."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from modecover import networks
from modecover.engine.engine import Engine
from modecover.engine.processes import Processes
from modecover.engine.stacked import stack
from modecover.engine.state import EngineOptions, Prior
from modecover.methods import registry
from modecover.methods.base import Method
from modecover.random import derive_seed

METHODS = registry.names()
LATENT = 4


class Rows:
    """Minibatches that are a pure function of (seed, position), for points or images of any shape."""

    def __init__(self, seeds: Sequence[int], batch: int, shape: tuple[int, ...], dtype: torch.dtype):
        self.seeds, self.size, self.shape, self.dtype = seeds, batch, shape, dtype

    def batch(self, position: int, part: int = 0, parts: int = 1) -> Tensor:
        rows = self.size // parts
        whole = []
        for seed in self.seeds:
            generator = torch.Generator().manual_seed(derive_seed(seed, "rows", position))
            whole.append(torch.randn(self.size, *self.shape, generator=generator).tanh().to(self.dtype))
        return torch.cat([rows_of_seed[part * rows : (part + 1) * rows] for rows_of_seed in whole])


def method_of(name: str, **settings: Any) -> Method:
    fields = registry.get(name).__dataclass_fields__
    defaults: dict[str, Any] = {"k": 2} if "k" in fields else {}
    if "critic_steps" in fields:
        defaults["critic_steps"] = 2
    if "unrolled_steps" in fields:
        defaults |= {"unrolled_steps": 2, "unrolled_rate": 0.01}
    return registry.get(name)(**{**defaults, **settings})


def engine_of(
    name: str,
    seeds: Sequence[int] = (0,),
    *,
    shape: tuple[int, ...] = (2,),
    batch: int = 8,
    dtype: torch.dtype = torch.float64,
    processes: Processes | None = None,
    settings: dict[str, Any] | None = None,
    norm: bool = True,
    adam: bool = False,
    **options: Any,
) -> Engine:
    """An engine for a registered method on tiny networks; `norm=False` leaves batch normalisation out.

    Its networks descend plain gradients, at rate 0.001, unless `adam`. So what rounding adds to a gradient, some 1e-16
    of it, stays that small in the weights, and two ways to compute a step can be compared in them. Adam divides by the
    gradient's size: where the true gradient is zero (a unit that is active on all rows, before a batch norm), it makes
    full steps of the rounding, which no two processors share.
    """
    method = method_of(name, **(settings or {}))
    members = [make_networks(method, seed, shape, norm) for seed in seeds]
    modules = {role: stack([member[role] for member in members]).to(dtype) for role in method.roles()}
    return Engine(
        method,
        modules,
        {role: _optimizer(module, adam) for role, module in modules.items()},
        data=Rows(seeds, batch, shape, dtype),
        prior=DoublePrior(LATENT) if dtype == torch.float64 else Prior(LATENT),
        seeds=seeds,
        options=EngineOptions(batch=batch, **options),
        processes=processes or Processes(),
    )


def _optimizer(module: nn.Module, adam: bool) -> torch.optim.Optimizer:
    parameters = list(module.parameters())
    return torch.optim.Adam(parameters, 1e-3, betas=(0.5, 0.999)) if adam else torch.optim.SGD(parameters, 1e-3)


class DoublePrior(Prior):
    """The prior in float64, so that equalities can be tested far below float32's rounding."""

    def rows(self, count: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
        return super().rows(count, device, generator).double()


def make_networks(method: Method, seed: int, shape: tuple[int, ...], norm: bool) -> dict[str, nn.Module]:
    made: dict[str, nn.Module] = {}
    width = 4 if len(shape) == 3 else 8
    for name, role in method.roles().items():
        torch.manual_seed(derive_seed(seed, "init", name))
        made |= networks.build(
            {name: role},
            shape,
            LATENT,
            **method.demands(),
            width=width,
            encoder_width=width,
            encoder_normalize=norm,
            discriminator_norm="none" if method.judged_alone or not norm else method.defaults.get("norm_D", "batch"),
        )
    return made


def weights(engine: Engine) -> dict[str, Tensor]:
    """All tensors of all networks, cloned."""
    return {
        f"{name}/{key}": value.clone()
        for name, network in engine.networks.items()
        for key, value in network.state_dict().items()
    }


ROW_BY_ROW: dict[str, dict[str, Any]] = {"unrolled": {"unrolled_steps": 0}, "ivaae-svgd": {"t": 1}}
"""Settings under which a method's losses are means over rows: Unrolled GAN looks ahead on the rows of a micro-batch,
and SVGD moves them together (with t = 1 it has no step to take)."""


def of_means(engine: Engine) -> Engine:
    """The engine with those loss terms left out that are not means over rows: LDMGAN's fitted Gaussians."""
    step = engine.method.step

    class Means(type(engine.method)):  # type: ignore[misc]
        def step(self, **arguments: Any) -> Any:
            for update in step(**arguments):
                pairs = update if isinstance(update, list) else [update]
                kept = [(nets, {k: v for k, v in terms.items() if k != "matching"}) for nets, terms in pairs]
                yield kept if isinstance(update, list) else kept[0]

    Means.step.__signature__ = inspect.signature(type(engine.method).step)  # type: ignore[attr-defined]
    engine.method = Means()
    return engine
