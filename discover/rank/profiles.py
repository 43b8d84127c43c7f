"""Performance profiles (Dolan and Moré, arXiv cs/0102001): on which share of the tasks a rule is within a factor τ of the best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from discover.rank.cells import median_ratio
from discover.rank.results import Results

LARGEST = 4.0
"""The largest factor that is drawn."""


@dataclass(frozen=True)
class Profile:
    """share: f64[R, N], share of a rule's tasks within the factor tau: f64[N] ≥ 1 of the best rule; NaN for a rule without tasks."""

    tau: np.ndarray
    share: np.ndarray


def factors(values: np.ndarray) -> np.ndarray:
    """How many times more than the best rule of a task: f64[R, T] from positive values [R, T], lower is better.

    +inf where a rule never reaches the target, all rules included; NaN where the cell is missing.
    """
    best = np.min(np.where(np.isnan(values), np.inf, values), axis=0)
    reached = np.isfinite(values) & np.isfinite(best)
    floor = np.finfo(np.float64).tiny  # a target reached before the first step: nobody can be better
    ratio = np.maximum(values, floor) / np.where(np.isfinite(best), np.maximum(best, floor), 1.0)
    return np.where(reached, ratio, np.where(np.isnan(values), np.nan, np.inf))


def profile(values: np.ndarray, taus: np.ndarray) -> Profile:
    """The share of tasks within each factor, from values [R, T]."""
    ratio = factors(values)
    there = ~np.isnan(ratio)
    within = (ratio[:, :, None] <= taus) & there[:, :, None]
    count = there.sum(axis=1)[:, None]
    return Profile(taus, np.where(count > 0, within.sum(axis=1) / np.maximum(count, 1), np.nan))


def steps_profile(results: Results, points: int = 200) -> Profile:
    """Of steps to tuned AdamW's loss, the median over seeds."""
    return profile(median_ratio(results.steps_to_target), np.geomspace(1.0, LARGEST, points))


def cost_profile(results: Results, points: int = 200) -> Profile:
    """Of evaluations to tuned AdamW's loss, the median over seeds."""
    return profile(median_ratio(results.cost_to_target), np.geomspace(1.0, LARGEST, points))


def area(profile: Profile) -> np.ndarray:
    """Mean share over the logarithm of the factor: f64[R] in [0, 1], a rule's profile as one number."""
    log = np.log(profile.tau)
    return np.trapezoid(profile.share, log, axis=1) / (log[-1] - log[0])
