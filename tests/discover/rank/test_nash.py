"""The equilibrium against known games, its optimality conditions, vertices of the optimal set, and invariance to redundant tasks."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from discover.rank import nash
from discover.rank.means import mean
from discover.rank.nash import equilibrium, nash_average, task_weights
from tests.discover.rank.made import duplicated, results

SCISSORS = np.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])


def games(count: int, rounded: bool) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    made = [rng.normal(size=tuple(rng.integers(2, 8, size=2))) for _ in range(count)]
    return [np.clip(np.round(game), -1, 1) for game in made] if rounded else made


def entropy(weights: np.ndarray) -> float:
    return -float(np.sum(weights * np.log(np.maximum(weights, 1e-300))))


def vertices(scores: np.ndarray, value: float) -> np.ndarray:
    """The corners of the set of optimal mixtures, by trying all subsets of its constraints."""
    tasks = scores.shape[1]
    sides = np.vstack([scores - value, -np.eye(tasks)])
    found = []
    for chosen in combinations(range(len(sides)), tasks - 1):
        system = np.vstack([sides[list(chosen)], np.ones(tasks)])
        if abs(np.linalg.det(system)) > 1e-9:
            point = np.linalg.solve(system, np.r_[np.zeros(tasks - 1), 1.0])
            if (sides @ point <= 1e-7).all():
                found.append(point)
    return np.unique(np.round(found, 9), axis=0)


def test_rock_paper_scissors_is_even() -> None:
    found = equilibrium(SCISSORS)
    np.testing.assert_allclose(found.rules, 1 / 3, atol=1e-7)
    np.testing.assert_allclose(found.tasks, 1 / 3, atol=1e-7)
    assert found.value == pytest.approx(0.0, abs=1e-7)


def test_two_by_two_formula() -> None:
    game = np.array([[3.0, -1.0], [-2.0, 1.0]])
    found = equilibrium(game)
    np.testing.assert_allclose(found.rules, [3 / 7, 4 / 7], atol=1e-6)  # (d - c) / (a + d - b - c)
    np.testing.assert_allclose(found.tasks, [2 / 7, 5 / 7], atol=1e-6)  # (d - b) / (a + d - b - c)
    assert found.value == pytest.approx(1 / 7, abs=1e-6)


def test_nobody_gains_by_another_mixture() -> None:
    for game in games(30, False) + games(30, True):
        found = equilibrium(game)
        assert found.rules.sum() == pytest.approx(1.0) and found.tasks.sum() == pytest.approx(1.0)
        assert (found.rules >= 0).all() and (found.tasks >= 0).all()
        assert (game @ found.tasks).max() == pytest.approx(found.value, abs=1e-5)
        assert (found.rules @ game).min() == pytest.approx(found.value, abs=1e-5)


def test_the_equilibrium_is_the_one_of_maximum_entropy() -> None:
    rng = np.random.default_rng(7)
    several = 0
    for game in (rng.integers(0, 3, rng.integers(2, 5, size=2)).astype(float) for _ in range(40)):
        game = np.unique(game, axis=1)
        weights = task_weights(game)
        corners = vertices(game, (game @ weights).max()) if game.shape[1] > 1 else weights[None]
        several += len(corners) > 1

        def negative(logits: np.ndarray, corners: np.ndarray = corners) -> float:
            return -entropy(np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum() @ corners)

        best = -float(minimize(negative, np.zeros(len(corners)), method="BFGS").fun) if len(corners) > 1 else entropy(corners[0])
        assert entropy(weights) == pytest.approx(best, abs=1e-5)
    assert several > 10


def test_duplicating_a_task_ten_times_changes_the_mean_but_not_nash_averaging() -> None:
    for game in games(25, False) + games(25, True):
        of = results(game)
        again = duplicated(of, 0, 10)
        np.testing.assert_allclose(nash_average(again), nash_average(of), atol=1e-5)
        if np.ptp(game[:, 0] - game.mean(axis=1)) > 1e-6:
            assert np.abs(mean(again) - mean(of)).max() > 1e-3


def test_a_nearly_equal_task_changes_little() -> None:
    rng = np.random.default_rng(8)
    for game in games(25, False):
        more = np.hstack([game] + [game[:, :1] + 1e-4 * rng.normal(size=(len(game), 1)) for _ in range(9)])
        np.testing.assert_allclose(nash_average(results(more)), nash_average(results(game)), atol=0.01)


def test_duplicating_a_rule_changes_nothing_for_the_others() -> None:
    for game in games(20, True):
        np.testing.assert_allclose(nash_average(results(np.vstack([game, game[:1]])))[:-1], nash_average(results(game)), atol=1e-6)


def test_missing_cells_count_as_the_median_of_their_task() -> None:
    scores = np.array([[1.0, 0.2], [0.5, np.nan], [0.4, 0.6], [np.nan, np.nan]])
    found = nash_average(results(scores))
    scores[1, 1] = 0.4
    np.testing.assert_allclose(found[:3], nash_average(results(scores[:3])))
    assert np.isnan(found[3])


def test_equal_scores_are_equal() -> None:
    np.testing.assert_allclose(nash_average(results(np.full((3, 4), 0.7))), 0.7)


def test_a_program_that_gives_up_is_tried_again_with_a_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leaderboard of 32 rules and 16 tasks made the solver stop with an unknown status."""
    scores = np.random.default_rng(0).uniform(size=(6, 4))
    expected = nash.task_weights(scores)
    solve, calls = nash.linprog, []

    def unsure(*arguments: Any, **options: Any) -> Any:
        found = solve(*arguments, **options)
        calls.append(found)
        if len(calls) in (2, 3):  # the first one finds the value
            found.x, found.status = None, 4
        return found

    monkeypatch.setattr(nash, "linprog", unsure)
    np.testing.assert_allclose(nash.task_weights(scores), expected, atol=1e-5)
    assert len(calls) == 4
