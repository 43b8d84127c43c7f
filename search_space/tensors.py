"""How one parameter tensor looks to a rule: its matrix view and its constants."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

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


def kind_shape(kind: Kind, shape: Sequence[int]) -> tuple[int, int]:
    """Shape of a value of this kind in the matrix view."""
    rows, cols = view_shape(shape)
    return {"full": (rows, cols), "row": (rows, 1), "col": (1, cols)}.get(kind, (1, 1))


def stored_shape(kind: Kind, shape: Sequence[int]) -> tuple[int, ...]:
    """Shape of a slot as users see it in an optimizer state: the parameter's own for `full`, a vector for rows and columns."""
    rows, cols = view_shape(shape)
    return {"full": tuple(shape), "row": (rows,), "col": (cols,)}.get(kind, ())


def hyper_values(program_hypers: Sequence[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults overridden by `given`. Raises `TypeError` for a name the rule does not declare."""
    known = {h.name: h.default for h in program_hypers}
    for name in given:
        if name not in known:
            raise TypeError(f"unknown hyperparameter '{name}'; allowed: {', '.join(known) or 'none'}")
    return {**known, **given}
