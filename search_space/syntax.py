"""What every part of the parser needs: limits, literals, names, and the one-line error with its place."""

from __future__ import annotations

import ast
import difflib
import keyword
import math
import struct
from collections.abc import Iterable
from typing import NoReturn

from search_space.ops import CORE_OPS
from search_space.program import RuleError

MAX_CHARACTERS = 200_000
MAX_STATEMENTS = 2_000
MAX_DEPTH = 60
MAX_LOOP = 64
MAX_HISTORY = 1_024


def number(node: ast.expr) -> float | None:
    """The literal, or None. A minus directly before a number belongs to the number."""
    sign = 1.0
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        sign, node = -1.0, node.operand
    if not isinstance(node, ast.Constant) or type(node.value) not in (int, float):
        return None
    try:
        value = sign * float(node.value)  # type: ignore[arg-type]
        struct.pack("<f", value)
    except OverflowError:
        fail(node, "number too large for float32")
    if not math.isfinite(value):
        fail(node, "number too large for float32")
    return value


def check_name(node: ast.AST, name: str) -> None:
    if name.startswith("__") or name == "_" or keyword.iskeyword(name) or not name.isascii() or len(name) > 64:
        fail(node, "names are ASCII, at most 64 characters, and do not start with two underscores")
    if name in CORE_OPS and not isinstance(node, ast.FunctionDef) and name not in ("e", "eps", "pi"):
        fail(node, f"'{name}' is the name of a primitive; choose another")


def near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def describe(node: ast.AST) -> str:
    return f"`{type(node).__name__.lower()}`"


def fail(node: ast.AST, message: str) -> NoReturn:
    raise RuleError(f"line {getattr(node, 'lineno', 1)}, column {getattr(node, 'col_offset', 0) + 1}: {message}")
