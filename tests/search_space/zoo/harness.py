"""Streams, references and the error of a known rule against its reference; `worst_error(name)` is the figure that cards and pages show."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from search_space import optimizer, zoo
from search_space.compiler import QUERY_KEYWORDS
from search_space.program import EVALUATIONS, QUERY_INPUTS

SHAPES: dict[str, tuple[int, ...]] = {"scalar": (), "vector": (7,), "matrix": (6, 5), "wide": (4, 9), "kernel": (3, 3, 4, 5)}
STEPS = 200
RUNS = ((0, 0, False), (0, 1, True), (1, 1, False), (1, 0, True))
"""(seed, which learning rate, whether the reference's own hyperparameters are set instead of the defaults)."""
QUICK = (RUNS[1], RUNS[3])
"""What `make test` runs; the page of the zoo shows all of `RUNS`."""

TOLERANCE = 1e-5
MATRIX_TOLERANCE = 1e-4

Tree = dict[str, np.ndarray]
Step = Callable[[Tree, Tree, int, Mapping[str, Any]], Tree]
"""(gradients, weights before the step, step from 1, query inputs by name) → what is added to the weights; all float64."""


@dataclass(frozen=True)
class Reference:
    """What a rule must do, independent of its text.

    `make(params, learning_rate, **hypers)` returns a `Step`; its keyword defaults are the authors' own. `hypers` are set in half of the
    runs, on both sides. `rates` are the two learning rates, `start` replaces the initial weights. `tolerance` bounds the relative L2 error
    of the whole update. `shapes` are the tensors, where a decomposition is not well-posed on the usual ones, and `jump` the factor of the
    gradients' jump of scale. `measure`, if any, runs and compares in its own way.
    """

    make: Callable[..., Step]
    hypers: Mapping[str, float] = field(default_factory=lambda: {"decay": 0.03})
    tolerance: float = TOLERANCE
    rates: tuple[float, float] = (0.01, 0.3)
    start: Callable[[Tree], Tree] = lambda params: params
    measure: Callable[[str, Reference], list[float]] | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: SHAPES)
    jump: float = 10.0


def weights(seed: int, shapes: Mapping[str, tuple[int, ...]] = SHAPES) -> Tree:
    """Initial weights."""
    rng = np.random.default_rng(seed + 100)
    return {k: np.asarray(rng.normal(size=s), np.float32) for k, s in shapes.items()}


def gradients(seed: int, shapes: Mapping[str, tuple[int, ...]] = SHAPES, steps: int = STEPS, jump: float = 10.0) -> Tree:
    """Streams (T, …): a common direction with noise, a jump of scale, exact zeros in single elements and once in whole tensors."""
    rng = np.random.default_rng(seed)
    scale = np.where((np.arange(steps) >= 80) & (np.arange(steps) < 90), jump, 1.0)
    out = {}
    for k, s in shapes.items():
        noise = rng.normal(size=(steps, *s)) + 0.3 * rng.normal(size=s)
        if len(s) == 2:
            noise[120:121] = 0.0
        out[k] = (scale.reshape(-1, *(1 for _ in s)) * noise * (rng.random((steps, *s)) > 0.05)).astype(np.float32)
    return out


