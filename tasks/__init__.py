"""What is optimised, and the one inner training loop. Names load on first use, so importing the package stays cheap.

The loop is `tasks.rollout.rollout`; it is not repeated here because the name is the module's.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tasks.errors import TaskError
from tasks.registry import load, names

if TYPE_CHECKING:
    from tasks.batch import TaskBatch
    from tasks.contracts import BatchOptimizer, Schedule, Status, Task, TaskFamily, TensorMeta, from_optax, single

__all__ = [
    "BatchOptimizer",
    "Schedule",
    "Status",
    "Task",
    "TaskBatch",
    "TaskError",
    "TaskFamily",
    "TensorMeta",
    "from_optax",
    "load",
    "names",
    "single",
]

_LAZY = {
    "tasks.batch": ("TaskBatch",),
    "tasks.contracts": ("BatchOptimizer", "Schedule", "Status", "Task", "TaskFamily", "TensorMeta", "from_optax", "single"),
}


def __getattr__(name: str) -> object:
    for module, members in _LAZY.items():
        if name in members:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
