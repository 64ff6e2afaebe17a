"""IVAAE's step against Algorithm 1 in NumPy for each family of bridges; which way each network pushes; Theorem 2."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from by_hand import Array, Piece, cross_entropy, mean_square, times
from linear_world import BATCH, LATENT, Draws, Expected, gradients, make_draws, make_world, play, start
from scipy import stats
from test_theory import descend, js_by_integration, quadratic
from torch import Tensor, nn

from modecover.engine.schedules import Schedule
from modecover.errors import UserError
from modecover.losses import not_class
from modecover.methods import registry
from modecover.methods.ivaae import IVAAE
from modecover.random import Streams, active
from modecover.runs.settings import resolve

NAMES = ["ivaae-bw", "ivaae-rad", "ivaae-svgd"]

Pull = Callable[[Array], Array]
"""From dL/dT_k(code) for every k, (t + 1, B, d), to dL/dcode."""


# ------------------------------------------------------------------------------------------ the algorithm box in NumPy


def bridges(m: Any, code: Array, z: Array, draws: Draws) -> tuple[Array, Pull]:
    """(T_0(code) ... T_t(code), shape (t + 1, B, d); how gradients come back)."""
    t = m.t
    if m.intervention == "svgd":
        normal = draws.queue("normal")
        jitter = [m.jitter * normal() for _ in range((t - 1) * m.iterations)]
        widths = particles(m, code, z, jitter)[1]

        def pull_svgd(g: Array) -> Array:
            # Complex steps, one coordinate of one code at a time, the bandwidths held: exact to rounding.
            out = np.zeros_like(code)
            for place in np.ndindex(*code.shape):
                shifted = code.astype(complex)
                shifted[place] += 1e-30j
                out[place] = (g * particles(m, shifted, z, jitter, widths)[0]).sum().imag / 1e-30
            return out

        return particles(m, code, z, jitter)[0], pull_svgd
    if m.intervention == "radial":
        angles = [k * math.pi / (2 * t) for k in range(t + 1)]
        moved = np.stack([code * math.cos(a) + z * math.sin(a) for a in angles])
        return moved, lambda g: sum(math.cos(a) * g_k for a, g_k in zip(angles, g, strict=True))
    size = LATENT // t
    kept = np.ones((t + 1, *code.shape))
    for k in range(t + 1):
        kept[k, :, : k * size] = 0
    return kept * code + (1 - kept) * z, lambda g: (kept * g).sum(0)


def particles(m: Any, z: Array, last: Array, jitter: list[Array], widths: Any = None) -> tuple[Array, list[float]]:
    """Equation 2: the codes after every second iteration, and the bandwidths used."""
    noise, stages, used = iter(jitter), [z], []
    for _ in range(m.t - 1):
        for _ in range(m.iterations):
            pairs = [np.sqrt(sum((a - b) ** 2)) for a, b in itertools.combinations(z, 2)]
            h = widths[len(used)] if widths else m.bandwidth * np.median(pairs) ** 2 / np.log(len(z))
            used.append(h)
            apart = z[:, None] - z[None]
            kernel = np.exp(-(apart**2).sum(2) / h)
            phi = (2 / h * (kernel[:, :, None] * apart).sum(1) - kernel @ z) / len(z)
            z = z + m.step_size * phi + next(noise)
        stages.append(z)
    return np.stack([*stages, last]), used


def minus_log_other(logits: Array, i: Any) -> Piece:
    """E -log(1 - p_i). d/du_i = p_i; d/du_j = -p_i p_j / (1 - p_i)."""
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    own = p[np.arange(len(i)), i]
    d = -p * (own / (1 - own))[:, None]
    d[np.arange(len(i)), i] = own
    return float(-np.log(1 - own).mean()), d / len(i)


def box(m: Any, net: dict[str, Any], draws: Draws) -> Iterator[Expected]:
    """Algorithm 1, lines 2-16, as descents."""
    G, E, D, x, z, t = net["G"], net["E"], net["D"], draws.data[0], draws.prior[0], m.t
    code = E(x)
    moved, pull = bridges(m, code, z, draws)
    flat, labels = moved.reshape(-1, LATENT), np.repeat(np.arange(t + 1), BATCH)
    mu_1 = 4 / (t + 1) if m.mu_1 is None else m.mu_1
    mu_2 = 2 / (t + 1) if m.mu_2 is None else m.mu_2

    value, d = times(mu_1, cross_entropy(D.logits(flat), labels))
    yield [("D", {"intervention": value}, {"D": D.pull(flat, logits=d)[0]})]

    reconstruction, dr = times(m.lambda_, mean_square(G(code), x))
    if m.encoder_objective == "ascend":
        fooled, d = times(-mu_2, cross_entropy(D.logits(flat), labels))
    else:
        fooled, d = times(mu_2, minus_log_other(D.logits(flat), labels))
    of_bridges = pull(D.pull(flat, logits=d)[1].reshape(t + 1, BATCH, LATENT))
    of_g, of_code = G.pull(code, dr)
    terms = {"reconstruction": reconstruction}
    yield [
        ("G", terms, {"G": of_g}),
        ("E", terms | {"intervention": fooled}, {"E": E.pull(x, of_code + of_bridges)[0]}),
    ]


SETTINGS: list[dict[str, Any]] = [
    {},
    {"encoder_objective": "ascend"},
    {"encoder_objective": "non-saturating", "t": 2, "lambda_": 0.3, "mu_1": 0.7, "mu_2": 1.9},
    {"encoder_objective": "ascend", "t": 1, "mu_2": 0.4},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_algorithm_1(name, settings, monkeypatch):
    method = registry.get(name)(**settings)
    play(method, box, make_draws(1, 1, normal=8), monkeypatch)


def test_svgds_own_settings_count(monkeypatch):
    method = registry.get("ivaae-svgd")(t=3, step_size=0.6, bandwidth=1.5, iterations=3, jitter=0.3)
    play(method, box, make_draws(1, 1, normal=6), monkeypatch)


def test_the_default_weights_are_the_printed_ones():
    """t = 4: mu_1 = 4/5, mu_2 = 2/5, lambda = 1; the names differ in their bridges alone."""
    families = [registry.get(name)().intervention for name in NAMES]
    assert families == ["cumulative", "radial", "svgd"]
    for name in NAMES:
        method = registry.get(name)()
        assert (method.t, method.lambda_, method.mu_1, method.mu_2) == (4, 1.0, None, None)
    svgd = registry.get("ivaae-svgd")()
    assert (svgd.step_size, svgd.bandwidth, svgd.iterations, svgd.jitter) == (1.0, 100.0, 2, 0.1)


# Rates of E and G, and D's over E's, at the beginning; factors after so many of 300 epochs; images, latent, batch.
RUNS = {
    "mnist": ((5e-5, 1e-4, 2.0), {0: 1, 99: 1, 101: 0.5, 199: 0.5, 201: 0.25, 299: 0.25}, (60_000, 16, 64)),
    "celeba": ((1e-3, 1e-3, 0.5), {0: 1, 29: 1, 31: 0.5, 49: 0.5, 51: 0.1, 99: 0.1, 101: 0.01}, (162_770, 64, 100)),
    "cifar": ((1e-3, 1e-3, 0.5), {0: 1, 29: 1, 31: 0.5, 49: 0.5, 51: 0.1, 99: 0.1, 299: 0.01}, (50_000, 128, 128)),
}


@pytest.mark.parametrize("preset", RUNS)
def test_a_preset_is_the_papers_run(preset):
    """Section 4: rates, their schedule over 300 epochs, latent dimension and batch; steps are 300 epochs."""
    (of_e, of_g, ratio), factors, (images, latent, batch) = RUNS[preset]
    channels = 1 if preset == "mnist" else 3
    method, settings = resolve("ivaae-rad", (channels, 64, 64), preset=preset)
    assert method == registry.get("ivaae-rad")(encoder_objective="ascend")  # line 17 as printed
    rates = [settings.learning_rate(role) for role in ("encoder", "generator", "latent discriminator")]
    assert rates == pytest.approx([of_e, of_g, ratio * of_e])
    assert (settings.latent, settings.batch, settings.steps) == (latent, batch, 300 * images // batch)
    schedule = Schedule.parse(settings.lr_schedule)
    assert {epoch: schedule.at(epoch / 300) for epoch in factors} == factors


# ------------------------------------------------------------------------------------------ the encoder's two forms


def test_the_non_saturating_form_of_two_classes_is_the_cross_entropy_with_labels_exchanged():
    logits, index = torch.tensor([[2.0, -1.0], [0.3, 0.9], [-4.0, 1.0]]), torch.tensor([0, 1, 1])
    expected = torch.nn.functional.cross_entropy(logits, 1 - index)
    torch.testing.assert_close(not_class(logits, index), expected)


def test_where_d_is_certain_the_ascending_form_loses_its_slope_and_the_other_does_not():
    """Logits 30 apart: the softmax is 1 to rounding, and -log(1 - p) is 30 with slope 1, not infinite."""
    logits, index = torch.tensor([[30.0, 0.0, -1e4]], requires_grad=True), torch.tensor([0])
    (ascending,) = torch.autograd.grad(-torch.nn.functional.cross_entropy(logits, index), logits)
    value = not_class(logits, index)
    (descending,) = torch.autograd.grad(value, logits)
    assert ascending.abs().max() < 1e-6
    assert value.item() == pytest.approx(30.0)
    assert descending.tolist()[0] == pytest.approx([1.0, -1.0, 0.0])


# ------------------------------------------------------------------------------------------- which way each one pushes


def told_apart(net: dict[str, Any], method: IVAAE, x: Tensor, z: Tensor) -> Tensor:
    """D's cross-entropy on the bridges of the codes of x."""
    moved, k = method.bridges.every(net["E"](x), z)
    return torch.nn.functional.cross_entropy(net["D"](moved, head="classes"), k)


