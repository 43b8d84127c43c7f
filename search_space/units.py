"""Units of a rule: how its update scales with gradients, weights or tensor sizes, and what its hyperparameters must do to keep that true.

Each value has a degree, a power of the scale. Sums need equal degrees, products add them (the column `units` of the table of primitives):
linear equations over the degrees of all values, of slots, and of hyperparameters with prior `scale`, which may carry units (ε does).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from search_space.dataflow import Dataflow, Node, dataflow
from search_space.equations import Equations
from search_space.ops import OPS
from search_space.program import EVALUATIONS, Program

Scale = Literal["gradient", "weights", "rows", "columns", "parameters"]

_INPUTS: dict[Scale, dict[str, float]] = {
    "gradient": {"g": 1, "f": 1, "h": 1, "g2": 2},
    "weights": {"w": 1, "f": 1, "h": -1},
    "rows": {"fan_in": 1, "numel": 1},
    "columns": {"fan_out": 1, "numel": 1},
    "parameters": {},
}
"""Degrees of inputs; all others have none."""

_EVALUATED: dict[str, dict[Scale, float]] = {
    "gradient": {"gradient": 1},
    "sampled_gradient": {"gradient": 1},
    "value": {"gradient": 1, "weights": 1},
    "mean_square_gradient": {"gradient": 2},
}
_SUMS: dict[Scale, tuple[str, ...]] = {"rows": ("sum", "col_sum"), "columns": ("sum", "row_sum"), "parameters": ("global_sum",)}
"""Primitives whose value grows with the number of entries that they sum over, if these keep their sizes and signs."""

_FREE_INPUTS = ("u",)
_SHAPE_ONLY = ("hash_uniform", "eye_left", "eye_right")
_DECISIONS = ("less", "is_first", "every", "invert", "floor", "slot")
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Degree:
    """How a rule scales with one scale c: its update by c^`update`, if each hyperparameter h in `hypers` is scaled by c^`hypers[h]`.

    `update` is None for a rule that is not homogeneous, and `reason` names the first primitive that breaks it.
    """

    update: float | None
    hypers: dict[str, float]
    reason: str = ""


def degree(program: Program, scale: Scale = "gradient") -> Degree:
    """The degree of a rule's update, with the learning rate held fixed (Tensor Programs IVb, arXiv:2308.01814).

    In "rows" and "columns" it is the power of the tensor's size, in "parameters" that of the size of all, where entries keep theirs.

    Example:
        >>> from search_space import load
        >>> from search_space.units import degree
        >>> degree(load("adam"))
        Degree(update=0.0, hypers={'eps': 1.0}, reason='')
        >>> degree(load("sgd")).update
        1.0
    """
    flow = dataflow(program)
    system = _System(flow, program, scale)
    if system.equations.broken:
        return Degree(None, {}, system.equations.broken)
    system.settle()
    hypers = {name: _round(x) for name, i in system.hypers.items() if abs(x := system.equations.value(i) or 0.0) > _TOLERANCE}
    return Degree(_round(system.equations.value(flow.result) or 0.0), hypers)


def gradient_degrees(program: Program) -> dict[str, float]:
    """How what a rule asks for beyond the gradient scales with it: input or evaluation → power; others are left out.

    Products with a vector count as one power: the vector is the rule's own.
    """
    known = {name: _INPUTS["gradient"][name] for name in program.queries if name in _INPUTS["gradient"]}
    products = {"hessian_vector": 1.0, "gauss_newton_vector": 1.0}
    return known | {e.name: p for e in program.plan if (p := products.get(e.what) or _EVALUATED.get(e.what, {}).get("gradient"))}


def _round(x: float) -> float:
    return float(round(float(x), 6)) + 0.0


class _System:
    """Equations over the degrees of the flow's values."""

    def __init__(self, flow: Dataflow, program: Program, scale: Scale) -> None:
        self.flow = flow
        self.scale: Scale = scale
        self.priors = {h.name: h.prior for h in program.hypers}
        self.defaults = {h.name: h.default for h in program.hypers if h.prior != "scale"}
        self.evaluated = {e.name: _EVALUATED.get(e.what) for e in program.plan if EVALUATIONS[e.what][0] == 0 or e.what in _EVALUATED}
        self.hypers: dict[str, int] = {}
        self.equations = Equations()
        for index, node in enumerate(flow.nodes):
            self._leaf(index, node) if node.op not in OPS else self._primitive(index, node)
        for slot in flow.slots:
            self._equal(slot.next, slot.read, f"slot {slot.name}")
            if slot.init != "zeros":
                self._fixed(slot.read, 0.0, f"slot {slot.name} = {slot.init}")

    def settle(self) -> None:
        """A hyperparameter that may have any degree has none."""
        for index in self.hypers.values():
            if self.equations.value(index) is None:
                self._fixed(index, 0.0, "free hyperparameter")

    def _fixed(self, index: int, value: float, why: str) -> None:
        self.equations.add({index: 1.0}, value, why)

    def _equal(self, a: int, b: int, why: str) -> None:
        if a != b and not self._is_zero(a) and not self._is_zero(b):
            self.equations.add({a: 1.0, b: -1.0}, 0.0, why)

    def _leaf(self, index: int, node: Node) -> None:
        name = str(node.ref)
        if node.op == "hyper":
            self.hypers[name] = index
            if self.priors[name] != "scale":
                self._fixed(index, 0.0, f"hyperparameter {name}")
        elif node.op == "const":
            if not self._is_zero(index):
                self._fixed(index, 0.0, f"constant {node.ref:g}")
        elif node.op == "input" and name not in _FREE_INPUTS:
            known = self.evaluated.get(name, {self.scale: _INPUTS[self.scale].get(name, 0.0)})
            if known is not None:
                self._fixed(index, known.get(self.scale, 0.0), f"input {name}")

    def _is_zero(self, index: int) -> bool:
        """Zero has every degree, a different one at each of its uses."""
        node = self.flow.nodes[index]
        return node.op == "const" and node.ref == 0.0

    def _number(self, index: int) -> float | None:
        """A constant, or a hyperparameter without units at its default."""
        node = self.flow.nodes[index]
        if node.op == "const":
            return float(node.ref or 0.0)
        return self.defaults.get(str(node.ref)) if node.op == "hyper" else None

    def _primitive(self, index: int, node: Node) -> None:
        args, units = node.args, OPS[node.op].units
        if node.op in _SHAPE_ONLY:
            self._fixed(index, 0.0, node.op)
        elif node.op == "where":
            self._where(index, args)
        elif node.op == "lerp":
            self._fixed(args[2], 0.0, "lerp")
            self._equal(args[0], index, "lerp")
            self._equal(args[1], index, "lerp")
        elif node.op == "pow" and (power := self._number(args[1])) is not None:
            self.equations.add({index: 1.0, args[0]: -power}, 0.0, "pow")
        elif node.op == "store":
            self._equal(args[0], index, "store")
            self._equal(args[2], index, "store")
        elif units == "same":
            for other in args[1:]:
                self._equal(other, args[0], node.op)
            self._fixed(index, 0.0, node.op) if node.op == "less" else self._equal(args[0], index, node.op)
        elif units == "none":
            for i in (*args, index):
                self._fixed(i, 0.0, node.op)
        else:
            self._product(index, node)

    def _where(self, index: int, args: tuple[int, ...]) -> None:
        """Both branches and the value agree; but a condition may decide, and a number where something is 0 guards a special case."""
        condition, then, otherwise = args
        known = self._number(condition)
        if known is not None and self.flow.nodes[condition].op == "const":
            self._equal(then if known else otherwise, index, "where")
            return
        self._equal(then, index, "where")
        if self.flow.nodes[otherwise].op != "const" or self._decides(condition):
            self._equal(otherwise, index, "where")

    def _decides(self, index: int) -> bool:
        """Whether a condition is 0 in ordinary cases too, being made of comparisons and not of sizes."""
        node = self.flow.nodes[index]
        if node.op in _DECISIONS or node.op not in OPS:
            return node.op in _DECISIONS or (node.op == "input" and node.ref == "t")
        return OPS[node.op].tier == "E" and any(self._decides(arg) for arg in node.args)

    def _product(self, index: int, node: Node) -> None:
        terms = {index: 1.0}
        for arg, power in zip(node.args, OPS[node.op].units, strict=True):
            terms[arg] = terms.get(arg, 0.0) - float(power)
            if power == 0 and node.op in ("debias", "quantile", "global_quantile", "recall"):
                self._fixed(arg, 0.0, node.op)
        self.equations.add(terms, float(node.op in _SUMS.get(self.scale, ())), node.op)
