"""Trained models as files in the Hugging Face layout, which stand alone: to sample needs neither data nor settings."""

from __future__ import annotations

import copy
import inspect
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Self, cast

import torch
from huggingface_hub import ModelCard, ModelHubMixin
from torch import Tensor, nn

from modecover.arguments import held
from modecover.data.classes import Classes, joined
from modecover.data.scaling import Scaling
from modecover.engine.state import Prior
from modecover.errors import UserError
from modecover.files import write_json, writing
from modecover.kinds import checked, counted, first_line, nearest, shown
from modecover.limits import explained, require_memory, within_limits
from modecover.metrics.arrays import ArrayLike, readable_tensor
from modecover.networks.check import accepts_option, detached_copy
from modecover.networks.export import ROWS, Export, Exported, Format, Part, export
from modecover.networks.network import CLASSES
from modecover.pictures.images import to_pixels
from modecover.pictures.saving import can_be_drawn, save_picture
from modecover.random import derive_seed
from modecover.runs import model_files
from modecover.runs.card import SHEET, UNKNOWN, audit_of, card_of
from modecover.runs.checkpoint import write_tensors
from modecover.runs.codes import MOST_STEPS, RANGES, between, varied
from modecover.runs.records import FORMAT
from modecover.runs.rows import columns_from_facts, frame_of

# What entries of a model's facts are, where they are given; and those that must be given.
_FACTS: dict[str, dict[str, Any]] = {
    "prior": {"law": Literal["normal", "uniform", "uniform01"], "dimension": int},
    "data": {
        "name": str,
        "shape": Sequence[int],
        "value_range": Sequence[float] | None,
        "fingerprint": str | None,
        "opened": dict | None,
    },
    "method": {"name": str, "settings": dict},
    "training": {"seed": int | None, "evaluation": dict | None},
}
_NEEDED = ("law", "dimension", "shape")
Labels = int | str | Sequence[str] | ArrayLike
"""The class of all rows, or one for each; each by its number, or by its name where classes have names."""

SHOWN = {1: 2048, 3: 64}
"""Samples that a card shows, by the axes of one."""


