"""Stacked MNIST, a thousand modes: Table 3 of IVGAN and of LDMGAN, and the shrunken discriminators of Unrolled GAN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from modecover.experiments.declared import SMOKE_OF_IMAGES, Arm, Experiment, Table

R3GAN: Mapping[str, Any] = {"networks": "dcgan", "beta1": 0.0, "beta2": 0.99, "gamma": 30.0, "lr": 8e-4}
"""With the networks that all arms have; with those of its paper it would compare networks. Its weight and its rate are
what `r3gan-search` found, as those of the preset below."""

IV_R3GAN: Mapping[str, Any] = {"preset": "r3gan"}

REG_GAN: Mapping[str, Any] = {"distance": "pixel-sum", "lambda_1": 0.02, "lambda_2": 0.02}
LDMGAN: Mapping[str, Any] = {"distance": "pixel-sum"}
"""Of images, with their papers' distance read as a sum over pixels: as a mean it has no weight beside the mode
regulariser. Coefficients of the former as `reg-gan-coefficients` found them good."""

RATE = 8e-4
"""Of networks of a quarter of the width: within a factor of two of the best of all methods that were searched on
stacked digits but Reg-GAN's, which is four times it."""

QUARTER: Mapping[str, Any] = {"width": 16, "precision": "bf16"}
"""The networks of all tables of images on a CPU."""

UNROLLED: Mapping[str, Any] = {"size": 28, "batch": 128, "latent": 256}
"""What goes with the networks of Unrolled GAN's paper, whose discriminator is a quarter or half of their generator."""

NARROW: Mapping[str, Any] = {**QUARTER, "lr": RATE}
"""Images on a CPU: what tables share whose methods were not searched one by one."""

FOUND: Mapping[str, float] = {
    **{"IV-R3GAN": 1.6e-3, "R3GAN": 8e-4, "IVLSGAN": 1.6e-3, "LSGAN": 1.6e-3, "WGAN-GP, a step of D": 1.6e-3},
    **{"DCGAN": 1.6e-3, "Reg-GAN": 3.2e-3, "LDMGAN": 4e-4, "PacGAN": 8e-4},
}
"""The rates of narrow networks that `r3gan-search` and `stacked-rates` found; at full scale all but the first two have
their own, which no search has looked at."""


OF_THE_PAPER: Mapping[str, Any] = {"preset": "paper"}
"""IVGAN's rates on stacked digits, LSUN and STL-10, of its text and of its authors' runs alike; its defaults are those
of their runs on MNIST and CIFAR-10."""


def _arm(
    label: str,
    method: str,
    settings: Mapping[str, Any] | None = None,
    published: str | None = None,
    full: Mapping[str, Any] | None = None,
) -> Arm:
    """An arm, with the rate that was found for it on a CPU, and what it has at full scale."""
    scales: dict[str, Mapping[str, Any]] = {"cpu": {"lr": FOUND[label]}} if label in FOUND else {}
    scales |= {"full": full} if full else {}
    return Arm(label, method, settings or {}, published=published, scales=scales)


def _unsearched(label: str, method: str, settings: Mapping[str, Any] | None = None) -> Arm:
    """An arm that no search has looked at: on a CPU it has the rate that all such share."""
    return Arm(label, method, settings or {}, scales={"cpu": {"lr": RATE}})


ARMS = (
    _arm("IV-R3GAN", "ivgan", IV_R3GAN),
    _arm("R3GAN", "r3gan", R3GAN, "1000 / 0.029 [H], 10M images"),
    _arm("IVLSGAN", "ivlsgan", {}, "1000 / 0.07 [I]", OF_THE_PAPER),
    _arm("LSGAN", "lsgan", {}, "53 / 3.88 [I]"),
    _arm("WGAN-GP, a step of D", "wgan-gp", {"critic_steps": 1}, "1000 / 0.035, the authors' log of [I]"),
    _arm("DCGAN", "gan", {}, "78.9 / 4.50 [I], 165.0 / 3.36 [L]"),
    _arm("Reg-GAN", "reg-gan"),
    _arm("LDMGAN", "ldmgan", {}, "988.8 / 0.15 [L]"),
    _arm("PacGAN", "pacgan", {}, "1000 / 0.06 [P]"),
    _arm("VEEGAN", "veegan", {}, "150 / 2.95 [V], 178.8 / 3.35 [L]"),
    Arm("IVDCGAN", "ivdcgan", {}, (), "1000 / 0.08 [I]", {"cpu": {"lr": FOUND["DCGAN"]}, "full": OF_THE_PAPER}),
    _arm("Unrolled GAN", "unrolled", {}, "48.7 / 4.32 [U]"),
    _arm("BiGAN", "bigan", {}, "135.6 / 3.22 [L]"),
    _arm("VAEGAN", "vaegan", {}, "206.4 / 3.21 [L]"),
)