def rightly_trusted(net: dict[str, Any], method: IVAAE, x: Tensor, z: Tensor) -> Tensor:
    """-log of the chance that D leaves to wrong answers: large where it is rightly certain."""
    moved, k = method.bridges.every(net["E"](x), z)
    chances = net["D"](moved, head="classes").softmax(1)
    return -(1 - chances[torch.arange(len(k)), k]).log().mean()


def error(net: dict[str, Any], method: IVAAE, x: Tensor, z: Tensor) -> Tensor:
    return (net["G"](net["E"](x)) - x).square().mean()


ALONE = {"lambda_": 0.0}
SIGNS: list[tuple[str, str, dict[str, Any], Any, int]] = [
    ("D tells the bridges apart", "D", {}, told_apart, -1),
    ("E makes D doubt", "E", ALONE | {"encoder_objective": "non-saturating"}, rightly_trusted, -1),
    ("E makes them alike, as the theorem has it", "E", ALONE | {"encoder_objective": "ascend"}, told_apart, 1),
    ("E brings reconstructions near the data", "E", {"mu_2": 0.0}, error, -1),
    ("G brings reconstructions near the data", "G", {}, error, -1),
]


@pytest.mark.parametrize("name", ["ivaae-bw", "ivaae-rad"])
@pytest.mark.parametrize(
    ("network", "settings", "quantity", "direction"), [s[1:] for s in SIGNS], ids=[s[0] for s in SIGNS]
)
def test_sign(name, network, settings, quantity, direction, monkeypatch):
    method, draws = registry.get(name)(**settings), make_draws(1, 1)
    net, updates = start(method, make_world(method), draws, monkeypatch)
    x, z = torch.tensor(draws.data[0]), torch.tensor(draws.prior[0])
    pairs = [pair for update in updates for pair in (update if isinstance(update, list) else [update])]
    found = {who: grads[who] for who, _, grads in (gradients(pair, net, keep=True) for pair in pairs)}
    before = quantity(net, method, x, z).item()
    for key, g in found[network].items():
        net[network].weights[key].data -= 1e-6 * g
    assert np.sign(quantity(net, method, x, z).item() - before) == direction


