"""What distances are taken in: an extractor turns samples into rows of features, and has a name and a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from modecover.errors import UserError
from modecover.features.kept import Floats32, Samples, blocks, raw
from modecover.metrics.arrays import as_rows

Features = npt.NDArray[np.float32]
"""One row of features for each sample, (n, f)."""


@dataclass(frozen=True, eq=False)
class Extractor:
    """Features of samples, and what identifies them.

    Two extractors of equal `name` and `hash` give equal features, so that numbers taken with them can be compared.
    """

    name: str
    """What it is, with its size: "pca-64"."""
    hash: str
    """The first 8 hexadecimal digits of the SHA-256 of everything that decides the features."""
    function: Callable[[Floats32], npt.ArrayLike | Tensor]
    row_wise: bool = field(default=False, kw_only=True)
    """Whether a sample's features depend on no other sample: then the function is given one block after another."""
    fitted: bool = field(default=False, kw_only=True)
    """Whether they were fitted to samples, whose own features then say more than those of others would."""

    @property
    def identity(self) -> str:
        """The name with the hash, as it stands in the names of metrics."""
        return f"{self.name}:{self.hash}"

    def __call__(self, samples: Samples) -> Features:
        """The features of all samples.

        Raises:
            UserError: the function gives something else than one row of finite numbers for each sample.
        """
        found = []
        for block in (block for _, block in blocks(samples)) if self.row_wise else [np.asarray(samples, np.float32)]:
            rows = as_rows(self.function(block), f"what the features {self.name} gave")
            if len(rows) != len(block):
                raise UserError(f"{self.name} gave {len(rows)} rows for {len(block)} samples; give one row for each")
            found.append(np.asarray(rows.float().cpu().numpy()))
        return np.concatenate(found)


def hash_of(*parts: bytes | str | npt.NDArray[np.generic] | Tensor) -> str:
    """Eight hexadecimal digits that identify `parts`: texts, bytes, and arrays by type, shape and content."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            part = part.detach().cpu().numpy()
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype} {part.shape}\n".encode())
            digest.update(raw(part))
        else:
            digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()[:8]


def in_batches(network: Callable[[Tensor], Tensor], samples: Samples, device: torch.device | str) -> Tensor:
    """What `network` makes of all samples, block by block, on the CPU, without gradients."""
    with torch.no_grad():
        batches = (torch.from_numpy(np.ascontiguousarray(block)) for _, block in blocks(samples))
        return torch.cat([network(batch.to(device)).cpu() for batch in batches])
