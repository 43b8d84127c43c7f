"""The form of a program that search moves around: flat lines of plain tuples, quick to copy and to compare.

A line is `(target, primitive, arguments)`, an argument is a name or a number, and the primitive `""` copies its
argument. Dead lines stay: mutation needs them as stepping stones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from search_space.program import CORE_INPUTS, READ_ONLY, Assign, Call, Const, Expr, Hyper, Program, Slot, Var

Argument = str | float
Line = tuple[str, str, tuple[Argument, ...]]
COPY = ""


@dataclass(frozen=True, slots=True)
class Genome:
    """A program with one primitive call on each line; `result` is a name or a number."""

    name: str
    slots: tuple[Slot, ...]
    hypers: tuple[Hyper, ...]
    lines: tuple[Line, ...]
    result: Argument
    queries: tuple[str, ...] = ()

    def with_lines(self, lines: tuple[Line, ...], result: Argument | None = None) -> Genome:
        """The same declarations around other lines (quicker than `dataclasses.replace`)."""
        return Genome(self.name, self.slots, self.hypers, lines, self.result if result is None else result, self.queries)


def from_program(program: Program) -> Genome:
    """Flatten loops and nested calls; temporaries are named `v0`, `v1`, … where the program uses no such name."""
    return _Flattener(program).run()


def to_program(genome: Genome) -> Program:
    """The genome as a `Program`, every line kept."""
    body = tuple(Assign(target, _value(op, args)) for target, op, args in genome.lines)
    return Program(genome.name, genome.slots, genome.hypers, body, _leaf(genome.result), genome.queries)


def flatten(program: Program) -> Program:
    """The program with one primitive call for each statement, on names and constants only."""
    return to_program(from_program(program))


def inputs(genome: Genome) -> tuple[str, ...]:
    """Names that may be read without being declared or assigned."""
    return (*CORE_INPUTS, *READ_ONLY, *genome.queries)


def fresh_name(taken: set[str]) -> str:
    """The first of `v0`, `v1`, … that is not taken."""
    index = 0
    while f"v{index}" in taken:
        index += 1
    return f"v{index}"


def names_of(genome: Genome) -> set[str]:
    """Every name that the genome declares, assigns or may read."""
    declared = {slot.name for slot in genome.slots} | {hyper.name for hyper in genome.hypers}
    return declared | {line[0] for line in genome.lines} | set(inputs(genome))


def with_hypers(genome: Genome, values: dict[str, float]) -> Genome:
    """The genome with other defaults for some of its hyperparameters."""
    hypers = tuple(replace(h, default=float(values.get(h.name, h.default))) for h in genome.hypers)
    return replace(genome, hypers=hypers)


def to_json(genome: Genome) -> dict[str, Any]:
    """Plain lists and numbers; floats survive a JSON round trip bit for bit."""
    return {
        "name": genome.name,
        "slots": [[s.name, s.kind, s.init if isinstance(s.init, str) else _expr_json(s.init)] for s in genome.slots],
        "hypers": [[h.name, h.prior, h.default] for h in genome.hypers],
        "lines": [[target, op, list(args)] for target, op, args in genome.lines],
        "result": genome.result,
        "queries": list(genome.queries),
    }


def from_json(data: dict[str, Any]) -> Genome:
    """The inverse of `to_json`."""
    return Genome(
        data["name"],
        tuple(Slot(n, k, _init_parse(init)) for n, k, init in data["slots"]),
        tuple(Hyper(n, p, d) for n, p, d in data["hypers"]),
        tuple((target, op, tuple(args)) for target, op, args in data["lines"]),
        data["result"],
        tuple(data["queries"]),
    )


def _expr_json(expr: Expr) -> list[Any]:
    if isinstance(expr, Const):
        return ["const", expr.value]
    if isinstance(expr, Var):
        return ["var", expr.name]
    return ["call", expr.op, [_expr_json(arg) for arg in expr.args]]


def _init_parse(data: Any) -> Any:
    return data if isinstance(data, str) else _expr_parse(data)


def _expr_parse(data: list[Any]) -> Expr:
    if data[0] == "const":
        return Const(data[1])
    if data[0] == "var":
        return Var(data[1])
    return Call(data[1], tuple(_expr_parse(arg) for arg in data[2]))


def _leaf(argument: Argument) -> Const | Var:
    return Var(argument) if isinstance(argument, str) else Const(argument)


def _value(op: str, args: tuple[Argument, ...]) -> Expr:
    if op == COPY:
        return _leaf(args[0])
    return Call(op, tuple(_leaf(arg) for arg in args))


class _Flattener:
    def __init__(self, program: Program):
        self.program = program
        self.lines: list[Line] = []
        self.taken = {s.name for s in program.slots} | {h.name for h in program.hypers}
        self.taken |= {stmt.target for stmt in program.statements()} | {*CORE_INPUTS, *READ_ONLY, *program.queries}

    def run(self) -> Genome:
        for stmt in self.program.statements():
            self.assign(stmt.target, stmt.value)
        result = self.argument(self.program.result)
        p = self.program
        return Genome(p.name, p.slots, p.hypers, tuple(self.lines), result, p.queries)

    def assign(self, target: str, value: Expr) -> None:
        if isinstance(value, Call):
            self.lines.append((target, value.op, tuple(self.argument(arg) for arg in value.args)))
        else:
            self.lines.append((target, COPY, (self.argument(value),)))

    def argument(self, expr: Expr) -> Argument:
        if isinstance(expr, Var):
            return expr.name
        if isinstance(expr, Const):
            return float(expr.value) + 0.0  # no negative zero in genomes: equal numbers are then equal values
        name = fresh_name(self.taken)
        self.taken.add(name)
        self.assign(name, expr)
        return name
