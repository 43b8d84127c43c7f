"""Equations solved as they come agree with dense linear algebra."""

from __future__ import annotations

import numpy as np
import pytest

from search_space.equations import Equations


@pytest.mark.parametrize("seed", range(30))
def test_equal_to_dense_linear_algebra(seed: int) -> None:
    rng = np.random.default_rng(seed)
    unknowns, count = 6, int(rng.integers(2, 9))
    a = rng.integers(-2, 3, size=(count, unknowns)) * (rng.random((count, unknowns)) < 0.4)
    b = a @ rng.integers(-2, 3, size=unknowns)
    equations = Equations()
    for row, value in zip(a, b, strict=True):
        equations.add({i: float(x) for i, x in enumerate(row) if x}, float(value), "never")
    assert equations.broken == ""
    rank = np.linalg.matrix_rank(a)
    solution = np.linalg.lstsq(a, b, rcond=None)[0]
    for i in range(unknowns):
        determined = np.linalg.matrix_rank(np.vstack([a, np.eye(unknowns)[i]])) == rank
        assert equations.value(i) == (pytest.approx(solution[i]) if determined else None)


def test_the_first_contradiction_is_named() -> None:
    equations = Equations()
    equations.add({0: 1.0, 1: -1.0}, 0.0, "equal")
    equations.add({0: 1.0}, 2.0, "two")
    equations.add({1: 3.0}, 6.0, "consistent")
    assert equations.broken == "" and equations.value(1) == 2.0
    equations.add({1: 1.0}, 1.0, "one")
    equations.add({0: 1.0}, 5.0, "later")
    assert equations.broken == "one"
