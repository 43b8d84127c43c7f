"""Calibration's statistics against scipy, and against constructed cases whose ceiling and choice are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from discover.calibrate.choice import choose, consensus, forward, predictors, predicts
from discover.calibrate.statistics import (
    Version,
    agreement,
    ceiling,
    kendall,
    pooled,
    prophecy,
    reliability,
    spearman,
)


def noisy(truth: np.ndarray, noise: float, seeds: int, rng: np.random.Generator) -> Version:
    """A version with one learning rate: true losses [R] and independent noise for each seed."""
    losses = truth[:, None, None] + noise * rng.normal(size=(len(truth), 1, seeds))
    return Version(losses, losses)


@pytest.mark.parametrize("seed", range(5))
def test_correlations_are_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = np.round(rng.normal(size=(2, 25)), 1)  # with ties
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert kendall(a, b) == pytest.approx(kendalltau(a, b).statistic)


def test_failures_rank_last_and_a_constant_predicts_nothing() -> None:
    assert spearman(np.array([1.0, 2.0, np.inf]), np.array([0.1, 0.2, 0.3])) == pytest.approx(1.0)
    assert spearman(np.array([1.0, np.inf, np.inf]), np.array([0.1, 0.3, 0.2])) == pytest.approx(spearmanr([1, 2, 2], [1, 3, 2]).statistic)
    assert spearman(np.ones(3), np.arange(3.0)) == kendall(np.ones(3), np.arange(3.0)) == 0.0


def test_tuning_chooses_by_validation_and_reports_test() -> None:
    valid = np.array([[[1.0, 9.0], [2.0, 2.0]]])
    test = np.array([[[5.0, 6.0], [7.0, 8.0]]])
    version = Version(valid, test)
    assert version.tuned()[0] == 7.5
    assert version.tuned([0])[0] == 5.0  # on the first seed alone the other rate is better


def test_halves_are_disjoint_and_of_equal_size() -> None:
    rng = np.random.default_rng(0)
    for seeds, splits, times in ((2, 1, 2), (3, 3, 3), (4, 3, 2), (5, 15, 2)):
        found, more = noisy(np.arange(4.0), 1.0, seeds, rng).halves()
        assert found.shape == (splits, 2, 4) and more == times
    with pytest.raises(ValueError, match="at least two"):
        noisy(np.arange(4.0), 1.0, 1, rng).halves()


def test_prophecy_is_exact_for_normal_noise() -> None:
    """Variance 1 of the truth, 1 of the noise: halves of one seed correlate 1/2, means of four seeds 4/5."""
    assert prophecy(0.5, 4) == pytest.approx(0.8)
    assert prophecy(1.0, 3) == pytest.approx(1.0) and prophecy(-0.2, 3) == 0.0


def test_known_noise_gives_the_known_ceiling() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=3000)
    cheap, dear = noisy(truth, 1.0, 4, rng), noisy(truth, 0.5, 4, rng)
    parts = [reliability(*version.halves()) for version in (cheap, dear)]
    pearsons = [1 / (1 + 1.0 / 4), 1 / (1 + 0.25 / 4)]
    ranked = [6 / np.pi * np.arcsin(x / 2) for x in pearsons]  # Spearman's of two normal variables
    assert parts == pytest.approx(ranked, abs=0.02)
    assert spearman(cheap.tuned(), dear.tuned()) == pytest.approx(ceiling(*parts), abs=0.03)  # the truth is the same: all there is to see


def test_a_real_difference_stays_below_the_ceiling() -> None:
    rng = np.random.default_rng(2)
    truth, other = rng.normal(size=(2, 400))
    cheap, dear = noisy(truth, 0.5, 4, rng), noisy(0.5 * truth + 0.9 * other, 0.5, 4, rng)
    found = agreement(cheap, dear, replicates=20)
    assert found.spearman_interval[1] < found.ceiling_interval[0]
    assert found.spearman_interval[0] < found.spearman < found.spearman_interval[1]
    assert found.kendall_interval[0] < found.kendall < found.kendall_interval[1] and found.rules == 400


def test_choosing_the_rate_is_part_of_the_noise() -> None:
    """All rules are equal; each half chooses the luckiest of many rates. Halves that shared seeds would agree, disjoint ones do not."""
    rng = np.random.default_rng(3)
    losses = rng.normal(size=(300, 8, 4))
    assert reliability(*Version(losses, losses).halves()) < 0.25


def test_intervals_are_deterministic() -> None:
    rng = np.random.default_rng(4)
    versions = [noisy(rng.normal(size=12), 0.3, 3, rng) for _ in range(2)]
    assert agreement(*versions, replicates=20) == agreement(*versions, replicates=20)
    assert agreement(*versions, replicates=20) != agreement(*versions, replicates=20, seed=1)


def test_pooling_forgets_the_scale_of_families() -> None:
    rng = np.random.default_rng(5)
    truth = rng.normal(size=40)
    same = [(noisy(truth, 0.01, 2, rng), noisy(1000 + 5 * truth, 0.01, 2, rng)) for _ in range(2)]
    assert pooled(same, replicates=20)[0] > 0.95
    opposed = (noisy(truth, 0.01, 2, rng), noisy(-truth, 0.01, 2, rng))
    value, low, high = pooled([same[0], opposed], replicates=50)
    assert value == pytest.approx(0.0, abs=0.05) and low < 0.05 and high > -0.05


def test_the_task_that_carries_the_truth_predicts_best() -> None:
    rng = np.random.default_rng(6)
    truth = rng.normal(size=30)
    dear = np.array([truth + 0.1 * rng.normal(size=30) for _ in range(3)])
    cheap = np.array([rng.normal(size=30), truth + 0.2 * rng.normal(size=30), -truth])
    found = predictors(["noise", "truth", "opposite"], cheap, dear, replicates=50)
    assert [p.task for p in found] == ["truth", "noise", "opposite"]
    assert all(p.low <= p.correlation <= p.high for p in found)
    np.testing.assert_allclose(consensus(dear).sum(), 0.0, atol=1e-9)


def test_a_set_is_chosen_for_what_its_members_add() -> None:
    """The target is the sum of two causes; two tasks that each know one are better than a copy of the first."""
    rng = np.random.default_rng(7)
    one, two = rng.normal(size=(2, 200))
    cheap = np.array([1.1 * one, 1.1 * one + 0.01 * rng.normal(size=200), two, rng.normal(size=200)])
    dear = (1.1 * one + two)[None]
    assert sorted(forward(cheap, dear, 2)) in ([0, 2], [1, 2])
    found = choose(["a", "copy", "b", "noise"], cheap, dear, most=2, replicates=20)
    assert "b" in found.tasks and "noise" not in found.tasks
    assert found.left_out == pytest.approx(found.correlation, abs=0.05) and found.all_tasks < found.left_out


def test_a_choice_among_noise_is_unmasked_by_the_rules_left_out() -> None:
    rng = np.random.default_rng(8)
    cheap, dear = rng.normal(size=(20, 15)), rng.normal(size=(1, 15))
    found = choose([str(i) for i in range(20)], cheap, dear, most=3, replicates=30)
    assert found.correlation > 0.6
    assert found.left_out_interval[0] < 0.1 and found.left_out < 0.3


def test_predicting_is_in_ranks() -> None:
    assert predicts(np.array([[1.0, 10.0, 1e9]]), np.array([0.1, 0.2, 0.3])) == pytest.approx(1.0)
