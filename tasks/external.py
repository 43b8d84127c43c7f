"""Data that is not installed with Python: looked for in a local folder, put there by `discover data NAME`. Imports no jax.

The folder is `DISCOVER_DATA`, else `optimizer-discovery/data` in the user's cache. Tasks never download anything: a training that
waits for a network, or differs with it, could not be repeated.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import TaskError


@dataclass(frozen=True)
class Source:
    """One data set: what it is, the files that may hold it (the first is what `discover data` writes), and where it comes from."""

    title: str
    files: tuple[str, ...]
    origin: str  # empty: only the user can put it there


SOURCES = {
    "fashion_mnist": Source(
        "70,000 grey images of clothes, 28x28, 10 classes (arXiv:1708.07747)",
        ("fashion_mnist.npz", "fashion_mnist/t10k-labels-idx1-ubyte", "fashion_mnist/t10k-labels-idx1-ubyte.gz"),
        "fetch_openml('Fashion-MNIST')",
    ),
    "cifar10": Source(
        "60,000 colour images of things, 32x32, 10 classes (Krizhevsky 2009)",
        ("cifar10.npz", "cifar10/test_batch.bin"),
        "fetch_openml('CIFAR_10')",
    ),
    "newsgroups": Source("18,846 posts to 20 newsgroups, as one text", ("newsgroups.txt",), "fetch_20newsgroups()"),
    "own_text": Source("a text of your own, at least 20,000 bytes", ("text.txt",), ""),
}


def folder() -> Path:
    """Where data sets are kept."""
    chosen = os.environ.get("DISCOVER_DATA")
    if chosen:
        return Path(chosen).absolute()
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "optimizer-discovery" / "data"


def find(name: str) -> Path | None:
    """The file that shows that a data set is there."""
    places = (folder() / file for file in SOURCES[name].files)
    return next((path for path in places if path.is_file()), None)


def require(name: str) -> Path:
    """The same, or `TaskError` with the command that would get it."""
    path = find(name)
    if path is not None:
        return path
    source = SOURCES[name]
    how = f"fetch it with `discover data {name}`, or put" if source.origin else "put"
    raise TaskError(f"data set {name!r} is not in {folder()}: {how} {' or '.join(source.files)} there (DISCOVER_DATA names another folder)")
