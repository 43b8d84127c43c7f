"""The language of update rules: text → Program → analysis, executors and optax transformations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search_space.program import Program, RuleError, RuleSet

if TYPE_CHECKING:
    from search_space.use import load, optimizer

__all__ = ["Program", "RuleError", "RuleSet", "load", "optimizer"]


def __getattr__(name: str) -> Any:
    """Entry points are loaded at first use, so that importing the package stays cheap."""
    if name in ("load", "optimizer"):
        from search_space import use

        return getattr(use, name)
    raise AttributeError(f"module 'search_space' has no attribute '{name}'")
