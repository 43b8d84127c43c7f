"""When are two rules the same? Two keys and a fingerprint.

`exact_key`: equal keys give bit-equal updates (up to the sign of zero); scores and failures may be reused.
`real_key`: equal as functions of real numbers, tested by evaluation at random points in float64; for novelty, reports, reuse of scores.
`fingerprint`: alike on a stream of the sort that training makes; a lossy filter.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

import numpy as np

from search_space.dataflow import Dataflow, dataflow
from search_space.ops import OPS
from search_space.probe import behaviour_stream, real_stream, simulate
from search_space.program import Program

_OP_NUMBER = {name: i for i, name in enumerate((*OPS, "const", "input", "hyper", "slot"), start=1)}
_COMMUTATIVE = frozenset(name for name, op in OPS.items() if op.commutative)
_KIND_NUMBER = {"global": 1, "tensor": 2, "row": 3, "col": 4, "full": 5, "left": 6, "right": 7, "history": 8}
_START_NUMBER = {"zeros": 7, "ones": 8, "identity": 9}


def exact_key(program: Program, flow: Dataflow | None = None) -> bytes:
    """16 bytes that are equal only for rules with bit-equal updates at their default hyperparameters.

    Slots are merged and ordered by partition refinement, as states of an automaton are: two slots that start alike and always take equal
    values are one. Raises `RuleError` for a program with a kind error.
    """
    flow = flow or dataflow(program)
    leaves = _leaf_colours(program, flow)
    classes = [hash((_KIND_NUMBER[s.kind], s.depth, _START_NUMBER[s.init])) for s in flow.slots]
    count = len(set(classes))
    while True:
        colours = _colours(flow, leaves, classes)
        classes = [hash((c, colours[s.next])) for c, s in zip(classes, flow.slots, strict=True)]
        if len(set(classes)) == count:
            break
        count = len(set(classes))
    colours = _colours(flow, leaves, classes)
    system = sorted({(c, colours[s.next]) for c, s in zip(classes, flow.slots, strict=True)})
    return blake2b(repr((colours[flow.result], system)).encode(), digest_size=16).digest()


def _leaf_colours(program: Program, flow: Dataflow) -> list[int | None]:
    defaults = {h.name: h.default for h in program.hypers}
    leaves: list[int | None] = []
    for node in flow.nodes:
        if node.op == "const" or node.op == "hyper":
            value = node.ref if node.op == "const" else defaults[node.ref]  # type: ignore[index]
            leaves.append(hash((_OP_NUMBER["const"], int.from_bytes(struct.pack("<f", value), "little"))))
        elif node.op == "input":
            leaves.append(hash((_OP_NUMBER["input"], int.from_bytes(str(node.ref).encode(), "little"))))
        else:
            leaves.append(None)
    return leaves


def _colours(flow: Dataflow, leaves: list[int | None], classes: list[int]) -> list[int]:
    """A 64-bit colour for each value: equal structure over equal slot classes gives equal colours."""
    colours: list[int] = []
    slot_class = {s.read: c for s, c in zip(flow.slots, classes, strict=True)}
    for index, (node, leaf) in enumerate(zip(flow.nodes, leaves, strict=True)):
        if leaf is not None:
            colours.append(leaf)
        elif index in slot_class:
            colours.append(hash((_OP_NUMBER["slot"], slot_class[index])))
        else:
            parts = [colours[a] for a in node.args]
            if node.op in _COMMUTATIVE:
                parts.sort()
            colours.append(hash((_OP_NUMBER[node.op], *parts)))
    return colours


def real_key(program: Program, flow: Dataflow | None = None) -> bytes | None:
    """16 bytes, equal for rules that agree as functions of real numbers; None where the probe meets a non-finite value.

    The rule runs in float64 on non-zero, well-scaled streams; each step's update is projected on a fixed direction and rounded to 9
    digits. Algebraic identities, renamed slots and dead code all disappear this way.
    """
    stream = real_stream()
    updates, finite = simulate(flow or dataflow(program), stream, _defaults(program))
    if finite < len(stream.inputs):
        return None
    return _digest(np.tensordot(updates, _direction(stream.shape), axes=3), bits=30)


def fingerprint(program: Program, flow: Dataflow | None = None, *, bits: int = 12) -> tuple[bytes | None, np.ndarray, int]:
    """(key or None if not finite; updates (T, K, R, C) on the behaviour stream; steps that ended finite).

    Rules whose updates agree to about `bits` bits get the same key, but for values at a rounding edge.
    """
    stream = behaviour_stream()
    updates, finite = simulate(flow or dataflow(program), stream, _defaults(program))
    key = None if finite < len(stream.inputs) else _digest(np.tensordot(updates, _direction(stream.shape), axes=3), bits)
    return key, updates, finite


def _defaults(program: Program) -> dict[str, float]:
    return {h.name: h.default for h in program.hypers}


def _direction(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(22).uniform(0.5, 1.5, size=shape) * np.where(np.arange(np.prod(shape)).reshape(shape) % 3 == 1, -1.0, 1.0)


def _digest(values: np.ndarray, bits: int) -> bytes:
    mantissa, exponent = np.frexp(values.astype(np.float64))
    rounded = np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits) + 0.0
    return blake2b(rounded.tobytes(), digest_size=16).digest()
