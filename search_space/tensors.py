"""How one parameter tensor looks to a rule: its matrix view and its constants."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from search_space.program import Kind


def view_shape(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of the matrix view: the last axis is columns, the others are rows; a scalar is 1 × 1."""
    if not shape:
        return 1, 1
    return math.prod(shape[:-1]), shape[-1]


def tensor_constants(shape: Sequence[int]) -> dict[str, float]:
    """`numel fan_in fan_out ndim` of a tensor."""
    rows, cols = view_shape(shape)
    return {"numel": float(rows * cols), "fan_in": float(rows), "fan_out": float(cols), "ndim": float(len(shape))}


def kind_shape(kind: Kind, shape: Sequence[int], depth: int = 0) -> tuple[int, ...]:
    """Shape of a value of this kind in the matrix view; a history has its depth in front."""
    rows, cols = view_shape(shape)
    known = {"full": (rows, cols), "row": (rows, 1), "col": (1, cols), "left": (rows, rows), "right": (cols, cols)}
    return (depth, rows, cols) if kind == "history" else known.get(kind, (1, 1))


def stored_shape(kind: Kind, shape: Sequence[int], depth: int = 0) -> tuple[int, ...]:
    """Shape of a slot as users see it in an optimizer state: the parameter's own for `full`, a vector for rows and columns."""
    rows, cols = view_shape(shape)
    known = {"full": tuple(shape), "row": (rows,), "col": (cols,), "left": (rows, rows), "right": (cols, cols)}
    return (depth, *shape) if kind == "history" else known.get(kind, ())


def start_value(xp: Any, init: Any, kind: Kind, shape: Sequence[int], depth: int = 0) -> Any:
    """A slot before the first step, in its stored shape; float32. `first(...)` starts as zeros and is replaced at step 1."""
    stored = stored_shape(kind, shape, depth)
    if init == "identity":
        return xp.eye(stored[0], dtype=xp.float32)
    return xp.full(stored, 1.0 if init == "ones" else 0.0, xp.float32)


def positions(shape: Sequence[int], index: int) -> dict[str, Any]:
    """`tensor_index row_index col_index` of a tensor in the matrix view, as NumPy arrays."""
    rows, cols = view_shape(shape)
    return {
        "tensor_index": np.full((1, 1), index, np.float32),
        "row_index": np.arange(rows, dtype=np.float32)[:, None],
        "col_index": np.arange(cols, dtype=np.float32)[None, :],
    }


def hyper_values(program_hypers: Sequence[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults overridden by `given`. Raises `TypeError` for a name the rule does not declare."""
    known = {h.name: h.default for h in program_hypers}
    for name in given:
        if name not in known:
            raise TypeError(f"unknown hyperparameter '{name}'; allowed: {', '.join(known) or 'none'}")
    for hyper in program_hypers:
        if isinstance(value := given.get(hyper.name), int | float | np.number):
            check_range(hyper.name, hyper.prior, float(value))
    return {**known, **given}


def check_range(name: str, prior: str, value: float) -> None:
    """Raise `ValueError` for a number outside of its prior's range."""
    if not math.isfinite(value):
        raise ValueError(f"hyperparameter '{name}' must be finite, got {value!r}")
    if prior == "unit" and not 0 <= value <= 1:
        raise ValueError(f"hyperparameter '{name}' lies in [0, 1], got {value!r}")
    if prior == "scale" and value < 0:
        raise ValueError(f"hyperparameter '{name}' must not be negative, got {value!r}")
