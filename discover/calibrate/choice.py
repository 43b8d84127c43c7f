"""Which cheap tasks predict the dear ones best, alone and as a set. Pure functions.

Letters: R rules, F cheap tasks, D dear tasks. Losses f64[F, R] and f64[D, R] are tuned; lower is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from discover.calibrate.statistics import central, centred, pearson, resamples


def consensus(losses: np.ndarray) -> np.ndarray:
    """Mean rank over tasks, from losses [D, …, R]: f64[…, R], lower is better; multiples of 1/2 over D, so that equal ones are equal."""
    return np.round(centred(losses).mean(axis=0), 9)


def predicts(cheap: np.ndarray, target: np.ndarray) -> float:
    """Correlation of a set's mean ranks (losses [F, R]) with the ranks of the target f64[R]."""
    return float(pearson(centred(consensus(cheap)), centred(target)))


@dataclass(frozen=True)
class Predictor:
    """One cheap task: correlation with the consensus of the dear tasks, and its 95 % interval over rules."""

    task: str
    correlation: float
    low: float
    high: float


def predictors(names: Sequence[str], cheap: np.ndarray, dear: np.ndarray, *, replicates: int = 1000, seed: int = 0) -> list[Predictor]:
    """Every cheap task by how well it predicts the dear ones, best first. A dear task's own ranks are taken on the same resampled rules."""
    count = cheap.shape[1]
    drawn = np.vstack([np.arange(count), resamples(count, replicates, seed)])  # all rules first: the figure itself
    goals = centred(consensus(dear[:, drawn]))
    found = []
    for name, losses in zip(names, cheap, strict=True):
        values = pearson(centred(losses[drawn]), goals)
        found.append(Predictor(name, float(values[0]), *central(values[1:])))
    return sorted(found, key=lambda p: -p.correlation)


def forward(cheap: np.ndarray, dear: np.ndarray, most: int) -> list[int]:
    """Tasks added one at a time, always the one that makes the set predict best, while that gains: i64[≤ most]."""
    target, votes = centred(consensus(dear)), centred(cheap)
    chosen: list[int] = []
    best = -np.inf
    while len(chosen) < min(most, len(cheap)):
        sums = centred(np.round(votes + votes[chosen].sum(axis=0), 9))  # ranks are multiples of 1/2: equal sums stay equal
        scores = np.where(np.isin(np.arange(len(cheap)), chosen), -np.inf, pearson(sums, target))
        place = int(np.argmax(scores))
        if scores[place] <= best:
            break
        chosen, best = [*chosen, place], scores[place]
    return chosen


@dataclass(frozen=True)
class Choice:
    """A set of cheap tasks: correlation on the rules that chose it, and on rules that did not (mean over replicates, 95 % interval).

    `all_tasks` is what all cheap tasks together predict on the rules left out, without any choice.
    """

    tasks: tuple[str, ...]
    correlation: float
    left_out: float
    left_out_interval: tuple[float, float]
    all_tasks: float
    stability: tuple[float, ...]
    """Share of the replicates in which each of `tasks` was chosen."""


def choose(names: Sequence[str], cheap: np.ndarray, dear: np.ndarray, *, most: int = 4, replicates: int = 200, seed: int = 0) -> Choice:
    """The set by forward selection, judged by choosing again on resampled rules and predicting the rules that were not drawn.

    Raises `ValueError` for so few rules or replicates that none was ever left out.
    """
    count = cheap.shape[1]
    chosen = forward(cheap, dear, most)
    outside, together, times = [], [], np.zeros(len(cheap))
    for some in resamples(count, replicates, seed):
        rest = np.setdiff1d(np.arange(count), some)
        again = forward(cheap[:, some], dear[:, some], most)
        times[again] += 1
        if len(rest) >= 2:
            outside.append(predicts(cheap[again][:, rest], consensus(dear[:, rest])))
            together.append(predicts(cheap[:, rest], consensus(dear[:, rest])))
    if not outside:
        raise ValueError(f"{count} rules and {replicates} replicates are too few to judge a choice")
    return Choice(
        tuple(names[i] for i in chosen), predicts(cheap[chosen], consensus(dear)), float(np.mean(outside)), central(np.array(outside)),
        float(np.mean(together)), tuple(float(times[i] / replicates) for i in chosen),
    )  # fmt: skip
