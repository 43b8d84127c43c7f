"""A small problem with a new batch at each step, for rules with a query plan: losses in JAX, and all derivatives in NumPy."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from search_space import Losses, evaluation_params, training_step, zoo
from tests.search_space import noise
from tests.search_space.zoo.authors.state import State
from tests.search_space.zoo.harness import RUNS, SHAPES, STEPS, Reference, Tree, as_float32, weights

Array = np.ndarray
NAMES = sorted(SHAPES)
SIZES = [int(np.prod(SHAPES[k])) for k in NAMES]
EDGES = np.cumsum([0, *SIZES])
EXAMPLES = 6


def flat(tree: Mapping[str, Any]) -> Array:
    """One float64 vector, tensors in the order of their names, as jax orders them."""
    return np.concatenate([np.asarray(tree[k], np.float64).reshape(-1) for k in NAMES])


def parts(vector: Array) -> list[Array]:
    """The vector cut into tensors of their shapes."""
    return [vector[a:b].reshape(SHAPES[k]) for k, a, b in zip(NAMES, EDGES[:-1], EDGES[1:], strict=True)]


def each(function: Callable[..., Any], *vectors: Array) -> Array:
    """A function of one tensor of each vector, applied tensor by tensor."""
    return np.concatenate([np.broadcast_to(function(*xs), xs[0].shape).reshape(-1) for xs in zip(*map(parts, vectors), strict=True)])


def batches(seed: int) -> tuple[Array, Array, Array]:
    """Features a, b (T, n, D) and labels y (T, n): the logit of an example is a·θ + b·θ²/2."""
    rng, dim = np.random.default_rng(seed + 500), EDGES[-1]
    a = (rng.normal(size=dim) + rng.normal(size=(STEPS, EXAMPLES, dim))) / np.sqrt(dim)
    b = 3 * rng.normal(size=(STEPS, EXAMPLES, dim)) / dim
    return a, b, (rng.random((STEPS, EXAMPLES)) < 0.5).astype(np.float64)


def _outputs(p: Any, a: Any, b: Any, y: Any) -> Any:
    v = jnp.concatenate([p[k].reshape(-1) for k in NAMES])
    return a @ v + b @ (v * v) / 2


def _each_loss(z: Any, y: Any) -> Any:
    return jnp.logaddexp(z, 0.0) - y * z


def _sampled(p: Any, a: Any, b: Any, y: Any, key: Any) -> Any:
    z = _outputs(p, a, b, y)
    drawn = jax.random.uniform(key, (EXAMPLES,), jnp.float32) < jax.nn.sigmoid(z)
    return jnp.mean(_each_loss(z, jax.lax.stop_gradient(drawn)))


LOSSES = Losses(
    loss=lambda p, a, b, y: jnp.mean(_each_loss(_outputs(p, a, b, y), y)),
    sampled=_sampled,
    examples=lambda p, a, b, y: _each_loss(_outputs(p, a, b, y), y),
    outputs=_outputs,
    output_loss=lambda z, a, b, y: jnp.mean(_each_loss(z, y)),
)


class Ask:
    """What a formula may ask of the batch of one step; everything on flat vectors."""

    examples = EXAMPLES

    def __init__(self, batch: tuple[Array, Array, Array], t: int) -> None:
        self.a, self.b, self.y = batch
        self.t = t

    def _logits(self, w: Array) -> tuple[Array, Array, Array]:
        z = self.a @ w + self.b @ (w * w) / 2
        return z, 1 / (1 + np.exp(-z)), self.a + self.b * w

    def value(self, w: Array) -> float:
        z, _, _ = self._logits(w)
        return float(np.mean(np.logaddexp(z, 0) - self.y * z))

    def gradient(self, w: Array) -> Array:
        _, p, jac = self._logits(w)
        return (p - self.y) @ jac / EXAMPLES

    def hessian_vector(self, w: Array, v: Array) -> Array:
        _, p, _ = self._logits(w)
        return self.gauss_newton_vector(w, v) + ((p - self.y) @ self.b) * v / EXAMPLES

    def gauss_newton_vector(self, w: Array, v: Array) -> Array:
        _, p, jac = self._logits(w)
        return (p * (1 - p) * (jac @ v)) @ jac / EXAMPLES

    def mean_square_gradient(self, w: Array) -> Array:
        _, p, jac = self._logits(w)
        return np.mean(((p - self.y)[:, None] * jac) ** 2, axis=0)

    def sampled_gradient(self, w: Array) -> Array:
        _, p, jac = self._logits(w)
        key = jax.random.fold_in(jax.random.key(0), self.t - 1)
        return ((np.asarray(jax.random.uniform(key, (EXAMPLES,))) < p) - p) @ jac / -EXAMPLES

    def rademacher(self, stream: float) -> Array:
        return np.concatenate([noise.rademacher(SHAPES[k], stream, self.t, i).reshape(-1) for i, k in enumerate(NAMES)])

    def normal(self, stream: float) -> Array:
        return np.concatenate([noise.normal(SHAPES[k], stream, self.t, i).reshape(-1) for i, k in enumerate(NAMES)])


@cache
def _runner(name: str, rounded: bool) -> Callable[..., Any]:
    """(weights, batches, learning rate, hyperparameters) → (weights before, after, evaluation weights after), one compiled scan."""

    @jax.jit
    def run(params: Any, stream: Any, lr: Any, hypers: Any) -> Any:
        init, step = training_step(name, lr, LOSSES, **hypers)

        def one(carry: Any, batch: Any) -> Any:
            p, state = carry
            new, state, _ = step(p, state, *batch, examples=EXAMPLES)
            view = evaluation_params(name, state, new, learning_rate=lr, **hypers)
            kept = jax.tree.map(lambda x: x.astype(jnp.float32).astype(jnp.float64), new) if rounded else new
            return (kept, state), (p, new, view)

        return jax.lax.scan(one, (params, init(params)), stream)[1]

    return run


def trajectory(name: str, hypers: Mapping[str, float], lr: float, seed: int, rounded: bool) -> tuple[Tree, Tree, Tree]:
    """(weights before, after, evaluation weights after) each step, (T, …): weights and loss in float64, the rule in float32.

    `rounded`: the weights are rounded to float32 between steps, so that a rule that keeps old weights keeps them exactly.
    """
    values = {h.name: h.default for h in zoo.program(name).hypers} | dict(hypers)
    with jax.enable_x64(True):
        params = {k: jnp.asarray(v, jnp.float64) for k, v in weights(seed).items()}
        stream = tuple(jnp.asarray(x) for x in batches(seed))
        numbers = {k: jnp.float32(v) for k, v in values.items()}
        return jax.tree.map(np.asarray, _runner(name, rounded)(params, stream, jnp.float32(lr), numbers))


def by_training(name: str, reference: Reference, rounded: bool = True) -> list[float]:
    """Worst relative L2 error of updates and evaluation weights over all steps, for each of `RUNS`.

    `reference.make(lr, **hypers)` gives `step(w, ask)` → what is added to the weights, or a pair of it and the evaluation weights.
    """
    return [_error(name, reference, seed, reference.rates[rate], reference.hypers if own else {}, rounded) for seed, rate, own in RUNS]


def _error(name: str, reference: Reference, seed: int, lr: float, hypers: Mapping[str, float], rounded: bool) -> float:
    before, after, viewed = trajectory(name, hypers, lr, seed, rounded)
    a, b, y = batches(seed)
    step: Any = reference.make({}, float(np.float32(lr)), **as_float32(reference.make, hypers))
    at = lambda tree, t: flat({k: v[t] for k, v in tree.items()})  # noqa: E731
    worst = []
    for t in range(STEPS):
        found = step(at(before, t), Ask((a[t], b[t], y[t]), t + 1))
        delta, view = found if isinstance(found, tuple) else (found, at(after, t))
        worst += [_relative(at(after, t) - at(before, t), delta), _relative(at(viewed, t), view)]
    return float(np.max(worst))


def float32_errors(name: str, reference: Reference) -> list[float]:
    """As `by_training`, but the error of the formula itself in float32, at our rule's weights: what float32 costs any writing of it."""
    return [_float32_error(name, reference, seed, reference.rates[rate], reference.hypers if own else {}) for seed, rate, own in RUNS]


