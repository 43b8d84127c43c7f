"""Parametrisations of width as data: what a network m times wider asks of initial weights, gradients, updates and decay.

Tensor Programs IVb (arXiv:2308.01814, table of abcd-parametrisations). They are here, not in `meta_train`, because whoever uses a rule
needs them, with or without learned optimizers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class TensorInfo(Protocol):
    """What is known of a parameter tensor; `width_mult` is m, 1 for a tensor whose shape does not depend on the width."""

    @property
    def role(self) -> str: ...
    @property
    def width_mult(self) -> float: ...


class Exponents(NamedTuple):
    """Powers of m. The layer uses m^-a · w, where w has its initial standard deviation × m^-b; w moves by m^-c · Q(m^d · gradient of w).

    `e` is the same for weights that a rule reads (decay, trust ratios): it sees m^e · W, which is Θ(1) for each entry.
    """

    a: float
    b: float
    c: float
    d: float
    e: float


_HALF = 0.5
PARAMETRISATIONS: dict[str, dict[str, Exponents]] = {
    "sp": {
        "input": Exponents(0, 0, 0, 0, 0),
        "hidden": Exponents(0, _HALF, 0, 0, 0),
        "output": Exponents(0, _HALF, 0, 0, 0),
        "vector": Exponents(0, 0, 0, 0, 0),
    },
    "ntp": {
        "input": Exponents(0, 0, _HALF, _HALF, 0),
        "hidden": Exponents(_HALF, 0, 1, 1, _HALF),
        "output": Exponents(_HALF, 0, _HALF, _HALF, _HALF),
        "vector": Exponents(0, 0, _HALF, _HALF, 0),
    },
    "mup": {
        "input": Exponents(0, 0, 0, 1, 0),
        "hidden": Exponents(0, _HALF, 1, 1, _HALF),
        "output": Exponents(1, 0, 0, 1, 1),
        "vector": Exponents(0, 0, 0, 1, 0),
    },
}
"""Standard (what frameworks do), neural tangent (arXiv:1806.07572: the kernel limit) and maximal update (features are learned)."""

DECAY_RULES: dict[str, float] = {"constant": 0.0, "sqrt": 0.5, "linear": 1.0}
"""Power of m in the decay λ of hidden matrices under muP, whose learning rate goes with 1/m: λ constant, λ ∝ √m (arXiv:2510.15262; it is
what the units of weights say), λ ∝ m (microsoft/mup: learning rate × λ constant)."""


class Scales(NamedTuple):
    """Factors of one tensor, with the multiplier m^-a folded into them, so that the model's code stays as it is.

    init: of initial weights that have the standard deviation of SP (1/√fan_in). gradient: of the gradient before the rule.
    update: of the rule's update. weights: of the weights that the rule reads. decay: of λ where the update has its factor.
    rows, columns, parameters: how many more of them the tensor's matrix view and the network have, for rules that sum over them; 1 where
    nothing is to be corrected.
    """

    init: float
    gradient: float
    update: float
    weights: float
    decay: float
    rows: float = 1.0
    columns: float = 1.0
    parameters: float = 1.0


def tensor_scales(info: TensorInfo, parametrisation: str = "mup", decay_rule: str = "linear") -> Scales:
    """The factors of one tensor, in a network of which nothing else is known.

    Raises `ValueError` for an unknown parametrisation, decay rule or role.

    Example:
        >>> from typing import NamedTuple
        >>> from search_space.parametrisation import tensor_scales
        >>> class Info(NamedTuple):
        ...     role: str
        ...     width_mult: float
        >>> tensor_scales(Info("hidden", 4.0))
        Scales(init=1.0, gradient=4.0, update=0.25, weights=2.0, decay=4.0, rows=4.0, columns=4.0, parameters=1.0)
    """
    rows = _choice("parametrisation", parametrisation, PARAMETRISATIONS)
    x = _choice("role", info.role, rows)
    standard = _choice("role", info.role, PARAMETRISATIONS["sp"])
    m = float(info.width_mult)
    if not m > 0:
        raise ValueError(f"width_mult must be positive, got {info.width_mult!r}")
    lean = (_choice("decay rule", decay_rule, DECAY_RULES) - DECAY_RULES["sqrt"]) * x.c
    corrected = m if x.d else 1.0  # the standard parametrisation leaves rules alone
    return Scales(
        init=m ** (standard.b - x.a - x.b),
        gradient=m ** (x.d - x.a),
        update=m ** -(x.a + x.c),
        weights=m**x.e,
        decay=m ** (x.e + lean),
        rows=corrected if info.role in ("hidden", "output") else 1.0,
        columns=corrected if info.role != "output" else 1.0,
    )


def _choice(what: str, name: str, allowed: Mapping[Any, T]) -> T:
    if name not in allowed:
        raise ValueError(f"unknown {what} {name!r}; allowed: {', '.join(allowed)}")
    return allowed[name]
