"""The networks a run is built with: what each method's mathematics asks of them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import norm
from torch import nn

import modecover
from modecover.cli import main as command
from modecover.data import open_data
from modecover.engine.engine import Engine
from modecover.engine.processes import Processes
from modecover.errors import UserError
from modecover.losses import moment_kl
from modecover.methods import registry
from modecover.networks import SplitBatchNorm, from_config
from modecover.runs.build import build_engine, build_networks
from modecover.runs.settings import resolve


def built(method: str, shape: tuple[int, ...], **settings: Any) -> dict[str, nn.Module]:
    chosen, resolved = resolve(method, shape, chosen=settings)
    return build_networks(chosen, resolved, shape, seed=0)


@pytest.mark.parametrize("shape", [(2,), (1, 16, 16)], ids=["points", "images"])
def test_ldmgan_sees_a_collapse(shape: tuple[int, ...]) -> None:
    """Its KL of the codes of one repeated sample must be large: a normalised encoder would hide any collapse."""
    torch.manual_seed(0)
    E = built("ldmgan", shape, latent=2, **({} if shape == (2,) else {"width": 4}))["E"]
    spread = torch.randn(256, *shape)
    collapsed = spread[:1] + 1e-3 * torch.randn(256, *shape)
    assert moment_kl(E(collapsed)) > 2 * math.log(10)
    assert moment_kl(E(collapsed)) > 2 * moment_kl(E(spread))
    assert not any(isinstance(m, nn.BatchNorm1d) and not m.affine for m in E.modules())


@pytest.mark.parametrize("method", ["ivdcgan", "ivlsgan", "reg-gan", "mdgan"])
def test_codes_that_are_put_into_the_generator_have_the_priors_scale(method: str) -> None:
    E = built(method, (2,), latent=2, width=8)["E"]
    codes = E(5 + 3 * torch.randn(512, 2))
    assert torch.allclose(codes.mean(0), torch.zeros(2), atol=1e-3)
    assert torch.allclose(codes.var(0, unbiased=False), torch.ones(2), atol=0.02)


@pytest.mark.parametrize("shape", [(2,), (1, 16, 16)], ids=["points", "images"])
@pytest.mark.parametrize(("law", "low"), [("uniform", -1.0), ("uniform01", 0.0)])
@pytest.mark.parametrize("method", ["ivdcgan", "reg-gan", "mdgan"])
def test_codes_have_the_law_of_a_uniform_prior(method: str, law: str, low: float, shape: tuple[int, ...]) -> None:
    """The normal distribution function of codes without this map, and so inside the prior's cube."""
    chosen: dict[str, Any] = {"latent": 4, "width": 8 if len(shape) == 1 else 4}
    plain, mapped = built(method, shape, **chosen)["E"], built(method, shape, prior=law, **chosen)["E"]
    rows = torch.randn(512, *shape)
    codes, expected = mapped(rows).detach(), low + (1 - low) * norm.cdf(plain(rows).detach().numpy())
    assert torch.allclose(codes, torch.tensor(expected, dtype=torch.float32), atol=1e-5)
    assert low <= codes.min() < codes.max() <= 1
    assert codes.mean() == pytest.approx((low + 1) / 2, abs=0.05 * (1 - low))
    assert from_config(json.loads(json.dumps(mapped.config()))).config() == mapped.config()  # type: ignore[operator]


class Calls:
    """What a method sends through G in a step: (kind, whether an encoder made the rows)."""

    def __init__(self, engine: Engine):
        self.found: list[tuple[str, bool]] = []
        engine.networks["G"].register_forward_pre_hook(self._see, with_kwargs=True)

    def _see(self, _: nn.Module, rows: tuple[torch.Tensor], options: dict[str, str]) -> None:
        self.found.append((options.get("kind", "prior"), rows[0].requires_grad))


@pytest.mark.parametrize("name", registry.names())
def test_a_generator_of_noise_and_codes_keeps_their_statistics_apart(name: str) -> None:
    """Every method that decodes both names the kind of each; the rest have one kind, whose statistics samples use."""
    fields = registry.get(name).__dataclass_fields__
    settings = {"batch": 8, "width": 4, "latent": 4, **({"k": 2} if "k" in fields else {})}
    method, resolved = resolve(name, (1, 16, 16), chosen=settings)
    engine = build_engine(method, resolved, open_data(torch.rand(32, 1, 16, 16)), device=torch.device("cpu"))
    calls = Calls(engine)
    engine.step()
    made = {encoded: {kind for kind, of_codes in calls.found if of_codes == encoded} for encoded in (False, True)}
    assert method.split_statistics == (made == {False: {"prior"}, True: {"code"}})
    norms = [module for module in engine.networks["G"].modules() if isinstance(module, SplitBatchNorm)]
    assert len(norms) == (2 if method.split_statistics else 0)
    if method.split_statistics:
        assert all(not torch.equal(layer.running_mean_prior, layer.running_mean_code) for layer in norms)
    else:
        assert not made[False] or not made[True], "one kind of rows"


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("wgan-gp", {}),
        ("r3gan", {}),
        ("ivgan", {"adversarial": "wgan-gp"}),
        ("ivgan", {"adversarial": "relativistic"}),
    ],
)
def test_a_penalised_critic_scores_each_row_alone(method: str, settings: dict[str, str]) -> None:
    torch.manual_seed(0)
    D, plain = built(method, (1, 16, 16), width=4, **settings)["D"], built("ivgan", (1, 16, 16), width=4)["D"]
    rows = torch.randn(6, 1, 16, 16)
    assert torch.allclose(D(rows)[:2], D(rows[:2]), atol=1e-6)
    assert not torch.allclose(plain(rows)[:2], plain(rows[:2]), atol=1e-3)


