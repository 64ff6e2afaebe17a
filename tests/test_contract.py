"""What every registered method owes to the engine, and the engine to every method."""

from __future__ import annotations

import pytest
import torch
from tiny import METHODS, ROW_BY_ROW, engine_of, of_means, weights
from torch import Tensor

from modecover.engine.stacked import Stacked

SCHEDULES = {
    "gan": "D -> G",
    "lsgan": "D -> G",
    "wgan": "D x2 -> G",
    "wgan-gp": "D x2 -> G",
    "sngan": "D x2 -> G",
    "pacgan": "D -> G",
    "unrolled": "[D, G]",
    "r3gan": "D -> G",
    "bigan": "D -> (G, E)",
    "ali": "D -> (G, E)",
    "veegan": "[D, E, G]",
    "reg-gan": "D -> (G, E)",
    "mdgan": "D1 -> (G, E) -> D2 -> G",
    "ldmgan": "[D, E, G]",
    "ivgan": "D -> [G, E]",
    "ivdcgan": "D -> [G, E]",
    "ivlsgan": "D -> [G, E]",
    "ivaae-bw": "D -> [G, E]",
    "ivaae-rad": "D -> [G, E]",
    "ivaae-svgd": "D -> [G, E]",
    "vae": "(G, E)",
    "aae": "(G, E) -> D -> E",
    "wae-gan": "D -> (G, E)",
    "wae-mmd": "(G, E)",
    "vaegan": "[D, E, G]",
}
"""The papers' algorithms: two critic steps here, and the encoder's gradient from G's graph."""


def farthest(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[key] - b[key]).abs().max()) for key in a if a[key].is_floating_point())


def test_every_method_has_its_schedule_here() -> None:
    assert set(SCHEDULES) == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_the_schedule_is_the_papers(name: str) -> None:
    engine = engine_of(name)
    engine.step()
    assert engine.schedule() == SCHEDULES[name]


@pytest.mark.parametrize(("preset", "expected"), [("paper", "D -> [G, E]"), ("official", "[D, G] -> E x10")])
def test_the_schedule_of_both_ivgan_presets(preset: str, expected: str) -> None:
    from modecover.methods.ivgan import IVGAN

    fields = {k: v for k, v in IVGAN.presets[preset].items() if k in IVGAN.__dataclass_fields__}
    engine = engine_of("ivdcgan", settings=fields)
    engine.step()
    assert engine.schedule() == expected


