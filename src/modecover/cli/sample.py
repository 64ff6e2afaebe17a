"""`modecover sample RUN`: fresh samples of a trained model, as a picture, an array or a folder of images."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from modecover.cli.flags import whole_number
from modecover.cli.parser import Parser
from modecover.errors import UserError

if TYPE_CHECKING:
    from modecover.data import Mixture
    from modecover.runs.model import GenerativeModel

MOST_MODES = 10_000
"""Modes of a mixture that are drawn beneath its samples at most."""

MODEL = "the folder of a run or of a model, or a Hugging Face name (owner/name)"


def run(words: list[str]) -> int:
    """`modecover sample RUN`"""
    parser = Parser("modecover sample", description="Draw samples from a trained model.")
    parser.add_argument("model", metavar="RUN", help=MODEL)
    parser.add_argument("--count", type=whole_number, default=None, metavar="N", help="[64 images, 2048 points]")
    parser.add_argument("--seed", type=whole_number, default=0, metavar="N", help="of the draw [0]")
    parser.add_argument("--of-seed", type=whole_number, metavar="N", help="which of a run's models [its first]")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help=".png, .npy, or a folder for single images [RUN/samples.png, or .npy]",
    )
    given = parser.parse(words)

    from modecover.pictures.saving import can_be_drawn
    from modecover.runs.model import load

    model = load(given.model, seed=given.of_seed)
    count = given.count if given.count is not None else 64 if len(model.shape) == 3 else 2048
    place = Path(given.model) if Path(given.model).is_dir() else Path()
    out = Path(given.out) if given.out else place / f"samples.{'png' if can_be_drawn(model.shape) else 'npy'}"
    print(save(model, out, count, given.seed))
    return 0


def save(model: GenerativeModel, out: Path, count: int, seed: int) -> Path:
    """Samples of `model` in the form that the suffix of `out` names."""
    from modecover.pictures import saving

    if out.suffix not in (".png", ".npy", ""):
        raise UserError(f"--out is {out}: give a name that ends in .png (a picture) or .npy (an array), or a folder.")
    samples = model.sample(count, seed=seed)
    if out.suffix == ".npy":
        return saving.save_array(samples, out)
    if out.suffix == "":
        return saving.save_folder(samples, out)
    title = f"{model.method.get('name', 'model')} on {model.data.get('name', 'data')}"
    return saving.save_picture(samples, out, title=title, mixture=_mixture(model))


def _mixture(model: GenerativeModel) -> Mixture | None:
    """The built-in mixture that the data of the model are by name; nothing that a model names is ever opened."""
    from modecover.data.mixtures import PRESETS, preset
    from modecover.data.names import parse_options

    name, _, options = str(model.data.get("name")).partition(":")
    if model.shape != (2,) or name not in PRESETS:
        return None
    with contextlib.suppress(UserError):
        chosen = parse_options(name, options, PRESETS[name])
        if float(chosen.get("modes", 0)) <= MOST_MODES and float(chosen.get("side", 0)) ** 2 <= MOST_MODES:
            return preset(name, options)
    return None
