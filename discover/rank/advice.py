"""What to use on which task: the best rule, those that are as good within noise, and a rule that is safe everywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from discover.rank.bootstrap import LEVEL
from discover.rank.cells import mean_score
from discover.rank.results import Results


@dataclass(frozen=True)
class Advice:
    """One task: the rule of the highest mean score, and the others that its seeds do not tell from it, best first.

    `gain`: mean score above the baseline's (NaN without a baseline), `clear`: whether that is beyond the noise of the seeds.
    """

    task: str
    best: str
    equals: tuple[str, ...]
    score: float
    gain: float
    clear: bool


def advise(results: Results, baseline: str | None = None) -> list[Advice]:
    """Advice for every task that has a score, in the order of the tasks."""
    means = mean_score(results)
    close = as_good(results)
    found = []
    for t, task in enumerate(results.tasks):
        order = [int(r) for r in np.argsort(-means[:, t], kind="stable") if not np.isnan(means[r, t])]
        if order:
            best, equals = order[0], tuple(results.rules[r] for r in order[1:] if close[r, t])
            base = results.rules.index(baseline) if baseline in results.rules else None
            gain = np.nan if base is None else float(means[best, t] - means[base, t])
            clear = base is not None and not close[base, t] and bool(np.isfinite(gain))
            found.append(Advice(task, results.rules[best], equals, float(means[best, t]), gain, clear))
    return found


def as_good(results: Results) -> np.ndarray:
    """Whether a rule is the best of a task or not told from it: bool[R, T].

    The test is Student's one-sided 97.5 % on the differences of scores seed by seed (seed s is the same draw for all rules);
    with fewer than two common seeds only an equal mean is as good.
    """
    means = mean_score(results)
    found = np.zeros(means.shape, bool)
    for t in range(means.shape[1]):
        if np.isnan(means[:, t]).all():
            continue
        best = int(np.nanargmax(means[:, t]))
        for r in range(means.shape[0]):
            found[r, t] = not np.isnan(means[r, t]) and not _behind(results.score[best, t] - results.score[r, t])
    return found


def _behind(differences: np.ndarray) -> bool:
    """Whether differences to the best are positive beyond their noise."""
    there = differences[~np.isnan(differences)]
    if there.size < 2:
        return bool(there.sum() > 0)
    bar = float(student.ppf(0.5 + LEVEL / 2, there.size - 1)) * there.std(ddof=1) / there.size**0.5
    return bool(there.mean() > bar)


def safest(results: Results) -> tuple[str, int]:
    """The rule that is as good as the best on most tasks, and on how many; among equals the higher mean score."""
    counts = as_good(results).sum(axis=1)
    means = np.nan_to_num(mean_score(results), nan=0.0).mean(axis=1)
    best = int(np.lexsort((-means, -counts))[0])
    return results.rules[best], int(counts[best])
