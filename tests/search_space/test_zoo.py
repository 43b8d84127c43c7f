"""The known rules equal their optax counterparts, or the paper's formula where optax deviates from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from search_space import optimizer, zoo

SHAPES = {"scalar": (), "vector": (7,), "matrix": (6, 5), "kernel": (3, 3, 4, 5)}
STEPS = 200

OPTAX: dict[str, tuple[Callable[[float], Any], dict[str, float]]] = {
    "sgd": (optax.sgd, {}),
    "momentum": (lambda lr: optax.sgd(lr, momentum=0.9), {}),
    "nesterov": (lambda lr: optax.sgd(lr, momentum=0.9, nesterov=True), {}),
    "sign_sgd": (optax.sign_sgd, {}),
    "signum": (lambda lr: optax.chain(optax.ema(0.9, debias=False), optax.sign_sgd(lr)), {}),
    "rmsprop": (lambda lr: optax.rmsprop(lr, decay=0.9, eps=1e-8), {}),
    "adagrad": (optax.adagrad, {}),
    "adam": (optax.adam, {}),
    "adamw": (lambda lr: optax.adamw(lr, weight_decay=0.03), {"decay": 0.03}),
    "nadam": (optax.nadam, {}),
    "adamax": (optax.adamax, {}),
    "lion": (lambda lr: optax.lion(lr, weight_decay=0.1), {"decay": 0.1}),
    "novograd": (lambda lr: optax.novograd(lr, b1=0.95, b2=0.98, eps=1e-8, weight_decay=0.01), {"decay": 0.01}),
    "lamb": (lambda lr: optax.lamb(lr, weight_decay=0.01), {"decay": 0.01}),
}
"""Rules that optax has as published, with the hyperparameters that make the two the same."""


def _amsgrad(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Any:
    """Reddi, Kale & Kumar, arXiv:1904.09237, algorithm 2, with the usual epsilon."""
    m = v = top = 0.0

    def step(g: np.ndarray, w: np.ndarray, t: int) -> np.ndarray:
        nonlocal m, v, top
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        top = np.maximum(top, v)
        return m / (np.sqrt(top) + eps)

    return step


def _adabelief(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-16) -> Any:
    """Zhuang et al., arXiv:2010.07468, algorithm 2: epsilon is added to the slot at every step."""
    m = s = 0.0

    def step(g: np.ndarray, w: np.ndarray, t: int) -> np.ndarray:
        nonlocal m, s
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * (g - m) ** 2 + eps
        return m / (1 - b1**t) / (np.sqrt(s / (1 - b2**t)) + eps)

    return step


def _adafactor(eps: float = 1e-30, floor: float = 1e-3, threshold: float = 1.0) -> Any:
    """Shazeer & Stern, arXiv:1804.04235, algorithm 4 with the relative step size; vectors keep the full second moment."""
    r = c = v = 0.0

    def step(g: np.ndarray, w: np.ndarray, t: int) -> np.ndarray:
        nonlocal r, c, v
        b = 1 - t**-0.8
        sq = g**2 + eps
        if g.ndim < 2:
            v = b * v + (1 - b) * sq
            u = g / np.sqrt(v)
        else:
            sq = sq.reshape(-1, g.shape[-1])
            r = b * r + (1 - b) * sq.mean(axis=1)
            c = b * c + (1 - b) * sq.mean(axis=0)
            u = g / np.sqrt(np.outer(r, c) / r.mean()).reshape(g.shape)
        u = u / max(1.0, np.sqrt(np.mean(u**2)) / threshold)
        return max(floor, float(np.sqrt(np.mean(w**2)))) * u

    return step


PAPER: dict[str, Callable[[], Any]] = {"amsgrad": _amsgrad, "adabelief": _adabelief, "adafactor": _adafactor}
"""Rules where optax deviates: a float64 transcription of the paper's formula, one for each tensor."""


def streams(seed: int) -> list[dict[str, np.ndarray]]:
    """Gradients with a jump of scale and exact zeros."""
    rng = np.random.default_rng(seed)
    out = []
    for t in range(STEPS):
        scale = 10.0 if 80 <= t < 90 else 1.0
        out.append({k: (scale * rng.normal(size=s) * (rng.random(s) > 0.05)).astype(np.float32) for k, s in SHAPES.items()})
    return out


def relative(a: dict[str, Any], b: dict[str, Any]) -> float:
    """Relative L2 distance of whole updates."""
    apart = sum(float(np.sum((np.asarray(a[k], np.float64) - b[k]) ** 2)) for k in b)
    return (apart / max(sum(float(np.sum(np.asarray(b[k], np.float64) ** 2)) for k in b), 1e-60)) ** 0.5


