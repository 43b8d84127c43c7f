"""Averages over tasks: normalised score, and steps and cost to AdamW's loss."""

from __future__ import annotations

import numpy as np

from discover.rank.cells import capped_log, mean_of, mean_score
from discover.rank.results import Results


def mean(results: Results) -> np.ndarray:
    """Mean normalised score over the tasks that a rule has: f64[R]; it rewards a task for being there twice."""
    return mean_of(mean_score(results))


def steps_ratio(results: Results) -> np.ndarray:
    """Geometric mean over seeds and tasks of steps to tuned AdamW's loss, in multiples of AdamW's: f64[R], lower is better.

    A training that never reaches it counts `cells.NEVER`, which is also the largest ratio counted; its inverse is the smallest.
    """
    return np.exp(mean_of(capped_log(results.steps_to_target)))


def cost_ratio(results: Results) -> np.ndarray:
    """The same in evaluations, where a gradient counts 1: f64[R], lower is better."""
    return np.exp(mean_of(capped_log(results.cost_to_target)))
