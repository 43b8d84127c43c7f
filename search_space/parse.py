"""Text of a rule → Program. Parsed with `ast`, never executed; hostile or wrong text gets one line with its place."""

from __future__ import annotations

import ast
import difflib
import keyword
import math
import re
import struct
from collections.abc import Iterable
from typing import Literal, NoReturn

from search_space.ops import OPS
from search_space.program import (
    CORE_INPUTS,
    KINDS,
    PRIORS,
    QUERY_INPUTS,
    READ_ONLY,
    ROLES,
    TENSOR_CONSTANTS,
    Assign,
    Call,
    Const,
    Expr,
    Hyper,
    Loop,
    Program,
    RuleError,
    RuleSet,
    Slot,
    Stmt,
    Var,
)

MAX_CHARACTERS = 200_000
MAX_STATEMENTS = 2_000
MAX_DEPTH = 60
MAX_LOOP = 64
FORMAT = 1

_BINARY = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow"}
_GLOBAL = re.compile(r":(\s*)global(\s*=)")
"""`global` is a keyword of Python; the kind of that name is spelled `Global` (as long, so columns stay true) for Python's parser."""
_HEADER = re.compile(r"#\s*rule-format:\s*(\S+)\s*$")


def parse(text: str) -> Program | RuleSet:
    """Parse the text of one rule, or of one rule for each role.

    Raises `RuleError` with one line: what is wrong, line and column, what is allowed. See docs/language.md for the format.
    """
    functions = _functions(text)
    parts = [(_roles(f), _Function(f).program()) for f in functions]
    if len(parts) == 1 and not parts[0][0]:
        return parts[0][1]
    for (roles, _), node in zip(parts, functions, strict=True):
        if (not roles) != (node is functions[-1]):
            _fail(node, "every function but the last needs @role(...), and the last must have none")
    return RuleSet(tuple(parts))


def parse_program(text: str) -> Program:
    """Like `parse`, for texts that must hold a single rule."""
    rule = parse(text)
    if isinstance(rule, RuleSet):
        raise RuleError("line 1, column 1: one rule expected, found one for each role")
    return rule


def _functions(text: str) -> list[ast.FunctionDef]:
    if len(text) > MAX_CHARACTERS:
        raise RuleError(f"line 1, column 1: the text has {len(text)} characters; at most {MAX_CHARACTERS} are allowed")
    header = _HEADER.match(text.lstrip().split("\n", 1)[0]) if text.strip() else None
    if header and header[1] != str(FORMAT):
        raise RuleError(f"line 1, column 1: rule-format {header[1]} is unknown; this version reads {FORMAT}")
    try:
        module = ast.parse(_GLOBAL.sub(r":\1Global\2", text))
    except SyntaxError as error:
        reason = str(error.msg).split("\n")[0]
        raise RuleError(f"line {error.lineno or 1}, column {max(error.offset or 1, 1)}: not a rule: {reason}") from None
    except (RecursionError, MemoryError):
        raise RuleError(f"line 1, column 1: nested too deeply; at most {MAX_DEPTH} levels are allowed") from None
    except ValueError as error:
        raise RuleError(f"line 1, column 1: not a rule: {str(error).splitlines()[0]}") from None
    functions: list[ast.FunctionDef] = []
    for node in module.body:
        if isinstance(node, ast.FunctionDef):
            functions.append(node)
        elif not _is_docstring(node):
            _fail(node, f"{_describe(node)} is not allowed here; a file holds functions `def name(w, g, lr, *, ...):`")
    if not functions:
        raise RuleError("line 1, column 1: no rule found; a rule is `def name(w, g, lr, *, ...):`")
    return functions


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _roles(node: ast.FunctionDef) -> tuple[str, ...]:
    if not node.decorator_list:
        return ()
    mark = node.decorator_list[0]
    if (
        len(node.decorator_list) > 1
        or not (isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "role")
        or mark.keywords
    ):
        _fail(mark, "the only decorator allowed is @role(...)")
    roles = []
    for arg in mark.args:
        if not (isinstance(arg, ast.Constant) and arg.value in ROLES):
            _fail(arg, f"unknown role; allowed: {', '.join(ROLES)}")
        roles.append(str(arg.value))
    if not roles:
        _fail(mark, f"@role needs at least one of {', '.join(ROLES)}")
    return tuple(roles)


