"""Opening SQLite files under every condition a run folder meets: live, killed, read-only, damaged, full disk."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import weakref
from pathlib import Path
from typing import Any
from urllib.parse import quote

from discover.errors import JobError, UserError

MAGIC = b"SQLite format 3\x00"
BUSY_MS = 10_000


def create(path: Path, schema: str, version: int, insert: str, row: tuple[Any, ...]) -> None:
    """Make the file `path` whole or not at all: it is filled under another name first."""
    unfinished = path.with_suffix(".new")
    try:
        unfinished.unlink(missing_ok=True)
        connection = sqlite3.connect(unfinished, isolation_level=None)
        try:
            connection.executescript(f"BEGIN; {schema} PRAGMA user_version = {version};")
            connection.execute(insert, row)
            connection.execute("COMMIT")
        finally:
            connection.close()
        unfinished.rename(path)
    except (sqlite3.OperationalError, OSError) as error:
        raise JobError(f"cannot write {path}: {error}") from error


def check_header(path: Path) -> None:
    """Raise UserError where the file is not SQLite at all or cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if start != MAGIC:
        raise UserError(f"{path} is damaged: it is not a SQLite file")


def check_version(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Raise UserError where the file is damaged or was written by another version of this program."""
    try:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if found == version else "ok"
    except sqlite3.DatabaseError as error:
        connection.close()
        raise UserError(f"{path} is damaged: {error}") from error
    if found == version and damage == "ok":
        return
    connection.close()
    if found != version:
        raise UserError(f"{path} has format {found}; this version of discover reads format {version}")
    raise UserError(f"{path} is damaged: {' '.join(damage.split())}")


def connect(path: Path, writable: bool) -> sqlite3.Connection:
    """Open a database; raises UserError where it cannot be read and JobError where it cannot be written."""
    if not writable:
        return _connect_readonly(path)
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_MS / 1000)
        connection.execute("PRAGMA journal_mode = WAL")  # readers never block the run, nor the run its readers
        # NORMAL: a kill loses nothing. A power cut may lose the last generations, whole ones, and as each holds the
        # random state that follows it the run then continues from an earlier point to the same result.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection
    except sqlite3.OperationalError as error:
        raise JobError(f"cannot write {path}: {error}; what was committed before is intact") from error
    except sqlite3.DatabaseError as error:
        raise UserError(f"{path} is damaged: {error}") from error


def fold(connection: sqlite3.Connection) -> None:
    """Leave a single file without a write-ahead log, unless a reader is looking at it right now."""
    try:
        connection.execute("PRAGMA busy_timeout = 200")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError:
        return  # the log is complete and will be folded by whoever opens the run for writing next
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")


def _connect_readonly(path: Path) -> sqlite3.Connection:
    """Try a normal read-only connection, then the two ways that need nothing to be written beside the file."""
    try:
        return _probe(_uri(path, "mode=ro"))
    except sqlite3.OperationalError:
        pass  # a log that needs an index file which this folder does not let us make
    except sqlite3.DatabaseError as error:
        raise UserError(f"{path} is damaged: {error}") from error
    log = path.with_name(path.name + "-wal")
    try:
        if not log.exists() or log.stat().st_size == 0:
            return _probe(_uri(path, "mode=ro&immutable=1"))
        return _connect_copy(path, log)
    except (sqlite3.DatabaseError, OSError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def _connect_copy(path: Path, log: Path) -> sqlite3.Connection:
    """Read a killed run in a read-only folder: `immutable` would ignore its log, so both files are copied."""
    folder = Path(tempfile.mkdtemp(prefix="discover-"))
    try:
        for file in (path, log):
            shutil.copyfile(file, folder / file.name)
        connection = _probe(_uri(folder / path.name, "mode=rw"))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(connection, shutil.rmtree, folder, ignore_errors=True)
    return connection


class _Connection(sqlite3.Connection):
    """A connection that can be watched by `weakref.finalize`."""


def _probe(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_MS / 1000, factory=_Connection)
    try:
        connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _uri(path: Path, options: str) -> str:
    return f"file:{quote(str(path.resolve()))}?{options}"
