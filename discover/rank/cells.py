"""One number for each rule and task, from its seeds; missing cells stay NaN."""

from __future__ import annotations

import numpy as np

from discover.rank.results import Results

NEVER = 4.0
"""What a ratio to target counts at most, and what "never" counts, in geometric means: four times AdamW's steps or evaluations."""


def mean_score(results: Results) -> np.ndarray:
    """Mean over the seeds that are there: f64[R, T]."""
    return mean_of(results.score)


def mean_of(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without NaN; NaN where nothing is there."""
    there = ~np.isnan(values)
    count = there.sum(axis=-1)
    total = np.where(there, values, 0.0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def capped_log(ratios: np.ndarray, cap: float = NEVER) -> np.ndarray:
    """Mean over seeds of log ratio, ratios counted from 1 / cap to cap: f64[R, T]."""
    return mean_of(np.log(np.clip(ratios, 1.0 / cap, cap)))


def median_ratio(ratios: np.ndarray) -> np.ndarray:
    """Median over seeds of a ratio to target: f64[R, T]; +inf where half of the seeds or more never reach it."""
    there = ~np.isnan(ratios)
    ordered = np.sort(ratios, axis=-1)  # NaN last
    middle = there.sum(axis=-1) // 2
    upper = np.take_along_axis(ordered, np.minimum(middle, ratios.shape[-1] - 1)[..., None], -1)[..., 0]
    lower = np.take_along_axis(ordered, np.maximum(middle - 1, 0)[..., None], -1)[..., 0]
    even = there.sum(axis=-1) % 2 == 0
    return np.where(middle + there.any(axis=-1) == 0, np.nan, np.where(even, (upper + lower) / 2.0, upper))
