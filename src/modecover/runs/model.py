"""Trained models as files in the Hugging Face layout: `config.json` and `model.safetensors`, nothing pickled.

A model folder stands alone: sampling from it needs neither the data nor the settings it was trained with.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import ModelCard, ModelHubMixin
from torch import Tensor, nn

from modecover.data.scaling import Scaling
from modecover.engine.prior import Prior
from modecover.errors import UserError
from modecover.files import reason, replacing, write_json
from modecover.kinds import checked, shown
from modecover.limits import require_memory, within_limits
from modecover.metrics.arrays import readable_tensor
from modecover.networks.copies import detached_copy
from modecover.networks.network import CLASSES
from modecover.pictures.drawing import to_pixels
from modecover.random import derive_seed
from modecover.runs.model_files import CONFIG, FORMAT, WEIGHTS, fill, read_config, read_weights, rebuilt
from modecover.runs.model_parts import as_facts, as_networks, as_path, as_prior, at_least, made_by
from modecover.runs.tensors import digest, stored

_CARD = """---
{{ card_data }}
---

# {{ title }}

A generative model of {{ data }}, trained by {{ method }} with modecover.

```python
import modecover

samples = modecover.load("OWNER/NAME").sample(64, seed=0)
```

Put this repository's name in place of `OWNER/NAME`. `config.json` tells how the model was trained.
"""


class GenerativeModel(
    nn.Module, ModelHubMixin, library_name="modecover", tags=["generative-model", "gan"], model_card_template=_CARD
):
    """The networks of a finished run, and what must be known to use them. Always in evaluation mode.

    `save_pretrained`, `from_pretrained` and `push_to_hub` are those of `huggingface_hub`.

    Args:
        networks: by name; "G" generates, and "E", where there is one, encodes. They are copied: training the originals
            further does not change the model.
        prior: the law of the generator's input, or `{"law": ..., "dimension": ...}`.
        data: what the rows are: `{"name": ..., "shape": [...], "value_range": [low, high] or None}`, and where known
            the `fingerprint` of the data and what opens it again (`opened`). Of points whose networks see them
            standardised, `scaling`: `{"center": [...], "scale": [...]}`.
        method: `{"name": ..., "settings": {...}}`.
        training: facts worth keeping (steps, seed, commit, versions, whether the weights are a moving average).

    Attributes:
        networks, prior, data, method: as given. The networks themselves see and make standardised rows where
            `scaling` says so; all methods here speak in the data's units.
        training_facts: `training`; the name `training` is a module's mode.

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
        if "G" not in as_networks(networks):
            raise UserError(f"A generative model needs a network named G; these are {', '.join(networks) or 'none'}.")
        self.networks = nn.ModuleDict({name: detached_copy(network) for name, network in networks.items()})
        self.prior, self.data = as_prior(prior), as_facts("data", data)
        self.method, self.training_facts = as_facts("method", method), as_facts("training", training)
        self.scaling = Scaling.from_facts(self.data.get("scaling"), self.shape[0]) if len(self.shape) == 1 else None
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Does nothing: a model stays in evaluation mode, where a sample does not depend on its neighbours."""
        return super().train(False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample: (d,) or (C, H, W)."""
        return tuple(self.data["shape"])

    def forward(self, z: Tensor) -> Tensor:
        """Latent rows (B, d) to data rows (B, *shape), in the data's units."""
        return self._in_units(self.networks["G"](z))

    def _in_units(self, rows: Tensor) -> Tensor:
        return rows if self.scaling is None else self.scaling.undo(rows)

    def latents(self, n: int, seed: int = 0) -> Tensor:
        """The latent rows that `sample` sends through G, (n, d), on the CPU."""
        n, seed = checked("n, the number of samples,", n, int), at_least("seed", seed, 0)
        if n < 1:
            raise UserError(f"{n} samples were asked for; ask for at least 1.")
        size = 4 * n * (self.prior.dimension + math.prod(self.shape))
        require_memory(f"{n:,} samples", size, "ask for fewer at a time, with other seeds")
        generator = torch.Generator().manual_seed(derive_seed(seed, "sample"))
        return self.prior.rows(n, torch.device("cpu"), generator)

    def sample(self, n: int, seed: int = 0, batch: int = 256) -> Tensor:
        """`n` rows, float32 of shape (n, *shape), on the CPU; images have values in [-1, 1].

        All latent rows are drawn first and on the CPU, so that `batch` and the device change nothing beyond rounding.

        Raises:
            UserError: n, seed or batch is out of range, or so many rows do not fit into memory.
        """
        with within_limits():
            return self._in_units(self._in_batches("G", self.latents(n, seed), batch, (self.shape,)))

    def sample_images(self, n: int, seed: int = 0, batch: int = 256) -> Tensor:
        """`n` images as pixels, uint8 of shape (n, C, H, W).

        Raises:
            UserError: the model does not generate images.
        """
        if len(self.shape) != 3:
            raise UserError(f"This model generates rows of shape {self.shape}, not images: call sample instead.")
        return to_pixels(self.sample(n, seed, batch))

    def encode(self, x: Tensor, batch: int = 256) -> Tensor:
        """Codes of the data rows x (n, *shape), float32 of shape (n, d), on the CPU.

        Raises:
            UserError: the model has no encoder, or x is of another shape or no plain tensor.
        """
        if "E" not in self.networks:
            raise UserError(
                f"This model has no encoder (its networks: {', '.join(self.networks)}): train a method that has one."
            )
        if not isinstance(x, Tensor):
            try:
                x = torch.as_tensor(x)
            except (TypeError, ValueError, RuntimeError) as error:
                raise UserError(f"encode was given {shown(x)}; it takes a tensor or an array of data rows.") from error
        x = readable_tensor(x)
        if not x.ndim or tuple(x.shape[1:]) != self.shape or x.is_complex():
            raise UserError(f"encode was given shape {tuple(x.shape)}; it takes rows of shape {self.shape}.")
        with within_limits():
            rows = x.float() if self.scaling is None else self.scaling.apply(x)
            # A stochastic encoder tells the means of the codes first, then their log variances.
            return self._in_batches("E", rows, batch, self._codes)[:, : self.prior.dimension]

    @property
    def _codes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes that a row of E's output may have."""
        return (self.prior.dimension,), (2 * self.prior.dimension,)

    @torch.no_grad()
    def _in_batches(self, name: str, rows: Tensor, batch: int, shapes: tuple[tuple[int, ...], ...]) -> Tensor:
        """What a network makes of the rows, which is of one of the `shapes`."""
        batch = at_least("batch", batch, 1)
        tensors = [*self.parameters(), *self.buffers()]
        device = tensors[0].device if tensors else torch.device("cpu")
        self.eval()
        whole = torch.empty(0)
        for start in range(0, max(len(rows), 1), batch):  # no rows are one empty batch
            piece = made_by(self.networks[name], name, rows[start : start + batch].to(device), shapes)
            if start == 0:
                whole = torch.empty(len(rows), *piece.shape[1:])
            whole[start : start + batch] = piece
        return whole

    def config(self) -> dict[str, Any]:
        """The content of `config.json`."""
        return {
            "library": "modecover",
            "format": FORMAT,
            "architecture": {name: _architecture(network) for name, network in self.networks.items()},
            "prior": asdict(self.prior),
            "data": self.data,
            "method": self.method,
            "training": self.training_facts,
        }

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        words = {"title": f"{self.method.get('name')} on {self.data.get('name')}", "data": self.data.get("name")}
        return super().generate_model_card(*args, **{**words, "method": self.method.get("name"), **kwargs})

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> str | None:
        """As the mixin's: `config.json` and `model.safetensors` in the folder, which is made.

        Raises:
            UserError: the folder cannot be made or written.
        """
        try:
            address: str | None = super().save_pretrained(save_directory, **options)
        except OSError as error:
            raise _unwritable(save_directory, error) from error
        return address

    def _save_pretrained(self, save_directory: Path) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        weights = stored(self.networks.state_dict())
        try:
            with replacing(save_directory / WEIGHTS) as temporary:
                save_file(weights, temporary, metadata={"format": "pt", "sha256": digest(weights)})
            write_json(save_directory / CONFIG, self.config())
        except (OSError, SafetensorError) as error:
            raise _unwritable(save_directory, error) from error

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """As the mixin's, which gives the address; where the data lies on this machine is not published."""
        public = copy.copy(self)
        if any(
            isinstance(value, str) and Path(value).is_absolute() for value in (self.data.get("opened") or {}).values()
        ):
            public.data = {name: value for name, value in self.data.items() if name != "opened"}
        address: str = ModelHubMixin.push_to_hub(public, repo_id, **options)
        return address

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Self:
        """The model in a folder or on the Hub. `modecover.load` finds the folder in a run, too.

        Args:
            pretrained_model_name_or_path: a model folder, or owner/name.
            options: `networks`, modules by name, for those that are not modecover's own; and the options of
                `huggingface_hub.ModelHubMixin.from_pretrained`.

        Raises:
            UserError: there is no such model, it is damaged, of another version, or a network of the user's is missing.
        """
        folder = as_path(pretrained_model_name_or_path)
        networks = options.pop("networks", None)
        if not folder.is_dir():
            folder = _download(str(pretrained_model_name_or_path), **options)
        # Not by way of the mixin, which opens the files itself and trusts them.
        return cls._from_pretrained(model_id=str(folder), networks=networks)

    @classmethod
    def _from_pretrained(
        cls, *, model_id: str, networks: Mapping[str, nn.Module] | None = None, **_mixin_options: Any
    ) -> Self:
        folder = Path(model_id)
        config, weights = read_config(folder), read_weights(folder / WEIGHTS)
        facts = {name: config[name] for name in ("prior", "data", "method", "training")}
        with within_limits():
            own = as_networks({} if networks is None else networks)
            model = cls(rebuilt(config["architecture"], own, weights), **facts)
            fill(model.networks, weights, folder / WEIGHTS)
            model._require_sound()
        return model

    def _require_sound(self) -> None:
        """Raise `UserError` unless G makes finite samples of two rows of the prior, and E finite codes of samples."""
        zeros = torch.zeros(1).expand(2, self.prior.dimension)  # takes no memory, whatever the dimension is said to be
        with torch.no_grad():
            made_by(self.networks["G"], "G", zeros, (self.shape,))
            made = {"G": made_by(self.networks["G"], "G", self.latents(2), (self.shape,))}
            if "E" in self.networks:
                made["E"] = made_by(self.networks["E"], "E", made["G"].float(), self._codes)
        for name, rows in made.items():
            if not rows.isfinite().all():
                raise UserError(f"{name} makes NaN or infinities: the model is of no use; train it again.")


