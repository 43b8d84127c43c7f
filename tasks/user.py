"""Tasks from a user's own module: `module:function`, found on the import path or in the current folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from os import getcwd
from types import ModuleType

from tasks.contracts import Task, TaskFamily, single
from tasks.errors import TaskError


def load_user(name: str, parameters: Mapping[str, int | float]) -> TaskFamily:
    """Call the function `name` ("module:function") with the parameters and check what it returns. Raises `TaskError`."""
    module_name, _, attribute = name.partition(":")
    function = getattr(_import(module_name), attribute, None)
    if function is None:
        raise TaskError(f"module {module_name!r} has no function {attribute!r}")
    if not callable(function):
        raise TaskError(f"{name!r} is {_a(function)}, expected a function that returns a Task or a TaskFamily")
    made = _call(name, function, parameters)
    if isinstance(made, Task):
        return single(made)
    if isinstance(made, TaskFamily) and not isinstance(made, type):
        return made
    raise TaskError(f"{name!r} returned {_a(made)}, expected a Task or a TaskFamily")


def _import(name: str) -> ModuleType:
    try:
        with _current_folder_importable():
            return import_module(name)
    except Exception as error:  # the user's module may raise anything
        raise TaskError(f"cannot import {name!r}: {_one_line(error)}") from error


def _call(name: str, function: Callable[..., object], parameters: Mapping[str, int | float]) -> object:
    try:
        return function(**parameters)
    except Exception as error:  # the user's function may raise anything
        raise TaskError(f"{name!r} failed: {_one_line(error)}") from error


@contextmanager
def _current_folder_importable() -> Iterator[None]:
    """Console scripts do not search the current folder; look there last, so that it cannot hide installed packages."""
    folder = getcwd()
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _one_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _a(value: object) -> str:
    return f"an object of type {type(value).__name__}"
