"""Intervals by resampling: tasks with replacement, and the seeds of every task.

Letters: B replicates, R rules, T tasks, S seeds. Seed s of a task is the same draw for all rules, so the seeds of a task are resampled for
all rules together; a repeated task gets its own resample each time. The intervals say what other tasks of the same kinds and other seeds
might have given; with `over_tasks` off, other seeds on just these tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from discover.rank.aggregate import AGGREGATIONS, Aggregation
from discover.rank.results import ARRAYS, Results

LEVEL = 0.95
REPLICATES = 400


@dataclass(frozen=True)
class Estimate:
    """One aggregation of all rules: scores, ranks (1 is best), 95 % percentile intervals of both, share of replicates that a rule wins.

    score, rank, first: f64[R]; score_interval, rank_interval: f64[R, 2]; NaN for a rule without cells. Rules that tie for
    first place share the win.
    """

    score: np.ndarray
    score_interval: np.ndarray
    rank: np.ndarray
    rank_interval: np.ndarray
    first: np.ndarray


def resampled(results: Results, rng: np.random.Generator, *, over_tasks: bool = True) -> Results:
    """One replicate, f64[R, T, S] as before, with tasks named by place because they repeat."""
    count, seeds = len(results.tasks), results.seeds
    tasks = rng.integers(count, size=count) if over_tasks else np.arange(count)
    draws = rng.integers(seeds, size=(count, seeds))
    arrays = {name: getattr(results, name)[:, tasks[:, None], draws] for name in ARRAYS}
    return Results(results.rules, tuple(str(place) for place in range(count)), **arrays)


def bootstrap(
    results: Results,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    over_tasks: bool = True,
    aggregations: Mapping[str, Aggregation] = AGGREGATIONS,
) -> dict[str, Estimate]:
    """Every aggregation with its intervals; the same seed gives the same numbers."""
    rng = np.random.default_rng(seed)
    scores: dict[str, list[np.ndarray]] = {name: [] for name in aggregations}
    for _ in range(replicates):
        replicate = resampled(results, rng, over_tasks=over_tasks)
        for name, aggregation in aggregations.items():
            scores[name].append(aggregation.scores(replicate))
    return {name: _estimate(aggregation, aggregation.scores(results), np.array(scores[name])) for name, aggregation in aggregations.items()}


def _estimate(aggregation: Aggregation, score: np.ndarray, replicates: np.ndarray) -> Estimate:
    """From scores f64[R] and their replicates f64[B, R]."""
    ranks = np.array([aggregation.ranks(scores) for scores in replicates])
    best = ranks == np.min(np.where(np.isnan(ranks), np.inf, ranks), axis=1, keepdims=True)
    first = (best / np.maximum(best.sum(axis=1, keepdims=True), 1)).mean(axis=0)
    first[np.isnan(score)] = np.nan
    return Estimate(score, percentiles(replicates), aggregation.ranks(score), percentiles(ranks), first)


def percentiles(replicates: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """The central interval of each column without NaN: f64[R, 2]; NaN for a column of NaN only."""
    result = np.full((replicates.shape[1], 2), np.nan)
    for column, values in enumerate(replicates.T):
        there = values[~np.isnan(values)]
        if there.size:
            result[column] = np.quantile(there, [0.5 - level / 2, 0.5 + level / 2])
    return result
