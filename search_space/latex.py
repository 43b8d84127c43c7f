"""A rule as a LaTeX formula: one aligned line a statement, with θ, g, η and the steps of slots as papers write them."""

from __future__ import annotations

from search_space.ops import OPS
from search_space.program import Assign, Call, Const, Expr, Loop, Program, RuleSet, Stmt, Var

_GREEK = ("alpha", "beta", "gamma", "delta", "eps", "zeta", "eta", "theta", "lambda", "mu", "nu", "rho", "sigma", "tau", "phi", "omega")
_NAMES = {
    "w": r"\theta_{t-1}",
    "g": "g_t",
    "lr": r"\eta_t",
    "t": "t",
    "eps": r"\epsilon",
    "decay": r"\lambda",
}
_QUERIES = {"f": "f_t", "u": "u_t", "h": r"\hat h_t", "g2": r"\overline{g^2}_t", "task": r"\tau"}
_REASSIGNED = {"g": r"\tilde g_t", "w": r"\tilde\theta", "lr": r"\tilde\eta"}
"""Inputs that a rule assigned anew."""
_FUNCTIONS = {
    "sign": r"\operatorname{sign}", "exp": r"\exp", "log": r"\ln", "sin": r"\sin", "cos": r"\cos", "tanh": r"\tanh",
    "max": r"\max", "min": r"\min", "sigmoid": r"\sigma", "polar": r"\operatorname{polar}",
}  # fmt: skip
_INFIX = {"add": (" + ", 1), "sub": (" - ", 1), "mul": (r" \, ", 2), "matmul": (r" \, ", 2)}
_NORMS = {
    "norm": ("2", ""),
    "norm1": ("1", ""),
    "norm_inf": (r"\infty", ""),
    "global_norm": ("2", r",\mathrm{all}"),
    "nuclear_norm": ("*", ""),
}


def to_latex(rule: Program | RuleSet) -> str:
    """The rule as an `align*` environment (one for each role).

    Example:
        >>> from search_space import load
        >>> print(to_latex(load("lion")).splitlines()[1])
        u &= \\operatorname{sign}\\left(\\beta_{1} m_{t-1} + \\left(1 - \\beta_{1}\\right) g_t\\right) + \\lambda \\, \\theta_{t-1} \\\\
    """
    if isinstance(rule, Program):
        return _align(rule)
    return "\n".join(f"% {', '.join(roles) or 'all other tensors'}\n{_align(program)}" for roles, program in rule.parts)


def _align(program: Program) -> str:
    writer = _Writer(program)
    lines = [f"{_name(e.name)} &= {writer.evaluation(e.what, e.point)}" for e in program.plan]
    lines += [line for statement in program.body for line in writer.lines(statement)]
    lines.append(rf"\theta_t &= \theta_{{t-1}} - {writer.text(program.result, 2)}")
    if program.view is not None:
        lines.append(rf"\bar\theta_t &= {writer.text(program.view).replace('t-1', 't')}")
    return "\\begin{align*}\n" + " \\\\\n".join(lines) + "\n\\end{align*}"


def _name(name: str) -> str:
    """`b1` → β_1, `eps` → ε, `long_name` → \\mathrm{long\\_name}; greek names as letters."""
    if name in _NAMES:
        return _NAMES[name]
    stem, digits = name.rstrip("0123456789"), name[len(name.rstrip("0123456789")) :]
    subscript = f"_{{{digits}}}" if digits else ""
    if stem == "b":
        return rf"\beta{subscript}"
    if stem in _GREEK:
        return rf"\{stem}{subscript}"
    return (stem if len(stem) == 1 else rf"\mathrm{{{stem.replace('_', chr(92) + '_')}}}") + subscript


