"""Program → optax transformation, by tracing its live values once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from search_space.dataflow import Dataflow, dataflow
from search_space.ops import OPS, Op
from search_space.program import Program
from search_space.tensors import hyper_values, kind_shape, stored_shape, tensor_constants, view_shape

QUERY_KEYWORDS = {"f": "value", "h": "hessian_diagonal", "g2": "mean_square_gradient"}
"""Keyword of `update` that carries each query input."""

Value = list[jax.Array]
"""One array for each tensor in the matrix view (R, C), (R, 1), (1, C) or (1, 1), by kind."""


class RuleState(NamedTuple):
    """State of a rule: `count` updates made (int32), `slots` name → tree like the parameters (one number for a `global` slot); float32."""

    count: Any  # pyright: ignore[reportIncompatibleMethodOverride]  (optax's name for it)
    slots: dict[str, Any]


def to_optax(
    program: Program, learning_rate: float | jax.Array | Callable[[jax.Array], Any], hypers: Mapping[str, Any] | None = None
) -> optax.GradientTransformationExtraArgs:
    """A rule as an optax transformation.

    `learning_rate` is a number, a traced scalar or an optax schedule (count → value, count 0 at the first update); `hypers` override
    the rule's defaults and may be traced. Updates have the parameters' structure, shape and dtype; state is float32.
    Raises `TypeError` for an unknown hyperparameter, or at an update that lacks a query input of the rule.
    """
    flow = dataflow(program)
    values = hyper_values(program.hypers, hypers or {})

    def init_fn(params: Any) -> Any:
        def tree(slot: Any) -> Any:
            fill = 1.0 if slot.ones else 0.0
            if slot.kind == "global":
                return jnp.full((), fill, jnp.float32)
            return jax.tree.map(lambda p: jnp.full(stored_shape(slot.kind, jnp.shape(p)), fill, jnp.float32), params)

        return RuleState(jnp.zeros((), jnp.int32), {s.name: tree(s) for s in flow.slots})

    def update_fn(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        if params is None and any(n.ref == "w" for n in flow.nodes if n.op == "input"):
            raise ValueError(f"rule '{program.name}' reads the weights: call update(grads, state, params)")
        leaves, structure = jax.tree.flatten(updates)
        weights = leaves if params is None else structure.flatten_up_to(params)
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        queries = _queries(program, extra, structure)
        env = {"g": leaves, "w": weights, "lr": rate, "t": state.count + 1, **queries}
        slots = {
            s.name: [state.slots[s.name]] * len(leaves) if s.kind == "global" else structure.flatten_up_to(state.slots[s.name])
            for s in flow.slots
        }
        result, new = run(flow, [jnp.shape(x) for x in leaves], env, values, slots)
        out = [(-_fill(r, jnp.shape(x))).reshape(jnp.shape(x)).astype(jnp.asarray(x).dtype) for r, x in zip(result, leaves, strict=True)]
        kept = {
            s.name: (new[s.name][0].reshape(()) if s.kind == "global" else structure.unflatten(new[s.name]))
            if leaves
            else state.slots[s.name]
            for s in flow.slots
        }
        return structure.unflatten(out), RuleState(optax.safe_increment(state.count), kept)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _queries(program: Program, extra: Mapping[str, Any], structure: Any) -> dict[str, Any]:
    values = {}
    for name in program.queries:
        keyword = QUERY_KEYWORDS[name]
        if extra.get(keyword) is None:
            raise TypeError(f"rule '{program.name}' asks for '{name}': pass update(..., {keyword}=...)")
        values[name] = extra[keyword] if name == "f" else structure.flatten_up_to(extra[keyword])
    return values


def run(
    flow: Dataflow,
    shapes: Sequence[tuple[int, ...]],
    inputs: Mapping[str, Any],
    hypers: Mapping[str, Any],
    slots: Mapping[str, Sequence[Any]],
) -> tuple[Value, dict[str, list[jax.Array]]]:
    """One step of the live values: (result for each tensor in the matrix view; next value of each slot in its stored shape)."""
    values: list[Value] = []
    for node in flow.nodes:
        if node.op == "const":
            values.append(_repeat(node.ref, shapes))
        elif node.op == "hyper":
            values.append(_repeat(hypers[node.ref], shapes))  # type: ignore[index]
        elif node.op == "slot":
            slot = next(s for s in flow.slots if s.name == node.ref)
            values.append(
                [jnp.asarray(x, jnp.float32).reshape(kind_shape(slot.kind, s)) for x, s in zip(slots[slot.name], shapes, strict=True)]
            )
        elif node.op == "input":
            values.append(_input(str(node.ref), inputs, shapes))
        else:
            values.append(apply(OPS[node.op], [values[a] for a in node.args]))
    new = {}
    for slot in flow.slots:
        new[slot.name] = [
            jnp.broadcast_to(x, kind_shape(slot.kind, s)).reshape(stored_shape(slot.kind, s))
            for x, s in zip(values[slot.next], shapes, strict=True)
        ]
    return values[flow.result], new


def apply(op: Op, args: list[Value]) -> Value:
    """One primitive over all tensors."""
    assert op.fn is not None
    parts = [op.fn(jnp, *xs) for xs in zip(*args, strict=True)]
    if op.rule != "global" or not parts:
        return parts
    if op.combine == "max":
        total = reduce(jnp.maximum, parts)
    else:
        total = reduce(operator.add, parts)
        total = total / float(sum(x.size for x in args[0])) if op.combine == "mean" else total
    return [total] * len(parts)


def _repeat(value: Any, shapes: Sequence[tuple[int, ...]]) -> Value:
    return [jnp.asarray(value, jnp.float32).reshape(1, 1)] * len(shapes)


def _input(name: str, inputs: Mapping[str, Any], shapes: Sequence[tuple[int, ...]]) -> Value:
    if name in ("lr", "t", "f"):
        return _repeat(inputs[name], shapes)
    if name in inputs:
        return [jnp.asarray(x, jnp.float32).reshape(view_shape(s)) for x, s in zip(inputs[name], shapes, strict=True)]
    return [jnp.full((1, 1), tensor_constants(s)[name], jnp.float32) for s in shapes]


def _fill(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jnp.broadcast_to(x, view_shape(shape))
