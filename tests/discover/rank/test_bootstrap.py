"""Intervals: deterministic, covering, narrower without the choice of tasks; ranks and profiles with ties and missing cells."""

from __future__ import annotations

import numpy as np
import pytest

from discover.rank.aggregate import AGGREGATIONS, Aggregation, rankings
from discover.rank.bootstrap import bootstrap, percentiles, resampled
from discover.rank.profiles import area, factors, profile, steps_profile
from tests.discover.rank.made import results

MEAN = {"mean": AGGREGATIONS["mean"]}


def noisy(seed: int, rules: int = 4, tasks: int = 6, seeds: int = 5):
    rng = np.random.default_rng(seed)
    quality = np.linspace(0.4, 1.0, rules)[:, None, None]
    return results(np.maximum(quality + 0.1 * rng.normal(size=(rules, tasks, 1)) + 0.05 * rng.normal(size=(rules, tasks, seeds)), 0.0))


def test_the_same_seed_gives_the_same_intervals() -> None:
    of = noisy(0)
    first, again, other = bootstrap(of, replicates=20), bootstrap(of, replicates=20), bootstrap(of, replicates=20, seed=1)
    for name in AGGREGATIONS:
        np.testing.assert_array_equal(first[name].score_interval, again[name].score_interval)
        np.testing.assert_array_equal(first[name].rank_interval, again[name].rank_interval)
    assert not np.array_equal(first["mean"].score_interval, other["mean"].score_interval)


def test_every_aggregation_finds_a_clear_order() -> None:
    for name, estimate in bootstrap(noisy(1), replicates=20).items():
        expected = [3, 3, 3, 1] if name == "minimax" else [4, 3, 2, 1]  # all others lose every task to the best
        np.testing.assert_array_equal(estimate.rank, expected, err_msg=name)
        assert estimate.first[3] > 0.9 and estimate.first.sum() == pytest.approx(1.0)
        assert (estimate.rank_interval[:, 0] <= estimate.rank).all() and (estimate.rank <= estimate.rank_interval[:, 1]).all()


def test_the_interval_of_a_mean_is_as_wide_as_its_standard_error_says() -> None:
    rng = np.random.default_rng(2)
    of = results(rng.normal(size=(1, 40, 1)) + np.zeros((1, 40, 3)))
    low, high = bootstrap(of, replicates=2000, aggregations=MEAN)["mean"].score_interval[0]
    expected = 2 * 1.96 * of.score[0, :, 0].std() / 40**0.5
    assert high - low == pytest.approx(expected, rel=0.08)


def test_without_the_choice_of_tasks_only_seeds_move() -> None:
    of = results(np.random.default_rng(3).normal(size=(2, 5, 1)) + np.zeros((2, 5, 4)))
    fixed = bootstrap(of, replicates=10, over_tasks=False, aggregations=MEAN)["mean"]
    np.testing.assert_allclose(fixed.score_interval, np.repeat(fixed.score[:, None], 2, axis=1))


def test_a_replicate_takes_the_same_seeds_for_all_rules() -> None:
    score = np.arange(12.0).reshape(1, 3, 4) + np.array([0.0, 100.0]).reshape(2, 1, 1)
    one = resampled(results(score), np.random.default_rng(4))
    np.testing.assert_array_equal(one.score[1], one.score[0] + 100.0)
    np.testing.assert_array_equal(one.loss[0], np.where(one.score[0] > 0, 1.0 / np.where(one.score[0] > 0, one.score[0], 1.0), np.inf))


def test_missing_cells_and_empty_rules_stay_apart() -> None:
    score = noisy(5).score.copy()
    score[0] = np.nan
    score[1, 2:] = np.nan
    for name, estimate in bootstrap(results(score), replicates=20).items():
        assert np.isnan(estimate.rank[0]) and np.isnan(estimate.first[0]) and np.isnan(estimate.rank_interval[0]).all(), name
        assert np.isfinite(estimate.rank[1:]).all(), name
    assert all("rule0" not in order and len(order) == 3 for order in rankings(results(score)).values())


def test_ties_share_ranks_and_wins() -> None:
    of = results(np.array([[0.9, 0.9], [0.9, 0.9], [0.1, 0.2]]))
    for name, estimate in bootstrap(of, replicates=5).items():
        np.testing.assert_array_equal(estimate.rank, [1.5, 1.5, 3.0], err_msg=name)
        np.testing.assert_allclose(estimate.first, [0.5, 0.5, 0.0], err_msg=name)


def test_low_is_good_where_it_is() -> None:
    low = Aggregation("", "", lambda of: of.score[:, 0, 0], lower=True)
    np.testing.assert_array_equal(low.ranks(np.array([3.0, 1.0, np.nan])), [2.0, 1.0, np.nan])


def test_percentiles_leave_out_what_is_missing() -> None:
    found = percentiles(np.array([[1.0, np.nan], [2.0, np.nan], [np.nan, np.nan], [3.0, np.nan]]), 0.5)
    np.testing.assert_allclose(found[0], [1.5, 2.5])
    assert np.isnan(found[1]).all()


def test_profiles_count_tasks_within_a_factor_of_the_best() -> None:
    values = np.array([[1.0, 4.0, np.inf, 2.0], [2.0, 2.0, np.inf, np.nan], [np.nan] * 4])
    np.testing.assert_array_equal(factors(values), [[1.0, 2.0, np.inf, 1.0], [2.0, 1.0, np.inf, np.nan], [np.nan] * 4])
    found = profile(values, np.array([1.0, 1.99, 2.0, 4.0]))
    np.testing.assert_allclose(found.share, [[0.5, 0.5, 0.75, 0.75], [1 / 3, 1 / 3, 2 / 3, 2 / 3], [np.nan] * 4])


def test_a_profile_rises_and_somebody_starts_at_the_top() -> None:
    of = noisy(6)
    found = steps_profile(of)
    assert (np.diff(found.share, axis=1) >= 0).all()
    assert found.share[:, 0].sum() >= 1.0
    assert np.argmax(area(found)) == 3
    assert area(profile(np.ones((1, 3)), found.tau)) == pytest.approx(1.0)
