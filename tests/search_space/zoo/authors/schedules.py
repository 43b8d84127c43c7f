"""Schedules and controllers: what is subtracted is the number itself, everywhere."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax

from tests.search_space.zoo.authors.state import State
from tests.search_space.zoo.harness import Reference, Tree


def _number(formula: Callable[..., float], **options: Any) -> Reference:
    """`formula(s, t, lr, grads, extra, **hypers)` → the number, as a reference; trees come as one flat vector."""

    def make(params: Tree, lr: float, **hypers: float) -> Any:
        s = State()
        vector = lambda tree: np.concatenate([np.ravel(tree[k]) for k in sorted(tree)])  # noqa: E731

        def step(grads: Tree, params: Tree, t: int, extra: Mapping[str, Any]) -> Tree:
            flat = {k: vector(v) if isinstance(v, dict) else v for k, v in extra.items()}
            value = formula(s, t, lr, vector(grads), flat, **hypers)
            return {k: np.full(np.shape(w), -float(value)) for k, w in params.items()}

        return step

    make.__signature__ = inspect.signature(formula)  # type: ignore[attr-defined]
    return Reference(make, **{"hypers": {}, **options})


def _in_float64(schedule: Callable[[], Any], t: int) -> float:
    """An optax schedule at step t."""
    with jax.enable_x64(True):
        return float(schedule()(np.float64(t - 1)))


def constant(s: Any, t: int, lr: float, g: Any, extra: Any) -> float:
    return lr


def warmup(s: Any, t: int, lr: float, g: Any, extra: Any, steps: float = 100.0) -> float:
    return lr * t / steps if t < steps else lr


def linear_decay(s: Any, t: int, lr: float, g: Any, extra: Any, total: float = 1000.0) -> float:
    return _in_float64(lambda: optax.linear_schedule(lr, 0.0, int(total)), t)


def cosine(s: Any, t: int, lr: float, g: Any, extra: Any, total: float = 1000.0, final: float = 0.0) -> float:
    return _in_float64(lambda: optax.cosine_decay_schedule(lr, int(total), final), t)


def sgdr(s: Any, t: int, lr: float, g: Any, extra: Any, period: float = 1000.0, multiplier: float = 2.0, final: float = 0.0) -> float:
    lengths = [int(period * multiplier**k) for k in range(8)]
    cycles = [optax.cosine_decay_schedule(lr, n, final) for n in lengths]
    return _in_float64(lambda: optax.join_schedules(cycles, list(np.cumsum(lengths[:-1]))), t)


def wsd(s: Any, t: int, lr: float, g: Any, extra: Any, total: float = 1000.0, warmup: float = 0.0, cooldown: float = 200.0) -> float:
    """Hägele et al., arXiv:2405.18392, with cooldown 1 - sqrt."""
    if t <= warmup:
        return lr * t / warmup
    left = t - 1 - (total - cooldown)
    return lr if left <= 0 else lr * max(1 - (left / cooldown) ** 0.5, 0)


def wsd_linear(s: Any, t: int, lr: float, g: Any, extra: Any, total: float = 1000.0, warmup: float = 0.0, cooldown: float = 200.0) -> float:
    if t <= warmup:
        return lr * t / warmup
    return _in_float64(lambda: optax.linear_schedule(lr, 0.0, int(cooldown), int(total - cooldown)), t)


def inverse_sqrt(s: Any, t: int, lr: float, g: Any, extra: Any) -> float:
    return lr * t**-0.5


def last_iterate(s: Any, t: int, lr: float, g: Any, extra: Any, total: float = 1000.0) -> float:
    """Liu & Zhou, arXiv:2312.08531."""
    return lr * (total - t + 1) / total**1.5 if t <= total else 0.0


def step_decay(s: Any, t: int, lr: float, g: Any, extra: Any, total: float = 1000.0, factor: float = 2.0) -> float:
    """Pan et al., arXiv:2312.14567: log2 T stages of equal length."""
    stages = int(np.log2(total))
    return lr / factor ** min(int((t - 1) * stages // total), stages - 1)


def cyclic_linear(s: Any, t: int, lr: float, g: Any, extra: Any, cycle: float = 10.0, final: float = 0.05) -> float:
    """Izmailov et al., arXiv:1803.05407, section 3.2."""
    part = (((t - 1) % cycle) + 1) / cycle
    return (1 - part) * lr + part * final * lr


def qsr(s: Any, t: int, lr: float, g: Any, extra: Any, base: float = 4.0, alpha: float = 0.0175, total: float = 1e6) -> float:
    """Gu et al., arXiv:2310.14423."""
    return max(1.0, min(max(base, np.floor((alpha / lr) ** 2)), total - (t - 1)))


def norm_test(s: Any, t: int, lr: float, g: Any, extra: Any, eta: float = 0.1, largest: float = 65536.0) -> float:
    """Lau et al., arXiv:2402.11215: unbiased variance of single gradients, summed, against the squared norm of the mean."""
    n = float(extra["examples"])
    variance = max(float(np.sum(extra["g2"] - g**2)), 0.0) * n / (n - 1)
    size, square = s.size or lr, float(g @ g)
    s.size = min(max(size, np.ceil(variance / (eta**2 * square))) if square else size, largest)
    return s.size


def fedhyper_server(s: Any, t: int, lr: float, g: Any, extra: Any, low: float = -0.8, high: float = 4.0) -> float:
    """Wang et al., arXiv:2310.03156, FedHyper-G as in the authors' code; the first round is plain."""
    if t > 1:
        s.h = min(max(s.h + float(s.last @ g), low), high)
    s.last = g
    return lr * (1 + s.h)


def fedhyper_client(s: Any, t: int, lr: float, g: Any, extra: Any, clients: float = 10.0) -> float:
    """Wang et al., arXiv:2310.03156, FedHyper-CL as in the authors' code; the first step is plain, and leaves the global update behind."""
    if t == 1:
        s.b, s.last = 1.0, extra["u"]
        return lr
    c = min(1.1, 1 + float(g @ s.last) + 0.1 * float(g @ extra["u"]) / clients)
    s.b = min(max(s.b * c, 0.1), 10.0)
    s.last = g
    return lr * s.b


TABLE: dict[str, Reference] = {
    "constant": _number(constant),
    "warmup": _number(warmup, hypers={"steps": 30.0}),
    "linear_decay": _number(linear_decay, hypers={"total": 150.0}),
    "cosine": _number(cosine, hypers={"total": 150.0, "final": 0.1}),
    "sgdr": _number(sgdr, hypers={"period": 10.0, "multiplier": 2.0, "final": 0.1}),
    "wsd": _number(wsd, hypers={"total": 150.0, "warmup": 20.0, "cooldown": 50.0}),
    "wsd_linear": _number(wsd_linear, hypers={"total": 150.0, "warmup": 20.0, "cooldown": 50.0}),
    "inverse_sqrt": _number(inverse_sqrt),
    "last_iterate": _number(last_iterate, hypers={"total": 150.0}),
    "step_decay": _number(step_decay, hypers={"total": 160.0, "factor": 3.0}),
    "cyclic_linear": _number(cyclic_linear, hypers={"cycle": 7.0, "final": 0.3}),
    "qsr": _number(qsr, hypers={"base": 2.0, "alpha": 0.4, "total": 150.0}),
    "norm_test": _number(norm_test, hypers={"eta": 0.3, "largest": 5000.0}, rates=(2.0, 64.0)),
    "fedhyper_server": _number(fedhyper_server, hypers={"low": -0.2, "high": 2.0}),
    "fedhyper_client": _number(fedhyper_client, hypers={"clients": 3.0}),
}
