"""A whole step through the engine leaves the weights that the algorithm box leaves by hand, under plain SGD."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from linear_world import (
    BATCH,
    LATENT,
    RATE,
    Linear,
    assert_same_weights,
    in_numpy,
    make_known,
    make_world,
    move,
    torch_queue,
)
from test_ivgan_closed_form import box as ivgan_box
from test_ivgan_closed_form import known_draws, preset
from test_methods_closed_form import CASES

from modecover.engine.engine import Engine
from modecover.engine.state import EngineOptions
from modecover.methods import registry

IVGAN_CASES = [
    (name, preset(which), ivgan_box, known_draws())
    for name in ("ivdcgan", "ivlsgan")
    for which in ("paper", "official")
]
SCHEDULES = {
    "gan": "D -> G",
    "lsgan": "D -> G",
    "wgan": "D x5 -> G",
    "wgan-gp": "D x5 -> G",
    "reg-gan": "D -> (G, E)",
    "mdgan": "D1 -> (G, E) -> D2 -> G",
    "ldmgan": "[D, E, G]",
    "ivdcgan": "D -> [G, E]",
    "ivlsgan": "D -> [G, E]",
}


def engine_of(method, networks, draws, **options):
    data, prior = torch_queue(draws, "data"), torch_queue(draws, "prior")
    return Engine(
        method,
        networks,
        {name: torch.optim.SGD(network.parameters(), lr=RATE) for name, network in networks.items()},
        data=SimpleNamespace(batch=lambda position, part=0, parts=1: data()),
        prior=SimpleNamespace(dimension=LATENT, law="normal", rows=lambda count, device: prior()),
        seeds=[0],
        options=EngineOptions(batch=BATCH, **options),
    )


@pytest.mark.parametrize(
    ("name", "settings", "box", "draws"), CASES + IVGAN_CASES, ids=[f"{n}-{s}" for n, s, *_ in CASES + IVGAN_CASES]
)
def test_a_step_of_the_engine_is_the_algorithm_box(name, settings, box, draws, monkeypatch):
    method = registry.get(name)(**settings)
    world = make_world(method)
    networks, hand = {role: Linear(weights) for role, weights in world.items()}, in_numpy(world)
    make_known(draws, monkeypatch)
    engine = engine_of(method, networks, draws)
    for network in networks.values():
        for p in network.parameters():
            p.grad = torch.full_like(p, 1e6)  # stale gradients must not count
    engine.step()
    for updates in box(method, hand, draws):
        last = updates
        move(hand, updates)
    assert_same_weights(networks, hand)
    names, terms, _ = last[-1]
    shown = engine.losses()
    assert {term: shown[f"{names}/{term}"] for term in terms} == pytest.approx(terms, rel=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_schedule_is_what_the_algorithm_says(name, monkeypatch):
    draws = next(draws for case, settings, _, draws in CASES + IVGAN_CASES if (case, settings) == (name, {}))
    method = registry.get(name)()
    make_known(draws, monkeypatch)
    engine = engine_of(method, {role: Linear(weights) for role, weights in make_world(method).items()}, draws)
    engine.step()
    assert engine.schedule() == SCHEDULES[name]


def test_the_schedule_of_the_authors_runs(monkeypatch):
    method, draws = registry.get("ivlsgan")(**preset("official")), known_draws()
    make_known(draws, monkeypatch)
    engine = engine_of(method, {role: Linear(weights) for role, weights in make_world(method).items()}, draws)
    engine.step()
    assert engine.schedule() == "[D, G] -> E x10"