def query_inputs(name: str, seed: int, shapes: Mapping[str, tuple[int, ...]] = SHAPES) -> dict[str, Any]:
    """Streams of what the rule asks for beyond the gradient, by name: losses fall and are positive, `h` and `g2` are positive."""
    programs = zoo.programs(name)
    kinds = {q: QUERY_INPUTS[q] for p in programs for q in p.queries} | {e.name: EVALUATIONS[e.what][1] for p in programs for e in p.plan}
    out: dict[str, Any] = {}
    for i, (q, kind) in enumerate(sorted(kinds.items())):
        if q == "task":
            out[q] = (np.arange(STEPS) // 20 % 3).astype(np.float32)
        elif q == "examples":
            out[q] = np.full(STEPS, 32.0, np.float32)
        elif kind == "global":
            noise = np.abs(np.random.default_rng(seed + 200 + i).normal(size=STEPS))
            out[q] = ((2.0 + noise) / np.sqrt(1.0 + np.arange(STEPS))).astype(np.float32)
        else:
            tree = gradients(seed + 300 + i, shapes)
            out[q] = {k: np.abs(v) for k, v in tree.items()} if q in ("h", "g2") else tree
    return out


def relative(a: Tree, b: Tree) -> float:
    """Relative L2 distance of whole updates; NaN where either has one."""
    apart = sum(float(np.sum((np.asarray(a[k], np.float64) - b[k]) ** 2)) for k in b)
    return (apart / max(sum(float(np.sum(np.asarray(b[k], np.float64) ** 2)) for k in b), 1e-60)) ** 0.5


@cache
def _runner(name: str) -> Callable[..., tuple[Any, Any]]:
    """(weights, gradients, query inputs, learning rate, hyperparameters) → (updates, weights before each), one compiled scan."""
    queries = {q for program in zoo.programs(name) for q in program.queries}

    @jax.jit
    def run(params: Any, grads: Any, extra: Any, lr: jax.Array, hypers: dict[str, jax.Array]) -> tuple[Any, Any]:
        tx = optimizer(name, lr, **hypers)

        def step(carry: Any, now: Any) -> Any:
            p, state = carry
            keywords = {QUERY_KEYWORDS[q] if q in queries else q: v for q, v in now[1].items()}
            u, state = tx.update(now[0], state, p, **keywords)
            return (optax.apply_updates(p, u), state), (u, p)

        return jax.lax.scan(step, (params, tx.init(params)), (grads, extra))[1]

    return run


def our_updates(
    name: str,
    hypers: Mapping[str, float],
    lr: float,
    seed: int,
    start: Callable[[Tree], Tree] = lambda p: p,
    shapes: Mapping[str, tuple[int, ...]] = SHAPES,
    jump: float = 10.0,
) -> tuple[Tree, Tree]:
    """(updates, weights before each), (T, …) float32, of our rule."""
    values = {h.name: h.default for program in zoo.programs(name) for h in program.hypers} | dict(hypers)
    numbers = {k: jnp.float32(v) for k, v in values.items()}
    params = {k: np.asarray(v, np.float32) for k, v in start(weights(seed, shapes)).items()}
    streams = gradients(seed, shapes, jump=jump), query_inputs(name, seed, shapes)
    return jax.tree.map(np.asarray, _runner(name)(params, *streams, jnp.float32(lr), numbers))


def as_float32(make: Callable[..., Step], hypers: Mapping[str, float]) -> dict[str, float]:
    """The reference's defaults with `hypers` on top, rounded to float32, which is what a hyperparameter of a rule is."""
    defaults = {k: p.default for k, p in inspect.signature(make).parameters.items() if isinstance(p.default, float)}
    return {k: float(np.float32(v)) for k, v in {**defaults, **hypers}.items()}


def errors(name: str, reference: Reference, runs: Sequence[tuple[int, int, bool]] = RUNS) -> list[float]:
    """The worst relative error over all steps, for each run."""
    if reference.measure is not None:
        return reference.measure(name, reference)
    return [_error(name, reference, seed, reference.rates[rate], reference.hypers if own else {}) for seed, rate, own in runs]


def _error(name: str, reference: Reference, seed: int, lr: float, hypers: Mapping[str, float]) -> float:
    updates, before = our_updates(name, hypers, lr, seed, reference.start, reference.shapes, reference.jump)
    grads, extra = gradients(seed, reference.shapes, jump=reference.jump), query_inputs(name, seed, reference.shapes)
    at = lambda tree, t: jax.tree.map(lambda x: np.asarray(x[t], np.float64), tree)  # noqa: E731
    step = reference.make(at(before, 0), float(np.float32(lr)), **as_float32(reference.make, hypers))
    worst = []
    for t in range(STEPS):
        expected = step(at(grads, t), at(before, t), t + 1, at(extra, t))
        worst.append(relative(at(updates, t), expected))
    return float(np.max(worst))


def worst_error(name: str) -> float:
    """The worst relative L2 error of a rule's updates against its reference, over two seeds, learning rates and settings."""
    from tests.search_space.zoo.authors import REFERENCES

    return float(np.max(errors(name, REFERENCES[name])))
