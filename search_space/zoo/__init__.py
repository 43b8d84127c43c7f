"""The known rules, one `.rule` file each in a folder of its catalogue kind, found by name."""

from __future__ import annotations

import difflib
import re
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from search_space.parse import parse
from search_space.program import Program, RuleError, RuleSet

KINDS = ("elementwise", "tensor", "matrix", "oracle", "wrapper", "schedule", "controller")
"""Kinds of rules; each has a folder."""

_SUFFIX = ".rule"
_COMMENT = re.compile(r"^#\s*([\w-]+):\s*(.*)$")


@cache
def _files() -> dict[str, tuple[str, Traversable]]:
    """Name → (kind, file), sorted by name."""
    found: dict[str, tuple[str, Traversable]] = {}
    for folder in resources.files(__name__).iterdir():
        for file in folder.iterdir() if folder.is_dir() and folder.name in KINDS else ():
            if file.name.endswith(_SUFFIX):
                name = file.name.removesuffix(_SUFFIX)
                assert name not in found, f"two rules are called {name}"
                found[name] = (folder.name, file)
    return dict(sorted(found.items()))


def names() -> tuple[str, ...]:
    """Names of all rules, sorted."""
    return tuple(_files())


def _find(name: str) -> tuple[str, Traversable]:
    """(kind, file). Raises `RuleError` for an unknown name; hyphens are accepted for underscores."""
    key = name.replace("-", "_")
    if key not in _files():
        close = difflib.get_close_matches(key, names(), n=3)
        hint = f" (did you mean {' or '.join(repr(c) for c in close)}?)" if close else ""
        raise RuleError(f"unknown rule '{name}'{hint}; allowed: the {len(names())} names in `discover zoo`, or the path of a .rule file")
    return _files()[key]


def text(name: str) -> str:
    """The file of a rule. Raises `RuleError` for an unknown name."""
    return _find(name)[1].read_text(encoding="utf-8")


def kind(name: str) -> str:
    """One of `KINDS`, by catalogue. Raises `RuleError` for an unknown name."""
    return _find(name)[0]


def load(name: str) -> Program | RuleSet:
    """The rule, by name. Raises `RuleError` for an unknown name."""
    return parse(text(name))


def programs(name: str) -> tuple[Program, ...]:
    """The rule's programs: one, or one for each role. Raises `RuleError` for an unknown name."""
    rule = load(name)
    return tuple(part for _, part in rule.parts) if isinstance(rule, RuleSet) else (rule,)


def program(name: str) -> Program:
    """Like `load`, for callers that need a single program. Raises `RuleError` where the file has one rule for each role."""
    rule = load(name)
    if isinstance(rule, RuleSet):
        raise RuleError(f"'{name}' has one rule for each role; a single rule is needed here")
    return rule


def card(name: str) -> dict[str, str]:
    """What the comments at the head of the file say.

    `title`, `source` (arXiv id or venue), `year`, `row` (catalogue numbers or "-"), `certainty` (C, S, M, M? or "-"), `learning-rate`
    (the authors' default), `verified` (against what) and, where there is one, `note`. Raises `RuleError` for an unknown name.
    """
    found = {}
    for line in text(name).splitlines():
        if not line.startswith("#"):
            break
        if (match := _COMMENT.match(line)) and match[1] != "rule-format":
            found[match[1]] = match[2]
    return found
