"""One training of a rule with its diagnostics at a few points: the only module here that knows of rules and tasks.

Letters: n parameters, P points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from discover.diagnose import sharpness
from discover.diagnose.curvature import directional, hessian, largest, share
from search_space.program import Program, RuleSet
from search_space.training import training_step
from search_space.use import load as load_rule
from search_space.use import optimizer
from tasks.contracts import Schedule, Task, TaskFamily
from tasks.registry import load as load_task
from tasks.streams import derive

PyTree = Any
SAMPLE = 8
"""Training minibatches whose mean loss is taken for the loss."""
RADIUS = 0.05
"""Of adaptive sharpness: weights move by 5 % of their size."""


@dataclass(frozen=True)
class Diagnosis:
    """What was seen: `points` by place, `layers` by tensor at the last point.

    A point has step, loss, `sharpness` λ (largest curvature), `rate_sharpness` (learning rate × λ: plain descent is unstable above 2),
    `directional` (curvature along the update), `adaptive_worst`, `adaptive_inf` and `adaptive_average` (rise of the loss when weights move
    by 5 %), `top_share` (of the gradient in the subspace of the `top` largest curvatures). A layer has `ratio` ‖update‖ / ‖weights‖,
    `effective_rate` ‖update‖ / ‖gradient‖ and `barrier` to a second training (other weights at the start, other minibatches). `flow` is
    the sharpness where the gradient flow from the end would go, and the norm of the gradient that is left there.
    """

    rule: str
    task: str
    top: int
    points: tuple[dict[str, float], ...]
    layers: dict[str, dict[str, float]]
    flow: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def diagnose(
    rule: str,
    task: str,
    learning_rate: float,
    steps: int,
    *,
    hypers: Mapping[str, float] | None = None,
    schedule: Schedule = Schedule("constant", 0.0),
    points: int = 4,
    top: int = 10,
    seed: int = 0,
) -> Diagnosis:
    """Train a rule (a name, path or text) twice from different weights and look at the first training at P evenly spaced steps.

    Raises `RuleError` for a rule that asks for what a task's loss cannot give, `TaskError` for a wrong task.
    """
    family = load_task(task)
    config = jax.jit(family.sample)(derive(jax.random.key(seed), 0))
    made = family.task(config)
    program, key = load_rule(rule), derive(jax.random.key(seed), 1)

    def rate(count: jax.Array) -> jax.Array:
        return learning_rate * schedule.value(count, steps)

    init, step = _stepper(program, made, rate, dict(hypers or {}))
    advance = jax.jit(partial(_advance, step))

    def start(key: jax.Array) -> tuple[PyTree, PyTree]:
        params = made.init(derive(key, -1))
        return params, init(params)

    now, at, found, layers = start(key), 0, [], {}
    for mark in [round(i * (steps - 1) / max(1, points - 1)) for i in range(points)]:
        now = advance(now, key, at, mark)
        following = advance(now, key, mark, mark + 1)
        point, layers = jax.device_get(_look(family, top, config, now[0], following[0], key, mark))
        found.append({"step": mark, **_plain(point), "rate_sharpness": float(point["sharpness"] * rate(jnp.asarray(mark)))})
        now, at = following, mark + 1
    second = derive(key, -3)
    other = advance(start(second), second, 0, steps)
    flow, walls = jax.device_get(_ends(family, config, now[0], other[0], key))
    named = {name: {**_plain(values), "barrier": float(walls[name])} for name, values in layers.items()}
    name = program.parts[0][1].name if isinstance(program, RuleSet) else program.name
    return Diagnosis(name, task, top, tuple(found), named, _plain(flow))


def _plain(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}


def _stepper(program: Program | RuleSet, task: Task, rate: Callable, hypers: dict[str, Any]) -> tuple[Callable, Callable]:
    """`init(params) → state` and `step(params, state, batch, key) → (params, state)`, for rules with a query plan too."""
    if isinstance(program, RuleSet):
        tx = optimizer(program, rate, **hypers)

        def plain(params: PyTree, state: PyTree, batch: PyTree, key: jax.Array) -> tuple[PyTree, PyTree]:
            updates, state = tx.update(jax.grad(task.loss)(params, batch, key), state, params)
            return jax.tree.map(jnp.add, params, updates), state

        return tx.init, partial(_taught, task, plain)
    init, whole = training_step(program, rate, task.loss, **hypers)
    return init, partial(_taught, task, lambda *given: whole(*given)[:2])


def _taught(task: Task, step: Callable, now: tuple[PyTree, PyTree], key: jax.Array, i: jax.Array) -> tuple[PyTree, PyTree]:
    """Step i on what the inner loop of a training with this key would see there."""
    return step(*now, task.minibatch(key, i), derive(derive(key, i), 0))


def _advance(step: Callable, now: tuple[PyTree, PyTree], key: jax.Array, first: int, last: int) -> tuple[PyTree, PyTree]:
    """Weights and state after the steps `first` to `last` − 1."""
    return jax.lax.fori_loop(first, last, lambda i, carry: step(carry, key, i), now)


@partial(jax.jit, static_argnums=(0, 1))
def _look(
    family: TaskFamily, top: int, config: PyTree, params: PyTree, after: PyTree, key: jax.Array, step: jax.Array
) -> tuple[dict, dict]:
    """Measurements before the update that leads to `after`: a point's, and each tensor's. One compilation serves all rules of a family."""
    task = family.task(config)
    w, unravel = ravel_pytree(params)
    loss = _sampled(task, key, unravel)
    gradient, update = jax.grad(loss)(w), ravel_pytree(after)[0] - w
    product = hessian(loss, w)
    values, vectors = largest(product, w.size, top, derive(key, -4))
    point = {
        "loss": loss(w),
        "sharpness": values[0],
        "directional": directional(product, update),
        "adaptive_worst": sharpness.adaptive(loss, w, RADIUS),
        "adaptive_inf": sharpness.adaptive(loss, w, RADIUS, "inf"),
        "adaptive_average": sharpness.average(loss, w, RADIUS, derive(key, -5)),
        "top_share": share(vectors, gradient),
    }
    small = jax.grad(task.loss)(params, task.minibatch(key, step), derive(derive(key, step), 0))
    return point, _layers(params, jax.tree.map(jnp.subtract, after, params), small)


def _layers(params: PyTree, update: PyTree, gradient: PyTree) -> dict[str, dict[str, jax.Array]]:
    """‖update‖ / ‖weights‖ and ‖update‖ / ‖gradient of the minibatch‖ of each tensor; inf or NaN where the latter is 0."""
    norms = [jax.tree.map(jnp.linalg.norm, jax.tree.map(jnp.ravel, tree)) for tree in (params, update, gradient)]
    paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in jax.tree.leaves_with_path(params)]
    rows = zip(paths, *map(jax.tree.leaves, norms), strict=True)
    return {name: {"ratio": u / w, "effective_rate": u / g} for name, w, u, g in rows}


@partial(jax.jit, static_argnums=0)
def _ends(family: TaskFamily, config: PyTree, params: PyTree, other: PyTree, key: jax.Array) -> tuple[dict, dict]:
    """Where the gradient flow goes from the end of a training, and the barrier of each tensor to another one."""
    task = family.task(config)
    w, unravel = ravel_pytree(params)
    loss = _sampled(task, key, unravel)
    top, left = sharpness.after_flow(loss, w, derive(key, -6))
    walls = sharpness.barriers(lambda tree: loss(ravel_pytree(tree)[0]), params, other)
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): wall for path, wall in jax.tree.leaves_with_path(walls)}
    return {"sharpness": top, "gradient": left}, named


def _sampled(task: Task, key: jax.Array, unravel: Callable) -> Callable[[jax.Array], jax.Array]:
    """The mean training loss over a fixed sample of minibatches, as a function of the flat weights."""
    keys = [derive(derive(key, -2), i) for i in range(SAMPLE)]
    batches = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[task.batch(k, "train") for k in keys])

    def loss(w: jax.Array) -> jax.Array:
        return jnp.mean(jax.vmap(lambda batch: task.loss(unravel(w), batch, key))(batches))

    return loss