def _unwritable(folder: str | Path, error: Exception) -> UserError:
    return UserError(
        f"The model could not be written to {folder}: {reason(error)}. Free disk space, make the folder writable, or "
        "choose another."
    )


def load(
    path: Path | str, *, seed: int | None = None, networks: Mapping[str, nn.Module] | None = None
) -> GenerativeModel:
    """The model in a model folder, in a run folder, or on the Hugging Face Hub.

    Args:
        path: a model folder, a run folder, or a Hub name such as "owner/name".
        seed: which of a run's seeds, where several were trained together; the first if not given.
        networks: your own modules by name ("G"), for a model whose networks are not modecover's.

    Raises:
        UserError: there is no such model, it is damaged, of another version, or a network of yours is missing.
    """
    place = as_path(path)
    seed = checked("seed", seed, int | None)
    if place.is_dir():
        return GenerativeModel.from_pretrained(_model_folder(place, seed), networks=networks)
    if place.exists():
        raise UserError(f"{path} is a file: give the folder of a model or of a run.")
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", str(place), re.ASCII):
        raise UserError(f"{path} does not exist: give the folder of a model or of a run, or a Hub name (owner/name).")
    return GenerativeModel.from_pretrained(str(path), networks=networks)


def _model_folder(place: Path, seed: int | None) -> Path:
    """The folder with the model files in `place`: itself, its `model`, or one seed's folder in that."""
    for folder in (place, place / "model"):
        if (folder / CONFIG).exists():
            _require_seed(folder, seed)
            return folder
        seeds = sorted(_seeds(folder).items())
        if seeds:
            chosen = dict(seeds).get(seeds[0][0] if seed is None else seed)
            if chosen is None:
                raise UserError(f"{place} has no seed {seed}: choose one of {', '.join(str(n) for n, _ in seeds)}.")
            return chosen
    if (place / "run.json").exists():
        raise UserError(f"The run in {place} has no model yet: let it train on, by the command that began it.")
    raise UserError(f"{place} holds no model: give the folder of a model or of a run.")


