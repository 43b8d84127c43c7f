"""Averages of weights and other wrappers: `now.u` is what the wrapped rule subtracts, `now.t` the step, `now.f` the loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.search_space import noise
from tests.search_space.zoo.authors.problem import NAMES
from tests.search_space.zoo.authors.wrapping import wrapper
from tests.search_space.zoo.harness import SHAPES, Reference

Array = np.ndarray
Pair = tuple[Array, Array]


def _before(s: Any, name: str, w: Array) -> Array:
    """A value that starts as the first weights."""
    if name not in vars(s):
        setattr(s, name, w)
    return getattr(s, name)


def ema(s: Any, w: Array, lr: float, now: Any, decay: float = 0.999) -> Pair:
    """Polyak & Juditsky with a constant share."""
    s.a = decay * _before(s, "a", w) + (1 - decay) * (w - now.u)
    return -now.u, s.a


def annealed_ema(s: Any, w: Array, lr: float, now: Any, power: float = 0.67, least: float = 0.001, burn_in: float = 0.0) -> Pair:
    """Block et al., arXiv:2310.11428."""
    gamma = 1.0 if now.t <= burn_in else max(least, (now.t - burn_in) ** -power)
    s.a = (1 - gamma) * s.a + gamma * (w - now.u)
    return -now.u, s.a


def swa(s: Any, w: Array, lr: float, now: Any, start: float = 750.0, cycle: float = 10.0) -> Pair:
    """Izmailov et al., arXiv:1803.05407, algorithm 1."""
    if now.t > start and (now.t - start) % cycle == 0:
        s.a = (s.a * s.n + w - now.u) / (s.n + 1)
        s.n += 1
    return -now.u, s.a if s.n else w - now.u


def lawa(s: Any, w: Array, lr: float, now: Any, period: float = 1000.0) -> Pair:
    """Sanyal et al., arXiv:2306.03241: uniform mean of the last five checkpoints."""
    if now.t % period == 0:
        s.kept = [w - now.u, *(s.kept or [])][:5]
    return -now.u, np.mean(s.kept, axis=0) if s.kept else w - now.u


def sema(s: Any, w: Array, lr: float, now: Any, decay: float = 0.999, period: float = 1000.0) -> Pair:
    """Li et al., arXiv:2402.09240: the weights switch to the average at the end of an epoch."""
    s.a = decay * _before(s, "a", w) + (1 - decay) * (w - now.u)
    return (s.a - w if now.t % period == 0 else -now.u), s.a


def aswa(s: Any, w: Array, lr: float, now: Any) -> Pair:
    """Madhyastha & Jain, arXiv:1909.10447: the mean of t weights and the new ones, from which training goes on."""
    mean = (now.t * w + (w - now.u)) / (now.t + 1)
    return mean - w, mean


def naswa(s: Any, w: Array, lr: float, now: Any) -> Pair:
    """Madhyastha & Jain, arXiv:1909.10447, with the mean change of norm as the threshold."""
    average = s.a if s.apart else w  # weights that have just become the average are it
    new = w - now.u
    change = abs(np.linalg.norm(new) - np.linalg.norm(average))
    s.apart = bool(s.changes) and change <= np.mean(s.changes)
    s.changes = [*s.changes, change] if s.apart else [change]
    if s.apart:
        s.a = average
        return -now.u, average
    s.n = s.n + 1
    s.a = (s.n * average + new) / (s.n + 1)
    return s.a - w, s.a


def schedule_free(s: Any, w: Array, lr: float, now: Any, b1: float = 0.9, power: float = 2.0) -> Pair:
    """Defazio et al., arXiv:2405.15682: gradient at y, base step on z, average x, which is found again from y and z."""
    z = _before(s, "z", w)
    x = (w - (1 - b1) * z) / b1
    s.total = s.total + lr**power
    c = lr**power / s.total
    s.z = z - now.u
    x = (1 - c) * x + c * s.z
    return (1 - b1) * s.z + b1 * x - w, x


def polynomial_average(s: Any, w: Array, lr: float, now: Any, power: float = 8.0) -> Pair:
    """Shamir & Zhang, arXiv:1212.1824."""
    share = (1 + power) / (now.t + power)
    s.a = (1 - share) * s.a + share * (w - now.u)
    return -now.u, s.a


def running_mean(s: Any, w: Array, lr: float, now: Any, start: float = 100.0) -> Pair:
    """Berezin et al., arXiv:2309.11446: simple mean from a step on."""
    s.kept = [*(s.kept or []), w - now.u] if now.t > start else [w - now.u]
    return -now.u, np.mean(s.kept, axis=0)


def nt_asgd(s: Any, w: Array, lr: float, now: Any, period: float = 1000.0) -> Pair:
    """Merity et al., arXiv:1708.02182, as in the authors' main.py, with 5 checks."""
    new = w - now.u
    s.kept = [*s.kept, new] if s.on else [new]
    if now.t % period == 0:
        s.logs = s.logs or []
        if not s.on and len(s.logs) > 5 and now.f > min(s.logs[:-5]):
            s.on, s.kept = True, [new]
        s.logs = [*s.logs, now.f]
    return -now.u, np.mean(s.kept, axis=0)


def cotta(s: Any, w: Array, lr: float, now: Any, decay: float = 0.999, p: float = 0.01) -> Pair:
    """Wang et al., arXiv:2203.13591: teacher, then restore."""
    start = _before(s, "start", w)
    s.teacher = decay * _before(s, "teacher", w) + (1 - decay) * (w - now.u)
    draws = [noise.uniform(SHAPES[k], 0.0, now.t, i).reshape(-1) for i, k in enumerate(NAMES)]
    return np.where(np.concatenate(draws) < p, start, w - now.u) - w, s.teacher


def lookahead(s: Any, w: Array, lr: float, now: Any, alpha: float = 0.5, period: float = 5.0) -> Pair:
    """Zhang et al., arXiv:1907.08610, algorithm 1."""
    slow = _before(s, "slow", w)
    if now.t % period:
        return -now.u, slow
    s.slow = slow + alpha * (w - now.u - slow)
    return s.slow - w, s.slow


TABLE: dict[str, Reference] = {
    "ema": wrapper(ema, hypers={"decay": 0.9}),
    "annealed_ema": wrapper(annealed_ema, hypers={"power": 0.9, "least": 0.05, "burn_in": 30.0}),
    "swa": wrapper(swa, hypers={"start": 100.0, "cycle": 7.0}),
    "lawa": wrapper(lawa, hypers={"period": 13.0}),
    "sema": wrapper(sema, hypers={"decay": 0.9, "period": 20.0}),
    "aswa": wrapper(aswa),
    "naswa": wrapper(naswa),
    "schedule_free": wrapper(schedule_free, hypers={"b1": 0.7}),
    "polynomial_average": wrapper(polynomial_average, hypers={"power": 3.0}),
    "running_mean": wrapper(running_mean, hypers={"start": 50.0}),
    "nt_asgd": wrapper(nt_asgd, hypers={"period": 5.0}),
    "cotta": wrapper(cotta, hypers={"decay": 0.9, "p": 0.2}),
    "lookahead": wrapper(lookahead, hypers={"alpha": 0.7, "period": 3.0}),
}
