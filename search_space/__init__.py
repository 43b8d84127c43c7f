"""The language of update rules: text → Program → analysis, executors and optax transformations."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from search_space.program import Program, RuleError, RuleSet

if TYPE_CHECKING:
    from search_space.compose import controller, factory, gradient_filter, schedule, wrap
    from search_space.cost import cost_per_step
    from search_space.training import Losses, evaluation_params, training_step
    from search_space.use import load, optimizer

_WHERE = {
    "load": "use",
    "optimizer": "use",
    "training_step": "training",
    "evaluation_params": "training",
    "cost_per_step": "cost",
    "Losses": "training",
    "wrap": "compose",
    "gradient_filter": "compose",
    "schedule": "compose",
    "controller": "compose",
    "factory": "compose",
}
"""Entry points are loaded at first use, so that importing the package stays cheap."""

__all__ = [
    "Losses",
    "Program",
    "RuleError",
    "RuleSet",
    "controller",
    "cost_per_step",
    "evaluation_params",
    "factory",
    "gradient_filter",
    "load",
    "optimizer",
    "schedule",
    "training_step",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"search_space.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'search_space' has no attribute '{name}'")