OF_SUMS = (_unsearched("Reg-GAN, d a sum", "reg-gan", REG_GAN), _unsearched("LDMGAN, d a sum", "ldmgan", LDMGAN))

SMALL: Mapping[str, Any] = {**QUARTER, "steps": 6_000, "evaluate_every": 2_000, "seeds": 3}
SHARED: Mapping[str, Any] = {"size": 32, "batch": 64, "ema": 0.999, "seeds": 5, "sample_every": 0}
FULL: Mapping[str, Any] = {"steps": 100_000, "evaluate_every": 2_000, "precision": "bf16"}


def _shrunken(name: str, networks: str, printed: Mapping[str, str], arms_on_a_cpu: int, seeds: int) -> Table:
    left_out = ("Reg-GAN", "LDMGAN", "VEEGAN", "BiGAN", "VAEGAN")
    as_printed: Mapping[str, Mapping[str, Any]] = {"PacGAN": {"m": 4}, "Unrolled GAN": {"unrolled_steps": 10}}
    arms = tuple(
        replace(
            arm,
            settings={**arm.settings, "networks": networks},
            published=printed.get(arm.label),
            scales={**arm.scales, "full": {**arm.scales.get("full", {}), **as_printed.get(arm.label, {})}},
        )
        for arm in ARMS
        if arm.label not in left_out
    )
    own = {**SHARED, **UNROLLED}
    small = {"steps": 4_000, "evaluate_every": 2_000, "seeds": seeds, "precision": "bf16"}
    return Table(
        name,
        "stacked-mnist:fresh",
        own,
        arms,
        {
            "smoke": {name: value for name, value in SMOKE_OF_IMAGES.items() if name != "width"},
            "cpu": small,
            "full": {**FULL, "batch": 128},
        },
        apart=True,
        most={"smoke": 3, "cpu": arms_on_a_cpu},
        reduced=(
            "On a CPU 4,000 steps, instead of 500,000 in the paper of these networks and 100,000 here at full scale; "
            "packs of 2; fewer seeds; rates as with the usual networks, for IVDCGAN its base's. Published: [P] PacGAN, "
            "[U] Unrolled GAN."
        ),
        minutes={"smoke": 0.2, "cpu": 7, "full": 20},
    )


STACKED = Experiment(
    name="stacked",
    question=(
        "Three digits as the three channels of one image: which of the 1,000 modes does a method cover, and does it "
        "hold them to its last step?"
    ),
    tables=(
        Table(
            name="stacked MNIST, 32x32",
            data="stacked-mnist",
            settings=SHARED,
            arms=(*ARMS[:9], *OF_SUMS, *ARMS[9:]),
            scales={"smoke": SMOKE_OF_IMAGES, "cpu": SMALL, "full": FULL},
            apart=True,
            most={"smoke": 8, "cpu": 11},
            reduced=(
                "On a CPU DCGAN networks of a quarter of the width, 6,000 steps instead of 100,000, three seeds, and "
                "the first nine methods, each at the rate that a search found (`r3gan-search`, `stacked-rates`: for "
                "R3GAN and IV-R3GAN among sixteen settings of rate, penalty and more, for the others among five "
                "rates), and two of them with distances that are sums over pixels, at a rate that methods without a "
                "search share. Published: modes / KL; [H] R3GAN, [I] IVGAN, [L] LDMGAN, [P] PacGAN, [V] VEEGAN, [U] "
                "as VEEGAN's paper prints it; each with its own networks, steps, classifier and number of samples."
            ),
            minutes={"smoke": 0.2, "cpu": 7, "full": 12},
        ),
        _shrunken(
            "a discriminator of a quarter",
            "unrolled-quarter",
            {
                "DCGAN": "30.6 / 5.99 [P]",
                "PacGAN": "667 / 1.81, packs of 4 [P]",
                "Unrolled GAN": "327 / 4.66, 10 steps [U]",
            },
            8,
            3,
        ),
    ),
    curve="kl_uniform",
    value=10.0,
)


