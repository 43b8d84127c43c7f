"""Program → fixed-size arrays that the interpreter runs: schedule into segments, allocate registers, fill tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from search_space.dataflow import Dataflow, dataflow
from search_space.instructions import FULL_OPS, NUMBER_OPS, SMALL_OPS
from search_space.lowering import ONE, ZERO, Bank, MachineCode, lower
from search_space.program import TENSOR_CONSTANTS, Program, RuleError


@dataclass(frozen=True)
class Capacity:
    """Sizes of the fixed arrays; a program that needs more is refused with a reason. Few distinct values keep recompilation away."""

    number_code: int = 64
    small_code: int = 48
    full_code: int = 48
    number_registers: int = 64
    small_registers: int = 32
    full_registers: int = 24
    segments: int = 12
    slots: int = 6


Array = Any
"""A NumPy array here, a traced one inside the interpreter."""


class Encoded(NamedTuple):
    """A program as data. I instructions, Q registers, G segments, S slots (sizes from `Capacity`); all int32 but where noted.

    `*_code` rows: op, a, b, c, dst (full: then pre, alpha, beta, s). `segments` rows: stops of the number, small and full code.
    `*_slots` rows: registers of live slots, -1 = none; small slots with their section (1 tensor, 2 row, 3 col).
    `numbers` f32[Q] presets; `full_ones`, `small_ones` f32[Q] start values.
    """

    number_code: Array
    small_code: Array
    full_code: Array
    segments: Array
    segment_count: Array
    numbers: Array
    small_ones: Array
    full_ones: Array
    number_slots: Array
    small_slots: Array
    full_slots: Array
    result: Array


LR, T = 2, 3
"""Number registers of the learning rate and the step (0 and 1 hold ONE and ZERO)."""
G, W = 0, 1
"""Full registers of gradient and weights. Small registers 0-3 hold the tensor constants."""
_TABLES: dict[Bank, dict[str, int]] = {"number": NUMBER_OPS, "small": SMALL_OPS, "full": FULL_OPS}
_BANKS: tuple[Bank, ...] = ("number", "small", "full")
_COPY: dict[Bank, str] = {"number": "max", "small": "max", "full": "id"}


def encode(
    program: Program, capacity: Capacity | None = None, hypers: dict[str, float] | None = None, flow: Dataflow | None = None
) -> Encoded:
    """Arrays of one program, with hyperparameters at `hypers` or their defaults.

    Raises `RuleError` when the program does not fit the capacity or wants an input that the interpreter lacks.
    """
    capacity = capacity or Capacity()
    values = {h.name: h.default for h in program.hypers} | (hypers or {})
    return _Allocator(lower(flow or dataflow(program)), capacity, values).encoded()


def stack(programs: list[Encoded]) -> Encoded:
    """P programs → arrays with a leading axis P."""
    return Encoded(*(np.stack(arrays) for arrays in zip(*programs, strict=True)))


class _Allocator:
    def __init__(self, code: MachineCode, capacity: Capacity, hypers: dict[str, float]) -> None:
        self.code, self.capacity, self.hypers = code, capacity, hypers
        self.numbers = np.zeros(capacity.number_registers, np.float32)
        self.register: dict[int, int] = {ONE: 0, ZERO: 1}
        self.pinned: set[tuple[Bank, int]] = set()
        self.free: dict[Bank, list[int]] = {
            "number": list(range(capacity.number_registers - 1, T, -1)),
            "small": list(range(capacity.small_registers - 1, len(TENSOR_CONSTANTS) - 1, -1)),
            "full": list(range(capacity.full_registers - 1, W, -1)),
        }
        self.rows: dict[Bank, list[list[int]]] = {"number": [], "small": [], "full": []}
        self.stops: list[tuple[int, int, int]] = []

    def encoded(self) -> Encoded:
        self.numbers[0] = 1.0
        self._presets()
        order = self._schedule()
        self._emit(order)
        return self._arrays()

    def _presets(self) -> None:
        for index, node in enumerate(self.code.nodes):
            if node.op == "preset" and index > ZERO:
                self.register[index] = self._preset(node.bank, node.preset)
        self.pinned = {(self.code.nodes[i].bank, r) for i, r in self.register.items()}

    def _preset(self, bank: Bank, tag: float | str | None) -> int:
        fixed = {"input:g": G, "input:w": W, "input:lr": LR, "input:t": T}
        fixed |= {f"input:{name}": i for i, name in enumerate(TENSOR_CONSTANTS)}
        if isinstance(tag, str) and tag in fixed:
            return fixed[tag]
        register = self._take(bank)
        if isinstance(tag, float):
            self.numbers[register] = tag
        elif isinstance(tag, str) and tag.startswith("hyper:"):
            self.numbers[register] = self.hypers[tag[6:]]
        return register

    def _take(self, bank: Bank) -> int:
        if not self.free[bank]:
            size = getattr(self.capacity, f"{bank}_registers")
            raise RuleError(f"too large for the interpreter: more than {size} {bank} registers are needed")
        return self.free[bank].pop()

    def _schedule(self) -> list[tuple[Bank, list[int]]]:
        """Runs of instructions of one bank, as few as a greedy order gives; each segment is number, small, full."""
        nodes = self.code.nodes
        needed = self._reachable()
        done = set(self.register)
        waiting = [i for i in range(len(nodes)) if i in needed and i not in done]
        runs: list[tuple[Bank, list[int]]] = []
        while waiting:
            before = len(waiting)
            for bank in _BANKS:
                run: list[int] = []
                progress = True
                while progress:
                    ready = [i for i in waiting if nodes[i].bank == bank and all(o in done for o in nodes[i].operands())]
                    progress = bool(ready)
                    run += ready
                    done.update(ready)
                    waiting = [i for i in waiting if i not in done]
                runs.append((bank, run))
            assert len(waiting) < before, "cyclic code"
        return runs

    def _reachable(self) -> set[int]:
        seen: set[int] = set()
        stack = [self.code.result, *(s[3] for s in self.code.slots)]
        while stack:
            index = stack.pop()
            if index not in seen:
                seen.add(index)
                stack.extend(self.code.nodes[index].operands())
        return seen

    def _emit(self, runs: list[tuple[Bank, list[int]]]) -> None:
        nodes = self.code.nodes
        sequence = [i for _, run in runs for i in run]
        position = {index: p for p, index in enumerate(sequence)}
        last: dict[int, int] = {}
        for p, index in enumerate(sequence):
            for operand in nodes[index].operands():
                last[operand] = p
        outputs = {self.code.result, *(s[3] for s in self.code.slots)}
        owned = self._coalesced(position, last)
        for bank, run in runs:
            for index in run:
                self._instruction(index, position[index], last, outputs, owned)
            if bank == "full":
                self.stops.append((len(self.rows["number"]), len(self.rows["small"]), len(self.rows["full"])))
        self._copies(owned)

    def _coalesced(self, position: dict[int, int], last: dict[int, int]) -> dict[int, int]:
        """Next-values that may be written straight into their slot's register: {machine node: register}."""
        owned: dict[int, int] = {}
        for _, _, read, new in self.code.slots:
            if new in position and new not in owned and last.get(read, -1) <= position[new] and not self._read_elsewhere(read, new):
                owned[new] = self.register[read]
        return owned

    def _read_elsewhere(self, read: int, new: int) -> bool:
        """Whether the slot's old value is itself the result or the next value of a slot."""
        return read == self.code.result or any(read == s[3] for s in self.code.slots)

    def _instruction(self, index: int, p: int, last: dict[int, int], outputs: set[int], owned: dict[int, int]) -> None:
        node = self.code.nodes[index]
        args = [self.register[a] for a in node.args]
        scalars = [self.register[x] for x in (node.pre, node.alpha, node.beta, node.s)] if node.bank == "full" else []
        for operand in set(node.operands()):
            if last[operand] == p and operand not in outputs:
                self._release(operand)
        self.register[index] = owned[index] if index in owned else self._take(node.bank)
        self.rows[node.bank].append([_TABLES[node.bank][node.op], *(args + [0, 0, 0])[:3], self.register[index], *scalars])

    def _release(self, index: int) -> None:
        bank, register = self.code.nodes[index].bank, self.register[index]
        if (bank, register) not in self.pinned:
            self.free[bank].append(register)

    def _copies(self, owned: dict[int, int]) -> None:
        """Move next-values that could not be written in place; through temporaries, since slots may exchange values."""
        moves: list[tuple[Bank, int, int]] = [
            (self.code.nodes[read].bank, self.register[new], self.register[read])
            for _, _, read, new in self.code.slots
            if new not in owned or owned[new] != self.register[read]
        ]
        moves = [m for m in moves if m[1] != m[2]]
        staged: list[tuple[Bank, int, int]] = []
        for bank, source, target in moves:
            temporary = self._take(bank)
            self._copy(bank, source, temporary)
            staged.append((bank, temporary, target))
        result = self.register[self.code.result]
        if any(bank == "full" and target == result for bank, _, target in staged):
            self.register[self.code.result] = self._take("full")
            self._copy("full", result, self.register[self.code.result])
        for bank, temporary, target in staged:
            self._copy(bank, temporary, target)
        if moves:
            self.stops.append((len(self.rows["number"]), len(self.rows["small"]), len(self.rows["full"])))

    def _copy(self, bank: Bank, source: int, target: int) -> None:
        scalars = [0, 0, 1, 1] if bank == "full" else []
        self.rows[bank].append([_TABLES[bank][_COPY[bank]], source, source, 0, target, *scalars])

    def _arrays(self) -> Encoded:
        c = self.capacity
        slots: dict[Bank, list[tuple[int, str, bool]]] = {"number": [], "small": [], "full": []}
        for kind, ones, read, _ in self.code.slots:
            slots[self.code.nodes[read].bank].append((self.register[read], kind, ones))
        starts = {bank: np.zeros(getattr(c, f"{bank}_registers"), np.float32) for bank in ("small", "full")}
        starts["number"] = self.numbers
        for bank, rows in slots.items():
            for register, _, ones in rows:
                starts[bank][register] = float(ones)
        small = [[r, {"tensor": 1, "row": 2, "col": 3}[k]] for r, k, _ in slots["small"]]
        return Encoded(
            number_code=_table(self.rows["number"], c.number_code, 5, "number instructions"),
            small_code=_table(self.rows["small"], c.small_code, 5, "small instructions"),
            full_code=_table(self.rows["full"], c.full_code, 9, "full instructions"),
            segments=_table([list(s) for s in self.stops], c.segments, 3, "segments"),
            segment_count=np.int32(len(self.stops)),
            numbers=starts["number"],
            small_ones=starts["small"],
            full_ones=starts["full"],
            number_slots=_table([[r] for r, _, _ in slots["number"]], c.slots, 1, "slots", fill=-1)[:, 0],
            small_slots=_table(small, c.slots, 2, "slots", fill=-1),
            full_slots=_table([[r] for r, _, _ in slots["full"]], c.slots, 1, "slots", fill=-1)[:, 0],
            result=np.int32(self.register[self.code.result]),
        )


def _table(rows: list[list[int]], size: int, width: int, what: str, fill: int = 0) -> np.ndarray:
    if len(rows) > size:
        raise RuleError(f"too large for the interpreter: {len(rows)} {what}, at most {size}")
    out = np.full((size, width), fill, np.int32)
    if rows:
        out[: len(rows)] = rows
    return out
