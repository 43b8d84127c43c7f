"""A lock that says "this run is live"; the kernel releases it when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from discover.errors import UserError

LOCK = "run.lock"


class RunLock:
    """The exclusive right to write to a run folder."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, folder: Path) -> RunLock:
        """Take the lock; raises UserError where another process holds it or the folder cannot be written."""
        path = folder / LOCK
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            hint = f"`discover show {folder}` can still read it"
            raise UserError(f"cannot write to the run folder {folder}: {error.strerror}; {hint}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise UserError(f"the run in {folder} is live (process {holder or 'unknown'}): wait for it or stop it first") from None
        except OSError as error:
            os.close(descriptor)
            raise UserError(f"cannot lock the run folder {folder}: {error.strerror}") from error
        _write_pid(descriptor)
        return cls(descriptor)

    def release(self) -> None:
        """Give the lock up; may be called twice. The file stays: removing it would race with the next holder."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _write_pid(descriptor: int) -> None:
    """Name the holder for the message above; a full disk must not stop a run from opening."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
    except OSError:
        return
