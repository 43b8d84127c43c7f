"""Text of a rule → Program. Parsed with `ast`, never executed; hostile or wrong text gets one line with its place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from search_space.expressions import Expressions
from search_space.program import CORE_INPUTS, READ_ONLY, ROLES, Assign, Expr, Loop, Program, RuleError, RuleSet, Stmt
from search_space.signature import Signature
from search_space.syntax import MAX_CHARACTERS, MAX_DEPTH, MAX_LOOP, MAX_STATEMENTS, check_name, describe, fail

FORMAT = 1

_GLOBAL = re.compile(r":(\s*)global(\s*=)")
"""`global` is a keyword of Python; the kind of that name is spelled `Global` (as long, so columns stay true) for Python's parser."""
_HEADER = re.compile(r"#\s*rule-format:\s*(\S+)\s*$")


def parse(text: str) -> Program | RuleSet:
    """Parse the text of one rule, or of one rule for each role.

    Raises `RuleError` with one line: what is wrong, line and column, what is allowed. See docs/language.md for the format.
    """
    functions = _functions(text)
    parts = [(_roles(f), _program(f)) for f in functions]
    if len(parts) == 1 and not parts[0][0]:
        return parts[0][1]
    for (roles, _), node in zip(parts, functions, strict=True):
        if (not roles) != (node is functions[-1]):
            fail(node, "every function but the last needs @role(...), and the last must have none")
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
            fail(node, f"{describe(node)} is not allowed here; a file holds functions `def name(w, g, lr, *, ...):`")
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
        fail(mark, "the only decorator allowed is @role(...)")
    roles = []
    for arg in mark.args:
        if not (isinstance(arg, ast.Constant) and arg.value in ROLES):
            fail(arg, f"unknown role; allowed: {', '.join(ROLES)}")
        roles.append(str(arg.value))
    if not roles:
        fail(mark, f"@role needs at least one of {', '.join(ROLES)}")
    return tuple(roles)


def _program(node: ast.FunctionDef) -> Program:
    check_name(node, node.name)
    signature = Signature(node)
    body = list(node.body)
    if body and _is_docstring(body[0]):
        body = body[1:]
    if not body or not isinstance(body[-1], ast.Return) or body[-1].value is None:
        fail(body[-1] if body else node, "a rule must end with `return` and an expression")
    between_steps = Expressions(set(signature.readable) - {"g", *signature.queries, *(e.name for e in signature.plan)})
    statements = _Statements(signature.expressions, signature.read_only)
    lines = tuple([statements.parse(s) for s in body[:-1]])
    if (count := sum(s.count * len(s.body) if isinstance(s, Loop) else 1 for s in lines)) > MAX_STATEMENTS:
        fail(node, f"{count} statements; at most {MAX_STATEMENTS} are allowed")
    returned, view = body[-1].value, None
    if isinstance(returned, ast.Tuple) and len(returned.elts) == 2:
        returned, viewed = returned.elts
        view = between_steps.parse(viewed)
    result = signature.expressions.parse(returned)
    return Program(node.name, tuple(signature.slots), tuple(signature.hypers), lines, result, signature.queries, signature.plan, view)


class _Statements:
    """Parses the lines of a body; assigned names become readable."""

    def __init__(self, expressions: Expressions, read_only: set[str]) -> None:
        self.expressions = expressions
        self.read_only = read_only

    def parse(self, node: ast.stmt) -> Stmt:
        if isinstance(node, ast.Assign):
            return self._assign(node)
        if isinstance(node, ast.For):
            return self._loop(node)
        fail(node, f"{describe(node)} is not allowed; statements are `name = expression` and `for _ in range(N):`")

    def _assign(self, node: ast.Assign) -> Assign:
        if len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
            fail(node.targets[0], "assign to one name")
        name = node.targets[0].id
        check_name(node.targets[0], name)
        if name in self.read_only:
            fail(node.targets[0], f"'{name}' cannot be assigned; hyperparameters and constants are read-only")
        value = self.expressions.parse(node.value)
        self.expressions.readable.add(name)
        return Assign(name, value)

    def _loop(self, node: ast.For) -> Loop:
        call = node.iter
        ok = isinstance(node.target, ast.Name) and isinstance(call, ast.Call) and not node.orelse
        ok = ok and isinstance(call.func, ast.Name) and call.func.id == "range" and len(call.args) == 1 and not call.keywords  # type: ignore[union-attr]
        count = call.args[0].value if ok and isinstance(call.args[0], ast.Constant) else None  # type: ignore[union-attr]
        if not ok or type(count) is not int or not 1 <= count <= MAX_LOOP:
            fail(node, f"the only loop allowed is `for _ in range(N):` with a literal N from 1 to {MAX_LOOP}")
        index = node.target.id  # type: ignore[union-attr]
        if index != "_":
            check_name(node.target, index)
            if index in self.expressions.readable:
                fail(node.target, f"'{index}' is already defined; the index of a loop is a new name")
            self.expressions.readable.add(index)
            self.read_only.add(index)
        body = []
        for statement in node.body:
            if not isinstance(statement, ast.Assign):
                fail(statement, f"{describe(statement)} is not allowed in a loop; only `name = expression`")
            body.append(self._assign(statement))
        self.expressions.readable.discard(index)
        self.read_only.discard(index)
        return Loop(count, tuple(body), index)


def parse_macro(text: str, names: Iterable[str]) -> tuple[tuple[Assign, ...], Expr]:
    """Parse the definition of a macro over the given names: (statements with loops unrolled, result)."""
    lines = text.strip().splitlines()
    body = lines if len(lines) > 1 else [f"return {text}"]
    node = _functions("def macro(w, g, lr):\n" + "".join(f"    {line}\n" for line in body))[0]
    expressions = Expressions({*CORE_INPUTS, *READ_ONLY, *names})
    statements = _Statements(expressions, set(READ_ONLY))
    parsed = [statements.parse(s) for s in node.body[:-1]]
    returned = node.body[-1]
    assert isinstance(returned, ast.Return) and returned.value is not None
    unrolled = tuple([a for s in parsed for a in (s.unrolled() if isinstance(s, Loop) else (s,))])
    return unrolled, expressions.parse(returned.value)
