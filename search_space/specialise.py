"""A rule with some hyperparameters fixed at zero and the terms that they multiply gone.

Weight decay is a hyperparameter of every rule, mostly 0: then nobody should pay for reading the weights, or have to pass them.
"""

from __future__ import annotations

from dataclasses import replace

from search_space.program import Assign, Call, Const, Expr, Loop, Program, Stmt, Var

_ZERO = Const(0.0)


def without(program: Program, names: frozenset[str]) -> Program:
    """The program with hyperparameters `names` at 0: products with them are 0, sums with 0 are dropped.

    Equal to the original at 0 wherever the other factor of the product is finite.

    Example:
        >>> from search_space import load
        >>> from search_space.printer import to_text
        >>> print(to_text(without(load("sgd"), frozenset({"decay"})), header=False).splitlines()[1].strip())
        return lr * g
    """
    plan = tuple([replace(e, point=None if e.point is None else _simplified(e.point, names)) for e in program.plan])
    slots = tuple([s if isinstance(s.init, str) else replace(s, init=_simplified(s.init, names)) for s in program.slots])
    return replace(
        program,
        slots=slots,
        hypers=tuple([h for h in program.hypers if h.name not in names]),
        body=tuple([_statement(s, names) for s in program.body]),
        result=_simplified(program.result, names),
        plan=plan,
        view=None if program.view is None else _simplified(program.view, names),
    )


def _statement(statement: Stmt, names: frozenset[str]) -> Stmt:
    if isinstance(statement, Loop):
        return replace(statement, body=tuple([_assign(s, names) for s in statement.body]))
    return _assign(statement, names)


def _assign(statement: Assign, names: frozenset[str]) -> Assign:
    return Assign(statement.target, _simplified(statement.value, names))


def _simplified(expr: Expr, names: frozenset[str]) -> Expr:
    if isinstance(expr, Var):
        return _ZERO if expr.name in names else expr
    if isinstance(expr, Const):
        return expr
    args = tuple([_simplified(a, names) for a in expr.args])
    if args == expr.args:
        return expr
    if expr.op == "mul" and _ZERO in args or expr.op in ("div", "neg") and args[0] == _ZERO:
        return _ZERO
    if expr.op == "add" and _ZERO in args:
        return args[1] if args[0] == _ZERO else args[0]
    if expr.op == "sub" and args[1] == _ZERO:
        return args[0]
    return Call(expr.op, args)
