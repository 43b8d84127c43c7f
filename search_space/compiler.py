"""Program → optax transformation, by tracing its live values once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from search_space.dataflow import Dataflow, SlotFlow, dataflow
from search_space.ops import OPS, Op
from search_space.program import EVALUATIONS, INPUT_KINDS, POSITION_INPUTS, Program
from search_space.specialise import without
from search_space.tensors import hyper_values, kind_shape, positions, start_value, stored_shape, tensor_constants, view_shape
from search_space.units import gradient_degrees

QUERY_KEYWORDS = {
    "f": "value",
    "h": "hessian_diagonal",
    "g2": "mean_square_gradient",
    "u": "proposed_update",
    "task": "task",
    "examples": "examples",
}
"""Keyword of `update` that carries each query input."""

Value = list[jax.Array]
"""One array for each tensor in the matrix view (R, C), (R, 1), (1, C) or (1, 1), by kind."""


class Scales(NamedTuple):
    """Factors of each tensor, trees of numbers like the parameters: of its gradient, learning rate and hyperparameters (by name)."""

    gradient: Any
    learning_rate: Any
    hypers: Mapping[str, Any]


class RuleState(NamedTuple):
    """State of a rule: `count` updates made (int32), `slots` name → tree like the parameters (one number for a `global` slot); float32."""

    count: Any  # pyright: ignore[reportIncompatibleMethodOverride]  (optax's name for it)
    slots: dict[str, Any]


def to_optax(
    program: Program,
    learning_rate: float | jax.Array | Callable[[jax.Array], Any],
    hypers: Mapping[str, Any] | None = None,
    mask: Any = None,
    scales: Scales | None = None,
) -> optax.GradientTransformationExtraArgs:
    """A rule as an optax transformation.

    `learning_rate` is a number, a traced scalar or an optax schedule (count → value, count 0 at the first update); `hypers` override
    the rule's defaults and may be traced. `mask` (a tree of bools like the parameters, or a function of them) says where `decay` applies.
    `scales` makes gradients, learning rate and hyperparameters differ between tensors (see `search_space.mup`).
    Updates have the parameters' structure, shape and dtype; state is float32.
    Raises `TypeError` for an unknown hyperparameter, or at an update that lacks a query input of the rule; `ValueError` for a
    hyperparameter out of range.
    """
    values = hyper_values(program.hypers, hypers or {})
    program = _specialised(program, values)
    flow = dataflow(program)
    if mask is not None and "decay" not in values:
        raise TypeError(f"rule '{program.name}' has no hyperparameter 'decay' for a mask to act on")

    def init_fn(params: Any) -> Any:
        def tree(slot: SlotFlow) -> Any:
            if slot.kind == "global":
                return start_value(jnp, slot.init, slot.kind, ())
            return jax.tree.map(lambda p: start_value(jnp, slot.init, slot.kind, jnp.shape(p), slot.depth), params)

        return RuleState(jnp.zeros((), jnp.int32), {s.name: tree(s) for s in flow.slots})

    def update_fn(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        if params is None and any(n.ref == "w" for n in flow.nodes if n.op == "input"):
            raise ValueError(f"rule '{program.name}' reads the weights: call update(grads, state, params)")
        leaves, structure = jax.tree.flatten(updates)
        env = environment(learning_rate, state.count, leaves, leaves if params is None else structure.flatten_up_to(params))
        env |= _queries(program, extra, structure)
        shapes = [jnp.shape(x) for x in leaves]
        own = _masked(values, mask, params, structure)
        if scales is not None:
            env, own = _scaled(program, scales, env, own, structure)
        result, new = run(flow, shapes, env, own, flat_slots(flow, state, structure))
        out = [(-_fill(r, s)).reshape(s).astype(jnp.asarray(x).dtype) for r, x, s in zip(result, leaves, shapes, strict=True)]
        kept = {
            s.name: (new[s.name][0].reshape(()) if s.kind == "global" else structure.unflatten(new[s.name]))
            if leaves
            else state.slots[s.name]
            for s in flow.slots
        }
        return structure.unflatten(out), RuleState(optax.safe_increment(state.count), kept)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _specialised(program: Program, values: Mapping[str, Any]) -> Program:
    """Without the terms of a weight decay that is the number 0; slots stay as they are."""
    decay = values.get("decay")
    if not isinstance(decay, int | float) or decay != 0:
        return program
    reduced = without(program, frozenset({"decay"}))
    same = [s.name for s in dataflow(reduced).slots] == [s.name for s in dataflow(program).slots]
    return reduced if same else program


def environment(learning_rate: Any, count: jax.Array, grads: Sequence[Any], weights: Sequence[Any]) -> dict[str, Any]:
    """The core inputs of the step that follows `count` steps."""
    rate = learning_rate(count) if callable(learning_rate) else learning_rate
    return {"g": grads, "w": weights, "lr": rate, "t": count + 1}


def flat_slots(flow: Dataflow, state: RuleState, structure: Any) -> dict[str, list[Any]]:
    """Every live slot as one array for each tensor."""
    count = structure.num_leaves
    return {
        s.name: [state.slots[s.name]] * count if s.kind == "global" else structure.flatten_up_to(state.slots[s.name]) for s in flow.slots
    }


def _masked(values: Mapping[str, Any], mask: Any, params: Any, structure: Any) -> Mapping[str, Any]:
    """Hyperparameters with `decay` as one number for each tensor, 0 where the mask says no."""
    if mask is None:
        return values
    tree = mask(params) if callable(mask) else mask
    return {**values, "decay": [values["decay"] * jnp.asarray(m, jnp.float32) for m in structure.flatten_up_to(tree)]}


def _scaled(
    program: Program, scales: Scales, env: dict[str, Any], hypers: Mapping[str, Any], structure: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs and hyperparameters as one value for each tensor; what else scales with the gradient is scaled with it."""
    factors = structure.flatten_up_to(scales.gradient)
    degrees = {"g": 1.0} | gradient_degrees(program)
    env = dict(env)
    for name, power in degrees.items():
        if isinstance(env[name], list):
            env[name] = [x * k**power for x, k in zip(env[name], factors, strict=True)]
    env["lr"] = [env["lr"] * k for k in structure.flatten_up_to(scales.learning_rate)]
    own = dict(hypers)
    for name in own.keys() & scales.hypers.keys():
        values = own[name] if isinstance(own[name], list) else [own[name]] * structure.num_leaves
        own[name] = [x * k for x, k in zip(values, structure.flatten_up_to(scales.hypers[name]), strict=True)]
    return env, own


