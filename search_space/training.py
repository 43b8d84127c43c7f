"""Carrying out a rule's query plan in a training loop, and the weights that a rule wants to be evaluated at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from search_space.compiler import RuleState, Scales, environment, flat_slots, run, to_optax
from search_space.cost import reads_gradient
from search_space.dataflow import dataflow, point_program
from search_space.program import EVALUATIONS, Evaluation, Expr, Program, RuleError, RuleSet
from search_space.tensors import hyper_values, view_shape
from search_space.use import load


class Losses(NamedTuple):
    """What a task offers beyond its loss; each is a function of (params, *batch).

    `sampled` (…, key) is the loss with labels drawn from the model; `examples` the losses of single examples, shape (B,);
    `outputs` the model's outputs and `output_loss` (outputs, *batch) the loss of them, for Gauss–Newton products.
    """

    loss: Callable[..., Any]
    sampled: Callable[..., Any] | None = None
    examples: Callable[..., Any] | None = None
    outputs: Callable[..., Any] | None = None
    output_loss: Callable[..., Any] | None = None


class TrainingStep(NamedTuple):
    """`init(params) → state`; `step(params, state, *batch, **query_inputs) → (params, state, value)`.

    `value` is the loss at the first point where a gradient or the value was taken; NaN for a rule whose first such query has a period.
    """

    init: Callable[[Any], Any]
    step: Callable[..., tuple[Any, Any, jax.Array]]


def training_step(
    rule: str | Path | Program,
    learning_rate: Any,
    loss: Callable[..., Any] | Losses,
    *,
    seed: int = 0,
    mask: Any = None,
    around: Callable[[optax.GradientTransformationExtraArgs], optax.GradientTransformation] | None = None,
    scales: Scales | None = None,
    **hyperparameters: Any,
) -> TrainingStep:
    """A training step that makes every evaluation the rule asks for; `loss(params, *batch)` is a number.

    `mask` says where the hyperparameter `decay` applies; `seed` starts the draws of labels; `around` puts more around the rule, for
    example `lambda tx: wrap("ema", tx)`; `scales` are factors for each tensor (`search_space.mup.rule_scales`).
    Query inputs that are no evaluations are keywords of `step`.
    Raises `RuleError` for a rule that asks for what `loss` cannot give, or that has a rule for each role with a plan.

    Example:
        >>> import jax.numpy as jnp
        >>> from search_space import training_step
        >>> init, step = training_step("sam", 0.1, lambda w: jnp.sum(w**2), radius=0.1)
        >>> w = jnp.asarray([3.0, 4.0])
        >>> w, state, value = step(w, init(w))
        >>> [round(float(x), 3) for x in w], float(value)
        ([2.388, 3.184], 25.0)
    """
    program = _single(rule)
    losses = loss if isinstance(loss, Losses) else Losses(loss)
    for evaluation in program.plan:
        _check_served(program, evaluation.what, losses)
    plain = to_optax(program, learning_rate, hyperparameters, mask, scales)
    tx = plain if around is None else optax.with_extra_args_support(around(plain))
    values = hyper_values(program.hypers, hyperparameters)

    def step(params: Any, state: Any, *batch: Any, **given: Any) -> tuple[Any, Any, jax.Array]:
        found: dict[str, Any] = {}
        own = rule_state(program, state) if program.plan else RuleState(0, {})
        value, grads = None, jax.tree.map(jnp.zeros_like, params)
        if reads_gradient(program):
            value, grads = jax.value_and_grad(losses.loss)(params, *batch)
        for number, evaluation in enumerate(program.plan):
            point = None
            if evaluation.point is not None:
                moment = _Moment(own, params, grads, learning_rate, values, found, value)
                point = _between(program, evaluation.point, program.plan[:number], moment)
            made, loss_there = _make(evaluation, losses, params, point, batch, own.count, seed)
            found[evaluation.name] = made
            value = loss_there if value is None else value
        extra = {"value": value} if value is not None else {}
        updates, state = tx.update(grads, state, params, **{**given, **extra, **found})
        return optax.apply_updates(params, updates), state, jnp.asarray(jnp.nan if value is None else value)

    return TrainingStep(tx.init, step)


def evaluation_params(rule: str | Path | Program, state: Any, params: Any, *, learning_rate: Any = 1.0, **hyperparameters: Any) -> Any:
    """The weights to evaluate the model at (averages, Schedule-Free's x …), a tree like `params`; `params` itself for rules without a view.

    `state` is the rule's state or any optax state that contains it; give the learning rate and hyperparameters that you train with.
    """
    program = _single(rule)
    if program.view is None:
        return params
    values = hyper_values(program.hypers, hyperparameters)
    return _between(program, program.view, (), _Moment(rule_state(program, state), params, params, learning_rate, values, {}, None))


def rule_state(program: Program, state: Any) -> RuleState:
    """The state of a rule within a (chained, wrapped) optax state, the outermost; raises `ValueError` where there is none."""
    names = {s.name for s in dataflow(program).slots}
    for found in reversed(jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, RuleState))):
        if isinstance(found, RuleState) and set(found.slots) == names:
            return found
    raise ValueError(f"the optimizer state has no state of rule '{program.name}'")


def _single(rule: str | Path | Program) -> Program:
    program = rule if isinstance(rule, Program) else load(rule)
    if isinstance(program, RuleSet):
        raise RuleError("a rule with one function for each role has no query plan and no view; use search_space.optimizer")
    return program


def _check_served(program: Program, what: str, losses: Losses) -> None:
    needs = {
        "sampled_gradient": ("sampled",),
        "mean_square_gradient": ("examples",),
        "gauss_newton_vector": ("outputs", "output_loss"),
    }.get(what, ())
    for field in needs:
        if getattr(losses, field) is None:
            raise RuleError(f"rule '{program.name}' asks for {what}: give Losses(..., {field}=...)")


class _Moment(NamedTuple):
    """What can be read between two steps: `found` are the evaluations made so far, `value` the loss if it is known."""

    state: RuleState
    params: Any
    grads: Any
    learning_rate: Any
    hypers: Mapping[str, Any]
    found: Mapping[str, Any]
    value: Any


def _between(program: Program, expr: Expr, earlier: tuple[Evaluation, ...], moment: _Moment) -> Any:
    """An expression over weights, slots and earlier evaluations between steps, as a tree like the parameters."""
    flow = dataflow(point_program(program, expr, earlier))
    leaves, structure = jax.tree.flatten(moment.params)
    env = environment(moment.learning_rate, moment.state.count, structure.flatten_up_to(moment.grads), leaves)
    for e in earlier:
        made = moment.found[e.name]
        env[e.name] = made if EVALUATIONS[e.what][1] == "global" else structure.flatten_up_to(made)
    env |= {} if moment.value is None else {"f": moment.value}
    shapes = [jnp.shape(x) for x in leaves]
    result, _ = run(flow, shapes, env, moment.hypers, flat_slots(flow, moment.state, structure))
    filled = [jnp.broadcast_to(r, view_shape(s)).reshape(s) for r, s in zip(result, shapes, strict=True)]
    return structure.unflatten([r.astype(jnp.asarray(x).dtype) for r, x in zip(filled, leaves, strict=True)])


def _make(
    evaluation: Evaluation, losses: Losses, params: Any, point: Any, batch: tuple[Any, ...], count: jax.Array, seed: int
) -> tuple[Any, jax.Array | None]:
    """The evaluation, or zeros at the steps between its period; and the loss at its point where it is known."""

    def now() -> Any:
        return _evaluate(evaluation.what, losses, params, point, batch, count, seed)

    if evaluation.every == 1:
        return now()
    shape = jax.eval_shape(now)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shape)
    made, _ = jax.lax.cond(count % evaluation.every == 0, now, lambda: zeros)
    return made, None


def _evaluate(what: str, losses: Losses, params: Any, point: Any, batch: tuple[Any, ...], count: jax.Array, seed: int) -> tuple[Any, Any]:
    if what == "vector":
        return point, None
    if what == "gradient":
        value, grads = jax.value_and_grad(losses.loss)(point, *batch)
        return grads, value
    if what == "value":
        value = losses.loss(point, *batch)
        return value, value
    if what == "hessian_vector":
        return jax.jvp(lambda w: jax.grad(losses.loss)(w, *batch), (params,), (point,))[1], None
    if what == "gauss_newton_vector":
        return _gauss_newton(losses, params, point, batch), None
    if what == "sampled_gradient":
        assert losses.sampled is not None
        return jax.grad(losses.sampled)(params, *batch, jax.random.fold_in(jax.random.key(seed), count)), None
    assert losses.examples is not None
    per_example = jax.jacrev(losses.examples)(params, *batch)
    return jax.tree.map(lambda j: jnp.mean(j * j, axis=0), per_example), None


def _gauss_newton(losses: Losses, params: Any, vector: Any, batch: tuple[Any, ...]) -> Any:
    """Jᵀ (∂²loss/∂outputs²) J v."""
    assert losses.outputs is not None and losses.output_loss is not None
    outputs, output_loss = losses.outputs, losses.output_loss
    out, pull = jax.vjp(lambda w: outputs(w, *batch), params)
    _, tangent = jax.jvp(lambda w: outputs(w, *batch), (params,), (vector,))
    curved = jax.jvp(jax.grad(lambda o: output_loss(o, *batch)), (out,), (tangent,))[1]
    return pull(curved)[0]
