"""The inner training loop, the only one: trains all members of a task batch and reports curves and status codes.

Letters: T tasks, S seeds, L learning rates, B = T·S·L members, E evaluations.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from tasks.batch import TaskBatch
from tasks.contracts import BatchOptimizer, PyTree, Schedule, Split, Status
from tasks.queries import LossOptimizer


class Multiplier(Protocol):
    """What a `Schedule` is: the factor of the peak learning rate, one number or f32[B]."""

    def value(self, step: jax.Array, steps: jax.Array) -> jax.Array: ...


class Rollout(NamedTuple):
    """What became of the members; a failed one has the loss +inf from its failure on."""

    curve: jax.Array  # f32[T, S, L, E], validation loss after each E-th part of the steps
    final: dict[str, jax.Array]  # split -> f32[T, S, L], loss at the end
    initial: jax.Array  # f32[T, S], validation loss before the first step
    status: jax.Array  # i8[T, S, L], values of `Status`
    params: PyTree  # weights at the end, leaves [B, ...], where asked for; a failed member's are its last finite ones


class _Loop(NamedTuple):
    """What the steps hand on."""

    step: jax.Array  # i32[]
    params: PyTree
    state: PyTree
    alive: jax.Array  # bool[B]


def rollout(
    batch: TaskBatch,
    optimizer: BatchOptimizer | LossOptimizer,
    *,
    steps: jax.Array | int,
    schedule: Multiplier = Schedule(),
    evals: int = 5,
    splits: tuple[Split, ...] = ("valid",),
    keep_params: bool = False,
    watch: jax.Array | None = None,
) -> Rollout:
    """Train every member for `steps` steps and measure it `evals` times on the way.

    `steps` may be traced: one compiled program serves every length. Evaluation k of E comes after ⌊k·steps/E⌋ steps.
    A member fails when its update or its optimizer's state is not finite at the end of a step, or its validation loss
    when measured; it is frozen from then on and disturbs no other. A pure function, usable under jit, vmap and lax.map.
    `splits` are measured at the end. Where `watch` (bool[], may be traced) is False, the evaluations before the last are left out: NaN.
    Raises ValueError when `steps` is a number below 1.
    """
    if isinstance(steps, int) and steps < 1:
        raise ValueError(f"steps is {steps}, allowed: 1 or more")
    params = batch.init()
    start = batch.losses(params, "valid")
    loop = _Loop(jnp.zeros((), jnp.int32), params, optimizer.init(params), jnp.ones(batch.size, bool))

    def view(loop: _Loop) -> PyTree:
        return optimizer.view(loop.state, loop.params, batch.rates()) if isinstance(optimizer, LossOptimizer) else loop.params

    advance = _make_advance(batch, optimizer, jnp.asarray(steps, jnp.int32), schedule)

    def part(loop: _Loop, stop: jax.Array) -> tuple[_Loop, jax.Array]:
        loop = jax.lax.while_loop(lambda now: (now.step < stop) & jnp.any(now.alive), advance, loop)
        told = jnp.ones((), bool) if watch is None else watch | (stop == steps)
        if watch is None:
            losses = batch.losses(view(loop), "valid")
        else:
            losses = jax.lax.cond(told, lambda: batch.losses(view(loop), "valid"), lambda: jnp.zeros_like(start))
        alive = loop.alive & jnp.isfinite(losses)
        return loop._replace(step=stop, alive=alive), jnp.where(told, jnp.where(alive, losses, jnp.inf), jnp.nan)

    loop, curve = jax.lax.scan(part, loop, _stops(steps, evals))
    seen = view(loop)
    final = {split: _final(batch, seen, loop.alive, split) for split in splits if split != "valid"}
    if "valid" in splits:
        final["valid"] = curve[-1]  # already measured
    shape = batch.shape
    return Rollout(
        curve=jnp.moveaxis(curve, 0, -1).reshape(*shape, evals),
        final={split: losses.reshape(shape) for split, losses in final.items()},
        initial=start.reshape(shape)[..., 0],
        status=_status(loop.alive, start, curve[-1]).reshape(shape),
        params=loop.params if keep_params else None,
    )


def diverged(initial: jax.Array, final: jax.Array) -> jax.Array:
    """Whether a finite final loss counts as diverged: it rose by more than 10 times the initial loss (or 10, if more)."""
    return final - initial > 10.0 * jnp.maximum(jnp.abs(initial), 1.0)


def _make_advance(batch: TaskBatch, optimizer: BatchOptimizer | LossOptimizer, steps: jax.Array, schedule: Multiplier):
    """Make the function of one step. The rates are computed outside of the loop, once."""
    rates = batch.rates()

    def advance(loop: _Loop) -> _Loop:
        learning_rate = rates * schedule.value(loop.step, steps)
        if isinstance(optimizer, LossOptimizer):
            updates, state = optimizer.update(batch, loop.step, loop.state, loop.params, learning_rate)
        else:
            updates, state = optimizer.update(batch.gradients(loop.params, loop.step), loop.state, loop.params, learning_rate)
        alive = loop.alive & optimizer.finite(updates, state)
        return _Loop(loop.step + 1, _apply(loop.params, updates, alive), state, alive)

    return advance


def _apply(params: PyTree, updates: PyTree, alive: jax.Array) -> PyTree:
    """Add the updates of members that are alive; the others keep their weights."""

    def add(weight: jax.Array, update: jax.Array) -> jax.Array:
        mask = alive.reshape(-1, *[1] * (weight.ndim - 1))
        return weight + jnp.where(mask, update, 0).astype(weight.dtype)

    return jax.tree.map(add, params, updates)


def _stops(steps: jax.Array | int, evals: int) -> jax.Array:
    """The step numbers of the evaluations: i32[E]; whole and rest apart, so that the products stay small."""
    whole, rest = jnp.divmod(jnp.asarray(steps, jnp.int32), evals)
    part = jnp.arange(1, evals + 1, dtype=jnp.int32)
    return part * whole + part * rest // evals


def _final(batch: TaskBatch, params: PyTree, alive: jax.Array, split: Split) -> jax.Array:
    """Loss on a split at the end: f32[B], +inf for failed members."""
    losses = batch.losses(params, split)
    return jnp.where(alive & jnp.isfinite(losses), losses, jnp.inf)


def _status(alive: jax.Array, initial: jax.Array, final: jax.Array) -> jax.Array:
    """Status codes i8[B]."""
    ended = jnp.where(diverged(initial, final), Status.DIVERGED, Status.OK)
    return jnp.where(alive, ended, Status.NONFINITE).astype(jnp.int8)
