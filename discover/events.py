"""What a job tells whoever watches it: plain data, handed to a callback. Nothing in a job depends on the watcher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a job stands. `total` and `seconds_left` are None where the job has no such limit."""

    phase: str
    """What it does now, in a word or two: "search", "final scores"."""
    done: int
    """Units of work done in this phase, such as proposals or programs."""
    total: int | None = None
    unit: str = "proposals"
    seconds_left: float | None = None
    best: float | None = None
    """Best score so far; lower is better."""
    note: str = ""


Events = Callable[[Progress], None]


def ignore(_: Progress) -> None:
    """The callback for when nobody watches."""
