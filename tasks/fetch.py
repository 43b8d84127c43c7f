"""Downloads through scikit-learn, for `discover data`: a data set becomes one file in the data folder, or `TaskError`."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tasks import external
from tasks.errors import TaskError
from tasks.images import Arrays

_OPENML = {"fashion_mnist": ("Fashion-MNIST", 1, 60_000), "cifar10": ("CIFAR_10", 1, 50_000)}
"""Name and version there, and how many of the images are for training."""


def fetch(name: str) -> Path:
    """Download a data set and write it into the data folder, whole or not at all; returns the file."""
    path = external.folder() / external.SOURCES[name].files[0]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{os.getpid()}-{path.name}")
        try:
            _write(name, part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except (OSError, ValueError, RuntimeError) as error:  # no network, no such set, no space
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TaskError(f"cannot fetch {name!r} into {path.parent}: {reason}; or put the file there by hand") from error
    return path


def _write(name: str, path: Path) -> None:
    if name in _OPENML:
        x_train, y_train, x_test, y_test = _images(name)
        with path.open("wb") as file:
            np.savez_compressed(file, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    else:
        path.write_text(_newsgroups(), encoding="utf-8")


def _images(name: str) -> Arrays:
    """Images and labels in the published order, in which those for training are first."""
    from sklearn.datasets import fetch_openml

    title, version, training = _OPENML[name]
    # the other parser needs pandas; our own file is the cache; retries warn and wait
    options = {"return_X_y": True, "as_frame": False, "parser": "liac-arff", "cache": False, "n_retries": 0}
    pixels, labels = fetch_openml(title, version=version, **options)
    x, y = np.asarray(pixels).astype(np.uint8), np.asarray(labels).astype(np.uint8)
    if name == "cifar10":
        x = x.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # planes of colour to pixels
    return x[:training], y[:training], x[training:], y[training:]


def _newsgroups() -> str:
    from sklearn.datasets import fetch_20newsgroups

    with TemporaryDirectory() as folder:
        return "\n\n".join(fetch_20newsgroups(data_home=folder, subset="all", return_X_y=True, n_retries=0)[0])
