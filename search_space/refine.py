"""Learning-rate schedules from the gradient norms of an earlier run (Defazio et al., "When, why and how much?", arXiv:2310.07831)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def refined_rates(norms: Any, *, power: float = 2.0, width: float = 0.1) -> np.ndarray:
    """Rates of steps 1 … T as parts of the peak, from the gradient norm of each step of an earlier run.

    wₜ is the norm, smoothed by a running median over `width`·T steps, to the power −`power`; the rate is wₜ · Σ_{p>t} w_p over its
    largest value. Take 2-norms and power 2 for SGD, 1-norms and power 1 for Adam. Raises `ValueError` for norms that are not positive.
    """
    given = np.asarray(norms, np.float64)
    if given.ndim != 1 or given.size < 2 or not np.all(np.isfinite(given)):
        raise ValueError(f"norms must be a vector of at least two finite numbers, got shape {given.shape}")
    smooth = _running_median(given, width)
    if np.min(smooth) <= 0:
        raise ValueError("smoothed gradient norms must be positive")
    weights = (smooth / np.max(smooth)) ** -power
    later = np.cumsum(weights[::-1])[::-1] - weights
    rates = weights * later
    return rates / np.max(rates)


def refined_schedule(norms: Any, peak: float, *, power: float = 2.0, width: float = 0.1) -> Callable[[Any], jax.Array]:
    """`refined_rates` times `peak` as an optax schedule; 0 after the last step.

    Example:
        >>> from search_space.refine import refined_schedule
        >>> rate = refined_schedule([2.0] * 5, peak=0.4)
        >>> [round(float(rate(k)), 3) for k in range(6)]
        [0.4, 0.3, 0.2, 0.1, 0.0, 0.0]
    """
    rates = jnp.asarray(peak * np.append(refined_rates(norms, power=power, width=width), 0.0), jnp.float32)
    return lambda count: rates[jnp.clip(jnp.asarray(count), 0, rates.shape[0] - 1)]


def _running_median(x: np.ndarray, width: float) -> np.ndarray:
    """Median over an odd window around each entry; the first entry is repeated before the start, the end is reflected."""
    half = int(width * x.size) // 2
    padded = np.concatenate([np.full(half, x[0]), x, x[::-1][:half]])
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)
