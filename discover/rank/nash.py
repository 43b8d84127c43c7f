"""Nash averaging: a mean score whose weights of tasks are an equilibrium, so that redundant tasks count once (arXiv 1806.02643).

Two players: one mixes rules and wants a high score, the other mixes tasks and wants a low one; together they are the antisymmetric
game [[0, S], [-Sᵀ, 0]] over rules and tasks. The weights p of the tasks are the equilibrium of maximum entropy; a rule's score is S p,
which is at most the value of the game. Letters: R rules, T tasks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog, minimize

from discover.rank.cells import mean_score
from discover.rank.results import Results

NEGLIGIBLE = 1e-6
"""Weights and slacks below count as zero; ten times the tolerance of the linear programs."""
MARGINS = (0.0, 1e-9, 1e-8, 1e-7, NEGLIGIBLE)
"""What is added to the value of a game until mixtures reach it: the value comes out of a program with a tolerance of its own."""


class Equilibrium(NamedTuple):
    """Weights of rules f64[R] and of tasks f64[T], each of maximum entropy among the optimal ones; value of the game."""

    rules: np.ndarray
    tasks: np.ndarray
    value: float


def nash_average(results: Results) -> np.ndarray:
    """Scores under the equilibrium's weights of tasks: f64[R]; NaN for a rule without any cell.

    Repeating a task does not change it (where the equilibrium is unique, as it is for measured scores). A missing cell counts as the
    median of its task. The scores of failed trainings are 0, so a rule that fails on a hard task is scored by that task.
    """
    scores, there = filled(mean_score(results))
    result = np.full(len(results.rules), np.nan)
    result[there] = scores @ task_weights(scores)
    return result


def filled(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the rules that have any, missing cells being their task's median (0 for a task without cells); bool[R], which rules."""
    there = np.logical_not(np.isnan(scores).all(axis=1))
    scores = scores[there].copy()
    for column in scores.T:
        missing = np.isnan(column)
        column[missing] = np.median(column[~missing]) if not missing.all() else 0.0
    return scores, there


def equilibrium(scores: np.ndarray) -> Equilibrium:
    """The maximum-entropy equilibrium of a game that the rows want high, scores f64[R, T]."""
    tasks = task_weights(scores)
    rules = task_weights(-scores.T)
    return Equilibrium(rules, tasks, float(rules @ scores @ tasks))


def task_weights(scores: np.ndarray) -> np.ndarray:
    """The optimal mixture of columns for the player who wants low scores, the one of maximum entropy: f64[T].

    Equal columns are one before the entropy is taken, and share its weight.
    """
    distinct, place, count = np.unique(scores, axis=1, return_inverse=True, return_counts=True)
    return (_weights(distinct) / count)[place]


def _weights(scores: np.ndarray) -> np.ndarray:
    spread = float(np.ptp(scores))
    if spread == 0.0:
        return np.full(scores.shape[1], 1.0 / scores.shape[1])
    scaled = (scores - scores.min()) / spread  # equilibria do not change; tolerances get a meaning
    value = _value(scaled)
    inside, tight = _interior(scaled, value)
    support = inside > NEGLIGIBLE
    face = np.vstack([scaled[tight][:, support], np.ones(support.sum())])
    if np.linalg.matrix_rank(face, tol=NEGLIGIBLE) == support.sum():  # one point only
        return np.where(support, inside, 0.0) / inside[support].sum()
    weights = np.zeros(scores.shape[1])
    weights[support] = _most_even(scaled[:, support], value, tight)
    return weights


def _value(scores: np.ndarray) -> float:
    """min over p of max over rules of S p, by a linear program in (p, value)."""
    rules, tasks = scores.shape
    found = linprog(
        np.r_[np.zeros(tasks), 1.0],
        A_ub=np.c_[scores, -np.ones(rules)],
        b_ub=np.zeros(rules),
        A_eq=np.r_[np.ones(tasks), 0.0][None],
        b_eq=[1.0],
        bounds=[(0, None)] * tasks + [(None, None)],
    )
    return float(found.x[-1])


def _interior(scores: np.ndarray, value: float) -> tuple[np.ndarray, np.ndarray]:
    """A point inside the set of optimal mixtures, f64[T], and which rules reach the value for all of that set, bool[R].

    One linear program finds the most weights and slacks that can be positive together: in α p = u + w and α slack = u' + w', each u is
    at most 1, and the sum of all u is maximised.
    """
    rules, tasks = scores.shape
    both = tasks + rules
    # variables: u (tasks and slacks), w (likewise), α
    point = np.c_[np.eye(both), np.eye(both)]
    slack = np.c_[scores, np.eye(rules)] @ point  # S p + slack = value · α
    total = np.r_[np.ones(tasks), np.zeros(rules)] @ point
    found = None
    for margin in MARGINS:
        found = linprog(
            np.r_[-np.ones(both), np.zeros(both), 10 * NEGLIGIBLE],  # α is no larger than it must be
            A_eq=np.r_[np.c_[slack, np.full(rules, -value - margin)], np.r_[total, -1.0][None]],
            b_eq=np.zeros(rules + 1),
            bounds=[(0, 1)] * both + [(0, None)] * both + [(1, 1.0 / NEGLIGIBLE)],
        )
        if found.status == 0:
            break
    if found is None or found.status != 0:
        raise ArithmeticError("the game of rules against tasks could not be solved")
    positive = (found.x[:both] + found.x[both : 2 * both]) / found.x[-1]
    return positive[:tasks], positive[tasks:] <= NEGLIGIBLE


def _most_even(scores: np.ndarray, value: float, tight: np.ndarray) -> np.ndarray:
    """The mixture of maximum entropy with S p ≤ value, equal where tight: by its dual, p ∝ exp(-Sᵀ λ), λ ≥ 0 where not tight."""
    excess = scores - value

    def dual(multipliers: np.ndarray) -> tuple[float, np.ndarray]:
        logits = -multipliers @ excess
        top = logits.max()
        weights = np.exp(logits - top)
        return float(top + np.log(weights.sum())), -excess @ weights / weights.sum()

    bounds = [(None, None) if t else (0.0, None) for t in tight]
    found = minimize(dual, np.zeros(len(scores)), jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-10})
    logits = -found.x @ excess
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()
