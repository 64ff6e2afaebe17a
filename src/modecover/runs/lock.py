"""One process at a time in a folder."""

from __future__ import annotations

import errno
import os
import socket
import sys
import warnings
from pathlib import Path
from typing import ClassVar

from modecover.errors import UserError
from modecover.files import reason


class FolderLock:
    """A file lock on a folder, let go by the system when the process ends, however it ends.

    The locked file says who holds it, for the message alone. A record lock is used where there is one (POSIX): unlike
    `flock` it is not inherited by data-loading workers, which may outlive a killed run by seconds.

    Raises:
        UserError: another process holds the folder, or another lock of this one.
        OSError: the folder cannot be written.
    """

    NAME = ".lock"
    _held: ClassVar[set[Path]] = set()
    """Folders held by this process, whom its own record locks do not stop."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        if self.folder in self._held:
            raise self._refusal("this very process")
        self._descriptor = os.open(self.folder / self.NAME, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._take()
        except BaseException:
            os.close(self._descriptor)
            raise
        self._released = False
        self._held.add(self.folder)

    def release(self) -> None:
        """Let others have the folder; more than once does no harm."""
        if not self._released:
            self._released = True
            self._held.remove(self.folder)
            os.close(self._descriptor)

    def _take(self) -> None:
        try:
            _lock_exclusively(self._descriptor)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                holder = os.pread(self._descriptor, 1000, 0) if hasattr(os, "pread") else b""
                raise self._refusal(holder.decode(errors="replace").strip() or "another process") from None
            warnings.warn(
                f"{self.folder} lies on a file system without locks ({reason(error)}): start no second run in it.",
                stacklevel=5,
            )
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    def _refusal(self, holder: str) -> UserError:
        return UserError(
            f"A run is going on in {self.folder} ({holder}): wait until it ends or stop it, or choose another folder "
            "with --out."
        )


if sys.platform == "win32":
    import msvcrt

    def _lock_exclusively(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # a byte past the text, which stays readable
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock_exclusively(descriptor: int) -> None:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