@pytest.mark.parametrize("name", METHODS)
def test_only_the_named_networks_move(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(name)
    apply = engine._updater.apply
    seen = 0

    def watched(total: list) -> str:  # type: ignore[type-arg]
        nonlocal seen
        before = {n: [p.clone() for p in network.parameters()] for n, network in engine.networks.items()}
        words = apply(total)
        named = {handle.name for update in total for handle in update.handles}
        for n, network in engine.networks.items():
            moved = any(not torch.equal(p, q) for p, q in zip(network.parameters(), before[n], strict=True))
            assert moved == (n in named), f"{n} moved: {moved}, though the update names {named}"
        seen += 1
        return words

    monkeypatch.setattr(engine._updater, "apply", watched)
    engine.step()
    assert seen > 0
    assert all(p.grad is None for network in engine.networks.values() for p in network.parameters())


@pytest.mark.parametrize("name", METHODS)
def test_accumulation_equals_the_full_batch(name: str) -> None:
    """Four micro-batches against one batch; without batch normalisation, which sees each micro-batch alone.

    LDMGAN's matching term, a statistic of each micro-batch and not a mean, is left out.
    """
    whole = of_means(engine_of(name, norm=False, settings=ROW_BY_ROW.get(name)))
    cut = of_means(engine_of(name, norm=False, accumulate=4, settings=ROW_BY_ROW.get(name)))
    for _ in range(3):
        whole.step()
        cut.step()
    assert farthest(weights(whole), weights(cut)) < 1e-10
    for key, value in whole.losses().items():
        assert cut.losses()[key] == pytest.approx(value, rel=1e-9, abs=1e-12)


def test_micro_batches_leave_the_power_iteration_where_a_whole_batch_leaves_it() -> None:
    """Each forward moves it on: four micro-batches would move it four times as far."""
    whole, cut = (engine_of("sngan", (0, 1), accumulate=parts) for parts in (1, 4))
    states = []
    for engine in (whole, cut):
        engine.step()
        states.append([value for key, value in weights(engine).items() if key.endswith("/u") or ".u" in key])
    assert len(states[0]) > 1
    assert all((a - b).abs().max() < 1e-10 for a, b in zip(*states, strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_stacked_seeds_equal_separate_runs(name: str) -> None:
    seeds = (3, 11, 4)
    stacked = engine_of(name, seeds)
    alone = [engine_of(name, (seed,)) for seed in seeds]
    for engine in (stacked, *alone):
        for _ in range(3):
            engine.step()
    for index, engine in enumerate(alone):
        member: dict[str, Tensor] = {}
        for network, module in stacked.networks.items():
            assert isinstance(module, Stacked)
            member |= {f"{network}/{key}": value for key, value in module.member(index).state_dict().items()}
        assert farthest(member, weights(engine)) < 1e-10, f"seed {seeds[index]}"  # wrong rows give 1e-4
    means = {key: sum(engine.losses()[key] for engine in alone) / len(seeds) for key in stacked.losses()}
    assert stacked.losses() == pytest.approx(means, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("name", METHODS)
def test_a_resumed_engine_equals_an_uninterrupted_one_bitwise(name: str) -> None:
    options = {"ema": 0.9, "instance_noise": noise(), "dtype": torch.float32}
    straight = engine_of(name, (0, 1), **options)  # type: ignore[arg-type]
    for _ in range(5):
        straight.step()
    first = engine_of(name, (0, 1), **options)  # type: ignore[arg-type]
    for _ in range(2):
        first.step()
    state = {key: value.clone() for key, value in first.state().items()}
    second = engine_of(name, (0, 1), **options)  # type: ignore[arg-type]
    torch.rand(7)  # torch's own random state is nobody's business
    second.load(state)
    for _ in range(3):
        second.step()
    ours, theirs = second.state(), straight.state()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def noise() -> object:
    from modecover.engine.schedules import Schedule

    return Schedule.parse("0:0.1,1~0.05")


@pytest.mark.parametrize("name", METHODS)
def test_sampling_never_changes_training(name: str) -> None:
    quiet, busy = engine_of(name, ema=0.9), engine_of(name, ema=0.9)
    for _ in range(3):
        quiet.step()
        with busy.evaluating():
            first = busy.sample(5)
            assert torch.equal(first, busy.sample(5))
            busy.sample(5, average=True)
            torch.rand(3)
        busy.step()
    assert all(torch.equal(a, b) for a, b in zip(quiet.state().values(), busy.state().values(), strict=True))
    assert all(network.training for network in busy.networks.values())


@pytest.mark.parametrize("shape", [(2,), (1, 16, 16)], ids=["points", "images"])
@pytest.mark.parametrize("name", METHODS)
def test_bf16_networks_keep_losses_in_float32_and_finite(name: str, shape: tuple[int, ...]) -> None:
    engine = engine_of(name, shape=shape, dtype=torch.float32, precision="bf16")
    exact = engine_of(name, shape=shape, dtype=torch.float32)
    for _ in range(3):
        engine.step()
    exact.step()
    assert all(value.dtype == torch.float32 for value in engine.terms.values())
    assert all(torch.isfinite(torch.tensor(value)) for value in engine.losses().values())
    fresh = engine_of(name, shape=shape, dtype=torch.float32, precision="bf16")
    fresh.step()
    assert fresh.losses() == pytest.approx(exact.losses(), abs=0.1, rel=0.1)
    assert fresh.losses() != exact.losses()


def test_every_method_of_the_package_is_found_by_the_name_its_class_says() -> None:
    import pkgutil
    from importlib import import_module

    import modecover.methods
    from modecover.methods import registry
    from modecover.methods.base import Method

    own = {}
    for module in pkgutil.iter_modules(modecover.methods.__path__):
        for value in vars(import_module(f"modecover.methods.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, Method) and value.name:
                own[value.name] = value
    assert set(own) == set(METHODS)
    for name, method in own.items():
        assert registry.get(name) is method
        assert registry.name_of(method) == name


def test_a_method_derived_from_one_of_ours_has_not_its_name() -> None:
    from modecover.methods import registry

    class Own(registry.get("gan")):  # type: ignore[misc]
        pass

    assert registry.name_of(Own).endswith("Own")
    assert registry.get(registry.name_of(Own)) is Own
