"""`modecover reconstruct`, `interpolate` and `traverse`: what a run's encoder and generator make of data, as sheets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modecover.cli.models import open_again
from modecover.cli.parser import (
    DATA_FLAGS,
    MODEL,
    Parser,
    add_optional,
    converter,
    number,
    take_data_options,
    whole_number,
)
from modecover.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from modecover.data import Dataset
    from modecover.runs.model import GenerativeModel

MOST = 10_000
"""Rows of one sheet."""


@dataclass
class _Asked:
    """A model with an encoder, rows of data for it, and where the sheet goes."""

    given: Any
    model: GenerativeModel
    dataset: Dataset
    out: Path

    @property
    def images(self) -> bool:
        return len(self.model.shape) == 3

    def rows(self, images: int, points: int, times: int = 1) -> tuple[Tensor, Tensor | None]:
        """Those of --rows, or so many `times` as --count says, by default evenly spaced over the data; and if the model
        is conditional, their classes."""
        import torch

        data, rows = self.dataset, self.given.rows
        count = times * (self.given.count or (images if self.images else points))
        if rows is not None:
            if data.size is None:
                raise UserError(f"{data.name} is endless and its rows have no numbers: leave out --rows, give --count.")
            if wrong := [row for row in rows if not 0 <= row < data.size]:
                raise UserError(f"--rows has {wrong[0]}, and {data.name} has rows 0 to {data.size - 1}.")
            if len(rows) % times or not rows or len(rows) > MOST:
                raise UserError(f"--rows has {len(rows)} rows: give {'two for each line' if times > 1 else 'some'}.")
            return self._read(torch.tensor(rows))
        if data.size is None:
            return self._read(data.draw(count, torch.Generator(data.device).manual_seed(0)))
        count = min(count, data.size // times * times)
        if not count:
            raise UserError(f"{data.name} has {data.size} row, and interpolation takes two.")
        return self._read(torch.arange(count) * data.size // count)

    def _read(self, keys: Tensor) -> tuple[Tensor, Tensor | None]:
        rows, labels = self.dataset.exact(keys).cpu(), None
        if self.model.classes is not None:
            labels = self.dataset.labels_of(keys)
            if labels is None:
                raise UserError(
                    f"The model is told the class of each row, and {self.dataset.name} has none: give labels."
                )
        return rows, None if labels is None else labels.cpu()

    def write(self, made: Tensor, sheet: Any, given: list[Tensor], ways: Tensor, **words: Any) -> None:
        """The sheet (of points, the picture of the ways), or where --out ends in .npy what was made."""
        from modecover.pictures.images import save_png_atomic
        from modecover.pictures.saving import landmarks_of, save_array
        from modecover.pictures.ways import ways_picture

        if self.out.suffix == ".npy":
            print(save_array(made, self.out))
            return
        if self.images:
            picture = sheet()
        else:
            title = f"{self.model.method.get('name', 'model')} on {self.dataset.name}"
            picture = ways_picture(given, ways, landmarks_of(self.dataset), title=title, **words)
        print(save_png_atomic(picture, self.out))


def _parser(name: str, description: str) -> Parser:
    parser = Parser(f"modecover {name}", description=f"{description} The run needs an encoder.")
    parser.add_argument("model", metavar="RUN", help=MODEL)
    which = "which of a run's models [its first]"
    parser.add_argument("--of-seed", type=whole_number, metavar="N", help=which)
    where = f".png, or .npy for the numbers [RUN/{name}.png]"
    parser.add_argument("--out", metavar="FILE", help=where)
    parser.add_argument("--count", type=whole_number, metavar="N", help="lines, or ways; evenly spaced over the data")
    rows, metavar = converter(tuple[int, ...])
    parser.add_argument("--rows", type=rows, metavar=metavar, help="rows of the data, the first being 0")
    return parser


def _asked(parser: Parser, words: list[str]) -> _Asked:
    from modecover.files import require_writable
    from modecover.pictures.saving import can_be_drawn
    from modecover.runs.model import load

    group = parser.add_argument_group("opening the data")
    group.add_argument("--data", metavar="SOURCE", help="the data [what the run was trained on]")
    add_optional(group, DATA_FLAGS)
    given = parser.parse(words)
    if given.count is not None and not 1 <= given.count <= MOST:
        raise UserError(f"--count is {given.count}: give 1 to {MOST:,}.")
    model = load(given.model, seed=given.of_seed)
    model.require_encoder()
    place = Path(given.model) if Path(given.model).is_dir() else Path()
    drawable = can_be_drawn(model.shape)
    out = Path(given.out or place / f"{parser.prog.split()[-1]}.{'png' if drawable else 'npy'}")
    if out.suffix not in (".png", ".npy") or (out.suffix == ".png" and not drawable):
        kinds = (
            ".png (a picture) or .npy (numbers)" if drawable else ".npy: only images and points of the plane are drawn"
        )
        raise UserError(f"--out is {out}: give a name that ends in {kinds}.")
    require_writable(out)
    dataset = open_again(model, given.data, take_data_options(vars(given)))
    facts = [] if dataset.encoding is None else [(c.name, c.kind, c.words, c.gaps) for c in dataset.encoding.columns]
    if model.columns is not None and facts != [(c.name, c.kind, c.words, c.gaps) for c in model.columns]:
        raise UserError(f"The columns of {dataset.name}, or their words, are not those that the model was trained on.")
    return _Asked(given, model, dataset, out)


def run_reconstruct(words: list[str]) -> int:
    """`modecover reconstruct RUN`: data above their reconstructions; of points arrows to them."""
    import torch

    from modecover.pictures.ways import pairs_sheet

    asked = _asked(
        _parser("reconstruct", "Data, and below them their reconstructions G(E(x)); of points arrows."), words
    )
    x, labels = asked.rows(32, 200)
    made = asked.model.reconstruct(x, labels=labels)
    told = {"arrows": True, "words": "from x to G(E(x))"}
    ways = torch.stack([x.float(), made], dim=1)
    asked.write(made, lambda: pairs_sheet(x, made), [x], ways, **told)
    # Pixels are all in one unit, and those that never change say nothing; coordinates may each have a unit of its own.
    spread, missed = x.double().var(dim=0, correction=0), (x.double() - made).square().mean(dim=0)
    left = missed.sum() / spread.sum() if asked.images else (missed / spread)[spread > 0].mean()
    if left.isfinite():
        percent = 100 * left.item()
        told_percent = f"{percent:,.0f}" if percent >= 10 else f"{percent:.2g}"
        print(f"Mean square of x - G(E(x)): {told_percent}% of the variance of these {len(x)} rows.")
    return 0


def run_interpolate(words: list[str]) -> int:
    """`modecover interpolate RUN`: what the generator makes on the way from one row's code to another's."""
    from modecover.pictures.ways import strips_sheet

    parser = _parser(
        "interpolate", "What lies between pairs of data: each line from one, over its reconstruction, to another."
    )
    parser.add_argument("--steps", type=whole_number, metavar="N", help="of each way [8 images, 50 points]")
    asked = _asked(parser, words)
    rows, labels = asked.rows(8, 12, times=2)
    half = slice(0, len(rows) // 2) if asked.given.rows is None else slice(0, None, 2)
    other = slice(len(rows) // 2, None) if asked.given.rows is None else slice(1, None, 2)
    a, b, labels = rows[half], rows[other], None if labels is None else labels[half]  # a way keeps to its first class
    steps = 8 if asked.images else 50
    steps = steps if asked.given.steps is None else asked.given.steps
    made = asked.model.interpolate(a, b, steps, labels=labels)
    told = {"arrows": False, "words": "G between the codes of two rows"}
    asked.write(made, lambda: strips_sheet(a, made, b), [a, b], made, **told)
    return 0


def run_traverse(words: list[str]) -> int:
    """`modecover traverse RUN`: what the generator makes where one coordinate of a row's code is varied."""
    from modecover.pictures.ways import strips_sheet

    parser = _parser("traverse", "Each line: one of the data, and what is made where a coordinate of its code varies.")
    parser.add_argument("--dimension", type=whole_number, default=0, metavar="N", help="the coordinate [0]")
    parser.add_argument("--steps", type=whole_number, metavar="N", help="values of it [9 images, 50 points]")
    whole = "[-2 and 2 of a normal prior, all of a uniform one]"
    parser.add_argument("--low", type=number, metavar="X", help="the first value")
    parser.add_argument("--high", type=number, metavar="X", help=f"the last {whole}")
    asked = _asked(parser, words)
    (x, labels), given = asked.rows(8, 12), asked.given
    steps = (9 if asked.images else 50) if given.steps is None else given.steps
    made = asked.model.traverse(x, given.dimension, steps, low=given.low, high=given.high, labels=labels)
    told = {"arrows": False, "words": f"G where coordinate {given.dimension} of a row's code varies"}
    asked.write(made, lambda: strips_sheet(x, made), [x], made, **told)
    return 0