def our_updates(name: str, hypers: dict[str, float], lr: float, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(updates, weights before each) of our rule."""
    tx = optimizer(name, lr, **hypers)
    params: Any = {k: jnp.asarray(np.random.default_rng(seed + 100).normal(size=s), jnp.float32) for k, s in SHAPES.items()}
    state, step, updates, weights = tx.init(params), jax.jit(tx.update), [], []
    for g in streams(seed):
        weights.append({k: np.asarray(v) for k, v in params.items()})
        u, state = step({k: jnp.asarray(v) for k, v in g.items()}, state, params)
        params = optax.apply_updates(params, u)
        updates.append({k: np.asarray(v) for k, v in u.items()})
    return updates, weights


def test_every_rule_has_a_reference() -> None:
    assert {*OPTAX, *PAPER} == set(zoo.names())


@pytest.mark.parametrize("name", OPTAX)
@pytest.mark.parametrize(("seed", "lr"), [(0, 0.01), (1, 0.3)])
def test_equal_to_optax(name: str, seed: int, lr: float) -> None:
    """Optax runs in float64: in float32 it loses digits of its own in 1 - b2."""
    factory, hypers = OPTAX[name]
    updates, weights = our_updates(name, hypers, lr, seed)
    with jax.enable_x64(True):
        tx = factory(lr)
        state = tx.init({k: jnp.asarray(v, jnp.float64) for k, v in weights[0].items()})
        step, worst = jax.jit(tx.update), 0.0
        for g, u, w in zip(streams(seed), updates, weights, strict=True):
            double = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), (g, w))
            expected, state = step(double[0], state, double[1])
            worst = max(worst, relative(u, {k: np.asarray(v) for k, v in expected.items()}))
    assert worst <= 1e-5


@pytest.mark.parametrize("name", PAPER)
@pytest.mark.parametrize(("seed", "lr"), [(0, 0.01), (1, 0.3)])
def test_equal_to_the_paper(name: str, seed: int, lr: float) -> None:
    updates, weights = our_updates(name, {}, lr, seed)
    rules = {k: PAPER[name]() for k in SHAPES}
    for t, (g, u, w) in enumerate(zip(streams(seed), updates, weights, strict=True), start=1):
        expected = {k: -lr * rules[k](g[k].astype(np.float64), w[k].astype(np.float64), t) for k in SHAPES}
        assert relative(u, expected) <= 1e-5, t


def test_adafactor_equals_optax_on_matrices() -> None:
    updates, weights = our_updates("adafactor", {}, 0.1, 0)
    tx = optax.adafactor(0.1, min_dim_size_to_factor=2)
    state = tx.init({"matrix": jnp.asarray(weights[0]["matrix"])})
    for g, u, w in zip(streams(0), updates, weights, strict=True):
        expected, state = tx.update({"matrix": jnp.asarray(g["matrix"])}, state, {"matrix": jnp.asarray(w["matrix"])})
        assert relative({"matrix": u["matrix"]}, {"matrix": np.asarray(expected["matrix"])}) <= 3e-5  # optax's own float32


def test_identities() -> None:
    """Adam and AdaMax without averaging and epsilon, and Lion without averaging, are sign descent."""
    g = {"x": jnp.asarray([3.0, -0.2, 1e-3])}
    expected = -0.1 * np.sign(np.asarray(g["x"]))
    for name, hypers in {"adam": {"b1": 0, "b2": 0, "eps": 0}, "adamax": {"b1": 0, "b2": 0, "eps": 0}, "lion": {"b1": 0, "b2": 0}}.items():
        tx = optimizer(name, 0.1, **hypers)
        updates, _ = tx.update(g, tx.init(g), g)
        np.testing.assert_allclose(np.asarray(updates["x"]), expected, rtol=1e-6)  # type: ignore[index]


def test_lion_stays_inside_its_box() -> None:
    """|w| ≤ 1/decay is absorbing when lr · decay ≤ 1."""
    tx = optimizer("lion", 0.1, decay=2.0)
    w = jnp.asarray([0.5, -0.5, 0.1])
    state, rng = tx.init(w), np.random.default_rng(0)
    for _ in range(300):
        u, state = tx.update(jnp.asarray(rng.normal(size=3), jnp.float32), state, w)
        w = w + u
        assert float(jnp.max(jnp.abs(w))) <= 0.5 + 1e-6


def test_lamb_moves_by_the_weight_norm() -> None:
    tx = optimizer("lamb", 0.1)
    w, g = jnp.asarray([3.0, 4.0]), jnp.asarray([0.3, -2.0])
    updates, _ = tx.update(g, tx.init(w), w)
    assert float(jnp.linalg.norm(updates)) == pytest.approx(0.1 * 5.0, rel=1e-5)  # type: ignore[arg-type]


def test_amsgrad_counter_example() -> None:
    """Reddi et al.: gradient C every third step, else -1; Adam drifts up to +1, AMSGrad goes down to -1."""

    def final(name: str) -> float:
        tx = optimizer(name, lambda count: 0.5 / jnp.sqrt(count + 1.0), b1=0.0, b2=1 / (1 + 3.0**2))

        def step(carry, i):
            w, state = carry
            g = jnp.where(i % 3 == 0, 3.0, -1.0)
            u, state = tx.update(g, state, w)
            return (jnp.clip(w + u, -1, 1), state), None

        w = jnp.zeros(())
        (w, _), _ = jax.lax.scan(step, (w, tx.init(w)), jnp.arange(30_000))
        return float(w)

    assert final("amsgrad") < -0.9
    assert final("adam") > 0.5


def test_cards_say_source_and_how_the_rule_was_verified() -> None:
    for name in zoo.names():
        card = zoo.card(name)
        assert {"title", "source"} <= set(card)
        assert card["verified"].startswith("optax" if name in OPTAX else "the paper's formula")
