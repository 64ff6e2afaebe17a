"""The intervention loss by itself and in loops of others; IVGAN over any game and any family, in the engine."""

from __future__ import annotations

import math
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from by_hand import cross_entropy
from linear_world import Linear as Net
from linear_world import make_draws, make_known, make_world
from test_contract import farthest
from tiny import engine_of, weights

import modecover
from modecover.errors import UserError
from modecover.interventions import BlockSubstitution, Intervened, RadialSubstitution
from modecover.methods import registry

INDEX = [2, 0, 3, 1, 0]
EXAMPLE = Path(__file__).parents[1] / "examples" / "own_loop.py"


@pytest.fixture
def scene(monkeypatch):
    """(networks, their weights, draws, InterventionLoss with four blocks), all draws known."""
    method = registry.get("ivgan")()
    world, draws = make_world(method), make_draws(1, 1, normal=1, index=INDEX)
    make_known(draws, monkeypatch)
    net = {name: Net(weights) for name, weights in world.items()}
    classifier = lambda x: net["D"](x, head="classes")
    return net, world, draws, modecover.InterventionLoss(net["G"], net["E"], classifier, BlockSubstitution(4))


def by_hand(world, draws):
    """x' = G(O_i(E(x))), one coordinate a block, in NumPy; and f's logits of it."""
    E, G, D = world["E"], world["G"], world["D"]
    code = draws.data[0] @ E["weight"].T + E["bias"]
    for row, i in enumerate(INDEX):
        code[row, i] = draws.normal[0][row, i]
    samples = code @ G["weight"].T + G["bias"]
    return code, samples, samples @ D["trunk"].T @ D["classes"].T + D["classes_bias"]


def test_samples_and_losses_are_what_the_paper_writes(scene):
    _, world, draws, loss = scene
    made = loss.intervene(torch.tensor(draws.data[0]))
    code, samples, logits = by_hand(world, draws)
    np.testing.assert_allclose(made.code.detach(), code)
    np.testing.assert_allclose(made.samples.detach(), samples)
    assert made.index.tolist() == INDEX
    value, _ = cross_entropy(logits, np.array(INDEX))
    assert loss.classifier(made).item() == pytest.approx(value)
    assert loss(made).item() == pytest.approx(-value)


def test_the_classifiers_loss_reaches_the_classifier_alone_and_the_other_reaches_g_and_e(scene):
    net, world, draws, loss = scene
    made = loss.intervene(torch.tensor(draws.data[0]))
    parameters = {name: list(network.parameters()) for name, network in net.items()}
    for name in ("G", "E"):
        assert all(g is None for g in torch.autograd.grad(
            loss.classifier(made), parameters[name], retain_graph=True, allow_unused=True))  # fmt: skip
    # d(-CE)/dx' = -(softmax - one-hot) U T / B; G's bias adds up the rows, and E's feels the coordinates that are kept.
    _, _, logits = by_hand(world, draws)
    _, d = cross_entropy(logits, np.array(INDEX))
    dx = -d @ world["D"]["classes"] @ world["D"]["trunk"]
    kept = np.arange(4) != np.array(INDEX)[:, None]
    of_g, of_e = torch.autograd.grad(loss(made), [net["G"].weights["bias"], net["E"].weights["bias"]])
    np.testing.assert_allclose(of_g, dx.sum(0))
    np.testing.assert_allclose(of_e, (dx @ world["G"]["weight"] * kept).sum(0))


def test_it_is_ivgans_own_loss(scene):
    net, _, draws, loss = scene
    made = loss.intervene(torch.tensor(draws.data[0]))
    method = registry.get("ivgan")(latent_reconstruction="code", classifier_weight=1.0, mu_G=1.0)
    with pytest.MonkeyPatch.context() as patch:
        make_known(draws, patch)
        x, latents = torch.tensor(draws.data[0]), [torch.tensor(draws.prior[0]), torch.tensor(draws.normal[0])]
        steps = method.step(**net, data=lambda: x, prior=iter(latents).__next__)
        _, of_d = next(steps)
        (_, of_g), _ = next(steps)
    assert of_d["classifier"].item() == pytest.approx(loss.classifier(made).item())
    assert of_g["intervention"].item() == pytest.approx(loss(made).item())


def test_with_the_cap_a_classifier_that_is_worse_than_a_guess_gives_no_gradient():
    logits, index = torch.tensor([[9.0, 0.0], [9.0, 0.0]], requires_grad=True), torch.tensor([1, 1])
    made = Intervened(torch.zeros(2, 1), torch.zeros(2, 1), index)
    for cap, value in ((False, -9.0), (True, -math.log(2))):
        loss = modecover.InterventionLoss(abs, abs, lambda x: logits, BlockSubstitution(2), cap=cap)
        assert loss(made).item() == pytest.approx(value, abs=1e-3)
        assert (torch.autograd.grad(loss(made), logits)[0].abs().max() > 0) == (not cap)
        assert loss.classifier(made).item() == pytest.approx(9.0, abs=1e-3)