class GenerativeModel(nn.Module, ModelHubMixin, library_name="modecover", tags=["generative-model", "gan"]):
    """The networks of a finished run, and what must be known to use them.

    A model is always in evaluation mode, where a sample does not depend on its neighbours. `save_pretrained`,
    `from_pretrained` and `push_to_hub` are those of `huggingface_hub`.

    Args:
        networks: by name; "G" generates, and "E", where there is one, encodes. They are copied: training the originals
            further does not change the model.
        prior: the law of the generator's input, or `{"law": ..., "dimension": ...}`.
        data: what the rows are: `{"name": ..., "shape": [...], "value_range": [low, high] or None}`, and where known
            the `fingerprint` of the data and what opens it again (`opened`). Of points whose networks see them
            standardised, `scaling`: `{"center": [...], "scale": [...]}`; of rows of a table, its `columns`; of a
            conditional model, `classes`: `{"labels": [...], "shares": [...]}`, see `modecover.data.classes`.
        method: `{"name": ..., "settings": {...}}`.
        training: facts worth keeping (steps, seed, settings, whether the weights are a moving average, evaluation).

    Attributes:
        networks, prior, data, method: as given. The networks themselves see and make standardised rows where
            `scaling` says so; all methods here speak in the data's units.
        training_facts: `training`; the name `training` is a module's mode.
        folder: that of the files it was loaded from; None for others.

    Raises:
        UserError: there is no network named G, the law of the prior is unknown, or a fact is of another kind.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        *,
        prior: Prior | Mapping[str, Any],
        data: Mapping[str, Any],
        method: Mapping[str, Any],
        training: Mapping[str, Any],
    ):
        super().__init__()
        if "G" not in _as_networks(networks):
            raise UserError(f"A generative model needs a network named G; these are {', '.join(networks) or 'none'}.")
        self.networks = nn.ModuleDict({name: detached_copy(network) for name, network in networks.items()})
        law = _as_facts("prior", asdict(prior) if isinstance(prior, Prior) else prior)
        self.prior = Prior(int(law["dimension"]), law["law"])
        self.data, self.method = _as_facts("data", data), _as_facts("method", method)
        self.training_facts = _as_facts("training", training)
        if min([self.prior.dimension, *self.data["shape"]]) < 1 or not self.data["shape"]:
            raise UserError(
                f"data.shape is {shown(self.data['shape'])} and prior.dimension {self.prior.dimension}: give the shape "
                "of one sample, as in [2], and a dimension of at least 1."
            )
        points = self.shape[0] if len(self.shape) == 1 else None
        self.scaling = Scaling.from_facts(self.data.get("scaling"), points) if points else None
        self.columns = columns_from_facts(self.data.get("columns"), points) if points else None
        self.classes = Classes.from_facts(self.data.get("classes"))
        self.folder: Path | None = None
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Does nothing."""
        return super().train(False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample: (d,) or (C, H, W)."""
        return tuple(self.data["shape"])

    def forward(self, z: Tensor) -> Tensor:
        """Latent rows (B, d) to data rows (B, *shape), in the data's units; of a conditional model latent rows carry
        their classes, (B, d + classes)."""
        return self._in_units(self.networks["G"](z))

    def _in_units(self, rows: Tensor) -> Tensor:
        return rows if self.scaling is None else self.scaling.undo(rows)

    @held(seed=0)
    def latents(self, n: int, seed: int = 0) -> Tensor:
        """The latent rows that `sample` sends through G, (n, d), on the CPU."""
        if n < 1:
            raise UserError(f"{n} samples were asked for; ask for at least 1.")
        size = 4 * n * (self.prior.dimension + math.prod(self.shape))
        require_memory(f"{n:,} samples", size, "ask for fewer at a time, with other seeds")
        generator = torch.Generator().manual_seed(derive_seed(seed, "sample"))
        return self.prior.rows(n, torch.device("cpu"), generator)

    @held(seed=0, batch=1)
    def sample(self, n: int, seed: int = 0, batch: int = 256, *, labels: Labels | None = None) -> Tensor:
        """`n` rows, float32 of shape (n, *shape), on the CPU; images have values in [-1, 1].

        All latent rows are drawn first and on the CPU, so that `batch` and the device change nothing beyond rounding.

        Args:
            labels: of a conditional model, the class of all rows, or one for each; None: as frequent as in the data.

        Raises:
            UserError: n, seed or batch is out of range, so many rows do not fit into memory, or the model knows no
                classes, or not these.
        """
        z = self.latents(n, seed)
        if labels is None and self.classes is not None:
            labels = self._drawn(self.classes, n, seed)
        return self._in_units(self._in_batches("G", self._carrying(z, labels), batch))

    def sample_images(self, n: int, seed: int = 0, batch: int = 256, *, labels: Labels | None = None) -> Tensor:
        """`n` images as pixels, uint8 of shape (n, C, H, W); `labels` as for `sample`.

        Raises:
            UserError: the model does not generate images, or as `sample`.
        """
        if len(self.shape) != 3:
            raise UserError(f"This model generates rows of shape {self.shape}, not images: call sample instead.")
        return to_pixels(self.sample(n, seed, batch, labels=labels))

    def sample_table(self, n: int, seed: int = 0, batch: int = 256, *, labels: Labels | None = None) -> Any:
        """`n` rows of the table that the model learned, as a pandas `DataFrame`: numbers, truth values, words and
        empty cells, each the nearest to what `sample` gives; `labels` as for `sample`. The rows of a conditional model
        have their class in the last column.

        Raises:
            UserError: the model was not trained on a table, or as `sample`.
        """
        if self.columns is None:
            raise UserError(f"This model generates rows of shape {self.shape} and no table: call sample instead.")
        rows = frame_of(self.columns, self.sample(n, seed, batch, labels=labels))
        if (classes := self.classes) is not None:
            own = self._drawn(classes, n, seed) if labels is None else classes.asked(labels, n)
            free = (name for name in (classes.column, "class", "label", "told class") if name and name not in rows)
            rows[next(free)] = classes.called(own)
        return rows

    @staticmethod
    def _drawn(classes: Classes, n: int, seed: int) -> Tensor:
        """The classes of samples of which none are asked for."""
        return classes.drawn(n, torch.Generator().manual_seed(derive_seed(seed, "sample", "classes")))

    def _carrying(self, rows: Tensor, labels: Labels | None) -> Tensor:
        """The rows as the networks take them: of a conditional model with their classes behind."""
        if self.classes is None:
            if labels is not None:
                raise UserError("This model was told no classes: leave labels out, or train with conditional=True.")
            return rows
        if labels is None:
            raise UserError("This model is told the class of every row: give labels, one for all rows or one for each.")
        return joined(rows, self.classes.rows(self.classes.asked(labels, len(rows))))

    @held(batch=1)
    def encode(self, x: ArrayLike, batch: int = 256, *, labels: Labels | None = None) -> Tensor:
        """Codes of the data rows x (n, *shape), float32 of shape (n, d), on the CPU. Points are in the data's units;
        images uint8 pixels, or floats in [-1, 1] as `sample` gives them. A conditional model needs their `labels`.

        Raises:
            UserError: the model has no encoder, x is of another shape or no plain tensor, or labels lack, or are none.
        """
        rows = self._carrying(self._data_rows("encode", x), labels)
        # A stochastic encoder tells the means of the codes first, then their log variances.
        return self._in_batches("E", rows, batch)[:, : self.prior.dimension]

    @held(batch=1)
    def reconstruct(self, x: ArrayLike, batch: int = 256, *, labels: Labels | None = None) -> Tensor:
        """G(E(x)) of the data rows x (n, *shape), in the data's units, float32 of the same shape, on the CPU.

        Codes are decoded as in training: by the batch statistics of codes, where a generator keeps those apart.

        Raises:
            UserError: as `encode`.
        """
        rows = self._data_rows("reconstruct", x)
        return self._decoded(rows, len(rows), lambda codes: codes[:, None], batch, labels)[:, 0]

    @held(steps=(2, MOST_STEPS), batch=1)
    def interpolate(
        self, a: ArrayLike, b: ArrayLike, steps: int = 8, batch: int = 256, *, labels: Labels | None = None
    ) -> Tensor:
        """What G makes on the way from the code of each row of a (n, *shape) to that of the same row of b:
        (n, steps, *shape), in the data's units. The ends are the reconstructions of a and b.

        The way keeps to where the prior has its mass: on a great circle between codes of normal noise, whose length is
        nearly sqrt(d) for every draw and much less in the middle of a straight line; straight between codes of uniform
        noise, whose cube holds every straight line. See `modecover.runs.codes.between`. Of a conditional model `labels`
        are of the rows of a and those of b alike.

        Raises:
            UserError: as `encode`; or a and b are not equally many.
        """
        one, other = (self._data_rows("interpolate", rows) for rows in (a, b))
        if len(one) != len(other):
            raise UserError(f"interpolate was given {len(one)} and {len(other)} rows: give as many of b as of a.")

        def path(codes: Tensor) -> Tensor:
            return between(codes[: len(one)], codes[len(one) :], steps, self.prior.law)

        if labels is not None and self.classes is not None:
            labels = self.classes.asked(labels, len(one)).repeat(2)
        return self._decoded(torch.cat([one, other]), steps * len(one), path, batch, labels)

    @held(dimension=0, steps=(1, MOST_STEPS), batch=1)
    def traverse(
        self,
        x: ArrayLike,
        dimension: int,
        steps: int = 9,
        *,
        low: float | None = None,
        high: float | None = None,
        batch: int = 256,
        labels: Labels | None = None,
    ) -> Tensor:
        """What G makes of the codes of x (n, *shape) where one coordinate of them runs evenly through `steps` values
        from `low` to `high`: (n, steps, *shape), in the data's units.

        Args:
            dimension: of the coordinate, the first being 0.
            low, high: by default the whole range of a uniform prior, and -2 and 2, its middle 95 %, of a normal one.

        Raises:
            UserError: as `encode`; or the codes have no such dimension.
        """
        rows, d = self._data_rows("traverse", x), self.prior.dimension
        if dimension >= d:
            raise UserError(f"dimension is {dimension}, and codes of this model have {d}: give one of 0 to {d - 1}.")
        least, most = RANGES[self.prior.law]
        first, last = least if low is None else low, most if high is None else high
        values = torch.linspace(first, last, steps, dtype=torch.float64)
        return self._decoded(rows, steps * len(rows), lambda codes: varied(codes, dimension, values), batch, labels)

    def _data_rows(self, caller: str, x: ArrayLike) -> Tensor:
        """x as the encoder sees it: float32 rows (n, *shape), standardised where training did that."""
        self.require_encoder()
        try:
            x = readable_tensor(torch.as_tensor(x))
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"{caller} was given {shown(x)}; it takes a tensor or an array of data rows.") from error
        if not x.ndim or tuple(x.shape[1:]) != self.shape or x.is_complex():
            raise UserError(f"{caller} was given shape {tuple(x.shape)}; it takes rows of shape {self.shape}.")
        if len(self.shape) == 3 and x.dtype == torch.uint8:
            return x.float() / 127.5 - 1  # pixels, of which `to_pixels` is the inverse
        return x.float() if self.scaling is None else self.scaling.apply(x)

    def _decoded(
        self, rows: Tensor, count: int, paths: Callable[[Tensor], Tensor], batch: int, labels: Labels | None
    ) -> Tensor:
        """G of the `count` codes, (n, k, d), that `paths` makes of those of the rows: (n, k, *shape), in the data's
        units."""
        size = 4 * count * (self.prior.dimension + math.prod(self.shape))
        require_memory(f"{count:,} samples", size, "give fewer rows or steps at a time")
        codes = paths(self._in_batches("E", self._carrying(rows, labels), batch)[:, : self.prior.dimension])
        flat = codes.flatten(0, 1)
        if labels is not None and self.classes is not None:  # every code of a way has the class of its row
            labels = self.classes.asked(labels, len(rows))[: len(codes)].repeat_interleave(codes.shape[1])
        made = self._in_batches("G", self._carrying(flat, labels), batch, kind="code")
        return self._in_units(made).unflatten(0, codes.shape[:2])

    def require_encoder(self) -> None:
        """Raise `UserError` where the model has no encoder."""
        if "E" not in self.networks:
            raise UserError(
                f"This model has no encoder (its networks: {', '.join(self.networks)}): train a method that has one, "
                "for example reg-gan."
            )

    @held()
    def export(self, path: Path | str, format: Format | None = None, *, part: Part = "generator") -> Export:
        """Write G, or with `part` "encoder" E, as a file that runs without modecover, for batches of any size.

        The generator takes rows of the prior's law, (n, d) float32, and gives what `sample` gives: samples in the
        data's units, images in [-1, 1]. The encoder takes such samples and gives codes, as `encode` does. Of a
        conditional model both take rows with their class behind, see `modecover.data.classes`. The file is run on three
        batches and held against the model before it takes its name.

        Args:
            path: of the file.
            format: "onnx" (needs `pip install 'modecover[export]'`; without onnxruntime it is not run), "torchscript";
                None: by the path's ending, .onnx or .pt.

        Raises:
            UserError: the model has no encoder, a package is missing, the file cannot be written, or the network is one
                that the format cannot hold.
        """
        chosen = format or {".onnx": "onnx", ".pt": "torchscript"}.get(Path(path).suffix)
        if chosen is None:
            raise UserError(f"{path} does not say its format: end it in .onnx or .pt, or give the format.")
        if part == "encoder":
            self.require_encoder()
        parts: dict[str, Part] = {"G": "generator", "E": "encoder"}
        cpu = {
            which: Exported(detached_copy(self.networks[name]).cpu(), which, self.scaling, self.prior.dimension)
            for name, which in parts.items()
            if which in ("generator", part)
        }
        label = None if self.classes is None else self.classes.labels[0]
        batches = [self._carrying(self.latents(rows), label) for rows in ROWS]
        if part == "encoder":
            with torch.no_grad():
                batches = [self._carrying(cpu["generator"](rows), label) for rows in batches]
        return export(cpu[part], batches, Path(path), cast(Format, chosen))

    @torch.no_grad()
    def _in_batches(self, name: str, rows: Tensor, batch: int, **options: str) -> Tensor:
        tensors = [*self.parameters(), *self.buffers()]
        device = tensors[0].device if tensors else torch.device("cpu")
        self.eval()
        whole = torch.empty(0)
        for start in range(0, max(len(rows), 1), batch):  # no rows are one empty batch
            piece = self._made(name, rows[start : start + batch].to(device), **options)
            if start == 0:
                whole = torch.empty(len(rows), *piece.shape[1:])
            whole[start : start + batch] = piece
        return whole

    def _made(self, name: str, rows: Tensor, **options: str) -> Tensor:
        """What the network, G or E, makes of the rows; `UserError` where that is of no shape that it can have. Options
        are told to a network that takes them."""
        cure, width = "use the network that belongs to this model", self.prior.dimension
        shapes = [self.shape] if name == "G" else [(width,), (2 * width,)]
        try:
            taken_options = {key: value for key, value in options.items() if accepts_option(self.networks[name], key)}
            made = self.networks[name](rows, **taken_options)
        except Exception as error:
            if explained(error) is not None:
                raise
            taken = tuple(rows.shape[1:])
            raise UserError(f"{name} cannot take rows of shape {taken} ({first_line(error)}): {cure}.") from error
        if not isinstance(made, Tensor):
            raise UserError(f"{name} made a {type(made).__name__}, which is no tensor: {cure}.")
        if made.is_complex() or made.shape[:1] != rows.shape[:1] or tuple(made.shape[1:]) not in shapes:
            wanted = (len(rows), *shapes[0])
            raise UserError(f"{name} made {made.dtype} of shape {tuple(made.shape)}, where {wanted} belongs: {cure}.")
        return made

    def config(self) -> dict[str, Any]:
        """The content of `config.json`. A network of ours is rebuilt from its config; of others it tells the class."""
        architecture = {
            name: network.config()  # type: ignore[operator]  # every class of ours has it
            if type(network) in CLASSES.values()
            else {"class": f"{type(network).__module__}.{type(network).__qualname__}", "arguments": None}
            for name, network in self.networks.items()
        }
        return {
            "library": "modecover",
            "format": FORMAT,
            "architecture": architecture,
            "prior": asdict(self.prior),
            "data": self.data,
            "method": self.method,
            "training": self.training_facts,
        }

    def generate_model_card(self, *args: Any, **words: Any) -> ModelCard:
        """The model's card; `words` are options of `modecover.runs.card.card_of`, and words of its template."""
        return card_of(self, self._hub_mixin_info.model_card_data, **words)

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> str | None:
        """As the mixin's: `config.json`, `model.safetensors` and a card, `README.md`, in the folder, which is made.

        Raises:
            UserError: the folder cannot be made or written.
        """
        cure = "free disk space, make the folder writable, or choose another"
        with writing(f"The model in {save_directory}", cure):
            if (options.get("model_card_kwargs") or {}).get("sheet"):
                save_picture(self.sample(SHOWN[len(self.shape)], seed=0), Path(save_directory) / SHEET)
            address: str | None = super().save_pretrained(save_directory, **options)
        return address

    def _save_pretrained(self, save_directory: Path) -> None:
        write_tensors(save_directory / model_files.WEIGHTS, self.networks.state_dict(), {"format": "pt"})
        write_json(save_directory / model_files.CONFIG, self.config())

    @held()
    def push_to_hub(self, repo_id: str, *, license: str = UNKNOWN, audit: Any = None, **options: Any) -> str:
        """As the mixin's, which gives the address of the commit; with a card that shows samples, the numbers of the
        last evaluation beside those of real data, the verdicts of an audit, and the command that trains such a model.

        Where the data lies on this machine is not published. The names of a table's columns, and the words in them,
        are: without them no model can give its rows. A warning says so.

        Args:
            repo_id: owner/name.
            license: of the weights, by the Hub's name for it, for example "mit" or "cc-by-4.0".
            audit: what `modecover.audit` made of the model, or the path of its JSON; None: what `modecover evaluate`
                left in the run that the model is loaded from, where it is no older than the model.
            options: of the mixin's `push_to_hub` (private, token, ...).

        Raises:
            UserError: `audit` is no audit, or the Hub does not take the model.
        """
        known = inspect.signature(ModelHubMixin.push_to_hub).parameters
        if strangers := [name for name in options if name not in known]:
            raise UserError(f"push_to_hub has no option {strangers[0]!r}{nearest(strangers[0], known)}: leave it out.")
        if self.columns is not None:
            named = counted([column.name for column in self.columns], 5)
            warnings.warn(
                f"The names of the table's columns ({named}), and the words in them, are published with the model.",
                stacklevel=4,  # behind those of `held`
            )
        public = copy.copy(self)
        opened, name = (self.data.get("opened") or {}).values(), self.data.get("name", "data")
        if any(isinstance(value, str) and Path(value).is_absolute() for value in opened):
            public.data = {key: value for key, value in self.data.items() if key != "opened"}
        if Path(name).is_absolute():
            public.data = {**public.data, "name": Path(name).name or "data"}
        words = {"license": license, "repository": repo_id, "sheet": can_be_drawn(self.shape)}
        words["audit"] = audit_of(audit, self.folder, self.training_facts.get("seed"))
        words |= checked("model_card_kwargs", options.pop("model_card_kwargs", None), dict | None) or {}
        try:
            address: str = ModelHubMixin.push_to_hub(public, repo_id, model_card_kwargs=words, **options)
        except UserError:
            raise
        except Exception as error:  # of the Hub's library and of those that it asks by: names, networks, logins
            raise UserError(
                f"{shown(repo_id)} on the Hub does not take the model ({first_line(error)}): check the name "
                "(owner/name), your network and your login."
            ) from error
        return address

    @classmethod
    @within_limits()
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        seed: int | None = None,
        networks: Mapping[str, nn.Module] | None = None,
        **options: Any,
    ) -> Self:
        """The model in a model folder, in a run folder, or on the Hub. `modecover.load` is another name for it.

        Args:
            pretrained_model_name_or_path: a model folder, a run folder, or a Hub name such as "owner/name".
            seed: which of a run's seeds, where several were trained together; the first if not given.
            networks: your own modules by name ("G"), for a model whose networks are not modecover's.
            options: of `huggingface_hub.ModelHubMixin.from_pretrained`.

        Raises:
            UserError: there is no such model, it is damaged, of another version, or a network of yours is missing.
        """
        # Not by way of the mixin, which opens the files itself and trusts them.
        seed = checked("seed", seed, int | None)
        own = _as_networks({} if networks is None else networks)
        folder = model_files.find(pretrained_model_name_or_path, seed, **options)
        config, weights = model_files.read_config(folder), model_files.read_weights(folder / model_files.WEIGHTS)
        facts = {name: config[name] for name in ("prior", "data", "method", "training")}
        model = cls(model_files.rebuilt(config["architecture"], own, weights), **facts)
        model.folder = folder
        trained = model.training_facts.get("seed")
        if seed is not None and trained not in (None, seed):
            raise UserError(
                f"The one model in {folder} was trained with seed {trained}, not {seed}: leave the seed out."
            )
        model_files.fill(model.networks, weights, folder / model_files.WEIGHTS)

        # G has to make finite samples of two rows of the prior, and E finite codes of these.
        told = 0 if model.classes is None else len(model.classes)
        model._made("G", torch.zeros(1).expand(2, model.prior.dimension + told))  # no memory, whatever the dimension is
        rows, labels = model.latents(2), None if model.classes is None else model.classes.labels[0]
        for name in ("G", "E") if "E" in model.networks else ("G",):
            rows = model._made(name, model._carrying(rows.float(), labels))
            if not rows.isfinite().all():
                raise UserError(f"{name} makes NaN or infinities: the model is of no use; train it again.")
        return model


def load(
    path: Path | str, *, seed: int | None = None, networks: Mapping[str, nn.Module] | None = None
) -> GenerativeModel:
    """The model in a model folder, in a run folder, or on the Hugging Face Hub: `GenerativeModel.from_pretrained`."""
    return GenerativeModel.from_pretrained(path, seed=seed, networks=networks)


def _as_networks(networks: Mapping[str, nn.Module]) -> Mapping[str, nn.Module]:
    """`networks` where they are modules by names that an attribute can have."""
    if not isinstance(networks, Mapping):
        raise UserError(f"networks is {shown(networks)}: give modules by name, as in networks={{'G': MyG()}}.")
    model_files.require_names(networks)
    for name, network in networks.items():
        if not isinstance(network, nn.Module):
            raise UserError(f"The network {name} is {shown(network)}: give an instance of torch.nn.Module.")
    return networks


def _as_facts(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts `name` ("data", "method" or "training"), the entries that are relied on being of their kinds."""
    if not isinstance(facts, Mapping):
        raise UserError(f"{name} is {shown(facts)}: give facts by name.")
    for key, kind in _FACTS[name].items():
        if key in facts or key in _NEEDED:
            checked(f"{name}.{key}", facts.get(key), kind)
    return dict(facts)
