"""What a run folder's database holds: its tables as SQL and its rows as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEMA_VERSION = 1
TRAINED = "trained"
"""The outcome of a proposal that was trained in full; every other outcome is a reject reason."""

SCHEMA = """
CREATE TABLE run (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    kind TEXT NOT NULL, config TEXT NOT NULL, versions TEXT NOT NULL,
    status TEXT NOT NULL, created TEXT NOT NULL, finished TEXT, result TEXT
) STRICT;
CREATE TABLE candidates (
    id INTEGER PRIMARY KEY,
    parent_id INTEGER REFERENCES candidates (id) DEFERRABLE INITIALLY DEFERRED,
    generation INTEGER NOT NULL, origin TEXT NOT NULL, text TEXT NOT NULL,
    exact_key TEXT NOT NULL, real_key TEXT NOT NULL,
    status TEXT NOT NULL, reason TEXT NOT NULL,
    score REAL, state_bytes REAL, cost REAL, detail TEXT NOT NULL
) STRICT;
CREATE INDEX candidates_by_score ON candidates (status, score);
CREATE INDEX candidates_by_generation ON candidates (generation);
CREATE TABLE evaluations (
    candidate_id INTEGER NOT NULL REFERENCES candidates (id) DEFERRABLE INITIALLY DEFERRED,
    rung INTEGER NOT NULL, steps INTEGER NOT NULL, score REAL, detail TEXT NOT NULL,
    PRIMARY KEY (candidate_id, rung)
) STRICT;
CREATE TABLE attempts (
    generation INTEGER NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (generation, reason)
) STRICT;
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, seconds REAL NOT NULL, result TEXT NOT NULL
) STRICT;
CREATE TABLE generations (
    number INTEGER PRIMARY KEY, proposals INTEGER NOT NULL, seconds REAL NOT NULL, state TEXT
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule that was worth keeping a row for; lower `score` is better, None where it was never measured.

    `status` is "trained" (scored in full, may be best), "rejected" or "audited" (trained only to check the filters).
    """

    id: int
    text: str
    generation: int
    parent_id: int | None = None
    origin: str = "start"
    exact_key: str = ""
    real_key: str = ""
    status: str = TRAINED
    reason: str = ""
    score: float | None = None
    state_bytes: float | None = None
    """Bytes of state for each parameter."""
    cost: float | None = None
    """Arithmetic operations for each parameter and step."""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One training of a candidate: `rung` numbers its evaluations from 0, `steps` is the training length."""

    candidate_id: int
    rung: int
    steps: int
    score: float | None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run is: `status` is "running", "interrupted", "finished" or "failed"; times are UTC, ISO 8601."""

    kind: str
    config: dict[str, Any]
    versions: dict[str, str]
    status: str
    created: str
    finished: str | None
    result: Any