def _seeds(folder: Path) -> dict[int, Path]:
    """The folders seed-<n> in `folder` that hold a model, by n."""
    found = {path: re.fullmatch(r"seed-(\d+)", path.name) for path in folder.glob("seed-*")}
    return {int(match[1]): path for path, match in found.items() if match and (path / CONFIG).exists()}


def _require_seed(folder: Path, seed: int | None) -> None:
    own = read_config(folder)["training"].get("seed")
    if seed is not None and own is not None and own != seed:
        raise UserError(f"The one model in {folder} was trained with seed {own}, not {seed}: leave the seed out.")


def _architecture(network: nn.Module) -> dict[str, Any]:
    """How to rebuild a network: its config where it is one of ours, else its class alone."""
    if type(network) in CLASSES.values():
        config: dict[str, Any] = network.config()  # type: ignore[operator]  # every class of ours has it
        return config
    return {"class": f"{type(network).__module__}.{type(network).__qualname__}", "arguments": None}


def _download(name: str, **options: Any) -> Path:
    """The two files of a model on the Hub, in a folder of the Hub's cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    above = Path(name).parent
    if above != Path() and (above.is_dir() or name.startswith((".", "/", "~"))):
        raise UserError(f"{name} does not exist: give the folder of a model or of a run.")
    try:
        return Path(snapshot_download(name, allow_patterns=[CONFIG, WEIGHTS], **options))
    except (OSError, HFValidationError) as error:
        raise UserError(
            f"{name} is no folder here and could not be had from the Hugging Face Hub ({type(error).__name__}): check "
            "the name, your network, and for a private model your login."
        ) from error
