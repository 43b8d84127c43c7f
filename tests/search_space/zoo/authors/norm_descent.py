"""Steepest descent under norms, and momentum made orthogonal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import optax
import optax.contrib

from tests.search_space.zoo.authors.adam_family import adam_direction
from tests.search_space.zoo.authors.state import State, from_optax, per_tensor, whole_tree
from tests.search_space.zoo.harness import MATRIX_TOLERANCE, Reference, Tree

Array = np.ndarray
Extra = Mapping[str, Any]


def as_matrix(g: Array) -> Array:
    """The last axis against all others; vectors and scalars are one row."""
    return g.reshape(-1, g.shape[-1]) if g.ndim else g.reshape(1, 1)


def polar(g: Array) -> Array:
    """U Vᵀ of the singular value decomposition; 0 of a zero matrix."""
    u, s, v = np.linalg.svd(as_matrix(g), full_matrices=False)
    return (u @ v).reshape(g.shape) if s[0] > 0 else np.zeros_like(g)


def nuclear(g: Array) -> float:
    """Sum of singular values."""
    return float(np.linalg.svd(as_matrix(g), compute_uv=False).sum())


def rms(g: Array) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(g**2)))


def unit(g: Array, size: float) -> Array:
    """g / size, 0 where size is 0."""
    return g / size if size > 0 else np.zeros_like(g)


def newton_schulz(x: Array, eps: float) -> Array:
    """Five quintic rounds (Jordan's coefficients)."""
    x = x / (np.linalg.norm(x) + eps)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
    return x


def sign_descent(s: State, grads: Tree, params: Tree, t: int, lr: float, extra: Extra, decay: float = 0.0) -> Tree:
    """Bernstein & Newhouse, arXiv:2409.20325: -(sum of l1 norms) sign(g), the sharpness being 1 / learning rate."""
    dual = sum(float(np.abs(g).sum()) for g in grads.values())
    return {k: -lr * (dual * np.sign(g) + decay * params[k]) for k, g in grads.items()}


def spectral_descent(s: State, grads: Tree, params: Tree, t: int, lr: float, extra: Extra, decay: float = 0.0) -> Tree:
    """Bernstein & Newhouse: -(sum of nuclear norms) U Vᵀ."""
    dual = sum(nuclear(g) for g in grads.values())
    return {k: -lr * (dual * polar(g) + decay * params[k]) for k, g in grads.items()}


def modular_descent(s: State, g: Array, w: Array, t: int, lr: float, decay: float = 0.0) -> Any:
    """Bernstein & Newhouse, table of norms for roles; modula's duality maps."""
    if g.ndim < 2:
        return -lr * (unit(g, rms(g)) + decay * w)
    rows, cols = as_matrix(g).shape
    return -lr * (np.sqrt(cols / rows) * polar(g) + decay * w)


def embedding_descent(s: State, g: Array, w: Array, t: int, lr: float, decay: float = 0.0) -> Any:
    """Bernstein & Newhouse: every row of a table (one for each token) by its root mean square."""
    rows = [unit(row, rms(row)) for row in as_matrix(g)]
    return -lr * (np.stack(rows).reshape(g.shape) + decay * w)


def _muon(lr: float, b: float = 0.95, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, decay: float = 0.0) -> Any:
    parts = {"muon": optax.contrib.muon(lr, beta=b, weight_decay=decay), "rest": optax.adamw(lr, b1, b2, eps, weight_decay=decay)}
    return optax.partition(parts, lambda params: jax.tree.map(lambda x: "muon" if x.ndim == 2 else "rest", params))


def scion(s: State, g: Array, w: Array, t: int, lr: float, b: float = 0.9, radius: float = 50.0, decay: float = 0.0) -> Any:
    """Pethick et al., arXiv:2502.07529, unconstrained: spectral oracle for matrices, RMS oracle for vectors."""
    s.m = b * s.m + (1 - b) * g
    if g.ndim < 2:
        return -lr * (unit(s.m, rms(s.m)) + decay * w)
    rows, cols = as_matrix(g).shape
    return -lr * (radius * max(1.0, (cols / rows) ** 0.5) * polar(s.m) + decay * w)


def lanton(
    s: State,
    grads: Tree,
    params: Tree,
    t: int,
    lr: float,
    extra: Extra,
    b1: float = 0.95,
    b2: float = 0.9,
    alpha: float = 1.0,
    decay: float = 0.0,
) -> Tree:
    """Catalogue row 273: noise from successive gradients in the dual norm of each oracle, the largest of a group keeps its rate."""
    if t == 1:
        s.m, s.h, s.past = dict.fromkeys(grads, 0.0), dict.fromkeys(grads, 0.0), grads
    a = {}
    for k, g in grads.items():
        change = g - s.past[k]
        dual = nuclear(change) if g.ndim >= 2 else float(np.abs(change).sum())
        s.m[k] = b1 * s.m[k] + (1 - b1) * g
        s.h[k] = b2 * s.h[k] + (1 - b2) * dual**2
        a[k] = alpha / np.sqrt(alpha**2 + s.h[k])
    s.past = grads
    out = {}
    for k, g in grads.items():
        top = max(a[j] for j in grads if (grads[j].ndim >= 2) == (g.ndim >= 2))
        direction = polar(s.m[k]) if g.ndim >= 2 else np.sign(s.m[k])
        out[k] = -lr * (np.sqrt(a[k] / top) * direction + decay * params[k])
    return out


def mars_shampoo(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    b: float = 0.95,
    gamma: float = 0.025,
    b1: float = 0.9,
    b2: float = 0.95,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Any:
    """Yuan et al., arXiv:2411.10438, approximate form; others AdamW."""
    if g.ndim != 2:
        return -lr * (adam_direction(s, g, t, b1, b2, eps) + decay * w)
    c = g + gamma * b / (1 - b) * (g - s.past)
    c = c / max(1.0, float(np.linalg.norm(c)))
    s.past = g
    s.m = b * s.m + (1 - b) * c
    x = newton_schulz(s.m / (1 - b), 1e-7)
    return -lr * (np.sqrt(max(1.0, g.shape[1] / g.shape[0])) * x + decay * w)


def matrix_tier(make: Any, hypers: Mapping[str, float] | None = None, **settings: Any) -> Reference:
    """A reference with the matrix tier's tolerance."""
    return Reference(make, {"decay": 0.03, **(hypers or {})}, MATRIX_TOLERANCE, **settings)


TABLE: dict[str, Reference] = {
    "sign_descent": Reference(whole_tree(sign_descent)),
    "spectral_descent": matrix_tier(whole_tree(spectral_descent)),
    "modular_descent": matrix_tier(per_tensor(modular_descent)),
    "embedding_descent": Reference(per_tensor(embedding_descent)),
    "muon": matrix_tier(from_optax(_muon), {"b": 0.9}),
    "scion": matrix_tier(per_tensor(scion), {"radius": 2.0}),
    "lanton": matrix_tier(whole_tree(lanton), {"alpha": 30.0}),
    "mars_shampoo": matrix_tier(per_tensor(mars_shampoo), {"gamma": 0.1}),
}
