"""Compiled programs kept between processes: a worker then starts in seconds instead of compiling for half a minute.

JAX writes entries without locks or renames. A half-written one is recompiled with a warning but never replaced, so such entries are
removed here before workers start; each is read once, since reading hundreds of megabytes takes seconds. The folder is named after
everything that machine code depends on and JAX's own key may miss. `DISCOVER_CACHE` names another folder; set but empty, it turns the
cache off.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
import zlib
from importlib import metadata
from pathlib import Path

KEEP_DAYS = 30.0
WORTH_SECONDS = "0.5"
"""Compilations shorter than this are not kept."""
ZLIB = b"\x78"
SWEPT = "swept"
"""A file as old as the last sweep: entries that are older were whole then."""
SLACK = 5.0
"""Seconds by which the clocks of files and of processes may differ."""


def environment() -> dict[str, str]:
    """Environment variables that make JAX use the cache; empty where there is none."""
    folder = _folder()
    if folder is None:
        return {}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(folder)
    except OSError:
        return {}  # a home that cannot be written costs time, not the job
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": WORTH_SECONDS,
        "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",
    }


def _folder() -> Path | None:
    chosen = os.environ.get("DISCOVER_CACHE")
    if chosen is not None:
        return Path(chosen).absolute() if chosen else None
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "optimizer-discovery" / f"compiled-{_machine()}"


def _machine() -> str:
    """A short name for this processor and these versions."""
    parts = [sys.version, metadata.version("jax"), metadata.version("jaxlib")]
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        parts += sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))})
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _sweep(folder: Path) -> None:
    """Remove entries that are old, or cut short since the last sweep."""
    now = time.time()
    stamp = folder / SWEPT
    seen = stamp.stat().st_mtime - SLACK if stamp.exists() else 0.0
    for entry in folder.glob("*-cache"):
        with contextlib.suppress(FileNotFoundError):
            changed = entry.stat().st_mtime
            if changed < now - KEEP_DAYS * 86_400 or (changed >= seen and not _whole(entry)):
                entry.unlink()
    stamp.touch()
    os.utime(stamp, (now, now))


def _whole(entry: Path) -> bool:
    data = entry.read_bytes()
    if not data.startswith(ZLIB):
        return bool(data)  # another compression, which only JAX can judge
    stream = zlib.decompressobj()
    try:
        stream.decompress(data)
    except zlib.error:
        return False
    return stream.eof
