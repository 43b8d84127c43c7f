"""Sparse linear equations, solved as they come: says which one contradicts those before it, and which unknowns are determined."""

from __future__ import annotations

from collections.abc import Mapping

_ZERO, _TOLERANCE = 1e-9, 1e-6
"""Below the first a coefficient is rounding, below the second a difference of values is."""


class Equations:
    """Gauss–Jordan elimination over unknowns that are numbered; `broken` is the reason given with the first contradiction, else ""."""

    def __init__(self) -> None:
        self.broken = ""
        self._solved: dict[int, tuple[dict[int, float], float]] = {}  # x = value − Σ factor · other unknowns, which are free

    def add(self, terms: Mapping[int, float], value: float, why: str) -> None:
        """Σ factor · unknown = value. Does nothing after a contradiction."""
        if self.broken:
            return
        row: dict[int, float] = {}
        for unknown, factor in terms.items():
            solved = self._solved.get(unknown)
            if solved is None:
                _plus(row, unknown, factor)
            else:
                value -= factor * solved[1]
                for other, share in solved[0].items():
                    _plus(row, other, -factor * share)
        if not row:
            self.broken = why if abs(value) > _TOLERANCE else ""
            return
        pivot = max(row, key=lambda unknown: (abs(row[unknown]), unknown))
        scale = row.pop(pivot)
        self._substitute(pivot, {u: f / scale for u, f in row.items()}, value / scale)

    def value(self, unknown: int) -> float | None:
        """The unknown's value; None if it is not determined."""
        solved = self._solved.get(unknown)
        return None if solved is None or solved[0] else solved[1]

    def _substitute(self, pivot: int, row: dict[int, float], value: float) -> None:
        """Solve for the pivot, in the rows that hold it too."""
        for unknown, (terms, known) in self._solved.items():
            factor = terms.pop(pivot, None)
            if factor is not None:
                for other, share in row.items():
                    _plus(terms, other, -factor * share)
                self._solved[unknown] = (terms, known - factor * value)
        self._solved[pivot] = (row, value)


def _plus(row: dict[int, float], unknown: int, factor: float) -> None:
    total = row.get(unknown, 0.0) + factor
    if abs(total) > _ZERO:
        row[unknown] = total
    else:
        row.pop(unknown, None)
