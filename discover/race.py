"""Successive halving with fixed lengths and rolling hurdles: most candidates are trained for a fraction of the steps only.

The hurdle of a rung is a quantile of the scores that were measured there recently, the present generation included. It depends on
scores told in fixed order and on nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Rung:
    """A training length in steps, and the share of recent candidates that passes on from it (the last rung's is ignored)."""

    steps: int
    keep: float


def rungs(steps: int, fractions: Sequence[float], keep: Sequence[float]) -> tuple[Rung, ...]:
    """Rungs for a full length, shortest first; the last one is the full length."""
    shares = (*keep, 1.0)
    return tuple(Rung(max(1, round(steps * part)), share) for part, share in zip(fractions, shares, strict=True))


class Race:
    """Hurdles over a rolling window of scores, one window for each rung but the last."""

    def __init__(self, ladder: Sequence[Rung], window: int = 512) -> None:
        self.ladder = tuple(ladder)
        self.windows: list[deque[float]] = [deque(maxlen=window) for _ in self.ladder[:-1]]

    def pass_on(self, rung: int, scores: Sequence[float | None], free: Sequence[bool] = ()) -> list[bool]:
        """Tell a generation's scores at a rung; which may go on. Failures (None) never do, `free` ones with a score always do."""
        window = self.windows[rung]
        window.extend(score for score in scores if score is not None)
        hurdle = quantile(window, self.ladder[rung].keep)
        exempt = tuple(free) or (False,) * len(scores)
        return [score is not None and (go or score <= hurdle) for score, go in zip(scores, exempt, strict=True)]

    def state(self) -> list[list[float]]:
        """The windows, as JSON."""
        return [list(window) for window in self.windows]

    def restore(self, state: Any) -> None:
        """Continue from a `state`."""
        for window, scores in zip(self.windows, state, strict=True):
            window.clear()
            window.extend(scores)


class Curves:
    """Profiles (log losses at each rate and rung) of what was trained in full, to find the one that a candidate runs level with.

    A score alone does not tell: different rules meet by chance in one number, not in all of a profile.
    """

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self.owners: list[int] = []
        self.profiles: list[Sequence[float]] = []

    def add(self, owner: int, profile: Sequence[float]) -> None:
        """Enter one that was trained in full."""
        self.owners.append(owner)
        self.profiles.append(profile)

    def alike(self, profile: Sequence[float]) -> int | None:
        """The owner of the nearest profile, where all entries so far agree to `tolerance`; the older one at a tie."""
        if not self.profiles or self.tolerance <= 0 or not profile:
            return None
        gaps = np.abs(np.array(self.profiles)[:, : len(profile)] - profile).max(axis=1)
        nearest = int(gaps.argmin())
        return self.owners[nearest] if gaps[nearest] <= self.tolerance else None


def quantile(scores: Sequence[float] | deque[float], share: float) -> float:
    """The largest score among the best `share` of them (at least one passes); infinity where there are none."""
    ordered = sorted(scores)
    if not ordered:
        return float("inf")
    return ordered[max(1, min(len(ordered), round(share * len(ordered)))) - 1]
