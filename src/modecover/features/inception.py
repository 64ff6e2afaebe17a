"""Features of Inception-v3 as FID takes them, through the optional package torch-fidelity."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path

import torch
from torch import Tensor

from modecover.errors import UserError
from modecover.features.base import Extractor, in_batches
from modecover.features.kept import Samples


def inception(
    weights: str | os.PathLike[str], *, sha256: str | None = None, device: torch.device | str = "cpu"
) -> Extractor:
    """The 2048 pooled features of Inception-v3. Nothing is downloaded: the weights are a file of yours.

    Args:
        weights: the file of weights. That of torch-fidelity and pytorch-fid is pt_inception-2015-12-05-6726825d.pth,
            whose SHA-256 begins as its name ends.
        sha256: what the file's SHA-256 must be, or begin with; None: not compared. It is the extractor's hash
            whatever it is.

    Raises:
        UserError: torch-fidelity is not installed, there is no such file, or its hash is another.
    """
    if importlib.util.find_spec("torch_fidelity") is None:
        raise UserError(
            "Inception's features need torch-fidelity: install it with `pip install 'modecover[inception]'`."
        )
    path = Path(weights).expanduser()
    if not path.is_file():
        raise UserError(f"there are no Inception weights at {path}; download them and name their file.")
    found = _sha256(path)
    if sha256 is not None and not found.startswith(sha256.lower()):
        raise UserError(f"{path} has the SHA-256 {found}, not {sha256}; take the right file of weights.")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)).to(
        device
    )

    def features(images: Tensor) -> Tensor:
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        return network(((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8))[0]

    def extract(samples: Samples) -> Tensor:
        if samples.ndim != 4 or samples.shape[1] not in (1, 3):
            raise UserError(f"Inception reads images of 1 or 3 channels; these samples have shape {samples.shape[1:]}.")
        return in_batches(features, samples, device)

    return Extractor("inception-2048", found[:8], extract, row_wise=True)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()