# -------------------------------------------------------------------------------------- L_IV = log(t + 1) - JS (Thm 2)

CODES = {"shifted": (1.5, 0.6), "narrow": (0.0, 0.3), "near": (0.4, 0.9)}


@pytest.mark.parametrize("t", [1, 4])
@pytest.mark.parametrize("codes", CODES.values(), ids=CODES)
def test_an_optimal_discriminator_leaves_log_t_plus_1_minus_js(codes, t):
    """IVAAE's own step, E the identity on the line: radial bridges of N(m, s^2) are Gaussians whose laws are known.

    T_k has mean m cos and variance s^2 cos^2 + sin^2. Codes are at quantiles, and so is the noise, in every pairing.
    """
    m, s = codes
    q = torch.tensor(stats.norm.ppf((np.arange(90) + 0.5) / 90))
    x, z = (m + s * q).repeat_interleave(90)[:, None], q.repeat(90)[:, None]
    D = nn.Linear(2, t + 1, dtype=torch.float64)
    method = registry.get("ivaae-rad")(t=t, mu_1=1.0)

    def judge(points, head="adversarial"):
        assert head == "classes"
        return D(quadratic(points))

    def step():
        with active(Streams([0]).at("fixed")):
            return next(iter(method.step(lambda z: z, lambda x: x, judge, lambda: x, lambda: z)))

    value = descend(D.parameters(), lambda: step()[1]["intervention"], 200)
    angles = [k * math.pi / (2 * t) for k in range(t + 1)]
    laws = [stats.norm(m * math.cos(a), math.hypot(s * math.cos(a), math.sin(a))) for a in angles]
    js = js_by_integration([law.pdf for law in laws], -12, 12)
    assert js > 0.01
    assert math.log(t + 1) - value == pytest.approx(js, rel=0.02)


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("name", "settings", "latent", "batch", "sentence"),
    [
        ("ivaae-bw", {"t": 3}, 16, 8, "t = 3 equal blocks do not divide 16 latent dimensions: use t = 1, 2, 4, 8, 16"),
        ("ivaae-bw", {"t": 0}, 16, 8, "t is 0: .* at least one"),
        ("ivaae-rad", {"intervention": "spiral"}, 16, 8, "'spiral': choose block, cumulative, radial"),
        ("ivaae-svgd", {}, 16, 1, "at least 2"),
        ("ivaae-svgd", {"iterations": 0}, 16, 8, "iterations is 0"),
        ("ivaae-svgd", {"bandwidth": 0.0}, 16, 8, "bandwidth is 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(name, settings, latent, batch, sentence):
    with pytest.raises(UserError, match=sentence):
        registry.get(name)(**settings).check(latent=latent, batch=batch)