def _chosen(*labels: str) -> tuple[Arm, ...]:
    """Arms of the table above in this order, without what is printed there."""
    by_label = {arm.label: arm for arm in ARMS}
    return tuple(replace(by_label[label], published=None) for label in labels)


LARGE = (
    *_chosen("IV-R3GAN", "R3GAN", "IVLSGAN", "LSGAN"),
    Arm("IVLSGAN, as run", "ivlsgan", {"preset": "official-stacked"}),
    *_chosen("WGAN-GP, a step of D", "DCGAN", "Reg-GAN", "LDMGAN", "PacGAN", "VEEGAN", "IVDCGAN", "Unrolled GAN"),
)
"""The fifth as the authors of IVGAN ran it, by the records that they published."""

PRINTED_OF_LARGER = {"WGAN-GP, a step of D": "9538 / 0.914 [E]"}

BESIDE_IV_R3GAN = (
    Arm(
        "R3GAN, twice the steps",
        "r3gan",
        R3GAN,
        scales={"cpu": {"lr": FOUND["R3GAN"], "steps": 12_000}, "full": {"steps": 200_000}},
    ),
    Arm(
        "IV-R3GAN, mu = 0",
        "ivgan",
        {**IV_R3GAN, "mu_G": 0.0, "mu_E": 0.0},
        (),
        None,
        {"cpu": {"lr": FOUND["IV-R3GAN"]}},
    ),
)
"""The game for the time that the intervention takes, and with the auto-encoder alone that comes with it."""

HARDER = Experiment(
    name="stacked-harder",
    question=(
        "What stacked MNIST at its usual size no longer tells apart: a discriminator of half the generator's size, ten "
        "thousand modes, the 64x64 pixels of IVGAN's own runs, and a run of three times the length. Which methods "
        "still hold their modes to the last step?"
    ),
    tables=(
        _shrunken(
            "a discriminator of a half",
            "unrolled-half",
            {
                "DCGAN": "628 / 2.58 [P]",
                "PacGAN": "820 / 1.15, packs of 4 [P]",
                "Unrolled GAN": "817 / 1.43, 10 steps [U]",
            },
            4,
            1,
        ),
        Table(
            name="four digits, 10,000 modes",
            data="stacked-mnist:k=4,fresh",
            settings=SHARED,
            arms=tuple(
                replace(arm, published=PRINTED_OF_LARGER.get(arm.label))
                for arm in (
                    *_chosen("IV-R3GAN", "R3GAN", "IVLSGAN", "LSGAN"),
                    *BESIDE_IV_R3GAN,
                    *_chosen("WGAN-GP, a step of D"),
                )
            ),
            scales={
                "smoke": SMOKE_OF_IMAGES,
                "cpu": {**SMALL, "evaluate_samples": 50_000, "evaluate_every": 6_000},
                "full": {**FULL, "evaluate_samples": 260_000},
            },
            apart=True,
            most={"smoke": 2, "cpu": 6},
            reduced=(
                "On a CPU networks of a quarter of the width, 6,000 steps where twice the steps are not said, three "
                "seeds, and 50,000 samples judged, of which even the data show half of the modes at least five times. "
                "Published: modes / KL; [E] EnGAN's paper, which has 10,000 / 0.048 for its own method."
            ),
            minutes={"smoke": 0.2, "cpu": 12, "full": 15},
        ),
        Table(
            name="stacked MNIST, 64x64",
            data="stacked-mnist:count=60000",
            settings={**SHARED, "size": 64},
            arms=LARGE,
            scales={
                "smoke": SMOKE_OF_IMAGES,
                "cpu": {**SMALL, "steps": 2_000, "evaluate_every": 1_000, "seeds": 1},
                "full": FULL,
            },
            apart=True,
            most={"smoke": 2, "cpu": 4},
            reduced=(
                "On a CPU networks of a quarter of the width, 2,000 steps and a seed: too few for the collapse "
                "that the authors' records show after 70,000."
            ),
            minutes={"smoke": 0.4, "cpu": 20, "full": 20},
        ),
        Table(
            name="a long run",
            data="stacked-mnist",
            settings=SHARED,
            arms=(
                *_chosen("IV-R3GAN", "R3GAN", "WGAN-GP, a step of D", "DCGAN"),
                _unsearched("WGAN-GP", "wgan-gp"),
                _unsearched("SN-GAN", "sngan"),
                *_chosen("IVLSGAN", "LSGAN"),
            ),
            scales={
                "smoke": SMOKE_OF_IMAGES,
                "cpu": {**SMALL, "steps": 12_000, "evaluate_every": 3_000, "lr_schedule": "0.5:1,1~0"},
                "full": {**FULL, "steps": 300_000, "evaluate_every": 10_000, "seeds": 3},
            },
            apart=True,
            most={"smoke": 2, "cpu": 6},
            reduced=(
                "On a CPU networks of a quarter of the width, 12,000 steps instead of 300,000, three seeds, rates that "
                "fall to zero over the second half, the four that are best after 6,000, and two at the rate that "
                "methods without a search share: WGAN-GP with the five steps of D of its paper, and SN-GAN."
            ),
            minutes={"smoke": 0.2, "cpu": 14, "full": 36},
        ),
    ),
    curve="kl_uniform",
    value=6.0,
)


