"""Rules that keep a part of the matrix in memory, or look at it in another basis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.search_space import noise
from tests.search_space.zoo.authors.adam_family import adam_direction
from tests.search_space.zoo.authors.state import State, per_tensor, whole_tree
from tests.search_space.zoo.harness import MATRIX_TOLERANCE, Reference, Tree

Array = np.ndarray
Extra = Mapping[str, Any]


def states(s: State, grads: Tree) -> dict[str, State]:
    """A state for each tensor, kept in `s`."""
    if not s.each:
        s.each = {k: State() for k in grads}
    return s.each


def frugal(
    s: State,
    grads: Tree,
    params: Tree,
    t: int,
    lr: float,
    extra: Extra,
    rho: float = 0.25,
    period: float = 200.0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Tree:
    """Zmushko et al., arXiv:2411.07837: random columns by AdamW, started anew at every choice; the others by sign descent."""
    matrices = [k for k in sorted(grads) if grads[k].ndim == 2]
    out = {}
    for k, own in states(s, grads).items():
        g, w = grads[k], params[k]
        if g.ndim != 2:
            out[k] = -lr * (adam_direction(own, g, t, b1, b2, eps) + decay * w)
            continue
        if (t - 1) % round(period) == 0:
            order = np.argsort(noise.uniform((1, g.shape[1]), 0, t, matrices.index(k))[0])
            own.columns = order[: sum(r + 0.5 < rho * g.shape[1] for r in range(g.shape[1]))]
            own.m = own.v = 0.0
            own.start = t - 1
        u = np.sign(g)
        u[:, own.columns] = adam_direction(own, g[:, own.columns], t - own.start, b1, b2, eps)
        out[k] = -lr * (u + decay * w)
    return out


def soap(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    b1: float = 0.95,
    b2: float = 0.95,
    eps: float = 1e-8,
    period: float = 10.0,
    decay: float = 0.0,
) -> Any:
    """Vyas et al., arXiv:2409.11321, nikhilvyas/SOAP with shampoo_beta = b2; the first step only starts the bases. Others AdamW."""
    if g.ndim != 2:
        return -lr * (adam_direction(s, g, t, b1, b2, eps) + decay * w)
    n = t - 1
    if n == 0:
        s.gg = [(1 - b2) * g @ g.T, (1 - b2) * g.T @ g]
        s.q = [np.linalg.eigh(x)[1][:, ::-1] for x in s.gg]
        return 0 * g
    left, right = s.q
    s.m = b1 * s.m + (1 - b1) * g
    s.v = b2 * s.v + (1 - b2) * (left.T @ g @ right) ** 2
    u = left @ ((left.T @ s.m @ right) / (np.sqrt(s.v) + eps)) @ right.T
    u = u * np.sqrt(1 - b2**n) / (1 - b1**n)
    s.gg = [b2 * x + (1 - b2) * y for x, y in zip(s.gg, (g @ g.T, g.T @ g), strict=True)]
    if n % round(period) == 0:
        orders = [np.argsort(-np.diag(q.T @ x @ q)) for x, q in zip(s.gg, s.q, strict=True)]
        s.v = s.v[orders[0]][:, orders[1]]
        s.q = [np.linalg.qr(x @ q[:, order])[0] for x, q, order in zip(s.gg, s.q, orders, strict=True)]
    return -lr * (u + decay * w)


def _adam_hf(s: State, x: Array, t: int, b1: float, b2: float, eps: float) -> Array:
    """Adam with epsilon before the bias correction, as GaLore's code has it."""
    s.m = b1 * s.m + (1 - b1) * x
    s.v = b2 * s.v + (1 - b2) * x**2
    return s.m / (np.sqrt(s.v) + eps) * np.sqrt(1 - b2**t) / (1 - b1**t)


def galore(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    rank: float = 128.0,
    period: float = 200.0,
    size: float = 0.25,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-6,
    decay: float = 0.0,
) -> Any:
    """Zhao et al., arXiv:2403.03507, projection on the right; others AdamW."""
    if g.ndim != 2:
        return -lr * (adam_direction(s, g, t, b1, b2, eps) + decay * w)
    if (t - 1) % round(period) == 0:
        s.p = _leading(g, rank)
    return -lr * (size * _adam_hf(s, g @ s.p, t, b1, b2, eps) @ s.p.T + decay * w)


