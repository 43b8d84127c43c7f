"""Program → canonical text; `parse(to_text(p)) == p`."""

from __future__ import annotations

from search_space.ops import OPS
from search_space.program import CORE_INPUTS, Assign, Const, Evaluation, Expr, Loop, Program, RuleSet, Slot, Var

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "@": 2, "**": 4}


def to_text(rule: Program | RuleSet, *, header: bool = True) -> str:
    """The text of a rule, one line a statement, with the format header."""
    if isinstance(rule, Program):
        text = _function(rule)
    else:
        text = "\n\n".join((f"@role({', '.join(map(_quoted, roles))})\n" if roles else "") + _function(p) for roles, p in rule.parts)
    return ("# rule-format: 1\n" if header else "") + text + "\n"


def expr_text(expr: Expr) -> str:
    """The text of one expression."""
    return _expr(expr)[0]


def _quoted(role: str) -> str:
    return f'"{role}"'


def _function(program: Program) -> str:
    declarations = [_slot(s) for s in program.slots] + [f"{h.name}: {h.prior} = {_number(h.default)}" for h in program.hypers]
    plan = [f"{e.name}={_evaluation(e)}" for e in program.plan]
    arguments = [*CORE_INPUTS, *program.queries, *plan, *(["*", *declarations] if declarations else [])]
    lines = [f"def {program.name}({', '.join(arguments)}):"]
    for statement in program.body:
        if isinstance(statement, Loop):
            lines.append(f"    for {statement.index} in range({statement.count}):")
            lines.extend("        " + _assign(s) for s in statement.body)
        else:
            lines.append("    " + _assign(statement))
    view = f", {expr_text(program.view)}" if program.view is not None else ""
    lines.append(f"    return {expr_text(program.result)}{view}")
    return "\n".join(lines)


def _assign(statement: Assign) -> str:
    return f"{statement.target} = {expr_text(statement.value)}"


def _slot(slot: Slot) -> str:
    init = slot.init if isinstance(slot.init, str) else f"first({expr_text(slot.init)})"
    kind = f"full[{slot.depth}]" if slot.kind == "history" else slot.kind
    return f"{slot.name}: {kind} = {init}"


def _evaluation(query: Evaluation) -> str:
    parts = [expr_text(query.point)] if query.point is not None else []
    parts += [f"every={query.every}"] if query.every > 1 else []
    return f"{query.what}({', '.join(parts)})"


def _number(value: float) -> str:
    return repr(float(value))


def _expr(expr: Expr) -> tuple[str, int]:
    """Text and precedence (9 = needs no parentheses anywhere)."""
    if isinstance(expr, Var):
        return expr.name, 9
    if isinstance(expr, Const):
        text = _number(expr.value)
        return text, 3 if text.startswith("-") else 9
    infix = OPS[expr.op].infix
    if infix is None or len(expr.args) != 2:
        return f"{expr.op}({', '.join(_expr(a)[0] for a in expr.args)})", 9
    own = _PRECEDENCE[infix]
    (left, left_level), (right, right_level) = map(_expr, expr.args)
    # `**` binds to the right and tighter than a sign on its left; the others bind to the left.
    if left_level < own or (infix == "**" and left_level <= own):
        left = f"({left})"
    if right_level < own or (infix != "**" and right_level <= own):
        right = f"({right})"
    return f"{left} {infix} {right}", own
