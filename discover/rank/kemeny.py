"""Kemeny's consensus: the order of the rules that the tasks contradict least, pair by pair.

Exact for few rules. Beyond, Borda's order (the approximation of arXiv 2202.03799) is improved by moving single rules until no move
lowers the contradictions. Missing cells: a task votes on the pairs of rules that it has scores of.

Borda's order is Kemeny's where the duels are strongly stochastically transitive: whoever wins a duel does at least as well against every
third rule. Unanimous tasks and two rules are special cases; a Condorcet winner that Borda misses is a case where they differ.
"""

from __future__ import annotations

import numpy as np

from discover.rank.cells import mean_score
from discover.rank.results import Results
from discover.rank.votes import borda, wins

EXACT = 10
"""Up to so many rules the order is exact (2^R · R steps)."""


def kemeny(results: Results) -> np.ndarray:
    """Number of rules below a rule in the consensus: f64[R]; NaN for a rule without any cell.

    Equal rules, which share every duel result, share their mean place.
    """
    scores = mean_score(results)
    there = np.flatnonzero(~np.isnan(scores).all(axis=1))
    won = wins(scores[there])
    start = best_first(borda(results)[there])
    order = exact_order(won, start) if len(there) <= EXACT else improved_order(won, start)
    below = np.empty(len(there))
    below[order] = np.arange(len(there))[::-1]
    result = np.full(len(scores), np.nan)
    result[there] = _share_equal(below, won)
    return result


def best_first(scores: np.ndarray) -> np.ndarray:
    """Indices from the best score to the worst, NaN last, ties in the order given: i64[R]."""
    return np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")


def contradictions(won: np.ndarray, order: np.ndarray) -> float:
    """Duels that an order gets wrong: the sum over i above j of the tasks on which j beats i (a tie: half)."""
    ordered = won[np.ix_(order, order)]
    return float(np.tril(ordered, -1).sum())


def exact_order(won: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The order with the fewest contradictions, by dynamic programming over sets of rules; among equals, the earliest by `start`."""
    count = len(won)
    duels = won[np.ix_(start, start)]
    losses = np.zeros((1 << count, count))  # losses[set, i]: what i loses to the rules in the set
    for bit in range(count):
        losses[1 << bit : 2 << bit] = losses[: 1 << bit] + duels[bit]
    sets = np.arange(1 << count)
    size = (sets[:, None] >> np.arange(count) & 1).sum(axis=1)
    best = np.zeros(1 << count)
    first = np.zeros(1 << count, int)
    for members in range(1, count + 1):  # the rules that are still to be placed: all sets of one size at once
        rest = sets[size == members][:, None]
        bits = 1 << np.arange(count)
        total = np.where(rest & bits, losses[rest[:, 0]] + best[rest & ~bits], np.inf)
        first[rest[:, 0]] = total.argmin(axis=1)
        best[rest[:, 0]] = total.min(axis=1)
    order, rest = [], (1 << count) - 1
    while rest:
        order.append(first[rest])
        rest &= ~(1 << int(first[rest]))
    return start[np.array(order, int)]


def improved_order(won: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Move single rules to their best place until nothing is gained."""
    order = start.copy()
    gained = True
    while gained:
        gained = False
        for rule in start:
            order, gain = _placed(won, order, int(rule))
            gained |= gain
    return order


def _placed(won: np.ndarray, order: np.ndarray, rule: int) -> tuple[np.ndarray, bool]:
    """The order with one rule at its best place, and whether that is better; a rule that gains nothing stays."""
    place = int(np.flatnonzero(order == rule)[0])
    others = np.delete(order, place)
    above = np.concatenate([[0.0], np.cumsum(won[rule, others])])  # wins against rules placed above are contradictions
    below = np.concatenate([np.cumsum(won[others, rule][::-1])[::-1], [0.0]])
    cost = above + below
    best = int(np.argmin(cost))
    if cost[place] - cost[best] <= 1e-9:
        return order, False
    return np.insert(others, best, rule), True


def _share_equal(below: np.ndarray, won: np.ndarray) -> np.ndarray:
    """Mean place for rules that have the same duels against all others and draw with each other."""
    count = len(won)
    same = (won[:, None] == won[None]) & (won.T[:, None] == won.T[None])  # [i, j, k]: i and j fare alike against k
    eye = np.eye(count, dtype=bool)
    alike = (same | eye[:, None] | eye[None]).all(axis=-1) & (won == won.T)
    return (alike * below).sum(axis=1) / alike.sum(axis=1)