BARE_IV: Mapping[str, Any] = {
    **{"adversarial": "relativistic", "beta1": 0.0, "beta2": 0.99, "cap": True, "lr_E": 1e-3},
}
"""What the search began with."""
SMALL_WEIGHTS: Mapping[str, Any] = {"mu_G": 0.1, "lambda_G": 0.05}
WIDE_RATES: Sequence[Mapping[str, Any]] = [{"lr": rate} for rate in (2e-4, 4e-4, 8e-4)]


def _searched(name: str, arms: Sequence[Arm], longer: int = 1) -> Table:
    """A table of settings to choose from, on a seed that no other has."""
    steps, minutes = 3_000 * longer, {"smoke": 0.2, "cpu": 4.0 * longer, "full": 3.0 * longer}
    return Table(
        name,
        "stacked-mnist",
        {**SHARED, "seed": 1_000 + longer - 1},
        tuple(arms),
        {
            "smoke": SMOKE_OF_IMAGES,
            "cpu": {**QUARTER, "steps": steps, "evaluate_every": steps // 2, "seeds": 1},
            "full": {**FULL, "steps": 20_000 * longer, "seeds": 1},
        },
        apart=True,
        most={"smoke": 1},
        reduced=f"On a CPU networks of a quarter of the width, and {steps:,} steps.",
        minutes=minutes,
    )


def _candidates(
    method: str, shared: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]], before: str = ""
) -> list[Arm]:
    """An arm for each of the settings, named by them."""

    def told(own: Mapping[str, Any]) -> str:
        return before + (", ".join(f"{name} {value}" for name, value in own.items()) or "as it was")

    return [Arm(told(own), method, {**shared, **own}) for own in candidates]


