"""Width scaling of any optimizer: factors for each tensor, rules and optax transformations that apply them, initial weights.

Maximal update parametrisation (Tensor Programs V, arXiv:2203.03466; for any entrywise rule IVb, arXiv:2308.01814).
`metadata` is a tree like the parameters of records with `role` and `width_mult`, such as `tasks.contracts.TensorMeta`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from search_space import compiler
from search_space.parametrisation import Scales, tensor_scales
from search_space.program import Program, RuleSet
from search_space.use import load
from search_space.use import optimizer as unscaled
from search_space.width import WidthRule, inside, width_rule


def multipliers(metadata: Any, parametrisation: str = "mup", decay_rule: str = "linear") -> Any:
    """A tree of `Scales`, one for each tensor of `metadata`. Raises `ValueError` for an unknown word or missing metadata."""
    found = jax.tree.map(lambda info: tensor_scales(_checked(info), parametrisation, decay_rule), metadata, is_leaf=_is_info)
    largest = max((s.rows * s.columns for s in jax.tree.leaves(found, is_leaf=_is_scales)), default=1.0)
    return jax.tree.map(lambda s: s._replace(parameters=largest), found, is_leaf=_is_scales)


def _is_scales(x: Any) -> bool:
    return isinstance(x, Scales)


def _is_info(x: Any) -> bool:
    return x is None or hasattr(x, "role")


def _checked(info: Any) -> Any:
    if not (hasattr(info, "role") and hasattr(info, "width_mult")):
        raise ValueError(f"metadata needs a role and a width_mult for every tensor, found {info!r}")
    return info


def _field(factors: Any, read: Callable[[Scales], Any]) -> Any:
    return jax.tree.map(read, factors, is_leaf=_is_scales)


def scale(
    tx: optax.GradientTransformation, metadata: Any, parametrisation: str = "mup", *, decay_rule: str = "linear"
) -> optax.GradientTransformationExtraArgs:
    """Scale any optax transformation from outside: gradients before it, its updates after it, weights that it reads.

    Right for every entrywise rule, homogeneous or not, since it sees entries of the size they have at `width_mult` 1. Decay inside
    `tx` follows `decay_rule`, since that is what `tx` is shown of the weights; one that reads them otherwise (LAMB) needs "sqrt".
    Not for a rule that keeps weights and mixes them with its steps (Schedule-Free), nor for sums over tensors: `optimizer` serves those.

    Example:
        >>> from typing import NamedTuple
        >>> import jax.numpy as jnp, optax
        >>> from search_space.mup import scale
        >>> class Info(NamedTuple):
        ...     role: str
        ...     width_mult: float
        >>> tx = scale(optax.sign_sgd(0.1), {"w": Info("hidden", 4.0)})
        >>> params = {"w": jnp.ones((8, 8))}
        >>> updates, _ = tx.update(params, tx.init(params), params)
        >>> float(updates["w"][0, 0])
        -0.02500000037252903
    """
    return scale_by(tx, multipliers(metadata, parametrisation, decay_rule))


def scale_by(tx: optax.GradientTransformation, factors: Any) -> optax.GradientTransformationExtraArgs:
    """`scale` with a tree of `Scales`, whose numbers may be traced."""
    gradient, update, shown = (_field(factors, read) for read in (lambda s: s.gradient, lambda s: s.update, lambda s: s.decay))
    inner = optax.with_extra_args_support(tx)

    def init(params: Any) -> Any:
        return inner.init(_times(params, shown))

    def step(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        seen = None if params is None else _times(params, shown)
        updates, state = inner.update(_times(updates, gradient), state, seen, **extra)
        return _times(updates, update), state

    return optax.GradientTransformationExtraArgs(init, step)


def _times(tree: Any, factors: Any) -> Any:
    return jax.tree.map(lambda x, k: x * jnp.asarray(k, x.dtype), tree, factors)


def optimizer(
    rule: str | Path | Program | RuleSet,
    learning_rate: Any,
    metadata: Any,
    parametrisation: str = "mup",
    *,
    decay_rule: str = "linear",
    mask: Any = None,
    **hyperparameters: Any,
) -> optax.GradientTransformationExtraArgs:
    """`search_space.optimizer` whose learning rate and hyperparameters, found at `width_mult` 1, hold at every width.

    The learning rate differs between tensors inside the rule, so that rules which keep weights stay consistent. Rules for which that
    cannot be (one for each role; `WidthRule.shared`) are scaled from outside, see `scale`.
    """
    program = rule if isinstance(rule, Program | RuleSet) else load(rule)
    if isinstance(program, RuleSet) or width_rule(program).shared:
        return scale(unscaled(program, learning_rate, mask=mask, **hyperparameters), metadata, parametrisation, decay_rule=decay_rule)
    scales = rule_scales(program, multipliers(metadata, parametrisation, decay_rule))
    return compiler.to_optax(program, learning_rate, hyperparameters, mask, scales)


def rule_scales(program: Program, factors: Any) -> compiler.Scales:
    """What a tree of `Scales` (its numbers may be traced) means for one rule; for `compiler.to_optax` and `training_step`."""
    found = width_rule(program)
    names = {"decay"}.union(*(d.hypers for d in (found.weights, found.rows, found.columns, found.parameters)))
    return compiler.Scales(
        gradient=_field(factors, lambda s: s.gradient),
        learning_rate=_field(factors, lambda s: s.update * inside(found, s).learning_rate),
        hypers={name: _field(factors, _hyper(found, name)) for name in sorted(names)},
    )


def _hyper(found: WidthRule, name: str) -> Callable[[Scales], float]:
    return lambda s: inside(found, s).hypers.get(name, 1.0)


def scale_init(params: Any, metadata: Any, parametrisation: str = "mup", *, zero_readout: bool = False) -> Any:
    """Initial weights of standard deviation 1/√fan_in, rescaled; `zero_readout` starts role "output" at 0 (Tensor Programs V, D.2)."""
    return apply_init(params, metadata, multipliers(metadata, parametrisation), zero_readout=zero_readout)


def apply_init(params: Any, metadata: Any, factors: Any, *, zero_readout: bool = False) -> Any:
    """`scale_init` with a tree of `Scales`, whose numbers may be traced."""

    def one(weight: jax.Array, info: Any, factor: Scales) -> jax.Array:
        k = 0.0 if zero_readout and info.role == "output" else factor.init
        return weight * jnp.asarray(k, weight.dtype)

    return jax.tree.map(one, params, metadata, factors)
