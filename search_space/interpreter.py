"""Runs programs given as data: one compilation for a layout and batch size serves every program.

The branch is scalar for each program and instruction, tasks × seeds × learning rates sit in the registers' batch axis. A branch returns
the new value only, never a bank: XLA would copy the bank (measured 20-50 times slower).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from search_space.encode import LR, Encoded, G, T, W
from search_space.instructions import FUSED, reduce_to_global, reduce_to_small
from search_space.layout import Layout
from search_space.ops import OPS
from search_space.repertoire import ALL, Repertoire, renumber

MANY = 1024
"""Numbers from which on a product with a vector sums them faster than a loop does."""


class InterpreterState(NamedTuple):
    """Banks of P programs: `number` (P, Q, B), `small` (P, Q, B, K+R+C), `full` (P, Q, B, N); `finite` bool (P, B), `t` steps made."""

    number: jax.Array
    small: jax.Array
    full: jax.Array
    finite: jax.Array
    t: jax.Array


class BatchOptimizer(NamedTuple):
    """The training loop's contract (structurally that of `tasks.contracts`): leaves lead with P·B, updates are added to parameters."""

    init: Callable[[Any], InterpreterState]
    update: Callable[..., tuple[Any, InterpreterState]]
    finite: Callable[[Any, InterpreterState], jax.Array]