def _queries(program: Program, extra: Mapping[str, Any], structure: Any) -> dict[str, Any]:
    values = {}
    wanted = [(n, QUERY_KEYWORDS[n], INPUT_KINDS[n]) for n in program.queries]
    wanted += [(e.name, e.name, EVALUATIONS[e.what][1]) for e in program.plan]
    for name, keyword, kind in wanted:
        if extra.get(keyword) is None:
            raise TypeError(f"rule '{program.name}' asks for '{name}': pass update(..., {keyword}=...){_hint(program)}")
        values[name] = extra[keyword] if kind == "global" else structure.flatten_up_to(extra[keyword])
    return values


def _hint(program: Program) -> str:
    return ", or train with search_space.training_step" if program.plan else ""


def run(
    flow: Dataflow,
    shapes: Sequence[tuple[int, ...]],
    inputs: Mapping[str, Any],
    hypers: Mapping[str, Any],
    slots: Mapping[str, Sequence[Any]],
) -> tuple[Value, dict[str, list[jax.Array]]]:
    """One step of the live values: (result for each tensor in the matrix view; next value of each slot in its stored shape)."""
    slot_of = {s.name: s for s in flow.slots}
    values: list[Value] = []
    for node in flow.nodes:
        if node.op == "const":
            values.append(_repeat(node.ref, shapes))
        elif node.op == "hyper":
            given = hypers[str(node.ref)]
            values.append([jnp.asarray(x, jnp.float32).reshape(1, 1) for x in given] if isinstance(given, list) else _repeat(given, shapes))
        elif node.op == "slot":
            slot = slot_of[str(node.ref)]
            views = [kind_shape(slot.kind, s, slot.depth) for s in shapes]
            values.append([jnp.asarray(x, jnp.float32).reshape(v) for x, v in zip(slots[slot.name], views, strict=True)])
        elif node.op == "input":
            values.append(_input(str(node.ref), inputs, shapes))
        else:
            values.append(apply(OPS[node.op], [values[a] for a in node.args], shapes))
    new = {}
    for slot in flow.slots:
        views = [(kind_shape(slot.kind, s, slot.depth), stored_shape(slot.kind, s, slot.depth)) for s in shapes]
        new[slot.name] = [jnp.broadcast_to(x, view).reshape(stored) for x, (view, stored) in zip(values[slot.next], views, strict=True)]
    return values[flow.result], new


def apply(op: Op, args: list[Value], shapes: Sequence[tuple[int, ...]]) -> Value:
    """One primitive over all tensors."""
    assert op.fn is not None
    if op.combine == "gather":
        return op.fn(jnp, *args) if shapes else []
    more: list[dict[str, Any]] = [{"shape": s} if op.shaped else {} for s in shapes]
    parts = [op.fn(jnp, *xs, **m) for *xs, m in zip(*args, more, strict=True)]
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
    if name in inputs:
        value = inputs[name]
        if not isinstance(value, list):
            return _repeat(value, shapes)
        views = [(1, 1) if name == "lr" else view_shape(s) for s in shapes]
        return [jnp.asarray(x, jnp.float32).reshape(view) for x, view in zip(value, views, strict=True)]
    if name in POSITION_INPUTS:
        return [jnp.asarray(positions(s, k)[name]) for k, s in enumerate(shapes)]
    return [jnp.full((1, 1), tensor_constants(s)[name], jnp.float32) for s in shapes]


def _fill(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jnp.broadcast_to(x, view_shape(shape))