class _Writer:
    """Turns expressions into LaTeX; knows which slots were already assigned in this step."""

    def __init__(self, program: Program) -> None:
        self.slots = {s.name for s in program.slots}
        self.queries = set(program.queries)
        self.assigned: set[str] = set()

    def lines(self, statement: Stmt) -> list[str]:
        if isinstance(statement, Loop):
            inner = [line for s in statement.body for line in self.lines(s)]
            index = "" if statement.index == "_" else f"{_name(statement.index)} = 0 \\dots {statement.count - 1}:"
            return [rf"&\text{{repeat {statement.count} times}}\; {index}", *(rf"\quad {line}" for line in inner)]
        value = self.text(statement.value)
        self.assigned.add(statement.target)
        return [f"{self.target(statement)} &= {value}"]

    def target(self, statement: Assign) -> str:
        return self.variable(statement.target)

    def variable(self, name: str) -> str:
        if name in self.slots:
            step = "t" if name in self.assigned else "t-1"
            base = _name(name)
            return rf"{base[:-1]},{step}}}" if base.endswith("}") and "_{" in base else f"{base}_{{{step}}}"
        if name in self.assigned:
            return _REASSIGNED.get(name) or _name(name)
        return _QUERIES.get(name, name) if name in self.queries else _name(name)

    def evaluation(self, what: str, point: Expr | None) -> str:
        inner = "" if point is None else self.text(point)
        forms = {
            "gradient": rf"\nabla f_t\left({inner}\right)",
            "value": rf"f_t\left({inner}\right)",
            "hessian_vector": rf"\nabla^2 f_t(\theta_{{t-1}}) \left({inner}\right)",
            "gauss_newton_vector": rf"G_t \left({inner}\right)",
            "sampled_gradient": r"\nabla f_t(\theta_{t-1}; \hat y \sim p_\theta)",
            "vector": inner,
            "mean_square_gradient": r"\textstyle\frac{1}{B}\sum_i \left(\nabla f_{t,i}\right)^2",
        }
        return forms[what]

    def text(self, expr: Expr, level: int = 0) -> str:
        """LaTeX of an expression; `level` 1 is an operand of a sum, 2 of a product, 3 the base of a power."""
        if isinstance(expr, Var):
            return self.variable(expr.name)
        if isinstance(expr, Const):
            number = f"{expr.value:g}"
            return f"\\left({number}\\right)" if expr.value < 0 and level else number
        written, own = self._call(expr)
        return rf"\left({written}\right)" if own < level else written

    def _call(self, expr: Call) -> tuple[str, int]:
        op, args = expr.op, expr.args
        if op == "lerp":
            keep = self.text(args[2], 2)
            rest = rf"\left(1 - {self.text(args[2], 2)}\right)"
            return f"{keep} {self.text(args[1], 2)} + {rest} {self.text(args[0], 2)}", 1
        if op in ("div", "ratio"):
            return rf"\frac{{{self.text(args[0])}}}{{{self.text(args[1])}}}", 3
        if op == "debias":
            return rf"\frac{{{self.text(args[0])}}}{{1 - {self.text(args[1], 3)}^{{{self.text(args[2])}}}}}", 3
        if op in _INFIX:
            sign, own = _INFIX[op]
            return f"{self.text(args[0], own)}{sign}{self.text(args[1], own + (op == 'sub'))}", own
        return self._function(op, args)

    def _function(self, op: str, args: tuple[Expr, ...]) -> tuple[str, int]:
        first = self.text(args[0]) if args else ""
        if op in ("square", "cube", "pow", "transpose", "inverse"):
            power = {"square": "2", "cube": "3", "transpose": r"\top", "inverse": "-1"}.get(op) or self.text(args[1])
            return f"{self.text(args[0], 4)}^{{{power}}}", 3
        if op == "inv_root":
            return f"{self.text(args[0], 4)}^{{-1/{self.text(args[1], 2)}}}", 3
        if op == "sqrt":
            return rf"\sqrt{{{first}}}", 4
        if op == "abs":
            return rf"\left|{first}\right|", 4
        if op == "neg":
            return f"-{self.text(args[0], 2)}", 1
        if op in _NORMS:
            kind, where = _NORMS[op]
            return rf"\left\|{first}\right\|_{{{kind}{where}}}", 4
        name = _FUNCTIONS.get(op) or rf"\operatorname{{{OPS[op].name.replace('_', chr(92) + '_')}}}"
        return rf"{name}\left({', '.join(self.text(a) for a in args)}\right)", 4