def batch_optimizer(layout: Layout, programs: Encoded, *, programs_fastest: bool = False, repertoire: Repertoire = ALL) -> BatchOptimizer:
    """P programs (arrays with a leading axis P) as one optimizer over P · B batch members.

    `init(params)`, `update(grads, state, params, learning_rate)` with leaves (P·B, …) and learning_rate f32 (P·B,), program-major, or
    member-major with `programs_fastest`. `finite(updates, state)` is False for members whose update or live slots were non-finite at the
    end of any step so far. The programs must need no instruction outside the `repertoire`.
    """
    count = programs.result.shape[0]
    programs = renumber(programs, repertoire)
    tables = _Tables(layout, repertoire)

    def split(x: jax.Array) -> jax.Array:
        """(P·B, …) → (P, B, …)."""
        if programs_fastest:
            return x.reshape(x.shape[0] // count, count, *x.shape[1:]).swapaxes(0, 1)
        return x.reshape(count, x.shape[0] // count, *x.shape[1:])

    def join(x: jax.Array) -> jax.Array:
        """(P, B, …) → (P·B, …)."""
        return (x.swapaxes(0, 1) if programs_fastest else x).reshape(x.shape[0] * x.shape[1], *x.shape[2:])

    def init(params: Any) -> InterpreterState:
        members = jax.tree.leaves(params)[0].shape[0] // count
        numbers = _fill(programs.numbers, members)
        small = _fill(programs.small_ones, members, layout.small)
        full = _fill(programs.full_ones, members, layout.full)
        constants = jnp.asarray(layout.constants())[None, :, None, :]
        finite = jnp.ones((count, members), bool)
        return InterpreterState(numbers, small.at[:, : constants.shape[1]].set(constants), full, finite, jnp.zeros((), jnp.float32))

    def update(grads: Any, state: InterpreterState, params: Any, learning_rate: jax.Array) -> tuple[Any, InterpreterState]:
        t = state.t + 1.0
        full = state.full.at[:, G].set(split(layout.flatten(grads))).at[:, W].set(split(layout.flatten(params)))
        number = state.number.at[:, LR].set(split(learning_rate)).at[:, T].set(t)
        number, small, full, finite = _run_all(tables, programs, number, state.small, full, state.finite)
        results = jax.vmap(lambda bank, register: lax.dynamic_index_in_dim(bank, register, 0, keepdims=False))(full, programs.result)
        return layout.unflatten(join(-results), grads), InterpreterState(number, small, full, finite, t)

    return BatchOptimizer(init, update, lambda updates, state: join(state.finite))


def _fill(values: jax.Array, *sizes: int) -> jax.Array:
    """(P, Q) → (P, Q, *sizes)."""
    column = jnp.asarray(values).reshape(*values.shape, *(1 for _ in sizes))
    return jnp.broadcast_to(column, (*values.shape, *sizes))


def _run_all(
    tables: _Tables, programs: Encoded, number: jax.Array, small: jax.Array, full: jax.Array, finite: jax.Array
) -> tuple[jax.Array, ...]:
    def one(p: jax.Array, banks: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        code = jax.tree.map(lambda x: lax.dynamic_index_in_dim(jnp.asarray(x), p, 0, keepdims=False), programs)
        number, small, full, finite = banks
        number, small, full = _segments(tables, code, p, number, small, full)
        ok = _finite(tables.layout, code, p, number, small, full)
        return number, small, full, finite.at[p].set(finite[p] & ok)

    return lax.fori_loop(0, finite.shape[0], one, (number, small, full, finite))


def _segments(tables: _Tables, code: Encoded, p: jax.Array, number: jax.Array, small: jax.Array, full: jax.Array) -> tuple[jax.Array, ...]:
    def segment(i: jax.Array, banks: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        number, small, full = banks
        stop = code.segments[i]
        start = jnp.where(i > 0, code.segments[jnp.maximum(i - 1, 0)], 0)
        number = lax.fori_loop(
            start[0], stop[0], lambda k, bank: _step(tables.number, code.number_code[k], p, bank, (bank, small, full)), number
        )
        small = lax.fori_loop(
            start[1], stop[1], lambda k, bank: _step(tables.small, code.small_code[k], p, bank, (number, bank, full)), small
        )
        full = lax.fori_loop(start[2], stop[2], lambda k, bank: _step(tables.full, code.full_code[k], p, bank, (number, small, bank)), full)
        return number, small, full

    return lax.fori_loop(0, code.segment_count, segment, (number, small, full))


def _step(
    branches: list[Callable[..., jax.Array]], row: jax.Array, p: jax.Array, bank: jax.Array, banks: tuple[jax.Array, ...]
) -> jax.Array:
    value = lax.switch(row[0], branches, p, row, *banks)
    zeros = (0,) * (bank.ndim - 2)
    return lax.dynamic_update_slice(bank, value[None, None], (p, row[4], *zeros))


def _read(bank: jax.Array, p: jax.Array, register: jax.Array) -> jax.Array:
    """One register. Slicing happens inside the branch, so that a branch reads only what it needs."""
    sizes = (1, 1, *bank.shape[2:])
    return lax.dynamic_slice(bank, (p, register, *(0,) * (bank.ndim - 2)), sizes).reshape(bank.shape[2:])


def _finite(layout: Layout, code: Encoded, p: jax.Array, number: jax.Array, small: jax.Array, full: jax.Array) -> jax.Array:
    """Whether update and live slots are finite, (B,). x · 0 is 0 or NaN, so a sum tells: of many numbers as a product, which is faster."""
    zeros = jnp.zeros(full.shape[-1])

    def probe(bank: jax.Array, register: jax.Array) -> jax.Array:
        x = _read(bank, p, register)
        return jnp.dot(x, zeros, precision=lax.Precision.HIGHEST) if zeros.size >= MANY else (x * 0.0).sum(axis=1)

    def over(slots: jax.Array, start: jax.Array, one: Callable[[jax.Array], jax.Array]) -> jax.Array:
        return lax.fori_loop(0, jnp.sum(slots >= 0), lambda i, total: total + one(i), start)

    edges = jnp.asarray([[0, 0], *layout.sections.values()])
    column = jnp.arange(layout.small)

    def small_slot(i: jax.Array) -> jax.Array:
        register, section = code.small_slots[i, 0], code.small_slots[i, 1]
        inside = (column >= edges[section, 0]) & (column < edges[section, 1])
        return jnp.sum(jnp.where(inside, _read(small, p, register) * 0.0, 0.0), axis=1)

    total = probe(full, code.result)
    total = over(code.full_slots, total, lambda i: probe(full, code.full_slots[i]))
    total = over(code.small_slots[:, 0], total, small_slot)
    total = over(code.number_slots, total, lambda i: _read(number, p, code.number_slots[i]) * 0.0)
    return total == 0


class _Tables:
    """Branches of the three switches for a layout."""

    def __init__(self, layout: Layout, known: Repertoire) -> None:
        self.layout = layout
        self.number = [self._number(name) for name in known.number]
        self.small = [self._small(name) for name in known.small]
        self.full = [self._full(name) for name in known.full]

    def _number(self, name: str) -> Callable[..., jax.Array]:
        return self._reduction(reduce_to_global, name) if ":" in name else _plain(name, bank=0)

    def _small(self, name: str) -> Callable[..., jax.Array]:
        if name == "spread":
            width = self.layout.small
            return lambda p, row, number, small, full: jnp.broadcast_to(_read(number, p, row[1])[:, None], (number.shape[2], width))
        return self._reduction(reduce_to_small, name) if ":" in name else _plain(name, bank=1)

    def _reduction(self, reduce: Callable[[Layout, str, str, jax.Array], jax.Array], name: str) -> Callable[..., jax.Array]:
        op, kind = name.split(":")
        source = 2 if kind == "full" else 1
        return lambda p, row, *banks: reduce(self.layout, op, kind, _read(banks[source], p, row[1]))

    def _full(self, name: str) -> Callable[..., jax.Array]:
        def branch(p: jax.Array, row: jax.Array, number: jax.Array, small: jax.Array, full: jax.Array) -> jax.Array:
            pre, alpha, beta, s = (_read(number, p, row[k])[:, None] for k in (5, 6, 7, 8))
            if name.startswith("from_"):
                value = self.layout.spread(_read(small, p, row[1]), name[5:])
            elif name in FUSED:
                x, y, z = (_read(full, p, row[k]) for k in (1, 2, 3))
                value = FUSED[name](pre * x, y, z, s)
            else:
                op = OPS[name]
                args = [_read(full, p, row[k]) for k in range(1, 1 + op.arity)]
                value = op.fn(jnp, pre * args[0], *args[1:])  # type: ignore[misc]
            return alpha * value + beta

        return branch


def _plain(name: str, bank: int) -> Callable[..., jax.Array]:
    op = OPS[name]

    def branch(p: jax.Array, row: jax.Array, *banks: jax.Array) -> jax.Array:
        return op.fn(jnp, *(_read(banks[bank], p, row[k]) for k in range(1, 1 + op.arity)))  # type: ignore[misc]

    return branch
