"""Several processes under `torchrun`: one flat all-reduce per update, and no module wrappers.

Wrappers that hook the backward pass go wrong on exactly what these methods do (penalties that differentiate twice,
several forwards before one backward, calls of a network's parts). Here gradients are reduced after they are taken.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Sequence
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
        self._together(dist.all_reduce, tensor)

    def share_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by the first process's."""
        for tensor in tensors:
            self._together(dist.broadcast, tensor, 0)

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set in any process; every process must ask."""
        if self.count == 1:  # without a word to the GPU
            return flag
        votes = torch.tensor(float(flag), device=device)
        self.sum_(votes)
        return bool(votes.item() > 0)

    def barrier(self) -> None:
        """Wait for all processes."""
        self._together(dist.barrier)

    def _together(self, operation: Callable[..., object], *arguments: object) -> None:
        """Do what all processes do at once; where one of them is gone, a sentence says so."""
        if self.count == 1:
            return
        try:
            operation(*arguments)
        except RuntimeError as error:
            raise UserError(
                f"Another process of this run has ended or cannot be reached ({_first_line(error)}): see what it said, "
                "then run the same command again to resume."
            ) from error


def join(device: torch.device) -> Processes:
    """Join the processes `torchrun` started (nccl on GPUs, gloo elsewhere); alone where there are none.

    The group lasts until this Python ends, so that several runs in a row share it. It is then taken down: its threads
    would otherwise meet an interpreter that is half gone, which now and then aborts the process.

    Raises:
        UserError: the environment names other processes, and they cannot be reached.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return Processes()
    if not dist.is_initialized():
        rank, count = os.environ.get("RANK", "0"), os.environ["WORLD_SIZE"]
        if rank.isdecimal() and count.isdecimal() and int(rank) >= int(count):  # it would wait for the others for ever
            raise UserError(
                f"The environment says RANK={rank} of WORLD_SIZE={count}, and ranks count from 0: start all processes "
                "with torchrun, or unset both."
            )
        # Its functions take the group that is there when it is first imported as their default, and keep it for good:
        # imported later (by torch.optim), it would leave the group's threads running into the end of the interpreter.
        import torch.distributed.nn.functional  # noqa: F401

        try:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        except (ValueError, RuntimeError) as error:
            raise UserError(
                f"The environment says WORLD_SIZE={os.environ['WORLD_SIZE']}, and the other processes cannot be joined "
                f"({_first_line(error)}): start all of them with torchrun, or unset WORLD_SIZE."
            ) from error
        atexit.register(lambda: dist.destroy_process_group() if dist.is_initialized() else None)
    return Processes(dist.get_rank(), dist.get_world_size())


def _first_line(error: BaseException) -> str:
    """What torch says in its first sentence; the rest is about its own source."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line.removeprefix("[").partition("] ")[2].rstrip(".") if line.startswith("[/") else line.rstrip(".")


def choose_device(wanted: str) -> torch.device:
    """The device of that name; "auto" is this process's GPU where there is one, else the CPU. Raises `UserError` where
    there is no such device here."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda":
        wanted = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise UserError(f"There is no kind of device called {wanted!r}: use auto, cpu, cuda or cuda:N.") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            built = "sees no GPU" if torch.backends.cuda.is_built() else "is built without CUDA"
            raise UserError(f"The device {device} cannot be used: this PyTorch ({torch.__version__}) {built}. Use cpu.")
        if (device.index or 0) >= (count := torch.cuda.device_count()):
            there = "there is one GPU, cuda:0" if count == 1 else f"the {count} GPUs are cuda:0 to cuda:{count - 1}"
            raise UserError(
                f"There is no device {device} for this process: {there}. Choose another device, or start fewer "
                "processes."
            )
        torch.cuda.set_device(device)
    try:
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:  # torch has not been built for it, or lacks a plug-in
        raise UserError(
            f"The device {wanted} cannot be used here: this PyTorch ({torch.__version__}) finds none, or cannot train "
            "on it. Use cpu, or auto."
        ) from error
    return device
