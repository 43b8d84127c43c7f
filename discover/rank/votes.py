"""Social choice: every task is a voter that orders the rules by mean score.

Letters: R rules, T tasks. A task votes on the rules that it has a score of; equal scores are half a win for each. Sources: Vote'n'Rank
(arXiv 2210.05769), "What are the best systems?" (arXiv 2202.03799).
"""

from __future__ import annotations

import numpy as np

from discover.rank.cells import mean_score
from discover.rank.results import Results


def wins(scores: np.ndarray) -> np.ndarray:
    """Number of tasks on which rule i beats rule j, from scores [R, T] (NaN missing): f64[R, R]; a tie is half a task for both."""
    a, b = scores[:, None, :], scores[None, :, :]
    return (a > b).sum(axis=-1) + 0.5 * (a == b).sum(axis=-1) * ~np.eye(len(scores), dtype=bool)


def margins(scores: np.ndarray) -> np.ndarray:
    """Share of common tasks won minus share lost, in [-1, 1]: f64[R, R]; NaN on the diagonal and for rules without a common task."""
    won = wins(scores)
    common = won + won.T
    return np.where(common > 0, (won - won.T) / np.maximum(common, 1.0), np.nan)


def borda(results: Results) -> np.ndarray:
    """Share of the other rules that a rule beats on a task, averaged over the tasks that it has: f64[R] in [0, 1].

    Without missing cells this is Borda's count divided by T (R - 1). A task with one rule only says nothing.
    """
    scores = mean_score(results)
    there = ~np.isnan(scores)
    rivals = there.sum(axis=0) - 1
    a, b = scores[:, None, :], scores[None, :, :]
    beaten = (a > b).sum(axis=1) + 0.5 * ((a == b).sum(axis=1) - there)  # a rule equals itself
    return _nan_mean(np.where(there & (rivals > 0), beaten / np.maximum(rivals, 1), np.nan))


def copeland(results: Results) -> np.ndarray:
    """Share of the other rules that a rule beats on most of the tasks in common, a draw counting half: f64[R] in [0, 1]."""
    margin = margins(mean_score(results))
    return _nan_mean(np.where(np.isnan(margin), np.nan, 0.5 + 0.5 * np.sign(margin)))


def minimax(results: Results) -> np.ndarray:
    """The margin of a rule's worst duel, in [-1, 1]: f64[R]; positive for a Condorcet winner only."""
    margin = margins(mean_score(results))
    worst = np.where(np.isnan(margin), np.inf, margin).min(axis=1)
    return np.where(np.isinf(worst), np.nan, worst)


def _nan_mean(values: np.ndarray) -> np.ndarray:
    there = ~np.isnan(values)
    return np.where(there.any(axis=1), np.where(there, values, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1), np.nan)
