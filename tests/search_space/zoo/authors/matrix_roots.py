"""Preconditioners that are roots or factors of second moments: Shampoo, polynomial roots, PSGD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.search_space import noise
from tests.search_space.zoo.authors.norm_descent import as_matrix, matrix_tier
from tests.search_space.zoo.authors.state import State, per_tensor, whole_tree
from tests.search_space.zoo.harness import Reference, Tree

Array = np.ndarray
Extra = Mapping[str, Any]


def power(x: Array, p: float) -> Array:
    """Power of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh(x)
    return (vectors * values**p) @ vectors.T


def shampoo(s: State, g: Array, w: Array, t: int, lr: float, eps: float = 1e-4, decay: float = 0.0) -> Any:
    """Gupta, Koren & Singer, arXiv:1802.09568, algorithm 1; of order 1 for vectors."""
    x = as_matrix(g)
    if t == 1:
        s.l, s.r = eps * np.eye(x.shape[0]), eps * np.eye(x.shape[1])
    s.l, s.r = s.l + x @ x.T, s.r + x.T @ x
    u = power(s.l, -1 / 4) @ x @ power(s.r, -1 / 4) if g.ndim >= 2 else x @ power(s.r, -1 / 2)
    return -lr * (u.reshape(g.shape) + decay * w)


def damped_root(x: Array, p: float, eps: float) -> Array:
    """(x + eps times the largest eigenvalue)^p."""
    return power(x + eps * np.linalg.eigvalsh(x)[-1] * np.eye(len(x)), p)


def distributed_shampoo(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-4,
    graft_eps: float = 1e-10,
    period: float = 20.0,
    start: float = 25.0,
    decay: float = 0.0,
) -> Any:
    """Anil et al., arXiv:2002.09018, google-research/scalable_shampoo: RMSProp graft, both momenta kept, Nesterov."""
    x = as_matrix(g)
    if t == 1:
        s.stats = [eps * np.eye(n) for n in (x.shape if g.ndim >= 2 else x.shape[1:])]
        s.roots = [np.eye(len(a)) for a in s.stats]
    grams = [x @ x.T, x.T @ x] if g.ndim >= 2 else [x.T @ x]
    s.stats = [b2 * a + (1 - b2) * b for a, b in zip(s.stats, grams, strict=True)]
    if (t - 1) % round(period) == 0:
        s.roots = [damped_root(a, -1 / (2 * len(s.stats)), eps) for a in s.stats]
    s.v = b2 * s.v + (1 - b2) * x**2
    graft = x / (np.sqrt(s.v) + graft_eps)
    u = s.roots[0] @ x @ s.roots[1] if g.ndim >= 2 else x @ s.roots[0]
    size = np.linalg.norm(u)
    u = u * (np.linalg.norm(graft) / size if size > 0 else 1.0)
    s.m, s.n = b1 * s.m + u, b1 * s.n + graft
    step = graft + b1 * s.n if t < start else u + b1 * s.m
    return -lr * (step.reshape(g.shape) + decay * w)


def binomials(a: float, count: int) -> list[float]:
    """|C(a, k)| for k = 0 … count."""
    out = [1.0]
    for k in range(count):
        out.append(out[-1] * (a - k) / (k + 1))
    return [abs(x) for x in out]


def _second_moment(s: State, g: Array, t: int, b: float, eps: float) -> tuple[Array, Array, float]:
    """(Z, gradient, Frobenius norm) with S = norm (I - Z) the averaged second moment of the rows plus eps."""
    x = as_matrix(g)
    s.a = b * s.a + (1 - b) * x @ x.T
    a = s.a / (1 - b**t) + eps * np.eye(len(x))
    size = float(np.linalg.norm(a))
    return np.eye(len(x)) - a / size, x, size


