"""Least squares for candidates: linear coefficients are solved exactly inside, the constants of slots are refined around them.

A form is `u = outer(sum of coefficient * term)`, terms are nodes of `signals`. Variable projection (Golub & Pereyra, 1973)
leaves only decays and epsilons to the Gauss-Newton steps. Letters: P points (runs × elements × steps), J terms, K constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from discover.imitate.signals import SLOTS, Node, Signals, constant_sites, with_constants
from discover.imitate.streams import Array

_RIDGE = 1e-13
_MAX_STEP = 1.5
FAILED = 1e3
"""Error of a candidate that is not finite."""

INVERSES: dict[str, Callable[[Array], Array]] = {
    "cbrt": lambda u: u**3,
    "cube": np.cbrt,
    "signed_root": lambda u: u * np.abs(u),
    "signed_square": lambda u: np.sign(u) * np.sqrt(np.abs(u)),
    "tanh": lambda u: np.arctanh(np.where(np.abs(u) < 1 - 3e-6, u, np.nan)),
    "arctan": lambda u: np.tan(np.where(np.abs(u) < 1.57, u, np.nan)),
    "arcsinh": np.sinh,
    "signed_log1p": lambda u: np.sign(u) * np.expm1(np.abs(u)),
}
"""Outer functions, by what undoes them on the target's side; NaN marks points where nothing can be undone."""

OUTER: dict[str, Callable[[Array], Array]] = {
    "identity": lambda x: x,
    "cbrt": np.cbrt,
    "cube": lambda x: x**3,
    "signed_root": lambda x: np.sign(x) * np.sqrt(np.abs(x)),
    "signed_square": lambda x: x * np.abs(x),
    "tanh": np.tanh,
    "arctan": np.arctan,
    "arcsinh": np.arcsinh,
    "signed_log1p": lambda x: np.sign(x) * np.log1p(np.abs(x)),
    "sign": np.sign,
}


@dataclass(frozen=True)
class Form:
    """`scale * outer(sum of coefficients * terms) + decay * w`, with its relative error on the points it was fitted to."""

    terms: tuple[Node, ...]
    coefficients: tuple[float, ...]
    error: float
    outer: str = "identity"
    scale: float = 1.0
    decay: float = 0.0


class Fitter:
    """Fits forms to a target `y: [R, E, T]`; rows are scaled so that every element of every run counts alike."""

    def __init__(self, signals: Signals, y: Array, runs: Sequence[int] | None = None) -> None:
        self.signals = signals
        self.evaluated = 0
        known = np.isfinite(y)
        y = np.where(known, y, 0.0)
        self.row = element_scale(y) * known
        self.y = (y * self.row).ravel()
        self.norm = float(np.linalg.norm(self.y)) or 1.0

    def columns(self, terms: Sequence[Node]) -> Array | None:
        """Weighted values of terms, `[P, J]`; None where one is not finite."""
        with np.errstate(all="ignore"):
            found = [(self.signals(term) * self.row).ravel() for term in terms]
        out = np.stack(found, axis=1)
        return out if np.isfinite(out).all() else None

    def solve(self, terms: Sequence[Node]) -> tuple[Array, Array] | None:
        """Best coefficients `[J]` and residual `[P]`, relative to the target's norm."""
        self.evaluated += 1
        a = self.columns(terms)
        return None if a is None else self.solve_columns(a)

    def solve_columns(self, a: Array) -> tuple[Array, Array] | None:
        """`solve` for weighted columns, `a: [P, J]`."""
        size = np.sqrt(np.einsum("pj,pj->j", a, a))
        if not size.any():
            return None
        size[size == 0] = 1.0
        a = a / size
        gram = a.T @ a
        gram[np.diag_indices_from(gram)] += _RIDGE
        try:
            c = np.linalg.solve(gram, a.T @ self.y)
        except np.linalg.LinAlgError:
            return None
        return c / size, (self.y - a @ c) / self.norm

    def error(self, terms: Sequence[Node]) -> float:
        """Relative error after the best coefficients."""
        solved = self.solve(terms)
        return FAILED if solved is None else float(np.linalg.norm(solved[1]))

    def refine(self, terms: Sequence[Node], rounds: int = 12, tolerance: float = 1e-7) -> Form | None:
        """The form after fitting all constants inside the terms (Levenberg-Marquardt on transformed constants)."""
        root: Node = ("terms", *terms)
        solved = self.solve(terms)
        if solved is None:
            return None
        sites = constant_sites(root)
        x = np.array([to_free(kind, value) for kind, value in sites])
        best = float(np.linalg.norm(solved[1]))
        damping = 1e-3
        for _ in range(rounds if sites else 0):
            if best < tolerance:
                break
            jacobian = self._jacobian(root, sites, x, solved[1])
            if jacobian is None:
                break
            moved = False
            for _ in range(4):
                step = _damped(jacobian, solved[1], damping)
                trial_x = x + np.clip(step, -_MAX_STEP, _MAX_STEP)
                trial = self.solve(_moved(root, sites, trial_x)[1:])
                trial_error = FAILED if trial is None else float(np.linalg.norm(trial[1]))
                if trial is not None and trial_error < best:
                    moved = trial_error < best * (1 - 1e-3)
                    x, solved, best, damping = trial_x, trial, trial_error, damping * 0.2
                    break
                damping *= 8.0
            if not moved:
                break
        final = _moved(root, sites, x)[1:]
        return Form(tuple(final), tuple(float(c) for c in solved[0]), best)

    def _jacobian(self, root: Node, sites: list[tuple[str, float]], x: Array, residual: Array) -> Array | None:
        out = np.empty((residual.size, x.size))
        for k in range(x.size):
            step = 1e-5
            near = x.copy()
            near[k] += step
            solved = self.solve(_moved(root, sites, near)[1:])
            if solved is None:
                return None
            out[:, k] = (solved[1] - residual) / step
        return out


def element_scale(y: Array) -> Array:
    """What to multiply each element's row with, `[R, E, 1]`: one over its size, bounded by its run's."""
    size = np.sqrt(np.square(y).mean(axis=2, keepdims=True))
    run = np.sqrt(np.square(y).mean(axis=(1, 2), keepdims=True))
    size = np.maximum(size, 1e-3 * run)
    return np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)


def _damped(jacobian: Array, residual: Array, damping: float) -> Array:
    normal = jacobian.T @ jacobian
    normal[np.diag_indices_from(normal)] *= 1.0 + damping
    normal[np.diag_indices_from(normal)] += 1e-14
    try:
        return -np.linalg.solve(normal, jacobian.T @ residual)
    except np.linalg.LinAlgError:
        return np.zeros(jacobian.shape[1])


def _moved(root: Node, sites: list[tuple[str, float]], x: Array) -> Node:
    return with_constants(root, tuple(from_free(kind, value) for (kind, _), value in zip(sites, x, strict=True)))


def to_free(kind: str, value: float) -> float:
    """A constant as an unbounded number: decays by the log-odds, positive numbers by the log."""
    if kind == "unit":
        value = min(max(value, 1e-6), 1 - 1e-7)
        return math.log(value / (1.0 - value))
    return math.log(max(value, 1e-30)) if kind == "scale" else value


def from_free(kind: str, x: float) -> float:
    """Inverse of `to_free`."""
    if kind == "unit":
        return 1.0 / (1.0 + math.exp(-min(max(x, -16.0), 16.0)))
    return math.exp(min(max(x, -60.0), 60.0)) if kind == "scale" else float(x)


def is_slot(op: str) -> bool:
    """Whether a node's operation keeps state."""
    return op in SLOTS
