"""What a rule's units say about width: which kind of rule it is, and how its learning rate and hyperparameters must change."""

from __future__ import annotations

from typing import Literal, NamedTuple

from search_space.dataflow import Dataflow, dataflow
from search_space.ops import OPS
from search_space.parametrisation import Scales
from search_space.program import Program
from search_space.units import Degree, degree


class Folded(NamedTuple):
    """What a homogeneous rule needs instead of a scaled gradient: factors of its learning rate and of its hyperparameters."""

    learning_rate: float
    hypers: dict[str, float]


class WidthRule(NamedTuple):
    """What units say of a rule: its degrees in the scale of gradients and weights, and in numbers of entries.

    `matrix` names a primitive that mixes the entries of a matrix, `shared` a slot with one number for all tensors that depends on the
    learning rate, which can then not differ between tensors; "" for none.
    """

    gradient: Degree
    weights: Degree
    rows: Degree
    columns: Degree
    parameters: Degree
    matrix: str
    shared: str

    @property
    def kind(self) -> Literal["homogeneous", "not homogeneous", "matrix"]:
        """Whether the table can be folded, needs scaled gradients, or does not apply."""
        return "matrix" if self.matrix else "homogeneous" if self.gradient.update is not None else "not homogeneous"

    def verdict(self) -> str:
        """One line for people."""
        if self.matrix:
            return f"matrix rule (at {self.matrix}): outside the theorem for entrywise rules; the table is a guess, see the slopes"
        if self.gradient.update is None:
            return f"not homogeneous (at {self.gradient.reason}): no table of learning rates alone; scale the gradients"
        return f"homogeneous of degree {self.gradient.update:g} in the gradient's scale"


def width_rule(program: Program) -> WidthRule:
    """Degrees of a rule, and whether the theorem covers it.

    Example:
        >>> from search_space import load
        >>> from search_space.width import width_rule
        >>> width_rule(load("adam")).verdict()
        "homogeneous of degree 0 in the gradient's scale"
    """
    flow = dataflow(program)
    matrix = next((node.op for node in flow.nodes if node.op in OPS and OPS[node.op].tier == "M"), "")
    return WidthRule(
        gradient=degree(program),
        weights=degree(program, "weights"),
        rows=degree(program, "rows"),
        columns=degree(program, "columns"),
        parameters=degree(program, "parameters"),
        matrix=matrix,
        shared=_shared(flow),
    )


def _shared(flow: Dataflow) -> str:
    """The first `global` slot that depends on the learning rate."""
    rate = {i for i, node in enumerate(flow.nodes) if node.op == "input" and node.ref == "lr"}
    before = -1
    while len(rate) != before:
        before = len(rate)
        rate |= {i for i, node in enumerate(flow.nodes) if not rate.isdisjoint(node.args)}
        rate |= {slot.read for slot in flow.slots if slot.next in rate}
    return next((slot.name for slot in flow.slots if slot.kind == "global" and slot.next in rate), "")


def inside(rule: WidthRule, scales: Scales) -> Folded:
    """Factors inside of a rule whose gradient is scaled: as if it read weights × `scales.weights` and tensors of the base size.

    `decay` follows its own rule. Where a rule is not homogeneous in one of these, that one is left alone.
    """
    rate, hypers = 1.0, {"decay": scales.decay / scales.weights}
    sizes = (rule.rows, 1 / scales.rows), (rule.columns, 1 / scales.columns), (rule.parameters, 1 / scales.parameters)
    for found, factor in ((rule.weights, scales.weights), *sizes):
        if found.update is None:
            continue
        rate *= factor**found.update
        for name, power in found.hypers.items():
            hypers[name] = hypers.get(name, 1.0) * factor**-power
    if rule.weights.update is None:
        hypers["decay"] *= scales.weights
    return Folded(rate, hypers)


def fold(rule: WidthRule, scales: Scales) -> Folded:
    """Factors of learning rate and hyperparameters with which plain gradients do what `scales` says.

    Raises `ValueError` for a rule that is not homogeneous.

    Example:
        >>> from search_space import load
        >>> from search_space.parametrisation import Scales
        >>> from search_space.width import fold, width_rule
        >>> fold(width_rule(load("adam")), Scales(init=1.0, gradient=4.0, update=0.25, weights=2.0, decay=2.0))
        Folded(learning_rate=0.25, hypers={'decay': 2.0, 'eps': 0.25})
    """
    found, own = rule.gradient, inside(rule, scales)
    if found.update is None:
        raise ValueError(rule.verdict())
    powers = {name: found.hypers.get(name, 0.0) for name in {**own.hypers, **found.hypers}}
    hypers = {name: own.hypers.get(name, 1.0) * scales.gradient**-power for name, power in powers.items()}
    return Folded(scales.update * scales.gradient**found.update * own.learning_rate, hypers)
