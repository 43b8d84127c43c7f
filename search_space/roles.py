"""One rule for each role: a `RuleSet` as one optax transformation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from search_space import compiler
from search_space.program import RuleSet

_BY_AXES = ("scalar", "vector", "matrix", "kernel")


def role_of_shape(shape: tuple[int, ...]) -> str:
    """`scalar`, `vector`, `matrix` or `kernel`, by number of axes."""
    return _BY_AXES[min(len(shape), 3)]


def to_optax(
    rules: RuleSet,
    learning_rate: Any,
    hypers: Mapping[str, Any] | None = None,
    role_of: Callable[[Any, Any], str] | None = None,
    mask: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """Partition the parameters by role and give each part its own rule.

    `role_of(path, parameter)` names roles itself; by default the number of axes decides. A hyperparameter goes to every rule that
    declares it. Raises `TypeError` for one that no rule declares.
    """
    given = dict(hypers or {})
    declared = {h.name for _, p in rules.parts for h in p.hypers}
    if unknown := sorted(set(given) - declared):
        raise TypeError(f"unknown hyperparameter '{unknown[0]}'; allowed: {', '.join(sorted(declared)) or 'none'}")
    parts = {}
    for index, (_, program) in enumerate(rules.parts):
        own = {h.name for h in program.hypers}
        masks = mask if "decay" in own else None
        parts[str(index)] = compiler.to_optax(program, learning_rate, {k: v for k, v in given.items() if k in own}, masks)

    def label(path: Any, parameter: Any) -> str:
        role = role_of(path, parameter) if role_of else role_of_shape(jnp.shape(parameter))
        for index, (roles, _) in enumerate(rules.parts):
            if not roles or role in roles:
                return str(index)
        raise AssertionError("the last rule serves every role")

    return optax.partition(parts, lambda params: jax.tree_util.tree_map_with_path(label, params))