def taylor_root_descent(s: State, g: Array, w: Array, t: int, lr: float, b: float = 0.9, eps: float = 1e-4, decay: float = 0.0) -> Any:
    """Song, Sebe & Wang, arXiv:2201.12543: the series of (I - Z)^(-1/2) up to degree 11."""
    z, x, size = _second_moment(s, g, t, b, eps)
    root = sum(c * np.linalg.matrix_power(z, k) for k, c in enumerate(binomials(-0.5, 11)))
    return -lr * ((root @ x / np.sqrt(size)).reshape(g.shape) + decay * w)


def pade(series: Array, degree: int) -> tuple[Array, Array]:
    """(P, Q), lowest power first, with P / Q equal to the series up to twice the degree; Q(0) = 1."""
    rows = [[series[degree + 1 + i - j] for j in range(1, degree + 1)] for i in range(degree)]
    q = np.append(1.0, np.linalg.solve(np.array(rows), -series[degree + 1 : 2 * degree + 1]))
    return np.array([sum(q[j] * series[i - j] for j in range(i + 1)) for i in range(degree + 1)]), q


def pade_root_descent(s: State, g: Array, w: Array, t: int, lr: float, b: float = 0.9, eps: float = 1e-4, decay: float = 0.0) -> Any:
    """Song, Sebe & Wang, arXiv:2201.12543: P(Z)^-1 Q(Z) of the [5/5] approximant of the square root."""
    z, x, size = _second_moment(s, g, t, b, eps)
    series = -np.array(binomials(0.5, 10))
    series[0] = 1.0
    p, q = (sum(c * np.linalg.matrix_power(z, k) for k, c in enumerate(cs)) for cs in pade(series, 5))
    return -lr * ((np.linalg.solve(p, q @ x) / np.sqrt(size)).reshape(g.shape) + decay * w)


