"""The run store: one SQLite file a run, the source of truth for resuming and for every report.

A generation's results and the random state that follows them are one transaction, so a run that is killed at any
point continues to the same result as one that was not. State is JSON, never pickle.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from discover import database
from discover.errors import JobError, UserError
from discover.lock import RunLock
from discover.records import CANDIDATE_COLUMNS, EVALUATION_COLUMNS, candidate_row, dump, evaluation_row, record, upsert
from discover.schema import SCHEMA, SCHEMA_VERSION, TRAINED, Candidate, Evaluation, RunInfo

DATABASE = "run.db"
VERSIONED = ("optimizer-discovery", "jax", "jaxlib", "numpy", "optax", "flax", "evosax", "scikit-learn")


class RunStore:
    """A run folder's database, opened; use `create` or `open`, and as a context manager."""

    def __init__(self, folder: Path, connection: sqlite3.Connection, lock: RunLock | None) -> None:
        self.folder = folder
        self._connection = connection
        self._lock = lock
        self._opened = time.monotonic()

    # -- opening and closing ----------------------------------------------------------------------------------------

    @classmethod
    def create(cls, folder: str | Path, kind: str, config: Mapping[str, Any]) -> RunStore:
        """Make a run in `folder` and commit its complete configuration; raises UserError where a run exists already."""
        folder = Path(folder)
        _make_folder(folder)
        lock = RunLock.acquire(folder)
        try:
            path = folder / DATABASE
            if path.exists():
                raise UserError(f"{folder} already holds a run: choose another folder, or continue it with `discover resume {folder}`")
            row = (1, kind, dump(config), dump(_versions()), "running", _now())
            insert = "INSERT INTO run (id, kind, config, versions, status, created) VALUES (?, ?, ?, ?, ?, ?)"
            database.create(path, SCHEMA, SCHEMA_VERSION, insert, row)
            return cls(folder, database.connect(path, writable=True), lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, folder: str | Path, readonly: bool = False) -> RunStore:
        """Open a run; raises UserError where the folder holds none, the file is damaged, or (for writing) the run is live."""
        folder = Path(folder)
        path = folder / DATABASE
        if not path.is_file():
            raise UserError(f"{folder} is not a run folder: it has no {DATABASE}" if folder.exists() else f"no such run folder: {folder}")
        database.check_header(path)
        lock = None if readonly else RunLock.acquire(folder)
        try:
            connection = database.connect(path, writable=not readonly)
            database.check_version(connection, path, SCHEMA_VERSION)
            return cls(folder, connection, lock)
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    def close(self) -> None:
        """Close the database and give up the lock; may be called twice."""
        self._connection.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- writing ----------------------------------------------------------------------------------------------------

    def commit_generation(
        self,
        index: int,
        *,
        candidates: Iterable[Candidate] = (),
        evaluations: Iterable[Evaluation] = (),
        attempts: Mapping[str, int] | None = None,
        state: Any,
    ) -> None:
        """Commit one generation whole: its rows, its outcome counts and the JSON `state` from which the next one follows.

        `attempts` counts proposals by outcome ("trained" or a reject reason), each proposal once. A candidate whose id
        is already stored is updated. Only the newest state is kept. Raises JobError where the disk refuses.
        """
        counts = dict(attempts or {})
        with self._transaction() as connection:
            connection.execute("UPDATE generations SET state = NULL WHERE state IS NOT NULL")
            proposals = sum(counts.values()) + self._proposals_before(index)
            seconds = time.monotonic() - self._opened
            connection.execute("INSERT INTO generations VALUES (?, ?, ?, ?)", (index, proposals, seconds, dump(state)))
            connection.executemany(upsert("candidates", CANDIDATE_COLUMNS, ("id",)), map(candidate_row, candidates))
            connection.executemany(upsert("evaluations", EVALUATION_COLUMNS, ("candidate_id", "rung")), map(evaluation_row, evaluations))
            connection.executemany("INSERT INTO attempts VALUES (?, ?, ?)", [(index, reason, n) for reason, n in counts.items() if n])

    def commit_job(self, number: int, seconds: float, result: Any) -> None:
        """Commit the result (JSON) of one of an evaluation's jobs, whose order does not matter; `seconds` of work."""
        with self._transaction() as connection:
            connection.execute("INSERT INTO jobs VALUES (?, ?, ?)", (number, seconds, dump(result)))

    def set_status(self, status: str) -> None:
        """Record where the run stands ("running", "interrupted", "failed") without ending it."""
        with self._transaction() as connection:
            connection.execute("UPDATE run SET status = ?", (status,))

    def finish(self, status: str, result: Any = None) -> None:
        """Record the end and fold the write-ahead log into `run.db`, so that the run is a single file."""
        with self._transaction() as connection:
            connection.execute("UPDATE run SET status = ?, result = ?, finished = ?", (status, dump(result), _now()))
        database.fold(self._connection)

    def fold(self) -> None:
        """Fold the write-ahead log into `run.db` without ending the run."""
        database.fold(self._connection)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise JobError(f"cannot write {self.folder / DATABASE}: {error}; what was committed before is intact") from error
            raise

    def _proposals_before(self, index: int) -> int:
        row = self._connection.execute("SELECT MAX(number), MAX(proposals) FROM generations").fetchone()
        if row[0] is not None and index <= row[0]:
            raise ValueError(f"generation {index} does not follow {row[0]}")
        return row[1] or 0

    # -- reading ----------------------------------------------------------------------------------------------------

    def _rows(self, query: str, arguments: tuple[Any, ...] = ()) -> list[Any]:
        try:
            return self._connection.execute(query, arguments).fetchall()
        except sqlite3.DatabaseError as error:
            raise UserError(f"{self.folder / DATABASE} is damaged: {error}") from error

    def info(self) -> RunInfo:
        """What the run is and where it stands."""
        rows = self._rows("SELECT kind, config, versions, status, created, finished, result FROM run")
        if not rows:
            raise UserError(f"{self.folder / DATABASE} is damaged: it has no run")
        kind, config, versions, status, created, finished, result = rows[0]
        return RunInfo(kind, json.loads(config), json.loads(versions), status, created, finished, json.loads(result or "null"))

    def config(self) -> dict[str, Any]:
        """The complete configuration, as it was given to `create`."""
        return self.info().config

    def last_generation(self) -> tuple[int, Any] | None:
        """The newest committed generation: its index and state, or None before the first."""
        rows = self._rows("SELECT number, state FROM generations ORDER BY number DESC LIMIT 1")
        return (rows[0][0], json.loads(rows[0][1])) if rows else None

    def jobs(self) -> dict[int, tuple[float, Any]]:
        """Seconds and result of every job that is done, by number."""
        return {n: (seconds, json.loads(result)) for n, seconds, result in self._rows("SELECT * FROM jobs ORDER BY number")}

    def proposals(self) -> int:
        """Proposals made so far, all outcomes."""
        return self._rows("SELECT COALESCE(MAX(proposals), 0) FROM generations")[0][0]

    def attempt_counts(self) -> dict[str, int]:
        """Proposals by outcome over the whole run, most frequent first; the key "trained" is the one success."""
        return dict(self._rows("SELECT reason, SUM(count) FROM attempts GROUP BY reason ORDER BY SUM(count) DESC, reason"))

    def candidates(self, *, generation: int | None = None, status: str | None = None) -> list[Candidate]:
        """Candidates in the order of their ids, all or those of one generation or status."""
        where = "WHERE (?1 IS NULL OR generation = ?1) AND (?2 IS NULL OR status = ?2) ORDER BY id"
        return self._candidates(where, (generation, status))

    def best(self, n: int = 10) -> list[Candidate]:
        """The `n` trained candidates of lowest score; ties go to less state, less cost, then the older."""
        where = "WHERE status = ? AND score IS NOT NULL ORDER BY score, state_bytes, cost, id LIMIT ?"
        return self._candidates(where, (TRAINED, n))

    def lineage(self, candidate_id: int) -> list[Candidate]:
        """A candidate and its ancestors, oldest first."""
        chain = """WHERE id IN (WITH RECURSIVE line (id, parent) AS (
                SELECT id, parent_id FROM candidates WHERE id = ?
                UNION SELECT c.id, c.parent_id FROM candidates c JOIN line ON c.id = line.parent)
            SELECT id FROM line) ORDER BY id"""
        return self._candidates(chain, (candidate_id,))

    def evaluations(self, candidate_id: int) -> list[Evaluation]:
        """All evaluations of a candidate, in order."""
        query = f"SELECT {', '.join(EVALUATION_COLUMNS)} FROM evaluations WHERE candidate_id = ? ORDER BY rung"
        return [Evaluation(**record(EVALUATION_COLUMNS, row)) for row in self._rows(query, (candidate_id,))]

    def _candidates(self, where: str, arguments: tuple[Any, ...]) -> list[Candidate]:
        rows = self._rows(f"SELECT {', '.join(CANDIDATE_COLUMNS)} FROM candidates {where}", arguments)
        return [Candidate(**record(CANDIDATE_COLUMNS, row)) for row in rows]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the run folder {folder}: {error.strerror}") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
