"""The two public entry points: text → program, and rule → optax transformation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_space import zoo
from search_space.parse import MAX_CHARACTERS, parse
from search_space.program import Program, RuleError, RuleSet

if TYPE_CHECKING:
    import optax


def load(rule: str | Path) -> Program | RuleSet:
    """A program from the name of a known rule, the path of a `.rule` file, or the text of a rule.

    Raises `RuleError` with one line that says what is wrong, where, and what is allowed.

    Example:
        >>> from search_space import load
        >>> load("lion").slots[0].name
        'm'
    """
    if isinstance(rule, Path) or _looks_like_path(rule):
        return _read(Path(rule))
    if "\n" in rule or rule.lstrip().startswith(("def ", "@", "#")):
        return parse(rule)
    return zoo.load(rule)


def _looks_like_path(rule: str) -> bool:
    return "\n" not in rule and len(rule) < 4096 and (rule.endswith((".rule", ".txt", ".py")) or "/" in rule)


def _read(path: Path) -> Program | RuleSet:
    try:
        if path.stat().st_size > 4 * MAX_CHARACTERS:
            raise RuleError(f"{path}: the file is larger than {MAX_CHARACTERS} characters")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RuleError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise RuleError(f"{path}: not a text file (UTF-8 expected)") from None
    except OSError as error:
        raise RuleError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return parse(text)
    except RuleError as error:
        raise RuleError(f"{path}: {error}") from None


def optimizer(
    rule: str | Path | Program | RuleSet, learning_rate: Any, *, mask: Any = None, **hyperparameters: Any
) -> optax.GradientTransformationExtraArgs:
    """Any rule as an optax transformation.

    `rule` is a name (`search_space.zoo.names()`), a path, a text or a `Program`; `learning_rate` a number or an optax schedule; the
    rest are the rule's own hyperparameters. `mask` (a tree of bools like the parameters, or a function of them) says where the
    hyperparameter `decay` applies. Updates keep the parameters' dtype, state is float32.
    Raises `RuleError` for a bad rule, `TypeError` for a hyperparameter that the rule does not have, `ValueError` for one out of range.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from search_space import optimizer
        >>> tx = optimizer("lion", learning_rate=0.1, b1=0.95)
        >>> params = {"x": jnp.ones(3)}
        >>> updates, state = tx.update({"x": jnp.full(3, 2.0)}, tx.init(params), params)
        >>> [round(float(x), 3) for x in optax.apply_updates(params, updates)["x"]]
        [0.9, 0.9, 0.9]
    """
    from search_space import compiler, roles  # jax is imported by use, not by looking

    program = rule if isinstance(rule, Program | RuleSet) else load(rule)
    if isinstance(program, RuleSet):
        return roles.to_optax(program, learning_rate, hyperparameters, mask=mask)
    return compiler.to_optax(program, learning_rate, hyperparameters, mask)
