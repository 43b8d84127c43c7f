"""The known rules, one `.rule` file each, found by name."""

from __future__ import annotations

import difflib
import re
from functools import cache
from importlib import resources

from search_space.parse import parse_program
from search_space.program import Program, RuleError

_COMMENT = re.compile(r"^#\s*(\w+):\s*(.*)$")


@cache
def names() -> tuple[str, ...]:
    """Names of all rules, sorted."""
    return tuple(sorted(f.name[: -len(".rule")] for f in resources.files(__name__).iterdir() if f.name.endswith(".rule")))


def text(name: str) -> str:
    """The file of a rule. Raises `RuleError` for an unknown name; hyphens are accepted for underscores."""
    key = name.replace("-", "_")
    if key not in names():
        close = difflib.get_close_matches(key, names(), n=1)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        raise RuleError(f"unknown rule '{name}'{hint}; allowed: {', '.join(names())}, or the path of a .rule file")
    return resources.files(__name__).joinpath(key + ".rule").read_text(encoding="utf-8")


def load(name: str) -> Program:
    """The program of a rule, by name."""
    return parse_program(text(name))


def card(name: str) -> dict[str, str]:
    """What the file's comments say: `title`, `source`, `verified` (against what), `note`."""
    found = {}
    for line in text(name).splitlines():
        if not line.startswith("#"):
            break
        if (match := _COMMENT.match(line)) and match[1] != "rule-format":
            found[match[1]] = match[2]
    return found
