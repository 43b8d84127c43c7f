"""The noise of rules, written a second time in whole numbers: what docs/language.md promises that every executor draws."""

from __future__ import annotations

import numpy as np

MASK = np.uint64(0xFFFFFFFF)
GOLDEN = np.uint64(0x9E3779B9)


def _hash(x: np.ndarray) -> np.ndarray:
    """lowbias32 on 64-bit numbers that hold 32 bits."""
    x = ((x ^ (x >> np.uint64(16))) * np.uint64(0x7FEB352D)) & MASK
    x = ((x ^ (x >> np.uint64(15))) * np.uint64(0x846CA68B)) & MASK
    return x ^ (x >> np.uint64(16))


def uniform(shape: tuple[int, ...], stream: float, step: int, tensor: int) -> np.ndarray:
    """Float64 numbers in (0, 1) for the elements of a tensor in row-major order."""
    place = np.arange(int(np.prod(shape)), dtype=np.uint64)
    bits = _hash((place * GOLDEN + np.uint64(1)) & MASK)
    for number in (stream, step, tensor):
        bits = _hash(bits ^ ((np.uint64(round(4 * number)) * GOLDEN) & MASK))
    return ((bits >> np.uint64(9)).astype(np.float64) + 0.5).reshape(shape) / 2**23


def normal(shape: tuple[int, ...], stream: float, step: int, tensor: int) -> np.ndarray:
    """Standard normal numbers by Box and Muller, from streams + 1/4 and + 1/2."""
    radius = np.sqrt(-2 * np.log(uniform(shape, stream + 0.25, step, tensor)))
    return radius * np.cos(2 * np.pi * uniform(shape, stream + 0.5, step, tensor))


def rademacher(shape: tuple[int, ...], stream: float, step: int, tensor: int) -> np.ndarray:
    """±1."""
    return np.sign(uniform(shape, stream, step, tensor) - 0.5)


def global_uniform(stream: float, step: int) -> float:
    """One number."""
    return float(uniform((1,), stream, step, 0)[0])