class _Function:
    """Parses one function; holds the names that are readable so far."""

    def __init__(self, node: ast.FunctionDef) -> None:
        self.node = node
        self.queries: tuple[str, ...] = ()
        self.slots: list[Slot] = []
        self.hypers: list[Hyper] = []
        self.readable: set[str] = {*CORE_INPUTS, "t", *TENSOR_CONSTANTS}

    def program(self) -> Program:
        _check_name(self.node, self.node.name)
        self._signature(self.node.args)
        body = list(self.node.body)
        if body and _is_docstring(body[0]):
            body = body[1:]
        if not body or not isinstance(body[-1], ast.Return) or body[-1].value is None:
            _fail(body[-1] if body else self.node, "a rule must end with `return` and an expression")
        statements = tuple(self._statement(s) for s in body[:-1])
        result = self._expr(body[-1].value)
        program = Program(self.node.name, tuple(self.slots), tuple(self.hypers), statements, result, self.queries)
        if (count := sum(s.count * len(s.body) if isinstance(s, Loop) else 1 for s in statements)) > MAX_STATEMENTS:
            _fail(self.node, f"{count} statements; at most {MAX_STATEMENTS} are allowed")
        return program

    def _signature(self, args: ast.arguments) -> None:
        names = [a.arg for a in args.args]
        if args.posonlyargs or args.vararg or args.kwarg or args.defaults or tuple(names[:3]) != CORE_INPUTS:
            _fail(self.node, "the arguments must begin `w, g, lr`; slots and hyperparameters follow a `*`")
        for arg in args.args[3:]:
            if arg.arg not in QUERY_INPUTS:
                _fail(arg, f"unknown query input '{arg.arg}'; allowed: {', '.join(QUERY_INPUTS)}")
        self.queries = tuple(names[3:])
        self.readable.update(self.queries)
        self.assignable = set(CORE_INPUTS)
        pending: list[tuple[ast.arg, ast.expr]] = []
        for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
            pending.append(self._declare(arg, default, set(names)))
        # A slot's initial value may read hyperparameters declared after it, so values are parsed once all names are known.
        hyper_names = {h.name for h in self.hypers}
        self.readable |= hyper_names
        self.slots = [
            Slot(s.name, s.kind, self._init(value))
            for s, (_, value) in zip(self.slots, [p for p in pending if p[0].arg not in hyper_names], strict=True)
        ]
        self.readable |= {s.name for s in self.slots}
        self.hyper_names = hyper_names

    def _declare(self, arg: ast.arg, default: ast.expr | None, taken: set[str]) -> tuple[ast.arg, ast.expr]:
        _check_name(arg, arg.arg)
        if arg.arg in taken | self.readable | {d.name for d in (*self.slots, *self.hypers)}:
            _fail(arg, f"'{arg.arg}' is declared twice or is the name of an input")
        allowed = (*KINDS, *PRIORS)
        label = arg.annotation.id.replace("Global", "global") if isinstance(arg.annotation, ast.Name) else ""
        if label not in allowed:
            _fail(arg, f"'{arg.arg}' needs a kind or prior; allowed: {', '.join(allowed)}")
        if default is None:
            _fail(arg, f"'{arg.arg}' needs an initial value or a default")
        if label in PRIORS:
            self.hypers.append(Hyper(arg.arg, label, self._default(default, label)))  # type: ignore[arg-type]
        else:
            self.slots.append(Slot(arg.arg, label))  # type: ignore[arg-type]
        return arg, default

    def _default(self, node: ast.expr, prior: str) -> float:
        value = _number(node)
        if value is None:
            _fail(node, "the default of a hyperparameter must be a number")
        if prior == "unit" and not 0 <= value <= 1:
            _fail(node, f"a `unit` hyperparameter lies in [0, 1], not {value!r}")
        if prior == "scale" and value < 0:
            _fail(node, f"a `scale` hyperparameter is not negative, got {value!r}")
        return value

    def _init(self, node: ast.expr) -> Expr | Literal["zeros", "ones"]:
        if isinstance(node, ast.Name) and node.id in ("zeros", "ones"):
            return "zeros" if node.id == "zeros" else "ones"
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "first"
            and len(node.args) == 1
            and not node.keywords
        ):
            return self._expr(node.args[0])
        _fail(node, "the initial value of a slot is zeros, ones or first(expression)")

    def _statement(self, node: ast.stmt) -> Stmt:
        if isinstance(node, ast.Assign):
            return self._assign(node)
        if isinstance(node, ast.For):
            return self._loop(node)
        _fail(node, f"{_describe(node)} is not allowed; statements are `name = expression` and `for _ in range(N):`")

    def _assign(self, node: ast.Assign) -> Assign:
        if len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
            _fail(node.targets[0], "assign to one name")
        name = node.targets[0].id
        _check_name(node.targets[0], name)
        if name in READ_ONLY or name in self.hyper_names or name in self.queries:
            _fail(node.targets[0], f"'{name}' cannot be assigned; hyperparameters and constants are read-only")
        value = self._expr(node.value)
        self.readable.add(name)
        return Assign(name, value)

    def _loop(self, node: ast.For) -> Loop:
        call = node.iter
        ok = isinstance(node.target, ast.Name) and node.target.id == "_" and isinstance(call, ast.Call) and not node.orelse
        ok = ok and isinstance(call.func, ast.Name) and call.func.id == "range" and len(call.args) == 1 and not call.keywords  # type: ignore[union-attr]
        count = call.args[0].value if ok and isinstance(call.args[0], ast.Constant) else None  # type: ignore[union-attr]
        if not ok or type(count) is not int or not 1 <= count <= MAX_LOOP:
            _fail(node, f"the only loop allowed is `for _ in range(N):` with a literal N from 1 to {MAX_LOOP}")
        body = []
        for statement in node.body:
            if not isinstance(statement, ast.Assign):
                _fail(statement, f"{_describe(statement)} is not allowed in a loop; only `name = expression`")
            body.append(self._assign(statement))
        return Loop(count, tuple(body))

    def _expr(self, node: ast.expr, depth: int = 0) -> Expr:
        if depth > MAX_DEPTH:
            _fail(node, f"nested too deeply; at most {MAX_DEPTH} levels are allowed")
        if (value := _number(node)) is not None:
            return Const(value)
        if isinstance(node, ast.Name):
            return self._var(node)
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            return Call(_BINARY[type(node.op)], (self._expr(node.left, depth + 1), self._expr(node.right, depth + 1)))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return Call("neg", (self._expr(node.operand, depth + 1),))
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Lt | ast.Gt):
            pair = (self._expr(node.left, depth + 1), self._expr(node.comparators[0], depth + 1))
            return Call("less", pair if isinstance(node.ops[0], ast.Lt) else pair[::-1])
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        _fail(node, f"{_describe(node)} is not allowed; expressions are numbers, names, + - * / ** < >, and primitives")

    def _var(self, node: ast.Name) -> Var:
        if node.id not in self.readable:
            _fail(node, f"'{node.id}' is not defined{_near(node.id, self.readable)}; defined here: {', '.join(sorted(self.readable))}")
        return Var(node.id)

    def _call(self, node: ast.Call, depth: int) -> Call:
        if not isinstance(node.func, ast.Name):
            _fail(node, "only primitives can be called, by their plain name")
        op = OPS.get(node.func.id)
        if op is None:
            _fail(node, f"unknown primitive '{node.func.id}'{_near(node.func.id, OPS)}; allowed: {', '.join(OPS)}")
        if node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
            _fail(node, f"{op.name} takes plain arguments only")
        if len(node.args) != op.arity:
            _fail(node, f"{op.name} takes {op.arity} argument{'s' * (op.arity != 1)}, got {len(node.args)}")
        return Call(op.name, tuple(self._expr(a, depth + 1) for a in node.args))


