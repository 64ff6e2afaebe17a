"""What IVAAE's figures measure of a finished auto-encoder: a linear probe of its codes, their covariance, and what a
discriminator that is trained alone on them comes to, and gives the encoder to learn from."""

from __future__ import annotations

import itertools
import math
import statistics
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from modecover.errors import UserError
from modecover.experiments.measures import images_of, keep, order_of, scores
from modecover.methods import registry
from modecover.methods.ivaae import IVAAE
from modecover.pictures.charts import covariance_picture, curve_picture
from modecover.random import derive_seed
from modecover.runs.build import build_networks
from modecover.runs.model import load
from modecover.runs.settings import Settings

PROBE_UNITS, PROBE_BATCH, PROBE_RATE = 1_000, 60, 1e-4
CURVE_POINTS = 60
"""Of a curve that a page shows."""
ITERATIONS_A_SAMPLE, D_STEPS_A_SAMPLE, D_BATCH, D_RATE = 3, 0.6, 64, 1e-4
"""The paper has 30,000 iterations of the probe and 6,000 of D: with 10,000 samples that is what they come to."""


def probe(folder: Path, data_dir: str, samples: int) -> dict[str, float]:
    """Errors on test images, in per cent, of a network of two layers of 1,000 units that learns the labels of training
    images from their codes, after a thirtieth and a third of its iterations and at the end (the curve is kept as a
    picture); and how far the covariance of the test images' codes is from that of N(0, I), on the diagonal and beside
    it."""
    model = load(folder)
    train, test = images_of(model, data_dir), images_of(model, data_dir, split="test")
    if train.labels is None or test.labels is None:
        raise UserError(f"{train.name} has no labels to learn.")
    random = torch.Generator().manual_seed(derive_seed(0, "probe"))
    rows = torch.randperm(len(train.pixels), generator=random)[: 6 * samples]
    asked = torch.randperm(len(test.pixels), generator=random)[:samples]
    codes, of_test = (model.encode(data.fetch(some)) for data, some in ((train, rows), (test, asked)))
    labels, truth = train.labels[rows], test.labels[asked]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(0, "probe", "weights"))
        sizes = (codes.shape[1], PROBE_UNITS, PROBE_UNITS)
        hidden = [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
        network = nn.Sequential(*hidden, nn.Linear(PROBE_UNITS, int(labels.max()) + 1))
    optimiser = torch.optim.Adam(network.parameters(), PROBE_RATE, fused=True)
    total, found = ITERATIONS_A_SAMPLE * samples, {}
    looks = {max(1, total // 30): "early", max(1, total // 3): "after a third", total: "at the end"}
    every, curve = max(1, total // CURVE_POINTS), []
    for step in range(1, total + 1):
        batch = torch.randint(len(codes), (PROBE_BATCH,), generator=random)
        optimiser.zero_grad()
        functional.cross_entropy(network(codes[batch]), labels[batch]).backward()
        optimiser.step()
        if step in looks or step % every == 0:
            with torch.inference_mode():
                wrong = network(of_test).argmax(dim=1) != truth
            curve.append((step, 100 * float(wrong.float().mean())))
        if step in looks:
            found[f"error % {looks[step]}"] = curve[-1][1]
    covariance = torch.atleast_2d(torch.cov(of_test.double().T))
    beside = covariance - torch.diag(covariance.diagonal())
    size = len(covariance)
    found["covariance, diagonal off by"] = float((covariance.diagonal() - 1).abs().mean())
    found["covariance beside it"] = float(beside.abs().sum()) / max(1, size * (size - 1))
    keep(covariance_picture(covariance), folder, "covariance of the codes")
    keep(curve_picture(curve, "iteration of the probe", "test error, %"), folder, "error of the probe")
    return found


def scores_and_covariance(folder: Path, data_dir: str, samples: int) -> dict[str, float]:
    """The scores of an auto-encoder, and a picture of its codes' covariance."""
    numbers, model = scores(folder, data_dir, samples), load(folder)
    data = images_of(model, data_dir)
    order = order_of(data)
    codes = model.encode(data.fetch(order[-samples:]))
    keep(covariance_picture(torch.atleast_2d(torch.cov(codes.double().T))), folder, "covariance of the codes")
    return numbers


def frozen(folder: Path, data_dir: str, samples: int) -> dict[str, float]:
    """D alone, new, trained on the codes of a frozen encoder: its cross-entropy over log(t + 1), which is 1 where it
    cannot tell and 0 where it is certain, after a hundredth of its steps and, as their mean, over the last tenth of
    them; and the norms of two gradients of E's parameters, as means over that tenth, too, and on the way as pictures:
    of this cross-entropy, which vanishes where D is certain, and of -log of the chance that D gives codes to be the
    prior's, as the text's loss of the encoder reads, which grows there.

    Figures 2 and 3: with t = 1 the game is that of a plain adversarial auto-encoder.
    """
    model = load(folder)
    data, facts = images_of(model, data_dir), model.training_facts
    method = registry.get(model.method["name"])(**model.method["settings"])
    if not isinstance(method, IVAAE):
        raise UserError(f"{method.title} has no bridges for a discriminator to tell apart.")
    settings = Settings(**facts["settings"])
    D = build_networks(method, settings, data.shape, derive_seed(0, "frozen") % 2**31)["D"].train()
    E = model.networks["E"].eval().requires_grad_(True)
    random = torch.Generator().manual_seed(derive_seed(0, "frozen", "rows"))
    optimiser = torch.optim.Adam(D.parameters(), D_RATE, betas=(0.5, 0.999), fused=True)

    def loss(codes: Tensor) -> Tensor:
        noise = torch.randn(codes.shape, generator=random)
        moved, which = method.bridges.every(codes, noise)
        return functional.cross_entropy(D(moved, head="classes"), which)

    def as_printed(codes: Tensor) -> Tensor:
        return -functional.log_softmax(D(codes, head="classes"), dim=1)[:, method.t].mean()

    def rows() -> Tensor:
        return data.fetch(torch.randint(len(data.pixels), (D_BATCH,), generator=random))

    def norm(value: Tensor) -> float:
        gradients = torch.autograd.grad(value, list(E.parameters()), allow_unused=True)
        return math.sqrt(sum(float(each.square().sum()) for each in gradients if each is not None))

    steps, losses = max(1, int(D_STEPS_A_SAMPLE * samples)), []
    every, norms, printed = max(1, steps // CURVE_POINTS), [], []
    for step in range(1, steps + 1):
        with torch.no_grad():
            codes = E(rows())
        optimiser.zero_grad()
        value = loss(codes)
        value.backward()
        optimiser.step()
        losses.append((step, value.item() / math.log(method.t + 1)))
        if step % every == 0:
            norms.append((step, norm(loss(E(rows())))))
            printed.append((step, norm(as_printed(E(rows())))))
    last, last_norm, last_printed = (
        statistics.fmean(number for step, number in curve if step > steps - max(every, steps // 10))
        for curve in (losses, norms, printed)
    )
    keep(curve_picture(losses, "step of D", "loss / log(t + 1)", level=1.0), folder, "loss of D")
    keep(curve_picture(norms, "step of D", "norm of E's gradient"), folder, "gradient of E")
    keep(curve_picture(printed, "step of D", "norm of E's gradient of -log D"), folder, "gradient of E as printed")
    return {
        "D's loss early": losses[min(steps, max(1, steps // 100)) - 1][1],
        "D's loss at the end": last,
        "encoder's gradient": last_norm,
        "encoder's gradient as printed": last_printed,
    }
