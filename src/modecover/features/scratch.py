"""Rows in a temporary file without a name, which is gone with the process that made it, however that ends."""

from __future__ import annotations

import math
import shutil
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt

from modecover.errors import UserError
from modecover.limits import readable


class Scratch:
    """An array (n, ...) on disk: written once, row after row, and read in copies, so that none of it stays in memory.

    Raises:
        UserError: the folder of temporary files (TMPDIR) cannot hold it.
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike):
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._row = math.prod(shape[1:]) * self.dtype.itemsize
        self._end = 0
        size = shape[0] * self._row
        try:
            folder = tempfile.gettempdir()
            self._file = tempfile.TemporaryFile(prefix="modecover-", buffering=0)  # noqa: SIM115 (it lives as long)
        except OSError as error:
            raise UserError(
                f"Samples cannot be kept in a temporary file ({error.strerror}): set TMPDIR to "
                "a folder that can be written, or raise memory."
            ) from error
        if size > (free := shutil.disk_usage(folder).free):
            raise UserError(
                f"{shape[0]:,} samples take {readable(size)} on disk, and {readable(free)} are free in {folder}: set "
                "TMPDIR to a folder with more room, raise memory, or take fewer samples."
            )

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def append(self, rows: npt.NDArray[Any]) -> None:
        """Write the next rows; `UserError` where the disk is full after all."""
        left = np.ascontiguousarray(rows, self.dtype).reshape(-1).view(np.uint8).data
        self._file.seek(self._end)
        self._end += len(left)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise UserError(
                f"Samples cannot be written to {tempfile.gettempdir()} ({error.strerror}): set TMPDIR to a folder with "
                "more room, or raise memory."
            ) from error

    def __getitem__(self, rows: slice | npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """A copy of the rows of a slice, or of these numbers."""
        numbers = np.arange(self.shape[0])[rows] if isinstance(rows, slice) else rows
        found = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        bytes_of_rows = found.reshape(len(numbers), -1).view(np.uint8)
        # Neighbours are read at once.
        starts = np.flatnonzero(np.diff(numbers, prepend=-2) != 1)
        for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(numbers)], strict=True):
            self._file.seek(int(numbers[start]) * self._row)
            into = bytes_of_rows[start:stop].reshape(-1).data
            while into:
                into = into[self._file.readinto(into) or len(into) :]
        return found
