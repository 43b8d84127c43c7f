"""Real data that ships with scikit-learn, split once and for all, standardised with the training part's statistics."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

_LIMIT = 5.0  # standard deviations; pixels that are almost always blank would otherwise reach 40


@dataclass(frozen=True, eq=False)
class Part:
    """One part of a data set: inputs f32[N, D] (or bytes) and labels i32[N]. `row` numbers the examples in the source's order."""

    x: np.ndarray
    y: np.ndarray
    row: np.ndarray  # i64[N]

    @property
    def size(self) -> int:
        return len(self.y)


@dataclass(frozen=True, eq=False)
class Dataset:
    """The three parts, which have no example in common, and the number of classes.

    `scaling` is the mean and the deviation, f32[D], of inputs that are kept as bytes and scaled when they are drawn.
    """

    train: Part
    valid: Part
    test: Part
    classes: int
    scaling: tuple[np.ndarray, np.ndarray] | None = None

    def part(self, split: str) -> Part:
        """The part called "train", "valid" or "test"."""
        if split not in ("train", "valid", "test"):
            raise ValueError(f'split is {split!r}, allowed: "train", "valid", "test"')
        return getattr(self, split)


@cache
def digits() -> Dataset:
    """8x8 images of handwritten digits, 64 inputs, 10 classes: 1181 + 256 + 360 examples.

    Source: scikit-learn's `load_digits`, the test set of UCI "Optical Recognition of Handwritten Digits".
    """
    x, y = _digits()
    return _split(x, y, valid=256, test=360)


@cache
def pooled_digits() -> Dataset:
    """The digits averaged over blocks of 2x4 pixels: 8 inputs. Labels are still the 10 digits."""
    x, y = _digits()
    blocks = x.reshape(-1, 4, 2, 2, 4).mean(axis=(2, 4))
    return _split(blocks.reshape(-1, 8), y, valid=256, test=360)


@cache
def breast_cancer() -> Dataset:
    """30 measurements of cell nuclei, 2 classes: 341 + 114 + 114 examples (scikit-learn's `load_breast_cancer`)."""
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    return _split(np.asarray(x), np.asarray(y), valid=114, test=114)


@cache
def wine() -> Dataset:
    """13 measurements of wines, 3 cultivars: 106 + 36 + 36 examples (scikit-learn's `load_wine`)."""
    from sklearn.datasets import load_wine

    x, y = load_wine(return_X_y=True)
    return _split(np.asarray(x), np.asarray(y), valid=36, test=36)


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels from 0 to 16 and labels, read from scikit-learn's file: to import the library takes most of a second."""
    found = find_spec("sklearn")
    assert found is not None and found.origin is not None
    with gzip.open(Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz") as lines:
        table = np.loadtxt(lines, delimiter=",")
    return table[:, :-1], table[:, -1].astype(np.int64)


def _split(x: np.ndarray, y: np.ndarray, *, valid: int, test: int) -> Dataset:
    """Shuffle by a fixed seed, cut, and scale every part by the mean and deviation of the training part."""
    order = np.random.default_rng(0).permutation(len(y))
    rows = {"test": order[:test], "valid": order[test : test + valid], "train": order[test + valid :]}
    mean, deviation = x[rows["train"]].mean(axis=0), x[rows["train"]].std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)  # constant inputs become 0

    def part(name: str) -> Part:
        scaled = np.clip((x[rows[name]] - mean) / deviation, -_LIMIT, _LIMIT)
        return Part(scaled.astype(np.float32), y[rows[name]].astype(np.int32), rows[name])

    return Dataset(part("train"), part("valid"), part("test"), int(y.max()) + 1)
