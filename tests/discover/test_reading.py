"""Scores read from losses at a grid of rates: what may and may not change them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from discover.reading import CAP, log_loss, read


def bowl(optimum: float, width: float = 1.0) -> np.ndarray:
    """Log losses of a rule whose best rate lies `optimum` grid steps from the first of six."""
    return -2.0 + width * (np.arange(6) - optimum) ** 2


def test_the_mean_is_of_losses_above_the_optimum_and_failures_stay() -> None:
    losses = np.array([[1.0, 2.0, np.inf], [3.0, 1e30, 1.0]])
    logs = log_loss(losses, np.array([4.0, 5.0]), np.array([0.0, 1.0]))
    assert logs[0] == pytest.approx(math.log((1.0 / 4.0 + 2.0 / 4.0) / 2))
    assert logs[1] == pytest.approx(math.log((2.0 / 4.0 + CAP) / 2))
    assert logs[2] == math.inf


@pytest.mark.parametrize("reading", ["vertex", "smooth"])
def test_where_the_optimum_lies_on_the_grid_does_not_matter(reading: str) -> None:
    reads = [read(bowl(2.5 + shift, 0.1), reading) for shift in (-0.5, -0.2, 0.0, 0.4)]  # type: ignore[arg-type]
    assert all(r is not None for r in reads)
    assert [r.place for r in reads if r] == pytest.approx([2.0, 2.3, 2.5, 2.9], abs=1e-6)
    logs = [r.log for r in reads if r]
    assert max(logs) - min(logs) < 1e-6
    best = [read(bowl(2.5 + shift, 0.1), "best") for shift in (-0.5, 0.0)]
    assert best[0] is not None and best[1] is not None and best[0].log < best[1].log - 0.02


def test_a_lucky_rate_beside_bad_ones_is_not_preferred() -> None:
    steady, lucky = np.full(6, -1.0), np.array([0.0, 0.0, -1.5, 2.0, 2.0, 2.0])
    one, other = read(steady, "smooth"), read(lucky, "smooth")
    assert one is not None and other is not None and one.log < other.log
    found = read(lucky, "best")
    assert found is not None and (found.log, found.point) == (-1.5, 2)


@pytest.mark.parametrize("reading", ["best", "vertex", "smooth"])
def test_only_rates_that_did_not_fail_are_read(reading: str) -> None:
    assert read(np.full(6, np.inf), reading) is None  # type: ignore[arg-type]
    found = read(np.array([np.inf, np.inf, 5.0, np.inf, np.inf, np.inf]), reading)  # type: ignore[arg-type]
    assert found is not None and found.point == 2 and found.log <= math.log(CAP)
    one = read(np.array([-1.0]), reading)  # type: ignore[arg-type]
    assert one is not None and one.log == -1.0
    edges = read(np.array([-1.0, np.inf, np.inf, np.inf, np.inf, -1.0]), reading)  # type: ignore[arg-type]
    assert (edges is None) == (reading == "smooth"), "a rule that works at the edges only has no optimum there"
