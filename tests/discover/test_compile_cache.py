"""The cache of compiled programs is swept of what a killed process left, and reads each entry once."""

from __future__ import annotations

import os
import time
import zlib
from pathlib import Path

import pytest

from discover import compile_cache
from discover.compile_cache import KEEP_DAYS, environment

WHOLE = zlib.compress(b"program" * 1000)
DAY = 86_400.0


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DISCOVER_CACHE", str(tmp_path))
    return tmp_path


def write(folder: Path, name: str, data: bytes, age: float = 0.0) -> Path:
    path = folder / f"{name}-cache"
    path.write_bytes(data)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_entries_cut_short_or_old_are_removed(folder: Path) -> None:
    whole = write(folder, "whole", WHOLE, DAY)
    short = write(folder, "short", WHOLE[:-3], DAY)
    empty = write(folder, "empty", b"", DAY)
    old = write(folder, "old", WHOLE, (KEEP_DAYS + 1) * DAY)
    environment()
    assert whole.exists()
    assert not any(path.exists() for path in (short, empty, old))


def test_entries_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """464 MB of entries took 5 s of processor at every start."""
    write(folder, "whole", WHOLE, DAY)
    environment()
    read: list[Path] = []
    judge = compile_cache._whole
    monkeypatch.setattr(compile_cache, "_whole", lambda entry: read.append(entry) or judge(entry))
    new = write(folder, "new", WHOLE[:-3])
    environment()
    assert read == [new]
    assert not new.exists()


def test_a_folder_that_cannot_be_made_turns_the_cache_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_text("")
    monkeypatch.setenv("DISCOVER_CACHE", str(folder / "file" / "below"))
    assert environment() == {}
