"""The registry of aggregations: each turns results into one score for each rule, and says what that means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from discover.rank import kemeny, means, nash, votes
from discover.rank.cells import NEVER
from discover.rank.results import Results


@dataclass(frozen=True)
class Aggregation:
    """`scores(results)` is f64[R], NaN for a rule without cells; `lower` says that low scores are good."""

    title: str
    meaning: str
    scores: Callable[[Results], np.ndarray]
    lower: bool = False

    def ranks(self, scores: np.ndarray) -> np.ndarray:
        """Ranks from 1, the best, with mean ranks for ties: f64[R]; NaN stays NaN."""
        return rankdata(scores if self.lower else -scores, nan_policy="omit")


AGGREGATIONS: Mapping[str, Aggregation] = {
    "mean": Aggregation("Mean score", "normalised score (0 no progress, 1 tuned AdamW), mean over tasks", means.mean),
    "steps": Aggregation(
        "Steps", f"geometric mean of steps to tuned AdamW's loss, AdamW's steps = 1, never = {NEVER:g}", means.steps_ratio, lower=True
    ),
    "cost": Aggregation("Cost", "the same in evaluations (a gradient is 1)", means.cost_ratio, lower=True),
    "borda": Aggregation("Borda", "share of the other rules beaten on a task, mean over tasks", votes.borda),
    "copeland": Aggregation("Copeland", "share of the other rules beaten on most common tasks", votes.copeland),
    "minimax": Aggregation("Minimax", "margin of the worst duel, from -1 (lost on every task) to 1", votes.minimax),
    "kemeny": Aggregation("Kemeny", "rules below in the order that tasks contradict least (from Borda's)", kemeny.kemeny),
    "nash": Aggregation("Nash", "score under the hardest mixture of tasks, in which redundant tasks count once", nash.nash_average),
}


def rankings(results: Results) -> dict[str, list[str]]:
    """The rules of each aggregation from the best to the worst; ties in the order of the results, rules without cells left out."""
    found = {}
    for name, aggregation in AGGREGATIONS.items():
        ranks = aggregation.ranks(aggregation.scores(results))
        order = np.argsort(ranks, kind="stable")
        found[name] = [results.rules[i] for i in order if not np.isnan(ranks[i])]
    return found
