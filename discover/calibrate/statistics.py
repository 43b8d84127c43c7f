"""Rank correlation between two versions of a task, beside the ceiling that seed noise sets. Pure functions.

Letters: R rules, L learning rates, S seeds, B replicates. Losses of failed trainings are +inf, which ranks last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import rankdata

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


def pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation over the last axis: f64[…]; 0 where one side does not vary, which then predicts nothing."""
    a, b = a - a.mean(axis=-1, keepdims=True), b - b.mean(axis=-1, keepdims=True)
    norm = np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
    return np.where(norm > 0, (a * b).sum(axis=-1) / np.where(norm > 0, norm, 1.0), 0.0)


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation over the last axis: f64[…]."""
    return pearson(ranks(a), ranks(b))


def kendall(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Kendall's tau-b over the last axis: f64[…]; 0 where one side does not vary."""
    first, second = (np.sign(r[..., :, None] - r[..., None, :]) for r in (ranks(a), ranks(b)))
    norm = np.sqrt((first * first).sum(axis=(-1, -2)) * (second * second).sum(axis=(-1, -2)))
    return np.where(norm > 0, (first * second).sum(axis=(-1, -2)) / np.where(norm > 0, norm, 1.0), 0.0)


def prophecy(correlation: np.ndarray | float, times: float) -> np.ndarray:
    """Spearman and Brown: the reliability of a measurement `times` as long as one whose halves correlate so; at least 0."""
    there = np.maximum(correlation, 0.0)
    return times * there / (1.0 + (times - 1.0) * there)


def reliability(halves: np.ndarray, times: int) -> np.ndarray:
    """How well a ranking agrees with a repetition on other seeds, choice of rates included, in [0, 1]; from `Version.halves`.

    `halves` f64[splits, 2, …, R] gives f64[…].
    """
    return prophecy(spearman(halves[:, 0], halves[:, 1]).mean(axis=0), times)


def ceiling(first: np.ndarray | float, second: np.ndarray | float) -> np.ndarray:
    """The correlation that two rankings of these reliabilities show when the true ones are equal (correction for attenuation)."""
    return np.sqrt(np.multiply(first, second))


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
    halves = [cheap.halves(), dear.halves()]
    drawn = np.vstack([np.arange(len(a)), resamples(len(a), replicates, seed)])  # all rules first: the figure itself
    limits = [reliability(found[:, :, drawn], times) for found, times in halves]
    figures = (spearman(a[drawn], b[drawn]), kendall(a[drawn], b[drawn]), ceiling(*limits))
    values = [float(figure[0]) for figure in figures]
    intervals = [central(figure[1:]) for figure in figures]
    return Agreement(values[0], intervals[0], values[1], intervals[1], values[2], intervals[2], len(a))


def central(values: np.ndarray) -> tuple[float, float]:
    """The central 95 % of replicates."""
    low, high = np.quantile(values, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return float(low), float(high)


def pooled(pairs: Sequence[tuple[Version, Version]], *, replicates: int = REPLICATES, seed: int = 0) -> tuple[float, float, float]:
    """Correlation of ranks within families, all families together, and its interval over rules (the same ones in all families)."""
    count = len(pairs[0][0].valid)
    drawn = np.vstack([np.arange(count), resamples(count, replicates, seed)])
    sides = [np.concatenate([centred(pair[k].tuned()[drawn]) for pair in pairs], axis=-1) for k in (0, 1)]
    found = pearson(*sides)
    return float(found[0]), *central(found[1:])


def centred(losses: np.ndarray) -> np.ndarray:
    """Ranks with mean 0 over the last axis: f64[…, R]."""
    found = ranks(losses)
    return found - found.mean(axis=-1, keepdims=True)


def resamples(count: int, replicates: int, seed: int) -> np.ndarray:
    """Indices of rules drawn with replacement: i64[B, R]."""
    return np.random.default_rng(seed).integers(count, size=(replicates, count))
