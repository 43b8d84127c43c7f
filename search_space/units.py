"""Units of a rule: how its update scales when gradients or weights are scaled, and what its hyperparameters must do to keep that true.

Each value has a degree, a power of the scale. Sums need equal degrees, products add them (the column `units` of the table of primitives):
linear equations over the degrees of all values, of slots, and of hyperparameters with prior `scale`, which may carry units (ε does).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from search_space.dataflow import Dataflow, Node, dataflow
from search_space.ops import OPS
from search_space.program import EVALUATIONS, Program

Scale = Literal["gradient", "weights"]

_INPUTS: dict[str, tuple[float, float]] = {"g": (1, 0), "w": (0, 1), "f": (1, 1), "h": (1, -1), "g2": (2, 0)}
"""Degrees of inputs in the scale of gradients and of weights; all others have none."""

_EVALUATED: dict[str, tuple[float, float]] = {
    "gradient": (1, 0),
    "sampled_gradient": (1, 0),
    "value": (1, 1),
    "mean_square_gradient": (2, 0),
}
_FREE_INPUTS = ("u",)
_SHAPE_ONLY = ("hash_uniform", "eye_left", "eye_right")
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
    """The degree of a rule's update, with the learning rate held fixed (Tensor Programs IVb, arXiv:2308.01814, calls it the rule's type).

    Example:
        >>> from search_space import load
        >>> from search_space.units import degree
        >>> degree(load("adam"))
        Degree(update=0.0, hypers={'eps': 1.0}, reason='')
        >>> degree(load("sgd")).update
        1.0
    """
    flow = dataflow(program)
    system = _System(flow, program, 0 if scale == "gradient" else 1)
    solution, free, broken = system.settle()
    if broken:
        return Degree(None, {}, broken)
    hypers = {name: _round(solution[i]) for name, i in system.hypers.items() if abs(solution[i]) > _TOLERANCE and not free[i]}
    return Degree(0.0 if free[flow.result] else _round(solution[flow.result]), hypers)


def gradient_degrees(program: Program) -> dict[str, float]:
    """How what a rule asks for beyond the gradient scales with it: input or evaluation → power; others are left out.

    Products with a vector count as one power: the vector is the rule's own.
    """
    known = {name: _INPUTS[name][0] for name in program.queries if name in _INPUTS}
    products = {"hessian_vector": 1.0, "gauss_newton_vector": 1.0}
    return known | {e.name: p for e in program.plan if (p := products.get(e.what) or _EVALUATED.get(e.what, (0.0,))[0])}


def _round(x: float) -> float:
    return float(round(float(x), 6)) + 0.0


class _System:
    """Equations a · x = b over the degrees x of the flow's values."""

    def __init__(self, flow: Dataflow, program: Program, column: int) -> None:
        self.flow, self.column = flow, column
        self.priors = {h.name: h.prior for h in program.hypers}
        self.defaults = {h.name: h.default for h in program.hypers if h.prior != "scale"}
        self.evaluated = {e.name: _EVALUATED.get(e.what) for e in program.plan if EVALUATIONS[e.what][0] == 0 or e.what in _EVALUATED}
        self.hypers: dict[str, int] = {}
        self.rows: list[tuple[dict[int, float], float, str]] = []
        for index, node in enumerate(flow.nodes):
            self._leaf(index, node) if node.op not in OPS else self._primitive(index, node)
        for slot in flow.slots:
            self._equal(slot.next, slot.read, f"slot {slot.name}")
            if slot.init != "zeros":
                self._fixed(slot.read, 0.0, f"slot {slot.name} = {slot.init}")

    def settle(self) -> tuple[np.ndarray, np.ndarray, str]:
        """Like `solve`, where a hyperparameter that may have any degree has none."""
        while True:
            solution, free, broken = self.solve()
            undecided = [i for i in self.hypers.values() if free[i]]
            if broken or not undecided:
                return solution, free, broken
            self._fixed(undecided[0], 0.0, "free hyperparameter")

    def solve(self) -> tuple[np.ndarray, np.ndarray, str]:
        """(one solution, which degrees are not determined, what breaks or "")."""
        count = len(self.flow.nodes)
        a, b = np.zeros((len(self.rows), count)), np.zeros(len(self.rows))
        for k, (terms, value, _) in enumerate(self.rows):
            for index, factor in terms.items():
                a[k, index] += factor
            b[k] = value
        _, singular, vectors = np.linalg.svd(a, full_matrices=True)
        rank = int((singular > 1e-9).sum())
        solution = np.linalg.lstsq(a, b, rcond=None)[0]
        free = np.asarray((np.abs(vectors[rank:]) > _TOLERANCE).sum(axis=0) > 0)
        return solution, free, "" if np.abs(a @ solution - b).max(initial=0.0) < _TOLERANCE else self._culprit(a, b)

    def _culprit(self, a: np.ndarray, b: np.ndarray) -> str:
        """The first equation that contradicts those before it."""
        for k in range(1, len(b) + 1):
            x = np.linalg.lstsq(a[:k], b[:k], rcond=None)[0]
            if np.abs(a[:k] @ x - b[:k]).max() > _TOLERANCE:
                return self.rows[k - 1][2]
        return "unknown"

    def _fixed(self, index: int, value: float, why: str) -> None:
        self.rows.append(({index: 1.0}, value, why))

    def _equal(self, a: int, b: int, why: str) -> None:
        if a != b:
            self.rows.append(({a: 1.0, b: -1.0}, 0.0, why))

    def _leaf(self, index: int, node: Node) -> None:
        name = str(node.ref)
        if node.op == "hyper":
            self.hypers[name] = index
            if self.priors[name] != "scale":
                self._fixed(index, 0.0, f"hyperparameter {name}")
        elif node.op == "const":
            if node.ref != 0.0:  # zero has every degree
                self._fixed(index, 0.0, f"constant {node.ref:g}")
        elif node.op == "input" and name not in _FREE_INPUTS:
            known = self.evaluated.get(name) or _INPUTS.get(name, (0.0, 0.0))
            if name not in self.evaluated or self.evaluated[name] is not None:
                self._fixed(index, known[self.column], f"input {name}")

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
            for arg in args[1:]:  # a number in one branch guards a special case, such as a norm of zero
                if self.flow.nodes[arg].op != "const":
                    self._equal(arg, index, "where")
        elif node.op == "lerp":
            self._fixed(args[2], 0.0, "lerp")
            self._equal(args[0], index, "lerp")
            self._equal(args[1], index, "lerp")
        elif node.op == "pow" and (power := self._number(args[1])) is not None:
            self.rows.append(({index: 1.0, args[0]: -power}, 0.0, "pow"))
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

    def _product(self, index: int, node: Node) -> None:
        terms = {index: 1.0}
        for arg, power in zip(node.args, OPS[node.op].units, strict=True):
            terms[arg] = terms.get(arg, 0.0) - float(power)
            if power == 0 and node.op in ("debias", "quantile", "global_quantile", "recall"):
                self._fixed(arg, 0.0, node.op)
        self.rows.append((terms, 0.0, node.op))
