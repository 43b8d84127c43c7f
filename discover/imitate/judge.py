"""The verdict on a program: its updates against the target's on held-out streams that no search has seen.

Error: relative L2 distance of the updates, for each scale of the gradient by itself; the worst scale counts (a plain sum would hear
only the loudest). A target whose updates take one size ±c apart from weight decay is judged by flips: the share of elements that are off
by more than half of c.
Letters: R runs (scales), E elements, T steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from discover.imitate.streams import Array
from discover.imitate.target import Recording, play_program
from search_space.program import Program

SMOOTH_ERROR = 1e-3
SIGN_ERROR = 1e-2
SIGN_FLIPS = 2.5e-5


@dataclass(frozen=True)
class Verdict:
    """`flips` is None for smooth targets."""

    equivalent: bool
    error: float
    flips: float | None


def judge(program: Program, recording: Recording) -> Verdict:
    """Whether the program gives the target's updates on the held-out streams, by the reference executor."""
    held_out = recording.held_out
    return compare(play_program(program, held_out.streams), held_out.u, held_out.streams.w)


def compare(mine: Array, wanted: Array, w: Array) -> Verdict:
    """The verdict on updates `mine, wanted: [R, E, T]` with weights `w: [R, E, T]`."""
    if not np.isfinite(mine).all():
        return Verdict(False, math.inf, None)
    error = max(relative_error(mine[run], wanted[run]) for run in range(len(wanted)))
    level = sign_level(wanted, w)
    if level is None:
        return Verdict(error <= SMOOTH_ERROR, error, None)
    flips = float(np.mean(np.abs(mine - wanted) > 0.5 * level))
    return Verdict(flips <= SIGN_FLIPS and error <= SIGN_ERROR, error, flips)


def relative_error(mine: Array, wanted: Array) -> float:
    """|mine - wanted| / |wanted| in L2; 0 if both are zero."""
    difference = float(np.linalg.norm(np.ravel(mine).astype(float) - np.ravel(wanted)))
    size = float(np.linalg.norm(np.ravel(wanted).astype(float)))
    return difference / size if size > 0 else (0.0 if difference == 0 else math.inf)


def sign_level(u: Array, w: Array) -> float | None:
    """The size c of a target ±c (+ decay * w); None for a smooth target."""
    u, w = u.ravel()[:200_000].astype(float), w.ravel()[:200_000].astype(float)
    decay = additive_decay(u, w)
    rest = np.abs(u - decay * w)
    sizes = rest[rest > 1e-4 * rest.max(initial=0.0)]
    if sizes.size == 0:
        return None
    level = float(np.median(sizes))
    return level if float(np.mean(np.abs(sizes - level) > 1e-3 * level)) < 1e-3 else None


def additive_decay(u: Array, w: Array) -> float:
    """The slope of u along w where u is one of ±c plus a multiple of w, by halving: least squares, then the nearest level."""
    decay = 0.0
    for _ in range(20):
        rest = u - decay * w
        level = float(np.median(np.abs(rest)))
        target = np.where(np.abs(rest) > 0.5 * level, level * np.sign(rest), 0.0)
        decay = float(((u - target) * w).sum() / max(float(np.square(w).sum()), 1e-300))
    return decay if abs(decay) > 1e-9 else 0.0
