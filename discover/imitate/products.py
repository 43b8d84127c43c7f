"""Search for `factor * (linear combination of columns)`: all factors by one linear relaxation each, the best ones fitted exactly.

The relaxation, averages over a coarse grid of decays with free coefficients, comes close to every linear filter of the gradient, so a
factor is judged by itself, before its numerator is known. Letters: R runs, E elements, T steps, P points, J columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from discover.imitate.fit import FAILED, Fitter, Form
from discover.imitate.signals import Node, shape_of
from discover.imitate.streams import Array

EXACT = 1e-5
"""Relative error at which a form counts as found; float32 rounding of recorded updates lies below."""

ONE: Node = ("one",)
Stop = Callable[[], bool]


@dataclass(frozen=True)
class Scored:
    """A factor and the error of its linear relaxation."""

    factor: Node
    error: float


def times(factor: Node, x: Node) -> Node:
    """The product, without a factor of one; `x / y` where the factor is `1 / y`."""
    if factor == ONE:
        return x
    if factor[0] == "ratio" and factor[1] == 1:
        return ("ratio", x, factor[2])
    return ("mul", factor, x)


class Judge(Protocol):
    """Scores factors before the rest of a form is known."""

    def error(self, factor: Node) -> float:
        """Relative error that the factor leaves."""
        ...


class Relaxation:
    """Scores factors by the error left after the best linear combination of `factor * column`."""

    def __init__(self, fitter: Fitter, columns: Sequence[Node], fixed: Array | None = None) -> None:
        """`fixed: [P, J]` are weighted columns that no factor multiplies."""
        self.fitter = fitter
        weight = fitter.row
        self._base = np.stack([fitter.signals(c) * weight for c in columns], axis=-1)
        self._fixed = fixed

    def error(self, factor: Node) -> float:
        """Relative error of the relaxation of one factor."""
        self.fitter.evaluated += 1
        if factor == ONE:
            a = self._base
        else:
            with np.errstate(all="ignore"):
                a = self._base * self.fitter.signals(factor)[..., None]
        a = a.reshape(-1, self._base.shape[-1])
        if self._fixed is not None:
            a = np.concatenate([a, self._fixed], axis=1)
        if not np.isfinite(a).all():
            return FAILED
        solved = self.fitter.solve_columns(a)
        return FAILED if solved is None else float(np.linalg.norm(solved[1]))


def rank(relaxation: Judge, found: Iterable[Node], keep: int, stop: Stop) -> list[Scored]:
    """The best factor of each structure, best first."""
    best: dict[Node, Scored] = {}
    for factor in found:
        if stop():
            break
        error = relaxation.error(factor)
        if not error < 0.98:
            continue
        key = shape_of(factor)
        if key not in best or error < best[key].error:
            best[key] = Scored(factor, error)
    return sorted(best.values(), key=lambda s: s.error)[:keep]


def numerators(fitter: Fitter, factor: Node, columns: Sequence[Node], most: int, stop: Stop, always: Sequence[Node] = ()) -> Form | None:
    """Forward selection of the fewest columns that reach the target, with all constants refined after each choice."""
    best: Form | None = None
    chosen: tuple[Node, ...] = tuple(always)
    for _ in range(most):
        ranked = _next(fitter, factor, columns, chosen)
        trials = [form for terms in ranked if (form := fitter.refine(terms)) is not None and not stop()]
        if not trials:
            return best
        winner = min(trials, key=lambda form: form.error)
        if best is not None and winner.error > 0.7 * best.error:
            return best
        best, chosen = winner, winner.terms
        if best.error < EXACT:
            return best
    return best


def _next(fitter: Fitter, factor: Node, columns: Sequence[Node], chosen: tuple[Node, ...]) -> list[tuple[Node, ...]]:
    """The best way to add a column, one for each structure of column: constants are fitted afterwards."""
    best: dict[Node, tuple[float, tuple[Node, ...]]] = {}
    for column in columns:
        term = times(factor, column)
        if term in chosen:
            continue
        terms = (*chosen, term)
        error = fitter.error(terms)
        key = shape_of(column)
        if key not in best or error < best[key][0]:
            best[key] = (error, terms)
    ranked = sorted(best.values(), key=lambda pair: pair[0])
    return [terms for error, terms in ranked[:4] if error < FAILED]


def prune(fitter: Fitter, form: Form) -> Form:
    """The form without the terms that contribute nothing."""
    changed = True
    while changed and len(form.terms) > 1:
        changed = False
        for k in range(len(form.terms)):
            rest = fitter.refine(form.terms[:k] + form.terms[k + 1 :])
            if rest is not None and rest.error <= max(1.02 * form.error, 0.3 * EXACT):
                form, changed = replace(rest, outer=form.outer, scale=form.scale, decay=form.decay), True
                break
    return form


def simplify(fitter: Fitter, form: Form) -> Form:
    """The form with parts replaced by their own arguments wherever the error stays."""
    for part in _parts(form.terms):
        for arg in part[1:]:
            if not isinstance(arg, tuple):
                continue
            terms = replaced(form.terms, part, arg)
            limit = max(1.02 * form.error, form.error + 3e-7)
            if terms == form.terms or fitter.error(terms) > max(3 * limit, 1e-3):
                continue
            refined = fitter.refine(terms)
            if refined is not None and refined.error <= limit:
                same = replace(refined, outer=form.outer, scale=form.scale, decay=form.decay)
                return simplify(fitter, same)
    return form


def _parts(terms: Sequence[Node]) -> list[Node]:
    found: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if len(node) > 1:
            found.setdefault(node)
        for arg in node[1:]:
            if isinstance(arg, tuple):
                visit(arg)

    for term in terms:
        visit(term)
    return list(found)


def replaced(terms: tuple[Node, ...], old: Node, new: Node) -> tuple[Node, ...]:
    """Terms with every occurrence of a node replaced."""

    def build(node: Node) -> Node:
        if node == old:
            return new
        return tuple(build(arg) if isinstance(arg, tuple) else arg for arg in node)

    return tuple(build(term) for term in terms)


def inverted(u: Array, undo: Callable[[Array], Array]) -> Array | None:
    """The target behind an outer function; None where too little of it can be undone."""
    with np.errstate(all="ignore"):
        y = undo(u)
        y = np.where(np.abs(y) < 1e30, y, np.nan)
    return y if np.isfinite(y).mean() > 0.5 else None