def test_a_network_starts_alike_whatever_else_is_built() -> None:
    """Comparisons between methods share the first weights of G and D for each seed."""
    gan, ivgan = built("gan", (2,), width=8), built("ivdcgan", (2,), width=8)
    for name in ("G", "D"):
        ours = dict(gan[name].named_parameters())
        assert all(torch.equal(p, ours[key]) for key, p in ivgan[name].named_parameters() if key in ours)
        assert len(ours) >= 6


def test_rates_and_decay_reach_their_networks() -> None:
    chosen, resolved = resolve("ivlsgan", (1, 16, 16), chosen={"lr": 1e-3, "lr_D": 5e-4, "width": 4, "latent": 4})
    data = open_data(torch.rand(80, 1, 16, 16))
    engine = build_engine(chosen, resolved, data, device=torch.device("cpu"))
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in engine.optimizers.items()}
    assert rates == {"G": 1e-3, "E": 1e-2, "D": 5e-4}  # E's is the method's own, as the authors ran it
    decays = {name: optimizer.param_groups[0]["weight_decay"] for name, optimizer in engine.optimizers.items()}
    assert decays == {"G": 0.0, "E": 5e-4, "D": 0.0}


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
def test_stacked_runs_as_they_are_really_built_equal_separate_ones(optimizer: str) -> None:
    """With the run's own optimisers: a fused one reads gradients in memory order, whatever their strides say."""
    data = open_data("ring")
    settings = {"batch": 16, "width": 4, "latent": 4, "lr": 1e-3, "optimizer": optimizer}

    def engine(seed: int, seeds: int) -> Engine:
        chosen, resolved = resolve("gan", (2,), chosen={**settings, "seed": seed, "seeds": seeds})
        made = build_engine(chosen, resolved, data, device=torch.device("cpu"))
        assert isinstance(made, Engine)
        return made

    stacked, alone = engine(0, 3), engine(1, 1)
    for each in (stacked, alone):
        for one in each.optimizers.values():
            for group in one.param_groups:
                if "eps" in group:
                    # Far above rounding: a step is then a smooth function of the gradient, and a true zero stays one.
                    group["eps"] = 1e-2
        for _ in range(3):
            each.step()
    # A step is lr g / (|g| + eps) at most: float32's 1e-6 of a gradient near 1 becomes 3 steps of 1e-3 * 1e-6 / 1e-2.
    for name, network in alone.networks.items():
        member = stacked.networks[name].member(1).state_dict()  # type: ignore[operator]
        for key, value in network.state_dict().items():
            assert torch.allclose(member[key].float(), value.float(), rtol=1e-5, atol=3e-6), f"{name}/{key}"


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("ldmgan", {}),
        ("vae", {}),
        ("vaegan", {}),
        ("ivaae-rad", {"t": 2}),
        ("ivaae-svgd", {"t": 2}),
        ("ivgan", {"k": 2, "intervention": "radial"}),
    ],
)
def test_what_holds_for_normal_noise_alone_is_refused_with_another(method: str, settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"is for prior noise from N\(0, I\), and prior is 'uniform01': set prior"):
        resolve(method, (2,), protocol="mdgan", chosen=settings)
    assert resolve(method, (2,), protocol="mdgan", chosen={**settings, "prior": "normal"})[1].prior == "normal"


@pytest.mark.parametrize(
    ("method", "shape", "settings", "sentence"),
    [
        ("ivgan", (2,), {"batch": 1}, "A batch of 1 is a single row, and batch norm in E takes statistics over rows:"),
        ("mdgan", (2,), {"batch": 1, "seeds": 2}, "A batch of 1 is a single row, and batch norm in E takes"),
        ("gan", (1, 16, 16), {"batch": 1, "norm_D": "none"}, ""),
        (
            "ivgan", (2,), {"batch": 4, "accumulate": 4},
            "A batch of 4 in 4 micro-batches has a single row in each, and batch norm in E takes statistics over rows: "
            "use a batch of at least 8 or fewer micro-batches, or networks without batch norm.",
        ),
        ("ivgan", (2,), {"batch": 1, "norm_E": "none"}, ""),
        ("pacgan", (2,), {"batch": 1}, ""),
        ("r3gan", (2,), {"batch": 1, "seeds": 2}, ""),
        ("ldmgan", (2,), {"batch": 1}, "LDMGAN fits a Gaussian to each batch's codes: use a batch of at least 2."),
    ],
)  # fmt: skip
def test_too_few_rows_for_a_step_are_told_when_the_run_is_built(
    method: str, shape: tuple[int, ...], settings: dict[str, Any], sentence: str
) -> None:
    data = open_data(torch.rand(8, *shape) if len(shape) == 3 else "ring")

    def build() -> Engine:
        chosen, resolved = resolve(method, shape, chosen={**settings, "width": 4})
        return build_engine(chosen, resolved, data, device=torch.device("cpu"))

    if sentence:
        with pytest.raises(UserError) as caught:
            build()
        assert str(caught.value).startswith(sentence)
    else:
        build().step()


