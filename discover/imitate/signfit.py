"""Sign-valued targets: the linear form inside the sign, learned from the side of zero on which each point lies.

A squared hinge on row-normalised columns is driven to zero while its margin shrinks, so that the constants end where no point lies on
the wrong side. Letters: R runs, E elements, T steps, P points, J terms, K constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from discover.imitate.fit import FAILED, Form, from_free, to_free
from discover.imitate.products import Stop
from discover.imitate.signals import G, Node, Signals, constant_sites, shape_of, with_constants
from discover.imitate.streams import Array

_MARGINS = (0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3)
_FINE_MARGINS = (1e-3, 3e-4, 1e-4, 3e-5, 1e-5)


class SignFitter:
    """Fits `sign(sum of coefficient * term)` to sides `y: [R, E, T]` in -1, 0, 1; points with y = 0 only count as flips, NaN not at all."""

    def __init__(self, signals: Signals, y: Array) -> None:
        self.signals = signals
        self.known = np.isfinite(y).ravel()
        self.y = np.where(self.known, np.rint(y).ravel(), 0.0)
        self.evaluated = 0
        # Distance from zero is measured against the recent size of the gradient, so that a lone term has a margin too.
        self._floor = signals(("ema", ("abs", G), 0.9)).ravel()

    def values(self, terms: Sequence[Node], keep: Array | None = None) -> Array:
        """Terms at points, `[P, J]`, each point scaled by its largest term."""
        a = np.stack([self.signals(term).ravel() for term in terms], axis=1)
        return a if keep is None else a[keep]

    def flips(self, terms: Sequence[Node], coefficients: Sequence[float] | Array) -> float:
        """Share of points on the wrong side."""
        self.evaluated += 1
        f = sum((c * self.signals(term) for term, c in zip(terms, coefficients, strict=True)), start=np.zeros(1)).ravel()
        return float(np.mean((np.sign(f) != self.y)[self.known])) if np.isfinite(f).all() else FAILED

    def fit(self, terms: Sequence[Node], coefficients: Sequence[float] | Array | None = None) -> Form | None:
        """The form with constants and coefficients fitted; `error` is its share of flips."""
        root: Node = ("terms", *terms)
        sites = constant_sites(root)
        fine = coefficients is not None
        c = np.array(coefficients if coefficients is not None else self._start(terms))
        c = c / np.linalg.norm(c)
        x = np.concatenate([[to_free(kind, value) for kind, value in sites], c])
        best = (self.flips(terms, c), terms, c)
        for margin in _FINE_MARGINS if fine else _MARGINS:
            x = self._descend(root, sites, x, margin)
            now = _at(root, sites, x)
            flips = self.flips(now, x[len(sites) :])
            if flips < best[0] or (flips == best[0] and fine):
                best = (flips, now, x[len(sites) :].copy())
            if best[0] == 0 and not fine:
                break
        return Form(tuple(best[1]), tuple(float(v) for v in best[2]), best[0], outer="sign")

    def _start(self, terms: Sequence[Node]) -> Array:
        """Coefficients by least squares on row-normalised terms."""
        a = self.values(terms)
        a = a / np.maximum(np.abs(a).max(axis=1, keepdims=True), 1e-30)
        c = np.linalg.lstsq(a, self.y, rcond=None)[0]
        return c if np.linalg.norm(c) > 0 else np.ones(len(terms))

    def _descend(self, root: Node, sites: list[tuple[str, float]], x: Array, margin: float, rounds: int = 6) -> Array:
        """Damped Gauss-Newton steps on max(0, margin - y f) at the points within reach of the margin."""
        f, scale = self._form(root, sites, x)
        near = (self.y != 0) & (self.y * f < 6.0 * margin * scale)
        if not near.any():
            return x
        y, scale = self.y[near], scale[near]
        residual = np.maximum(0.0, margin - y * f[near] / scale)
        cost, damping = float(residual @ residual), 1e-3
        for _ in range(rounds):
            if cost <= 1e-12 * margin**2:
                break
            jacobian = np.empty((residual.size, x.size))
            for k in range(x.size):
                moved = x.copy()
                moved[k] += 1e-5
                jacobian[:, k] = (np.maximum(0.0, margin - y * self._form(root, sites, moved)[0][near] / scale) - residual) / 1e-5
            normal = jacobian.T @ jacobian
            step = -np.linalg.solve(normal + (damping * np.trace(normal) + 1e-12) * np.eye(x.size), jacobian.T @ residual)
            trial = x + np.clip(step, -1.0, 1.0)
            trial[len(sites) :] /= max(float(np.linalg.norm(trial[len(sites) :])), 1e-12)
            trial_residual = np.maximum(0.0, margin - y * self._form(root, sites, trial)[0][near] / scale)
            trial_cost = float(trial_residual @ trial_residual)
            if trial_cost < cost:
                x, residual, cost, damping = trial, trial_residual, trial_cost, damping * 0.2
            else:
                damping *= 10.0
        return x

    def _form(self, root: Node, sites: list[tuple[str, float]], x: Array) -> tuple[Array, Array]:
        """Value of the form and the size of its terms at all points."""
        self.evaluated += 1
        f = np.zeros(self.y.size)
        scale = self._floor.copy()
        for term, c in zip(_at(root, sites, x), x[len(sites) :], strict=True):
            part = c * self.signals(term).ravel()
            f += part
            scale += np.abs(part)
        return f, np.maximum(scale, 1e-30)


def _at(root: Node, sites: list[tuple[str, float]], x: Array) -> tuple[Node, ...]:
    values = tuple(from_free(kind, value) for (kind, _), value in zip(sites, x, strict=False))
    return with_constants(root, values)[1:]


def sign_forms(fitter: SignFitter, columns: Sequence[Node], stop: Stop, most: int = 3, enough: float = 3e-4) -> list[Form]:
    """Forms with the fewest terms that put nearly all points on their side; the best few otherwise."""
    structures: dict[Node, list[Node]] = {}
    for column in columns:
        structures.setdefault(shape_of(column), []).append(column)
    families = [list(_spread(members)) for members in structures.values()]
    found: list[Form] = []
    for size in range(1, most + 1):
        for terms in _choices(families, size):
            if stop():
                break
            form = fitter.fit(terms)
            if form is not None:
                found.append(form)
        found.sort(key=lambda form: form.error)
        if found and found[0].error <= enough:
            return [form for form in found if form.error <= enough][:5]
    return found[:4]


def _spread(members: list[Node]) -> list[Node]:
    """Members of a family that fits start from: fast, middling and slow."""
    return members if len(members) <= 3 else [members[1], members[len(members) // 2], members[-2]]


def _choices(families: Sequence[Sequence[Node]], size: int) -> list[tuple[Node, ...]]:
    flat = [(k, member) for k, family in enumerate(families) for member in family]
    return [tuple(member for _, member in pick) for pick in combinations(flat, size)]
