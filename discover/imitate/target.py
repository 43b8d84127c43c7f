"""Targets of imitation, turned into recorded arrays: the search sees nothing else of them."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from discover.errors import UserError
from discover.imitate.streams import Array, Layout, Streams, bulk_streams, held_out_streams, probe_streams

_OPTAX_SPEC = re.compile(r"^(?P<module>[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*)(\?(?P<arguments>.*))?$")

Stepper = Callable[[list[Array], list[Array]], list[Array]]
"""One step of a target: (gradients, weights) → what the rule subtracts, a list of tensors each."""


@dataclass(frozen=True)
class Recorded:
    """Streams and the target's answer, `u: [R, E, T]`: what is subtracted from the weights at learning rate 1."""

    streams: Streams
    u: Array


@dataclass(frozen=True)
class Recording:
    """What a search may read (`probe`, `bulk`) and what only the judge reads (`held_out`)."""

    target: str
    probe: Recorded
    bulk: Recorded
    held_out: Recorded


@dataclass(frozen=True)
class StreamSet:
    """The three sets of streams that a recording is made on."""

    probe: Streams
    bulk: Streams
    held_out: Streams


def default_streams(seed: int = 0) -> StreamSet:
    """Streams of a search with this seed; the judge's part is the same for every seed."""
    return StreamSet(probe_streams(seed), bulk_streams(seed), held_out_streams())


def record(target: str, streams: StreamSet | None = None) -> Recording:
    """Updates of a target (zoo rule, rule file or `module:factory[?k=v,...]`) on streams; raises `UserError` in one line."""
    start = _optax_start(target) if _OPTAX_SPEC.match(target) and not os.path.exists(target) else _rule_start(target)
    return _recording(target, start, streams)


def record_program(program: Any, streams: StreamSet | None = None) -> Recording:
    """Updates of a `Program` on streams."""
    return _recording(program.name, _program_start(program), streams)


def _recording(name: str, start: Callable[[Layout], Callable[[list[Array]], Stepper]], streams: StreamSet | None) -> Recording:
    streams = streams or default_streams()
    return Recording(name, _play(start, streams.probe), _play(start, streams.bulk), _play(start, streams.held_out))


def play_program(program: Any, streams: Streams) -> Array:
    """What a program subtracts on streams at learning rate 1, `[R, E, T]`, by the reference executor."""
    return _play(_program_start(program), streams).u


def _play(start: Callable[[Layout], Callable[[list[Array]], Stepper]], streams: Streams) -> Recorded:
    u = np.empty_like(streams.g)
    begin = start(streams.layout)
    for run in range(len(streams.names)):
        step = begin(streams.layout.split(streams.w[run, :, 0]))
        for time in range(u.shape[-1]):
            parts = step(streams.layout.split(streams.g[run, :, time]), streams.layout.split(streams.w[run, :, time]))
            u[run, :, time] = np.concatenate([np.ravel(part) for part in parts])
    return Recorded(streams, u)


def _program_start(program: Any) -> Callable[[Layout], Callable[[list[Array]], Stepper]]:
    from search_space.program import RuleSet
    from search_space.reference import Reference

    if isinstance(program, RuleSet):
        raise UserError("the target is a rule set (one rule for each role); regenerate one of its rules at a time")

    def start(layout: Layout) -> Callable[[list[Array]], Stepper]:
        reference = Reference(program, layout.shapes)

        def begin(_: list[Array]) -> Stepper:
            state = reference.init()

            def step(g: list[Array], w: list[Array]) -> list[Array]:
                nonlocal state
                updates, state = reference.update(g, state, w, 1.0)
                return [np.negative(update) for update in updates]

            return step

        return begin

    return start


def _rule_start(target: str) -> Callable[[Layout], Callable[[list[Array]], Stepper]]:
    from search_space import RuleError, load

    try:
        program = load(target)
    except (RuleError, OSError, UnicodeDecodeError) as problem:
        line = " ".join(str(problem).split())
        raise UserError(f"target '{target}': {line} (allowed: a zoo rule, a rule file, or module:factory?k=v)") from None
    queries = getattr(program, "queries", ())
    if queries:
        raise UserError(f"target '{target}' asks the training loop for {', '.join(queries)}; imitation records gradients and weights only")
    return _program_start(program)


def _optax_start(target: str) -> Callable[[Layout], Callable[[list[Array]], Stepper]]:
    transformation = transformation_of(target)  # first: a wrong target is told before jax is imported
    import jax

    update = jax.jit(transformation.update)

    def start(layout: Layout) -> Callable[[list[Array]], Stepper]:
        del layout

        def begin(w: list[Array]) -> Stepper:
            try:
                state = transformation.init([jax.numpy.asarray(x) for x in w])
            except Exception as problem:  # any code of the user's may fail in any way
                raise UserError(f"target '{target}': its init failed: {_line(problem)}") from None

            def step(g: list[Array], w: list[Array]) -> list[Array]:
                nonlocal state
                try:
                    updates, state = update(g, state, w)
                except Exception as problem:  # as above
                    raise UserError(f"target '{target}': its update failed: {_line(problem)}") from None
                return [-np.asarray(x, np.float32) for x in updates]

            return step

        return begin

    return start


def transformation_of(target: str) -> Any:
    """The optax transformation that `module:factory[?k=v,...]` names; raises `UserError` in one line. Imports, that is runs, the module."""
    match = _OPTAX_SPEC.match(target)
    assert match is not None
    module, name = match["module"], match["name"]
    arguments = _arguments(target, match["arguments"] or "")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as problem:  # importing a user's module may raise anything
        raise UserError(f"target '{target}': cannot import '{name}' from '{module}': {_line(problem)}") from None
    if _is_transformation(found):
        if arguments:
            raise UserError(f"target '{target}': '{name}' is a transformation already and takes no arguments")
        return found
    if not callable(found):
        raise UserError(f"target '{target}': '{name}' is neither an optax transformation nor a function that makes one")
    made = _call(target, found, arguments)
    if not _is_transformation(made):
        raise UserError(f"target '{target}': '{name}' returned {type(made).__name__}, not an optax transformation (init, update)")
    return made


def _call(target: str, factory: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    try:
        parameter = inspect.signature(factory).parameters.get("learning_rate")
    except (TypeError, ValueError):
        parameter = None
    if parameter is not None and parameter.default is inspect.Parameter.empty:
        arguments = {"learning_rate": 1.0, **arguments}
    try:
        return factory(**arguments)
    except Exception as problem:  # a user's factory may raise anything
        raise UserError(f"target '{target}': the factory failed: {_line(problem)}") from None


def _arguments(target: str, text: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for item in filter(None, text.split(",")):
        name, equals, value = item.partition("=")
        if not equals or not name.strip().isidentifier():
            raise UserError(f"target '{target}': '{item}' is not an argument; write module:factory?name=value,name=value")
        try:
            out[name.strip()] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            raise UserError(f"target '{target}': '{value}' is not a number, string, True, False or None") from None
    return out


def _is_transformation(value: Any) -> bool:
    return not inspect.isclass(value) and callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))


def _line(problem: BaseException) -> str:
    text = " ".join(str(problem).split()) or type(problem).__name__
    return text if len(text) <= 200 else text[:197] + "..."