def test_codes_that_the_interventions_do_not_fit_are_refused():
    loss = modecover.InterventionLoss(lambda z: z, lambda x: x, lambda x: x, BlockSubstitution(4))
    with pytest.raises(UserError, match="k = 4 equal blocks do not divide 6 latent dimensions"):
        loss.intervene(torch.zeros(3, 6))


def test_outside_the_engine_draws_are_torchs_and_every_intervention_comes_up():
    loss = modecover.InterventionLoss(lambda z: z, lambda x: x, lambda x: x, RadialSubstitution(3))
    x = 5 + torch.zeros(4000, 2)
    torch.manual_seed(3)
    made = loss.intervene(x)
    assert torch.bincount(made.index).tolist() == pytest.approx([1333, 1333, 1333], abs=150)
    for i, (mean, std) in enumerate([(5, 0), (5 / 2**0.5, 0.5**0.5), (0, 1)]):
        assert made.code[made.index == i].mean() == pytest.approx(mean, abs=0.07)
        assert made.code[made.index == i].std() == pytest.approx(std, abs=0.05)
    torch.manual_seed(3)
    assert torch.equal(loss.intervene(x).code, made.code)


# ------------------------------------------------------------------------------------------- a loop that is not ours


def test_the_example_trains_all_three_networks_and_prints_its_modes(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["own_loop.py", "40"])
    torch.manual_seed(0)
    example = runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert capsys.readouterr().out.endswith("of 8 modes\n")
    assert example["modes"](example["CENTRES"]) == 8
    assert example["modes"](example["CENTRES"][[0, 3, 3]] + 0.1) == 2
    strays = torch.cat([example["CENTRES"][:1].expand(200, 2), example["CENTRES"]])
    assert example["modes"](strays) == 1
    assert example["modes"](example["CENTRES"] * 1.2) == 0
    far = (example["generator"](torch.randn(200, 2)).norm(dim=1) - 1).abs().mean()
    torch.manual_seed(0)
    assert far < (example["train"](0)(torch.randn(200, 2)).norm(dim=1) - 1).abs().mean()


# ---------------------------------------------------------------------------------------------------- in the engine

COMPOSED = [
    {"adversarial": "wgan-gp", "k": 2},
    {"adversarial": "relativistic", "k": 2, "penalty": 0.3},
    {"adversarial": "hinge", "intervention": "radial", "k": 3},
    {"intervention": "cumulative", "k": 5},
]


def assert_stacked_is_separate(name: str, settings: dict[str, object] | None = None) -> None:
    """Two steps of two stacked seeds are those of each seed alone."""
    stacked = engine_of(name, (3, 7), settings=settings)
    alone = [engine_of(name, (seed,), settings=settings) for seed in (3, 7)]
    for engine in (stacked, *alone):
        for _ in range(2):
            engine.step()
    for index, engine in enumerate(alone):
        member = {
            f"{name}/{key}": value
            for name, module in stacked.networks.items()
            for key, value in module.member(index).state_dict().items()
        }
        assert farthest(member, weights(engine)) < 1e-10


@pytest.mark.parametrize("settings", [*COMPOSED, {"intervention": "svgd", "k": 3}], ids=str)
def test_stacked_seeds_are_separate_runs(settings):
    assert_stacked_is_separate("ivgan", settings)


@pytest.mark.parametrize("settings", COMPOSED, ids=str)
def test_micro_batches_are_the_whole_batch(settings):
    whole, cut = (engine_of("ivgan", norm=False, settings=settings, accumulate=parts) for parts in (1, 4))
    for engine in (whole, cut):
        for _ in range(2):
            engine.step()
    assert farthest(weights(whole), weights(cut)) < 1e-10


@pytest.mark.parametrize(("name", "expected"), [("ivgan", "D -> [G, E]"), ("ivaae-bw", "D -> [G, E]")])
@pytest.mark.parametrize("family", ["block", "cumulative", "radial", "svgd", "identity"])
def test_every_family_runs_in_both_methods(name, expected, family):
    """On images too; t = 1 and k = 2 fit every family in four latent dimensions."""
    settings = {"intervention": family, "t" if "aae" in name else "k": 1 if "aae" in name else 2}
    engine = engine_of(name, shape=(1, 16, 16), settings=settings, dtype=torch.float32)
    engine.step()
    assert engine.schedule() == expected
    assert all(math.isfinite(value) for value in engine.losses().values())