def _leading(g: Array, rank: float) -> Array:
    """Leading right singular vectors, the largest entry of each positive."""
    p = np.linalg.svd(g, full_matrices=False)[2][: round(rank)].T
    return p * np.sign(p[np.argmax(np.abs(p), axis=0), np.arange(p.shape[1])])


def online_subspace_descent(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    rank: float = 4.0,
    rate: float = 0.005,
    pull: float = 0.0,
    shrink: float = 0.01,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-6,
    decay: float = 0.0,
) -> Any:
    """Liang et al., arXiv:2408.12857, kyleliang919/Online-Subspace-Descent: torch's AdamW on the loss of the projection from step 2."""
    if g.ndim != 2:
        return -lr * (adam_direction(s, g, t, b1, b2, eps) + decay * w)
    if t == 1:
        s.p, s.adam = _leading(g, rank), State()
    u = _adam_hf(s, g @ s.p, t, b1, b2, eps) @ s.p.T
    if t > 1:
        size = np.linalg.norm(g)
        x = g / size if size > 0 else g
        e = x @ s.p @ s.p.T - x
        slope = 2 * (e.T @ x @ s.p + x.T @ e @ s.p) + 4 * pull * s.p @ (s.p.T @ s.p - np.eye(s.p.shape[1]))
        s.p = (1 - rate * shrink) * s.p - rate * adam_direction(s.adam, slope, t - 1, 0.9, 0.999, 1e-8)
    return -lr * (u + decay * w)


def _adjusted(a: Array, b: Array, ga: Array, gb: Array, s: float) -> tuple[Array, Array]:
    """LoRA-Pro, theorem 2.1, with X from the Sylvester equation as one dense linear system."""
    ia, ib, one = np.linalg.inv(a @ a.T), np.linalg.inv(b.T @ b), np.eye(len(a))
    right = -(ib @ ga @ a.T) / s**2
    x = np.linalg.solve(np.kron(b.T @ b, one) + np.kron(one, (a @ a.T).T), right.ravel()).reshape(right.shape)
    return ib @ ga / s**2 + x @ a, (np.eye(len(b)) - b @ ib @ b.T) @ gb @ ia / s**2 - b @ x


def lora_pro(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    share: float = 0.5,
    scale: float = 2.0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Any:
    """Wang et al., arXiv:2407.18242, algorithm with AdamW, for W = scale B A; A and Bᵀ beside each other in one tensor."""
    if g.ndim != 2:
        return -lr * (adam_direction(s, g, t, b1, b2, eps) + decay * w)
    n = int(np.sum(np.arange(w.shape[1]) + 0.5 < share * w.shape[1]))
    a, b = w[:, :n], w[:, n:].T
    ga, gb = _adjusted(a, b, g[:, :n], g[:, n:].T, scale)
    u = adam_direction(s, scale * b @ ga + scale * gb @ a, t, b1, b2, eps)
    ga, gb = _adjusted(a, b, scale * b.T @ u, scale * u @ a.T, scale)
    return -lr * (np.concatenate([ga, gb.T], axis=1) + decay * w)


SQUARE = {"scalar": (), "vector": (7,), "matrix": (6, 6), "kernel": (3, 3, 4, 5)}
"""Both second moments of the first gradient have full rank, so that their eigenvectors are defined."""

TALL = {"scalar": (), "vector": (7,), "matrix": (6, 5), "tall": (9, 6)}
"""More rows than columns: all right singular vectors are defined."""

PAIRS = {"scalar": (), "vector": (7,), "matrix": (3, 12), "wide": (2, 9)}
"""Low-rank pairs of rank 3 and 2."""

TABLE: dict[str, Reference] = {
    "frugal": Reference(whole_tree(frugal), {"rho": 0.5, "period": 30.0, "decay": 0.03}),
    "soap": Reference(per_tensor(soap), {"period": 4.0, "decay": 0.03}, MATRIX_TOLERANCE, shapes=SQUARE),
    "galore": Reference(per_tensor(galore), {"rank": 3.0, "period": 25.0, "decay": 0.03}, MATRIX_TOLERANCE, shapes=TALL),
    "online_subspace_descent": Reference(
        per_tensor(online_subspace_descent), {"rank": 2.0, "pull": 0.1, "decay": 0.03}, MATRIX_TOLERANCE, shapes=TALL
    ),
    "lora_pro": Reference(per_tensor(lora_pro), {"scale": 0.5, "decay": 0.03}, MATRIX_TOLERANCE, rates=(0.001, 0.01), shapes=PAIRS),
}
