"""Results made from a table of scores."""

from __future__ import annotations

import numpy as np

from discover.rank.results import Results


def results(scores: np.ndarray | list, ratios: np.ndarray | list | None = None) -> Results:
    """Scores [R, T] or [R, T, S]; ratios to target of the same shape, by default 1 / score (never for 0)."""
    values = np.asarray(scores, np.float64)
    values = values if values.ndim == 3 else values[..., None]
    if ratios is None:
        target = np.where(np.isnan(values), np.nan, np.where(values > 0, 1.0 / np.where(values > 0, values, 1.0), np.inf))
    else:
        target = np.asarray(ratios, np.float64).reshape(values.shape)
    rules = tuple(f"rule{i}" for i in range(len(values)))
    return Results(rules, tuple(f"task{i}" for i in range(values.shape[1])), values, target, 2.0 * target, target)


def duplicated(of: Results, task: int, copies: int) -> Results:
    """The results with one task there `copies` times."""
    again = np.r_[np.arange(len(of.tasks)), np.full(copies - 1, task)]
    part = {name: getattr(of, name)[:, again] for name in ("score", "steps_to_target", "cost_to_target", "loss")}
    return Results(of.rules, tuple(str(i) for i in range(len(again))), **part)
