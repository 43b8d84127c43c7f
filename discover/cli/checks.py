"""Checks of what the user typed, before any work starts; all raise UserError, RuleError or TaskError in one line."""

from __future__ import annotations

import difflib
import importlib.util
import itertools
import math
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from discover.errors import UserError
from discover.store import DATABASE

if TYPE_CHECKING:
    from search_space.program import Program, RuleSet

MAX_WORKERS = 1024
MODULE_SPEC = re.compile(r"^([A-Za-z_][\w.]*):([A-Za-z_]\w*)(\?.*)?$")


def suggest(word: str, known: Iterable[str]) -> str:
    """ " (did you mean 'x'?)" where something close is known, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def check_choice(what: str, word: str, allowed: Iterable[str]) -> None:
    """One of a few words."""
    if word not in allowed:
        raise UserError(f"unknown {what} '{word}'{suggest(word, allowed)}; allowed: {', '.join(allowed)}")


def check_number(name: str, value: float | None, low: float, high: float = math.inf) -> None:
    """A limit on a number; None means not given."""
    if value is None or low <= value <= high:
        return
    upper = "" if high == math.inf else f" and at most {high:.15g}"
    raise UserError(f"{name} must be at least {low:g}{upper}, not {value:.15g}")


def check_seed(seed: int) -> None:
    """Seeds are 32-bit, as every generator here takes them."""
    check_number("--seed", seed, 0, 2**32 - 1)


def check_workers(workers: int) -> None:
    """At least one; more than the machine has cores is allowed, absurd numbers are not."""
    check_number("--workers", workers, 1, MAX_WORKERS)


def check_budget(seconds: float | None) -> None:
    """A positive, finite number of seconds."""
    if seconds is not None and not (0 < seconds < math.inf):
        raise UserError(f"--budget-seconds must be a positive number, not {seconds:g}")


def check_rule(rule: str) -> Program | RuleSet:
    """A known rule, or the path or text of one; its kinds fit. Returns what it holds."""
    from search_space.dataflow import dataflow
    from search_space.program import RuleError, RuleSet
    from search_space.use import load

    loaded = load(rule)
    try:
        for program in [part for _, part in loaded.parts] if isinstance(loaded, RuleSet) else [loaded]:
            dataflow(program)
    except RuleError as error:
        raise UserError(f"{rule}: {error}") from error
    return loaded


def start_text(rule: str) -> str:
    """A rule to start from, as a run stores it: a known rule's name, or the text itself, since a file may change."""
    from search_space import zoo
    from search_space.printer import to_text
    from search_space.program import RuleSet

    program = check_rule(rule)
    if isinstance(program, RuleSet):
        raise UserError(f"{rule} has a rule for each role: a search starts from one rule")
    name = rule.replace("-", "_")
    return name if name in zoo.names() else to_text(program)


def check_ops(ops: Sequence[str]) -> None:
    """Every primitive exists."""
    from search_space.ops import CORE_OPS

    for op in ops:
        check_choice("primitive", op, sorted(CORE_OPS))


def check_task(spec: str) -> None:
    """A built-in task with good parameters, or a user's module that can be found (it is not imported yet)."""
    from tasks.registry import names, parse

    if ":" not in spec and (name := spec.partition("?")[0].replace("-", "_")) not in names():
        raise UserError(f"unknown task '{name}'{suggest(name, names())}; allowed: {', '.join(names())}, or module:function of your own")
    if not (parsed := parse(spec)).builtin:
        check_module(parsed.name.partition(":")[0])


def check_target(target: str) -> None:
    """What `regenerate` can imitate: a known rule, a rule file, or `module:factory` that gives an optax transformation."""
    spec = MODULE_SPEC.match(target)
    if spec and not os.path.exists(target):
        from discover.imitate.target import transformation_of

        check_module(spec[1])
        transformation_of(target)
    else:
        check_rule(target)


def check_module(name: str) -> None:
    """A module can be found, on the import path or in the current folder; only its parents are imported."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last, so that a stray file cannot hide an installed package
    try:
        found = importlib.util.find_spec(name)
    except Exception as error:  # a parent package may raise anything
        raise UserError(f"cannot import '{name}': {type(error).__name__}: {error}") from error
    if found is None:
        raise UserError(f"there is no module '{name}' on the import path or in {os.getcwd()}")


def check_new_run(folder: Path) -> None:
    """A folder that can become a run's."""
    if (folder / DATABASE).exists():
        raise UserError(f"{folder} already holds a run: choose another --out, or continue it with `discover resume {folder}`")
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not existing.is_dir():
        raise UserError(f"cannot make the run folder {folder}: {existing} is a file")
    if not os.access(existing, os.W_OK):
        raise UserError(f"cannot make the run folder {folder}: {existing} is not writable")


def new_run_folder(verb: str) -> Path:
    """The first free `runs/<verb>-<n>`, made now so that two runs started at once do not share it."""
    for n in itertools.count(1):
        folder = Path("runs") / f"{verb}-{n}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            if not folder.parent.is_dir():
                raise UserError("cannot make the run folder: 'runs' is a file; give another with --out") from None
        except OSError as error:
            raise UserError(f"cannot make the run folder {folder}: {error.strerror}; give another with --out") from error
    raise AssertionError("unreachable")
