"""The parent's view of one worker process."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

from discover.cores import single_thread_environment
from discover.worker import BOOT

PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


class Worker:
    """A worker process: starting, then idle or busy with `job`, until it is killed or dies."""

    def __init__(self, slot: int, core: int, initializer: str | None, config: Any, environment: dict[str, str]) -> None:
        self.slot = slot
        self.starting = True
        self.job: int | None = None
        self._since = time.monotonic()
        ours, theirs = socket.socketpair()
        arguments = {
            "core": core,
            "parent": os.getpid(),
            "descriptor": theirs.fileno(),
            "initializer": initializer,
            # The worker sees the modules that we see, the user's own folder included; "" means the folder we are in.
            "path": [entry or os.getcwd() for entry in sys.path],
        }
        child_environment = {**os.environ, **environment}
        single_thread_environment(child_environment)
        self._process = subprocess.Popen(
            [sys.executable, "-c", BOOT, json.dumps(arguments)],
            env=child_environment,
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=2,  # what a user's task prints must not end up in our answer
            process_group=0,  # Ctrl-C reaches the parent only, from the first instruction on
        )
        theirs.close()
        self.connection = Connection(ours.detach())
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died at once: `receive` will say so
            self.connection.send(config)

    @property
    def idle(self) -> bool:
        """Ready for a job."""
        return not self.starting and self.job is None

    def send(self, job: int, function: str, payload: Any) -> bool:
        """Give it a job; False where the process is gone."""
        try:
            self.connection.send((function, payload))
        except (BrokenPipeError, ConnectionResetError):
            return False
        self.job = job
        self._since = time.monotonic()
        return True

    def receive(self) -> tuple[str, Any, float] | None:
        """Its answer, or None where it died before giving one."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return None

    def busy_seconds(self) -> float:
        """How long it has been at the present job, or starting."""
        return time.monotonic() - self._since

    def memory_mb(self) -> float:
        """Resident memory in MiB; 0 where the process is gone."""
        try:
            with open(f"/proc/{self._process.pid}/statm", encoding="ascii") as file:
                return int(file.read().split()[1]) * PAGE_MB
        except (OSError, IndexError):
            return 0.0

    def epitaph(self) -> str:
        """How the process ended, in words."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "the worker closed its pipe"
        return f"the worker was killed by signal {-code}" if code < 0 else f"the worker exited with code {code}"

    def kill(self) -> None:
        """End the process now; may be called twice."""
        self.connection.close()
        self._process.kill()
        self._process.wait()