def test_a_process_s_share_of_a_batch_has_enough_rows_for_the_method() -> None:
    chosen, resolved = resolve("wae-mmd", (2,), chosen={"batch": 2, "width": 4, "latent": 2})
    with pytest.raises(UserError, match="WAE-MMD compares pairs of codes: use a batch of at least 2"):
        build_engine(chosen, resolved, open_data("ring"), device=torch.device("cpu"), processes=Processes(0, 2))


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("wgan-gp", "critic_steps"),
        ("sngan", "critic_steps"),
        ("ivgan", "encoder_steps"),
        ("unrolled", "unrolled_steps"),
    ],
)
def test_a_step_without_end_is_refused_before_it_begins(method: str, name: str) -> None:
    chosen, resolved = resolve(method, (2,), chosen={"batch": 8, "width": 4, name: 10**9})
    with pytest.raises(UserError, match=rf"^A step with {name} = 1,000,000,000 takes 1,667 minutes at least"):
        build_engine(chosen, resolved, open_data("ring"), device=torch.device("cpu"))


@pytest.mark.parametrize("words", ["--dry-run", "--out run"])
def test_capture_needs_a_gpu_whoever_builds_the_engine(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given = f"train gan --data ring --steps 2 --batch 8 --width 4 --capture --device cpu {words}"
    assert command(given.split()) == 2
    assert "capture replays a CUDA graph and needs a GPU" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


class _OnceDifferentiable(nn.Module):
    """A layer whose gradient cannot be differentiated again."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Doubled.apply(x)


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            raise RuntimeError("this backward is the end")
        return 2 * gradient


def test_own_networks_that_the_method_s_step_fails_with_are_told_when_the_run_is_built() -> None:
    def build(method: str) -> Engine:
        chosen, resolved = resolve(method, (2,), chosen={"batch": 8, "width": 4})
        own = {"D": nn.Sequential(nn.Linear(2, 3), _OnceDifferentiable(), nn.Linear(3, 1))}
        return build_engine(chosen, resolved, open_data("ring"), device=torch.device("cpu"), own=own)

    build("gan").step()
    with pytest.raises(UserError, match=r"^A step with your D fails \(RuntimeError: this backward is the end"):
        build("wgan-gp")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("mlp", "The network given for G is 'mlp': give a torch.nn.Module or a function that makes one, for example"),
        (None, "The network given for G is None: give a torch.nn.Module"),
        (nn.Linear, "The function given for G failed (Linear.__init__() missing 2 required positional arguments"),
        (lambda: 1 / 0, "The function given for G failed (division by zero): it is called without arguments and must"),
        (lambda: "mlp", "The network made for G is 'mlp': give a torch.nn.Module or a function that makes one"),
    ],
)
def test_what_is_no_network_is_told(given: Any, sentence: str) -> None:
    chosen, resolved = resolve("gan", (2,), chosen={"width": 4})
    with pytest.raises(UserError) as caught:
        build_networks(chosen, resolved, (2,), seed=0, own={"G": given})
    assert str(caught.value).startswith(sentence)


def test_blocks_take_their_noise_from_the_prior_whatever_its_law() -> None:
    """Else O_i(z) would not have z's law: with noise from [0, 1] no coordinate may leave it."""
    dataset = open_data("ring")
    method, settings = resolve("ivdcgan", dataset.shape, chosen={"batch": 64, "width": 8, "prior": "uniform01"})
    engine = build_engine(method, settings, dataset, device=torch.device("cpu"))
    seen: list[torch.Tensor] = []
    engine.networks["G"].register_forward_pre_hook(lambda _, rows: seen.append(rows[0].detach()))
    engine.step()
    of_samples, of_codes = seen[0], seen[1]
    assert of_samples.min() >= 0 and of_samples.max() <= 1
    assert of_codes.min() >= 0 and of_codes.max() <= 1


def test_a_scripted_network_is_trained():
    """It takes no hooks, by which the memory of a run is estimated."""
    scripted = torch.jit.script(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)))
    run = modecover.train("gan", "ring", steps=2, batch=8, width=4, networks={"G": scripted})
    assert run.sample(5).isfinite().all()