SETTINGS_SEARCH = Experiment(
    name="r3gan-search",
    question=(
        "Which settings shall the intervention over the relativistic game have, and which the relativistic game alone? "
        "Sixteen for each, one seed that no other table uses, and then the best of each, two with the intervention and "
        "three without, for twice as long on another; taken is the least divergence of the averaged weights at the "
        "last step. They were chosen in turns, each as the earlier ones had shown that larger rates and weights of the "
        "penalties are better, and for the intervention a smaller weight of its own. A rate that is right for narrow "
        "networks may be too large for wide ones: a table has three at the full width. Three more of each were tried "
        "when all else was done: for the intervention faster encoders, of which only a slower one had been tried."
    ),
    tables=(
        _searched(
            "R3GAN",
            _candidates(
                "r3gan",
                R3GAN,
                [
                    *({"gamma": gamma, "lr": lr} for lr in (2e-4, 4e-4) for gamma in (0.1, 0.3, 1.0, 3.0)),
                    {"gamma": 10.0, "lr": 4e-4},
                    {"gamma": 3.0, "lr": 8e-4},
                    {"gamma": 10.0, "lr": 8e-4},
                    {"gamma": 30.0, "lr": 8e-4},
                    {"gamma": 10.0, "lr": 1.6e-3},
                    {"gamma": 30.0, "lr": 1.6e-3},
                    {"gamma": 30.0, "lr": 4e-4},
                    {"gamma": 100.0, "lr": 8e-4},
                ],
            ),
        ),
        _searched(
            "IV-R3GAN",
            _candidates(
                "ivgan",
                BARE_IV,
                [
                    {},
                    {"lr": 4e-4},
                    {"lr": 4e-4, "penalty": 3.0},
                    {"lr": 4e-4, "penalty": 10.0},
                    {"lr": 8e-4, "penalty": 3.0},
                    {"lr": 8e-4, "penalty": 10.0},
                    {"lr": 4e-4, "penalty": 3.0, **SMALL_WEIGHTS},
                    {"lr": 8e-4, "penalty": 3.0, **SMALL_WEIGHTS},
                    {"lr": 8e-4, "penalty": 10.0, **SMALL_WEIGHTS},
                    {"lr": 8e-4, "penalty": 30.0, **SMALL_WEIGHTS},
                    {"lr": 1.6e-3, "penalty": 10.0, **SMALL_WEIGHTS},
                    {"lr": 1.6e-3, "penalty": 30.0, **SMALL_WEIGHTS},
                    {"lr": 8e-4, "penalty": 10.0, **SMALL_WEIGHTS, "instance_noise": "0"},
                    {"lr": 8e-4, "penalty": 10.0, **SMALL_WEIGHTS, "lr_E": 3e-4},
                    {"lr": 8e-4, "penalty": 10.0, "mu_G": 0.1},
                    {"lr": 3.2e-3, "penalty": 10.0, **SMALL_WEIGHTS},
                ],
            ),
        ),
        _searched(
            "the best of each",
            [
                *_candidates(
                    "r3gan", R3GAN, [{"gamma": gamma, "lr": 8e-4} for gamma in (10.0, 30.0, 100.0)], "R3GAN, "
                ),
                *_candidates(
                    "ivgan",
                    BARE_IV,
                    [{"lr": lr, "penalty": 10.0, **SMALL_WEIGHTS} for lr in (8e-4, 1.6e-3)],
                    "IV-R3GAN, ",
                ),
            ],
            longer=2,
        ),
        Table(
            "the rate at full width",
            "stacked-mnist",
            {**SHARED, "seed": 1_002, "seeds": 1},
            (
                *_candidates("r3gan", {**R3GAN, "gamma": 30.0}, WIDE_RATES, "R3GAN, "),
                *_candidates("ivgan", {**BARE_IV, "penalty": 10.0, **SMALL_WEIGHTS}, WIDE_RATES, "IV-R3GAN, "),
            ),
            {
                "smoke": SMOKE_OF_IMAGES,
                "cpu": {"precision": "bf16", "steps": 1_000, "evaluate_every": 500},
                "full": {**FULL, "steps": 20_000},
            },
            apart=True,
            most={"smoke": 1},
            reduced="On a CPU 1,000 steps: too few to end anywhere, enough to see which rate is too small.",
            minutes={"smoke": 0.2, "cpu": 10, "full": 3},
        ),
        _searched(
            "three more of each",
            [
                *_candidates(
                    "ivgan",
                    {**BARE_IV, "lr": 8e-4, "penalty": 10.0, **SMALL_WEIGHTS},
                    [{"lr_E": rate} for rate in (3e-3, 1e-2, 3e-2)],
                    "IV-R3GAN, ",
                ),
                *_candidates(
                    "r3gan",
                    R3GAN,
                    [{"gamma": gamma, "lr": lr} for gamma, lr in ((300.0, 8e-4), (100.0, 1.6e-3), (300.0, 1.6e-3))],
                    "R3GAN, ",
                ),
            ],
        ),
    ),
    curve="ema_kl_uniform",
    value=11.0,
)

RATES = Experiment(
    name="stacked-rates",
    question=(
        "Which learning rate of generator and discriminator shall each other method have on digits? Five for each, and "
        "all else as it is by default, on the seed, networks and steps on which the relativistic game's settings are "
        "searched; taken is the least divergence of the averaged weights at the last step."
    ),
    tables=(
        _searched(
            "rates",
            [
                Arm(f"{arm.label}, lr {rate:g}", arm.method, {**arm.settings, "lr": rate})
                for arm in ARMS[2:9]
                for rate in (2e-4, 4e-4, 8e-4, 1.6e-3, 3.2e-3)
            ],
        ),
    ),
    curve="ema_kl_uniform",
    value=10.5,
)

EXPERIMENTS = (SETTINGS_SEARCH, RATES, STACKED, HARDER)
