"""Training settings of IVAAE's experiments, which gave its baselines the same networks, batches and rates."""

from collections.abc import Mapping
from typing import Any

_DECAY = "0:1,0.1:0.5,0.166667:0.1,0.333333:0.01"
"""Of 300 epochs: times 0.5 after epoch 30, a further 0.2 after 50 and 0.1 after 100. It is WAE's schedule, too."""

IVAAE_RUNS: Mapping[str, Mapping[str, Any]] = {
    "mnist": {
        **{"networks": "ivaae-mnist", "latent": 16, "batch": 64, "lr": 1e-4, "lr_E": 5e-5, "lr_D": 1e-4},
        **{"steps": 281_250, "lr_schedule": "0:1,0.333333:0.5,0.666667:0.25"},
    },
    "celeba": {
        **{"networks": "wae", "latent": 64, "batch": 100, "lr": 1e-3, "lr_E": 1e-3, "lr_D": 5e-4},
        **{"steps": 488_310, "lr_schedule": _DECAY},
    },
    "cifar": {
        **{"networks": "wae", "latent": 128, "batch": 128, "lr": 1e-3, "lr_E": 1e-3, "lr_D": 5e-4},
        **{"steps": 117_187, "lr_schedule": _DECAY},
    },
}
"""By data set, all at 64x64: 300 epochs of MNIST's and CIFAR-10's training images, and of CelebA's 162,770."""

WAE_RUNS: Mapping[str, Mapping[str, Any]] = {
    "mnist": {**IVAAE_RUNS["mnist"], "cost": 204.8},
    "cifar": {**IVAAE_RUNS["cifar"], "cost": 614.4, "lambda_": 100.0},
    "celeba": {**IVAAE_RUNS["celeba"], "cost": 614.4, "lambda_": 100.0},
}
"""The same for Wasserstein auto-encoders, with the cost and weight of their authors' code."""
