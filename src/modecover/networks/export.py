"""A generator or encoder as a file that runs without modecover: ONNX or TorchScript, checked by running it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from modecover.data.base import needs
from modecover.data.scaling import Scaling
from modecover.errors import UserError
from modecover.files import replacing, require_writable, writing
from modecover.kinds import first_line

Format = Literal["onnx", "torchscript"]
Part = Literal["generator", "encoder"]

OPSET = 20  # of ONNX: the newest that torch writes without converting
ROWS = (2, 1, 3, 64)
"""Of the batch with which a network is traced, and of those with which what came of it is run: none of that size."""
TOLERANCE = 1e-3  # of the outputs' largest number: how far the file's may be from the model's
INSTALL = "pip install 'modecover[export]'"


@dataclass(frozen=True)
class Export:
    """A file that `export` wrote.

    Attributes:
        path, format, part: what was asked for.
        takes, gives: the names of its input and its output.
        input_shape, output_shape: of one row of these; the first axis of both is the batch, of any size.
        opset: of ONNX; None for TorchScript.
        difference: the largest between a number of the file's and of the model's, over three batches; None where
            nothing could run the file, which only ONNX without onnxruntime is.
        largest: the largest absolute number of the model's, to see the difference against.
    """

    path: Path
    format: Format
    part: Part
    takes: str
    gives: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    opset: int | None
    difference: float | None
    largest: float


class Exported(nn.Module):
    """A network of a model between rows in the data's units and latent rows: what `sample` and `encode` send rows
    through.

    Args:
        network: a generator or an encoder.
        scaling: how it sees rows; None for as they are.
        dimension: of the prior.
    """

    def __init__(self, network: nn.Module, part: Part, scaling: Scaling | None, dimension: int):
        super().__init__()
        self.network, self.part, self.scaling, self.dimension = network, part, scaling, dimension
        self.eval()

    def forward(self, rows: Tensor) -> Tensor:
        if self.part == "encoder":
            codes: Tensor = self.network(rows if self.scaling is None else self.scaling.apply(rows))
            return codes[:, : self.dimension]  # a stochastic encoder tells log variances behind the means
        made: Tensor = self.network(rows)
        return made if self.scaling is None else self.scaling.undo(made)


def export(network: Exported, batches: Sequence[Tensor], path: Path, format: Format) -> Export:
    """Write a network as a file, whole or not at all, and run the file.

    Args:
        batches: what it takes: the first to trace it with, others of other sizes to try the file with. All on the CPU.

    Raises:
        UserError: a package is missing, the file cannot be written, or the network is one that the format cannot hold.
    """
    if format == "onnx":
        needs("onnxscript", "ONNX export", INSTALL)  # in which torch's exporter is written
    require_writable(path)
    part = network.part
    with torch.no_grad():
        expected = [network(rows).numpy() for rows in batches[1:]]
    takes, gives = ("z", "samples") if part == "generator" else ("x", "codes")
    write, run = (_write_onnx, _run_onnx) if format == "onnx" else (_write_torchscript, _run_torchscript)
    with writing(path, "free disk space, or choose another place"), replacing(path) as temporary:
        with _quietly(part, format):
            write(network, batches[0], temporary, (takes, gives))
            outputs = run(temporary, batches[1:])
        largest = float(max(np.abs(rows).max() for rows in expected))
        difference = None
        if outputs is not None:
            pairs = list(zip(outputs, expected, strict=True))
            if any(ours.shape != theirs.shape for ours, theirs in pairs):
                raise UserError(f"The exported {part} does not take batches of any size: its forward must not fix one.")
            difference = float(max(np.abs(ours - theirs).max() for ours, theirs in pairs))
            if not difference <= TOLERANCE * max(largest, 1e-6):
                raise UserError(
                    f"The exported {part} differs from the model's by {difference:.2g}, where the largest number is "
                    f"{largest:.2g}: its forward depends on more than its input, so that {format} cannot hold it."
                )
    opset = OPSET if format == "onnx" else None
    shapes = tuple(batches[0].shape[1:]), tuple(expected[0].shape[1:])
    return Export(path, format, part, takes, gives, *shapes, opset, difference, largest)


def _write_onnx(network: nn.Module, rows: Tensor, path: Path, names: tuple[str, str]) -> None:
    # Not from the module itself, of which the exporter would sooner write a file for one size of batch than none.
    program = torch.export.export(network, (rows,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    written = torch.onnx.export(
        program, dynamo=True, verbose=False, opset_version=OPSET, input_names=names[:1], output_names=names[1:]
    )
    assert written is not None, "the exporter that is no trace gives a program"
    for value in (*written.model.graph.inputs, *written.model.graph.outputs):
        if value.shape is not None:
            value.shape[0] = "batch"  # which the exporter gives a name of its own
    written.save(path, external_data=False)


def _run_onnx(path: Path, batches: Sequence[Tensor]) -> list[Any] | None:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    return [session.run(None, {taken.name: rows.numpy()})[0] for rows in batches]


def _write_torchscript(network: nn.Module, rows: Tensor, path: Path, names: tuple[str, str]) -> None:
    with torch.no_grad():
        traced = torch.jit.trace(network, (rows,), check_trace=False)  # which `_run_torchscript` does, and better
    traced.save(str(path))


def _run_torchscript(path: Path, batches: Sequence[Tensor]) -> list[Any]:
    loaded = torch.jit.load(str(path), map_location="cpu")
    with torch.no_grad():
        return [loaded(rows).numpy() for rows in batches]


@contextmanager
def _quietly(part: Part, format: Format) -> Iterator[None]:
    """In the block libraries' warnings are not shown (torch would rather have TorchScript forgotten, warns of branches
    that a trace does not take, where the file is run instead, and of torchvision's absence), and what they raise
    becomes a sentence."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (OSError, UserError, MemoryError):
        raise
    except Exception as error:
        raise UserError(
            f"The {part} cannot be written as {format} ({type(error).__name__}: {first_line(error)}): its forward must "
            "be made of torch's operations alone, for batches of any size (z.shape[0], not len(z))."
        ) from error
    finally:
        logger.setLevel(level)
