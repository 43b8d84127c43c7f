"""Rank correlation between two versions of a task, beside the ceiling that seed noise sets. Pure functions.

Letters: R rules, L learning rates, S seeds, B replicates. Losses of failed trainings are +inf, which ranks last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import kendalltau, rankdata

LEVEL = 0.95
REPLICATES = 1000
MAX_SPLITS = 30


@dataclass(frozen=True, eq=False)
class Version:
    """Losses of R rules on one version of a family at each rule's own rates: valid, test f64[R, L, S]."""

    valid: np.ndarray
    test: np.ndarray

    def tuned(self, seeds: Sequence[int] | None = None) -> np.ndarray:
        """Mean test loss over some seeds at the rate with the lowest mean validation loss over the same seeds: f64[R]."""
        chosen = list(range(self.valid.shape[2])) if seeds is None else list(seeds)
        best = self.valid[:, :, chosen].mean(axis=2).argmin(axis=1)
        return self.test[:, :, chosen].mean(axis=2)[np.arange(len(best)), best]

    def halves(self) -> tuple[np.ndarray, int]:
        """Tuned losses on disjoint halves of the seeds, f64[splits, 2, R], and how many times more seeds the whole has than a half."""
        seeds = self.valid.shape[2]
        size = seeds // 2
        if size == 0:
            raise ValueError("the noise of seeds needs at least two of them")
        pairs = [(a, b) for a in combinations(range(seeds), size) for b in combinations(sorted(set(range(seeds)) - set(a)), size) if a < b]
        step = max(1, len(pairs) // MAX_SPLITS)
        return np.array([[self.tuned(a), self.tuned(b)] for a, b in pairs[::step]]), seeds // size


def ranks(losses: np.ndarray) -> np.ndarray:
    """Ranks over the last axis from 1, the lowest loss, ties sharing theirs: f64[…, R]."""
    return rankdata(np.nan_to_num(losses, nan=np.inf, posinf=np.inf), axis=-1)


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation; 0 where one side does not vary, which then predicts nothing."""
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 0.0


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two f64[R]."""
    return pearson(ranks(a), ranks(b))


def kendall(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's tau-b of two f64[R]; 0 where one side does not vary."""
    first, second = ranks(a), ranks(b)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(kendalltau(first, second).statistic)  # type: ignore[attr-defined]


def prophecy(correlation: float, times: float) -> float:
    """Spearman and Brown: the reliability of a measurement `times` as long as one whose halves correlate so; at least 0."""
    if correlation <= 0.0:
        return 0.0
    return times * correlation / (1.0 + (times - 1.0) * correlation)


def reliability(halves: np.ndarray, times: int) -> float:
    """How well a ranking agrees with a repetition on other seeds, choice of rates included, in [0, 1]; from `Version.halves`."""
    return prophecy(float(np.mean([spearman(a, b) for a, b in halves])), times)


def ceiling(first: float, second: float) -> float:
    """The correlation that two rankings of these reliabilities show when the true ones are equal (correction for attenuation)."""
    return float(np.sqrt(first * second))


@dataclass(frozen=True)
class Agreement:
    """Two versions of a family: correlations with 95 % intervals over rules, and the ceiling of Spearman's with its interval."""

    spearman: float
    spearman_interval: tuple[float, float]
    kendall: float
    kendall_interval: tuple[float, float]
    ceiling: float
    ceiling_interval: tuple[float, float]
    rules: int


def agreement(cheap: Version, dear: Version, *, replicates: int = REPLICATES, seed: int = 0) -> Agreement:
    """Correlate the tuned losses of the same rules on two versions; rules are resampled for the intervals."""
    a, b = cheap.tuned(), dear.tuned()
    halves_a, halves_b = cheap.halves(), dear.halves()

    def figures(rules: np.ndarray) -> tuple[float, float, float]:
        limits = [reliability(halves[:, :, rules], times) for halves, times in (halves_a, halves_b)]
        return spearman(a[rules], b[rules]), kendall(a[rules], b[rules]), ceiling(*limits)

    found = figures(np.arange(len(a)))
    drawn = np.array([figures(rules) for rules in resamples(len(a), replicates, seed)])
    low, high = np.quantile(drawn, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0)
    intervals = [(float(x), float(y)) for x, y in zip(low, high, strict=True)]
    return Agreement(found[0], intervals[0], found[1], intervals[1], found[2], intervals[2], len(a))


def pooled(pairs: Sequence[tuple[Version, Version]], *, replicates: int = REPLICATES, seed: int = 0) -> tuple[float, float, float]:
    """Correlation of ranks within families, all families together, and its interval over rules (the same ones in all families)."""
    tuned = [(cheap.tuned(), dear.tuned()) for cheap, dear in pairs]

    def figure(rules: np.ndarray) -> float:
        sides = [np.concatenate([centred(side[k][rules]) for side in tuned]) for k in (0, 1)]
        return pearson(*sides)

    count = len(tuned[0][0])
    drawn = [figure(rules) for rules in resamples(count, replicates, seed)]
    low, high = np.quantile(drawn, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return figure(np.arange(count)), float(low), float(high)


def centred(losses: np.ndarray) -> np.ndarray:
    """Ranks with mean 0 over the last axis: f64[…, R]."""
    found = ranks(losses)
    return found - found.mean(axis=-1, keepdims=True)


def resamples(count: int, replicates: int, seed: int) -> np.ndarray:
    """Indices of rules drawn with replacement: i64[B, R]."""
    return np.random.default_rng(seed).integers(count, size=(replicates, count))
