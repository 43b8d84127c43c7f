"""Image sets from local files: `.npz`, the MNIST files (idx, perhaps gzipped) or the CIFAR-10 binary files. Imports no jax.

Letters: N images, S side in pixels, C channels.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from functools import cache
from pathlib import Path

import numpy as np

from tasks import external
from tasks.data import Dataset, Part
from tasks.errors import TaskError

SHAPES = {"fashion_mnist": (28, 1), "cifar10": (32, 3)}
"""Side and channels of each set."""
CLASSES = 10
VALID, TEST = 1_000, 2_000
"""Held-out images that are used: a small task measures often, and a network's activations on all of them would not fit."""
_IDX_TYPE = 0x08  # unsigned bytes


Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""x_train u8[N, S, S, C], y_train u8[N], x_test, y_test, as published."""


@cache
def dataset(name: str, examples: int, pool: int = 1) -> Dataset:
    """A set with its first `examples` training images, averaged over `pool` x `pool` pixels; scaled by each channel's mean and deviation.

    Raises `TaskError` where the set is not there (naming the command that fetches it) or cannot be read.
    """
    x_train, y_train, x_test, y_test = load(name)
    side, channels = SHAPES[name]
    x, last = x_train[:-VALID][:examples], slice(-VALID, None)
    mean, deviation = x.mean(axis=(0, 1, 2)), x.std(axis=(0, 1, 2))
    pixels = (side // pool) ** 2

    def part(x: np.ndarray, y: np.ndarray) -> Part:
        return Part(_pool(x, pool).reshape(len(x), -1), y.astype(np.int32), np.arange(len(y)))

    scaling = tuple(np.tile(values, pixels).astype(np.float32) for values in (mean, np.maximum(deviation, 1.0)))
    valid = part(x_train[last], y_train[last])
    return Dataset(part(x, y_train[:-VALID][:examples]), valid, part(x_test[:TEST], y_test[:TEST]), CLASSES, (scaling[0], scaling[1]))


def _pool(x: np.ndarray, pool: int) -> np.ndarray:
    """Means of blocks of pixels, as bytes; what is left over at the edges is cut off."""
    if pool == 1:
        return x
    side = x.shape[1] // pool
    cut = x[:, : side * pool, : side * pool].reshape(len(x), side, pool, side, pool, x.shape[3])
    return cut.mean(axis=(2, 4)).round().astype(np.uint8)


def load(name: str) -> Arrays:
    """A set by its name. Raises `TaskError` as `dataset` does."""
    return _load(name, external.require(name))


@cache
def _load(name: str, path: Path) -> Arrays:
    try:
        if path.suffix == ".npz":
            parts = _read_npz(path)
        elif path.suffix == ".bin":
            parts = _read_cifar(path.parent)
        else:
            parts = _read_idx_files(path.parent, path.suffix)
        return _checked(name, *parts)
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TaskError(f"data set {name!r}: {path} cannot be read ({reason}); remove it and fetch it again") from error


def _checked(name: str, x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> Arrays:
    """Raise ValueError for arrays that are not this set's."""
    side, channels = SHAPES[name]
    for x, y, least in ((x_train, y_train, VALID + 1), (x_test, y_test, 1)):
        if x.dtype != np.uint8 or x.size % (side * side * channels) or x.shape[0] * side * side * channels != x.size:
            raise ValueError(f"images are {x.dtype}{list(x.shape)}, expected bytes [N, {side}, {side}, {channels}]")
        if y.ndim != 1 or len(y) != len(x) or len(y) < least or not np.issubdtype(y.dtype, np.integer):
            raise ValueError(
                f"labels are {y.dtype}{list(y.shape)} for {len(x)} images, expected a whole number for each of at least {least}"
            )
        if y.min() < 0 or y.max() >= CLASSES:
            raise ValueError(f"labels run from {y.min()} to {y.max()}, expected 0 to {CLASSES - 1}")
    shape = (-1, side, side, channels)
    return (x_train.reshape(shape), y_train.astype(np.uint8), x_test.reshape(shape), y_test.astype(np.uint8))


def _read_npz(path: Path) -> Arrays:
    """Arrays x_train, y_train, x_test, y_test."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:  # NumPy leaves a broken file open
        return arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"]


def _read_idx_files(folder: Path, suffix: str) -> Arrays:
    """The four files of the MNIST family, under their published names."""
    ending = suffix if suffix == ".gz" else ""

    def read(part: str) -> tuple[np.ndarray, np.ndarray]:
        return _read_idx(folder / f"{part}-images-idx3-ubyte{ending}"), _read_idx(folder / f"{part}-labels-idx1-ubyte{ending}")

    return (*read("train"), *read("t10k"))


def _read_idx(path: Path) -> np.ndarray:
    """An idx file: two zero bytes, type, number of axes, lengths as big-endian u32, data."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _IDX_TYPE:
        raise ValueError(f"{path.name} is not an idx file of bytes")
    axes = data[3]
    shape = np.frombuffer(data[4 : 4 + 4 * axes], ">u4").astype(int)
    return np.frombuffer(data[4 + 4 * axes :], np.uint8).reshape(shape)


def _read_cifar(folder: Path) -> Arrays:
    """The binary version of CIFAR-10: records of a label and 3 planes of 32x32 bytes."""

    def read(*names: str) -> tuple[np.ndarray, np.ndarray]:
        records = np.frombuffer(b"".join((folder / name).read_bytes() for name in names), np.uint8).reshape(-1, 3073)
        return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0]

    x_train, y_train = read(*[f"data_batch_{i}.bin" for i in range(1, 6)])
    return (x_train, y_train, *read("test_batch.bin"))
