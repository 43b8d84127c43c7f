"""One core for each worker: JAX results depend on the number of threads, and a process that sees one core uses one."""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

from discover.errors import UserError

THREADS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NPROC": "1",  # read by XLA's host thread pools
    "JAX_PLATFORMS": "cpu",
}
EIGEN = "--xla_cpu_multi_thread_eigen=false"


def visible_cores() -> list[int]:
    """The cores that this process may use, in order."""
    return sorted(os.sched_getaffinity(0))


def single_thread_environment(environment: MutableMapping[str, str]) -> None:
    """Ask every numeric library for one thread; pinning alone does not reach those that count the machine's cores."""
    environment.update(THREADS)
    flags = environment.get("XLA_FLAGS", "")
    if EIGEN not in flags:
        environment["XLA_FLAGS"] = f"{flags} {EIGEN}".strip()


def pin_process(core: int) -> None:
    """Pin this process to one core before jax is imported; raises UserError where jax already sees several."""
    if "jax" in sys.modules and len(visible_cores()) > 1:
        raise UserError("in-process scoring must start before jax is imported, or results depend on the machine's cores: use workers")
    single_thread_environment(os.environ)
    for thread in os.listdir("/proc/self/task"):  # sched_setaffinity(0) would pin the calling thread only
        os.sched_setaffinity(int(thread), {core})


class CoreLeases:
    """Cores for the workers of this process, preferring those that no other run of this user has taken."""

    def __init__(self, count: int) -> None:
        self._descriptors: list[int] = []
        cores = visible_cores()
        free = [core for core in cores if len(self._descriptors) < count and self._take(core)]
        rest = [core for core in cores if core not in free]
        order = free + rest
        self.cores = [order[i % len(order)] for i in range(count)]

    def _take(self, core: int) -> bool:
        """Hold a lock named after the core; the kernel gives it back when this process dies."""
        folder = Path(tempfile.gettempdir()) / f"discover-cores-{os.getuid()}"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(folder / str(core), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False  # a courtesy between runs, not a need
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptors.append(descriptor)
        return True

    def release(self) -> None:
        """Give the cores back; may be called twice."""
        while self._descriptors:
            os.close(self._descriptors.pop())