def psgd_xmat(
    s: State, grads: Tree, params: Tree, t: int, lr: float, extra: Extra, b1: float = 0.9, rate: float = 0.1, decay: float = 0.0
) -> Tree:
    """Li, arXiv:2402.04553; lixilinx/psgd_torch, XMat with step_normalizer "2nd", on each tensor as one vector."""
    out = {}
    for i, k in enumerate(sorted(grads)):
        g, h, v = grads[k].ravel(), extra["hv"][k].ravel(), noise.normal(grads[k].shape, 0, t, i).ravel()
        if t == 1:
            s.a, s.b, s.m = ({**(x or {}), k: 0 * g} for x in (s.a, s.b, s.m))
            s.a[k] = (np.sum(v * v) / np.sum(h * h)) ** 0.25 + 0 * g
        a, b = s.a[k], s.b[k]
        af, bf = a[::-1], b[::-1]
        qh = a * h + b * h[::-1]
        qv = (af * v - bf * v[::-1]) / (a * af - b * bf)
        da, db = qh**2 - qv**2, qh * qh[::-1] - qv * qv[::-1]
        if len(g) % 2:
            db[len(g) // 2] = 0
        mu = rate / np.max(qh**2 + qv**2)
        s.a[k], s.b[k] = a - mu * (da * a + db * bf), b - mu * (da * b + db * af)
        a, b = s.a[k], s.b[k]
        m = s.m[k] = b1 * s.m[k] + (1 - b1) * g
        u = (a * a + (b * b)[::-1]) * m + (a * b + (a * b)[::-1]) * m[::-1]
        out[k] = -lr * (u.reshape(grads[k].shape) + decay * params[k])
    return out


def _fit(q: list[Array], h: Array, v: Array, rate: float) -> list[Array]:
    """One step of the triangular factors towards whitening the pair (v, h)."""
    a = q[0] @ h @ q[1].T
    b = np.linalg.solve(q[0].T, v) @ np.linalg.inv(q[1])
    terms = [(a @ a.T, b @ b.T), (a.T @ a, b.T @ b)]
    return [f - rate / np.abs(x + y).max() * np.triu(x - y) @ f for f, (x, y) in zip(q, terms, strict=True)]


def _updates_now(t: int, least: float, flat: float) -> bool:
    return noise.global_uniform(2, t) < min(1.0, max(least, np.exp(-0.001 * (t - flat))))


def psgd_kron(
    s: State,
    grads: Tree,
    params: Tree,
    t: int,
    lr: float,
    extra: Extra,
    b1: float = 0.9,
    rate: float = 0.1,
    least: float = 0.03,
    flat: float = 500.0,
    decay: float = 0.0,
) -> Tree:
    """Li, arXiv:2402.04553, affine group: Q of both sides from pairs (v, Hv)."""
    s.q, s.m = s.q or {}, s.m or dict.fromkeys(grads, 0.0)
    out = {}
    for i, k in enumerate(sorted(grads)):
        g, h, v = as_matrix(grads[k]), as_matrix(extra["hv"][k]), as_matrix(noise.normal(grads[k].shape, 0, t, i))
        if t == 1:
            start = (np.sum(v**2) / np.sum(h**2)) ** 0.25
            s.q[k] = [np.sqrt(start) * np.eye(n) for n in g.shape]
        if _updates_now(t, least, flat):
            s.q[k] = _fit(s.q[k], h, v, rate)
        left, right = (f.T @ f for f in s.q[k])
        s.m[k] = b1 * s.m[k] + (1 - b1) * g
        out[k] = -lr * ((left @ s.m[k] @ right).reshape(grads[k].shape) + decay * params[k])
    return out


def kron(
    s: State,
    grads: Tree,
    params: Tree,
    t: int,
    lr: float,
    extra: Extra,
    b1: float = 0.9,
    rate: float = 0.1,
    least: float = 0.03,
    flat: float = 500.0,
    top: float = 1.1,
    decay: float = 0.0,
) -> Tree:
    """evanatyourservice/kron_torch: the debiased momentum is whitened, and clipped at a root mean square of 1.1."""
    s.q, s.m = s.q or {k: [np.eye(n) for n in as_matrix(g).shape] for k, g in grads.items()}, s.m or dict.fromkeys(grads, 0.0)
    out = {}
    for i, k in enumerate(sorted(grads)):
        s.m[k] = b1 * s.m[k] + (1 - b1) * as_matrix(grads[k])
        h = s.m[k] / (1 - b1**t)
        if _updates_now(t, least, flat):
            s.q[k] = _fit(s.q[k], h, as_matrix(noise.normal(grads[k].shape, 0, t, i)), rate)
        left, right = (f.T @ f for f in s.q[k])
        u = left @ h @ right
        u = u * min(1.0, top / np.sqrt(np.mean(u**2)))
        out[k] = -lr * (u.reshape(grads[k].shape) + decay * params[k])
    return out


WIDE = {"scalar": (), "vector": (7,), "matrix": (4, 9), "wide": (6, 12), "kernel": (2, 2, 2, 12)}
"""More columns than rows: the second moment of the rows of one gradient has full rank."""

TABLE: dict[str, Reference] = {
    "shampoo": matrix_tier(per_tensor(shampoo), {"eps": 0.01}),
    "distributed_shampoo": matrix_tier(per_tensor(distributed_shampoo), {"b2": 0.99, "period": 15.0, "start": 20.0}, jump=1.0),
    "taylor_root_descent": matrix_tier(per_tensor(taylor_root_descent), {"b": 0.95}),
    "pade_root_descent": matrix_tier(per_tensor(pade_root_descent), {"b": 0.95}, shapes=WIDE),
    "psgd_xmat": matrix_tier(whole_tree(psgd_xmat), {"rate": 0.05}),
    "psgd_kron": matrix_tier(whole_tree(psgd_kron), {"flat": 20.0, "least": 0.5}),
    "kron": matrix_tier(whole_tree(kron), {"flat": 20.0, "least": 0.5}),
}