def _float32_error(name: str, reference: Reference, seed: int, lr: float, hypers: Mapping[str, float]) -> float:
    before, _, _ = trajectory(name, hypers, lr, seed, rounded=True)
    a, b, y = batches(seed)
    numbers = as_float32(reference.make, hypers)
    exact: Any = reference.make({}, float(np.float32(lr)), **numbers)
    single: Any = reference.make({}, np.float32(lr), **{k: np.float32(v) for k, v in numbers.items()})
    worst = []
    for t in range(STEPS):
        w = flat({k: v[t] for k, v in before.items()})
        ask = Ask((a[t], b[t], y[t]), t + 1)
        deltas = [found[0] if isinstance(found, tuple) else found for found in (exact(w, ask), single(np.float32(w), _Single(ask)))]
        worst.append(_relative(deltas[1], deltas[0]))
    return float(np.max(worst))


class _Single:
    """The answers of an `Ask`, each computed in float64 and rounded to float32, as our rule gets them."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._ask, name)
        if not callable(found):
            return found
        return lambda *given: np.float32(found(*(np.float64(x) if isinstance(x, np.ndarray) else x for x in given)))


def _relative(x: Array, y: Array) -> float:
    return float(np.linalg.norm(x - y) / max(np.linalg.norm(y), 1e-30))


def asking(formula: Callable[..., Any]) -> Callable[..., Any]:
    """`formula(s, w, lr, ask, **hypers)` as the `make` of a reference; `s` is its state."""

    def make(_: Any, lr: float, **hypers: float) -> Any:
        s = State()
        return lambda w, ask: formula(s, w, lr, ask, **hypers)

    make.__signature__ = inspect.signature(formula)  # type: ignore[attr-defined]
    return make


def oracle(formula: Callable[..., Any], rounded: bool = True, **options: Any) -> Reference:
    """A reference that is measured on the problem; not `rounded` for a rule that keeps differences to its weights."""
    return Reference(asking(formula), measure=partial(by_training, rounded=rounded), **options)
