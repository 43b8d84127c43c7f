"""Adam on a loss with a penalty, and preconditioners from a few compressed gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.search_space import noise
from tests.search_space.zoo.authors.adam_family import adam_direction
from tests.search_space.zoo.authors.norm_descent import as_matrix, matrix_tier
from tests.search_space.zoo.authors.state import State, whole_tree
from tests.search_space.zoo.authors.subspace import states
from tests.search_space.zoo.harness import Reference, Tree

Array = np.ndarray
Extra = Mapping[str, Any]


def spectral_regularization(
    s: State,
    grads: Tree,
    params: Tree,
    t: int,
    lr: float,
    extra: Extra,
    strength: float = 0.001,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Tree:
    """Lewandowski et al., arXiv:2406.06811: the gradient of strength (sigma² - 1)², sigma = uᵀ W v with u and v held."""
    kernels = [k for k in sorted(grads) if grads[k].ndim >= 2]
    out = {}
    for k, own in states(s, grads).items():
        w = params[k]
        if w.ndim < 2:
            slope = 4 * np.sum(w**2) * w
        else:
            x = as_matrix(w)
            v = noise.normal((1, x.shape[1]), 0, 1, kernels.index(k))[0] if t == 1 else own.right
            u = x @ v / np.linalg.norm(x @ v)
            own.right = x.T @ u / np.linalg.norm(x.T @ u)
            sigma = u @ x @ own.right
            slope = (2 * (sigma**2 - 1) * 2 * sigma * np.outer(u, own.right)).reshape(w.shape)
        out[k] = -lr * (adam_direction(own, grads[k] + strength * slope, t, b1, b2, eps) + decay * w)
    return out


def wasserstein_regularization(
    s: State,
    grads: Tree,
    params: Tree,
    t: int,
    lr: float,
    extra: Extra,
    strength: float = 0.001,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Tree:
    """Lewandowski et al., arXiv:2406.06811: strength times the squared distance of the sorted weights to a sorted fresh start."""
    out = {}
    names = sorted(grads)
    for k, own in states(s, grads).items():
        w = params[k]
        if t == 1:
            own.size = np.sqrt(np.mean(w**2))
        fresh = np.sort((own.size * noise.normal(w.shape, 0, t, names.index(k))).ravel())
        order, slope = np.argsort(w.ravel(), kind="stable"), np.empty(w.size)
        slope[order] = 2 * (w.ravel()[order] - fresh)
        out[k] = -lr * (adam_direction(own, grads[k] + strength * slope.reshape(w.shape), t, b1, b2, eps) + decay * w)
    return out


def _compressed(s: State, grads: Tree, keep: float) -> Array:
    """The largest entries of gradient plus error, the rest kept as error; the window of the last 32 grows by them."""
    a = s.error + np.concatenate([grads[k].ravel() for k in sorted(grads)])
    c = np.where(np.abs(a) >= np.quantile(np.abs(a), 1 - keep), a, 0.0)
    s.error = a - c
    s.window = [c, *(s.window or [])][:32]
    return c


def _solved(window: list[Array], c: Array, spectrum: Any) -> Array:
    """f(Σ ccᵀ) c for a vector of the window's span; singular values below 1e-3 of the largest are left out."""
    _, sizes, v = np.linalg.svd(np.stack(window), full_matrices=False)
    v, sizes = v[sizes > 1e-3 * sizes[0]], sizes[sizes > 1e-3 * sizes[0]]
    return v.T @ (spectrum(sizes) * (v @ c)) if np.any(c) else c


def _in_pieces(u: Array, grads: Tree, params: Tree, lr: float, decay: float) -> Tree:
    out, at = {}, 0
    for k in sorted(grads):
        out[k] = -lr * (u[at : at + grads[k].size].reshape(grads[k].shape) + decay * params[k])
        at += grads[k].size
    return out


def sparse_ggt(
    s: State, grads: Tree, params: Tree, t: int, lr: float, extra: Extra, keep: float = 0.01, eps: float = 1e-4, decay: float = 0.0
) -> Tree:
    """Modoranu et al., arXiv:2306.06098, SparseGGT: ((C Cᵀ)^(1/2) + eps)^-1 c."""
    c = _compressed(s, grads, keep)
    return _in_pieces(_solved(s.window, c, lambda x: 1 / (x + eps)), grads, params, lr, decay)


def sparse_mfac(
    s: State, grads: Tree, params: Tree, t: int, lr: float, extra: Extra, keep: float = 0.01, damping: float = 1e-5, decay: float = 0.0
) -> Tree:
    """Modoranu et al., SparseGradientMFAC with the sparse gradient preconditioned: (damping + C Cᵀ / m)^-1 c."""
    c = _compressed(s, grads, keep)
    return _in_pieces(_solved(s.window, c, lambda x: 1 / (damping + x**2 / 32)), grads, params, lr, decay)


TABLE: dict[str, Reference] = {
    "spectral_regularization": matrix_tier(whole_tree(spectral_regularization), {"strength": 0.01}, rates=(0.003, 0.03)),
    "wasserstein_regularization": Reference(whole_tree(wasserstein_regularization), {"strength": 0.1, "decay": 0.03}),
    "sparse_ggt": matrix_tier(whole_tree(sparse_ggt), {"keep": 0.02}, jump=1.0),
    "sparse_mfac": matrix_tier(whole_tree(sparse_mfac), {"keep": 0.02}, jump=1.0),
}
