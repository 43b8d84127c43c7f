"""What search asks of its workers and what it gets back, as data. Imports no jax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

SEARCH_STREAM, HALL_STREAM, TUNE_STREAM, FINAL_STREAM = 0, 1, 2, 3
"""Random streams of a run's seed: no seed that selected a rule is used to report it."""


Reading = Literal["best", "vertex", "smooth"]
"""How a score is read from the losses at a grid of rates; see `discover.reading`."""


@dataclass(frozen=True, slots=True)
class Job:
    """Programs (texts) to train on each task for `steps` steps; `test` asks for test losses besides validation.

    `rounds` of draws, each of the configuration's instances × seeds. `centres` [program][task] multiply the rates; none means 1.
    """

    programs: tuple[str, ...]
    tasks: tuple[str, ...]
    steps: int
    rounds: int
    rates: tuple[float, ...]
    seed: int
    stream: int = SEARCH_STREAM
    test: bool = False
    reading: Reading = "best"
    centres: tuple[tuple[float, ...], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Job:
        """The inverse of `to_json`."""
        tuples = {name: tuple(data[name]) for name in ("programs", "tasks", "rates")}
        return cls(**{**data, **tuples, "centres": tuple(tuple(row) for row in data["centres"])})


@dataclass(frozen=True, slots=True)
class Measured:
    """One program's result. `score` is None with a `reason`; `rates` are the best ones and `losses` [draws], each for a task.

    Losses are at the rate that validation chose: test losses where the job asked for them, else validation losses. `profile` are
    the mean log losses at all rates of all tasks: what tells rules apart that have the same score by chance.
    """

    score: float | None = None
    reason: str = ""
    rates: tuple[float, ...] = ()
    losses: tuple[tuple[float, ...], ...] = ()
    profile: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measured:
        """The inverse of `to_json`."""
        return cls(data["score"], data["reason"], tuple(data["rates"]), tuple(tuple(x) for x in data["losses"]), tuple(data["profile"]))
