"""Several processes under `torchrun`: one flat all-reduce per update, and no module wrappers.

Wrappers that hook the backward pass go wrong on exactly what these methods do (penalties that differentiate twice,
several forwards before one backward, calls of a network's parts). Here gradients are reduced after they are taken.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from modecover.errors import UserError


@dataclass(frozen=True)
class Processes:
    """This process's place: rank `rank` of `count`."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over all processes: one all-reduce for each dtype."""
        if self.count == 1:
            return
        for dtype in dict.fromkeys(t.dtype for t in tensors):
            same = [t for t in tensors if t.dtype == dtype]
            flat = torch.cat([t.reshape(-1) for t in same])
            self.sum_(flat)
            flat /= self.count
            for tensor, mean in zip(same, flat.split([t.numel() for t in same]), strict=True):
                tensor.copy_(mean.view_as(tensor))

    def sum_(self, tensor: Tensor) -> None:
        """Replace the tensor, contiguous, by its sum over all processes."""
        if self.count > 1:
            with _together():
                dist.all_reduce(tensor)

    def share_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by the first process's."""
        if self.count > 1:
            with _together():
                for tensor in tensors:
                    dist.broadcast(tensor, 0)

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set in any process; every process must ask."""
        if self.count == 1:
            return flag
        votes = torch.tensor(float(flag), device=device)
        self.sum_(votes)
        return bool(votes.item() > 0)

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.count > 1:
            with _together():
                dist.barrier()


def join(device: torch.device) -> Processes:
    """Join the processes `torchrun` started (nccl on GPUs, gloo elsewhere); alone where there are none.

    The group serves every run of this process, one after the other, and is left when the interpreter ends: its threads
    must be gone before the libraries that they run in are. A group that the caller made is the caller's to leave.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes()
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave)
    return Processes(dist.get_rank(), dist.get_world_size())


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def _together() -> Iterator[None]:
    """What all processes do at once; where one has ended, the others say so.

    Raises:
        UserError: the others cannot be reached any more.
    """
    try:
        yield
    except RuntimeError as error:
        raise UserError(
            "Another process of this run has ended, or cannot be reached: mend what that one reports, then start all "
            f"of them again to resume ({str(error).partition(chr(10))[0]})."
        ) from error


def choose_device(wanted: str) -> torch.device:
    """The device of that name; "auto" is this process's GPU where there is one, else the CPU.

    Raises:
        UserError: there is no such device here.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda":
        wanted = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise UserError(f"There is no kind of device called {wanted!r}: use auto, cpu, cuda or cuda:N.") from None
    if device.type == "cuda":
        _refuse_absent_gpu(device)
        torch.cuda.set_device(device)
    try:
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UserError(f"The device {wanted} cannot be used here ({reason}): use cpu, or auto.") from error
    return device


def _refuse_absent_gpu(device: torch.device) -> None:
    if not torch.cuda.is_available():
        built = "sees no GPU" if torch.backends.cuda.is_built() else "is built without CUDA"
        raise UserError(f"The device {device} cannot be used: this PyTorch ({torch.__version__}) {built}. Use cpu.")
    if (device.index or 0) >= (count := torch.cuda.device_count()):
        there = "there is one GPU, cuda:0" if count == 1 else f"the {count} GPUs are cuda:0 to cuda:{count - 1}"
        raise UserError(
            f"There is no device {device} for this process: {there}. Choose another device, or start fewer processes."
        )
