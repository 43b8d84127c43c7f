"""Expressions of the language, over the names that are readable at their place."""

from __future__ import annotations

import ast

from search_space.ops import OPS
from search_space.program import Call, Const, Expr, Var
from search_space.syntax import MAX_DEPTH, describe, fail, near, number

_BINARY = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow", ast.MatMult: "matmul"}


class Expressions:
    """Turns `ast` expressions into `Expr`; `readable` holds the names defined so far."""

    def __init__(self, readable: set[str]) -> None:
        self.readable = readable

    def parse(self, node: ast.expr, depth: int = 0) -> Expr:
        """One expression. Raises `RuleError` at its place."""
        if depth > MAX_DEPTH:
            fail(node, f"nested too deeply; at most {MAX_DEPTH} levels are allowed")
        if (value := number(node)) is not None:
            return Const(value)
        if isinstance(node, ast.Name):
            return self._var(node)
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            return Call(_BINARY[type(node.op)], (self.parse(node.left, depth + 1), self.parse(node.right, depth + 1)))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return Call("neg", (self.parse(node.operand, depth + 1),))
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Lt | ast.Gt):
            pair = (self.parse(node.left, depth + 1), self.parse(node.comparators[0], depth + 1))
            return Call("less", pair if isinstance(node.ops[0], ast.Lt) else pair[::-1])
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        fail(node, f"{describe(node)} is not allowed; expressions are numbers, names, + - * / ** @ < >, and primitives")

    def _var(self, node: ast.Name) -> Var:
        if node.id not in self.readable:
            fail(node, f"'{node.id}' is not defined{near(node.id, self.readable)}; defined here: {', '.join(sorted(self.readable))}")
        return Var(node.id)

    def _call(self, node: ast.Call, depth: int) -> Call:
        if not isinstance(node.func, ast.Name):
            fail(node, "only primitives can be called, by their plain name")
        op = OPS.get(node.func.id)
        if op is None:
            fail(node, f"unknown primitive '{node.func.id}'{near(node.func.id, OPS)}; allowed: {', '.join(OPS)}")
        if node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
            fail(node, f"{op.name} takes plain arguments only")
        if len(node.args) != op.arity:
            fail(node, f"{op.name} takes {op.arity} argument{'s' * (op.arity != 1)}, got {len(node.args)}")
        return Call(op.name, tuple(self.parse(a, depth + 1) for a in node.args))