def _number(node: ast.expr) -> float | None:
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
        _fail(node, "number too large for float32")
    if not math.isfinite(value):
        _fail(node, "number too large for float32")
    return value


def _check_name(node: ast.AST, name: str) -> None:
    if name.startswith("__") or name == "_" or keyword.iskeyword(name) or not name.isascii() or len(name) > 64:
        _fail(node, "names are ASCII, at most 64 characters, and do not start with two underscores")
    if name in OPS and not isinstance(node, ast.FunctionDef) and name not in ("e", "eps", "pi"):
        _fail(node, f"'{name}' is the name of a primitive; choose another")


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _describe(node: ast.AST) -> str:
    return f"`{type(node).__name__.lower()}`"


def _fail(node: ast.AST, message: str) -> NoReturn:
    raise RuleError(f"line {getattr(node, 'lineno', 1)}, column {getattr(node, 'col_offset', 0) + 1}: {message}")


def parse_expression(text: str, names: Iterable[str]) -> Expr:
    """Parse a bare expression over the given names (definitions of macros)."""
    body = f"def expression(w, g, lr):\n    return {text}\n"
    function = _Function(_functions(body)[0])
    function.readable.update(names)
    returned = function.node.body[-1]
    assert isinstance(returned, ast.Return) and returned.value is not None
    return function._expr(returned.value)
