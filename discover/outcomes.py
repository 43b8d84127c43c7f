"""What becomes of jobs: outcomes, limits, and the bookkeeping of one `map`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Reason = Literal["ok", "error", "timeout", "memory", "crash"]
CRASHES_ALLOWED = 1
"""A worker may be killed from outside (by the kernel, out of memory), so a job whose worker dies gets a second chance."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one job: `value` where `reason` is "ok", else `message` says in one line what happened."""

    reason: Reason
    value: Any = None
    message: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Hard limits: seconds for each job, MiB of resident memory for each worker, seconds for a worker to start."""

    seconds: float | None = None
    memory_mb: float | None = None
    start_seconds: float = 300.0


class Batch:
    """The jobs of one `map`: which wait, which ended and how."""

    def __init__(self, function: str, payloads: Sequence[Any], on_done: Callable[[int, Outcome], None] | None) -> None:
        self.function = function
        self.payloads = payloads
        self.queue = deque(range(len(payloads)))
        self.open = len(payloads)
        self._crashes = [0] * len(payloads)
        self._outcomes: list[Outcome | None] = [None] * len(payloads)
        self._on_done = on_done

    def end(self, job: int, outcome: Outcome) -> None:
        """Record how a job ended."""
        self._outcomes[job] = outcome
        self.open -= 1
        if self._on_done is not None:
            self._on_done(job, outcome)

    def crashed(self, job: int, epitaph: str) -> None:
        """A job's worker died: try the job once more, then give it up."""
        self._crashes[job] += 1
        if self._crashes[job] > CRASHES_ALLOWED:
            self.end(job, Outcome("crash", message=epitaph))
        else:
            self.queue.appendleft(job)

    def outcomes(self) -> list[Outcome]:
        """All outcomes, in order."""
        return [outcome for outcome in self._outcomes if outcome is not None]
