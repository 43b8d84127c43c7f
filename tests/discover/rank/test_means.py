"""Averages against hand-made cells: failures, never, missing, medians."""

from __future__ import annotations

import numpy as np
import pytest

from discover.rank.cells import NEVER, median_ratio
from discover.rank.means import cost_ratio, mean, steps_ratio
from tests.discover.rank.made import duplicated, results


def test_mean_counts_every_task_once_however_many_seeds_are_there() -> None:
    of = results([[[1.0, 0.0], [0.5, np.nan]], [[0.2, 0.4], [np.nan, np.nan]]])
    np.testing.assert_allclose(mean(of), [0.5, 0.3])


def test_ratios_are_geometric_and_never_is_capped() -> None:
    of = results(np.ones((3, 2)), [[0.5, 2.0], [np.inf, 1.0], [100.0, NEVER]])
    np.testing.assert_allclose(steps_ratio(of), [1.0, NEVER**0.5, NEVER])
    np.testing.assert_allclose(cost_ratio(of), [2.0, (NEVER * 2.0) ** 0.5, NEVER])


def test_a_target_reached_at_once_counts_no_more_than_the_inverse_cap() -> None:
    np.testing.assert_allclose(steps_ratio(results([[1.0]], [[0.0]])), [1.0 / NEVER])


def test_a_rule_without_cells_has_no_average() -> None:
    of = results([[np.nan, np.nan], [1.0, np.nan]])
    for average in (mean, steps_ratio, cost_ratio):
        np.testing.assert_array_equal(np.isnan(average(of)), [True, False])


def test_a_duplicated_task_pulls_the_mean() -> None:
    of = results([[1.0, 0.0], [0.0, 0.6]])
    assert mean(of)[1] < mean(of)[0] + 0.11
    assert mean(duplicated(of, 1, 10))[1] > mean(duplicated(of, 1, 10))[0] + 0.4


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        ([1.0, 3.0, 2.0], 2.0),
        ([1.0, 3.0], 2.0),
        ([1.0, np.inf], np.inf),
        ([np.inf, 1.0, 2.0], 2.0),
        ([np.nan, 1.0, 5.0], 3.0),
        ([np.nan, np.nan], np.nan),
        ([np.inf, np.inf], np.inf),
    ],
)
def test_median(seeds: list[float], expected: float) -> None:
    np.testing.assert_array_equal(median_ratio(np.array([[seeds]])), [[expected]])
