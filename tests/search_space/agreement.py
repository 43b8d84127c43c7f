"""Do reference, interpreter and compiler say the same? Shared by the tests and by `benchmarks/agreement.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from search_space.compiler import QUERY_KEYWORDS, RuleState, to_optax
from search_space.dataflow import Dataflow, dataflow
from search_space.encode import Capacity, Encoded, encode, stack
from search_space.interpreter import InterpreterState, batch_optimizer
from search_space.layout import Layout
from search_space.program import EVALUATIONS, INPUT_KINDS, Program, RuleError
from search_space.reference import Reference, ReferenceState
from search_space.tensors import stored_shape

SHAPES: tuple[tuple[int, ...], ...] = ((), (5,), (4, 3), (2, 2, 3))
LAYOUT = Layout(SHAPES)
STEPS = 4
CAPACITY = Capacity(number_code=96, small_code=96, full_code=96, number_registers=96, small_registers=48, full_registers=40, segments=24)
LEARNING_RATE = 0.1


class Recording(Reference):
    """A reference that remembers its largest finite intermediate."""

    largest = 0.0

    def _call(self, op: Any, args: Any) -> Any:
        value = super()._call(op, args)
        for x in value:
            finite = np.abs(x[np.isfinite(x)])
            self.largest = max(self.largest, float(finite.max(initial=0.0)))
        return value


@dataclass
class Verdicts:
    """Outcome for each program: "agree", "sensitive", "too large", or a description of a disagreement."""

    outcome: list[str] = field(default_factory=list)

    def counts(self) -> Counter[str]:
        """How many of each."""
        return Counter(o if o in ("agree", "sensitive", "too large") else "disagree" for o in self.outcome)


@dataclass
class Trace:
    """The reference's run: state before each step, update and live slots after, largest intermediate, finite or not."""

    states: list[ReferenceState]
    updates: list[list[np.ndarray]]
    after: list[dict[str, list[np.ndarray]]]
    largest: list[float]
    finite: list[bool]


def streams(seed: int) -> list[tuple[list[np.ndarray], list[np.ndarray]]]:
    """(gradients, weights) for each step, with exact zeros and several scales."""
    rng = np.random.default_rng(seed)
    out = []
    for scale in (1.0, 0.01, 3.0, 0.3)[:STEPS]:
        g = [np.asarray(scale * rng.normal(size=s), np.float32) for s in SHAPES]
        g = [np.where(rng.random(s) < 0.2, np.float32(0), x) for x, s in zip(g, SHAPES, strict=True)]
        out.append((g, [np.asarray(0.5 * rng.normal(size=s), np.float32) for s in SHAPES]))
    return out


def queries(program: Program, step: int) -> dict[str, Any]:
    """Values of a rule's query inputs at a step, positive; one array for each tensor where the input is full."""
    kinds = {name: INPUT_KINDS[name] for name in program.queries} | {e.name: EVALUATIONS[e.what][1] for e in program.plan}
    rng = np.random.default_rng(1_000 + step)
    return {
        name: float(rng.integers(0, 2)) if name == "task" else 1.0 + rng.random() if kind == "global" else
        [np.asarray(rng.gamma(2.0, 0.5, size=s), np.float32) for s in SHAPES]
        for name, kind in kinds.items()
    }  # fmt: skip


def trace(program: Program, flow: Dataflow, data: Sequence[Any]) -> Trace:
    """Run the reference until its first non-finite step."""
    rule, state = Recording(program, SHAPES), ReferenceState(0, {})
    state = rule.init()
    result = Trace([], [], [], [], [])
    for g, w in data:
        result.states.append(state)
        rule.largest = max(float(np.abs(x).max()) for x in (*g, *w))
        update, state = rule.update(g, state, w, LEARNING_RATE, queries(program, state.step))
        slots = _live(flow, state)
        result.updates.append(update)
        result.after.append(slots)
        result.largest.append(rule.largest)
        result.finite.append(_all_finite((*update, *flat(slots))))
        if not result.finite[-1]:
            break
    return result


def _live(flow: Dataflow, state: ReferenceState) -> dict[str, list[np.ndarray]]:
    return {s.name: state.slots[s.name] for s in flow.slots}


def _all_finite(arrays: Sequence[Any]) -> bool:
    return all(bool(np.isfinite(x).all()) for x in arrays)


def close(a: Any, b: Any, largest: float, relative: float = 1e-4) -> bool:
    """Within 1e-4 relative plus 1e-6 of the largest intermediate."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return bool(np.all(np.abs(a - b) <= relative * np.abs(b) + 1e-6 * largest))


def sensitive(program: Program, flow: Dataflow, data: Sequence[Any], base: Trace) -> bool:
    """Whether one ulp at the inputs of a step (gradient, weights, slots, numbers) moves the reference by more than 1e-4, or its verdict."""
    return any(_moves(program, flow, data, base, i, up) for i in range(len(base.finite)) for up in (np.inf, -np.inf))


def _moves(program: Program, flow: Dataflow, data: Sequence[Any], base: Trace, i: int, up: float) -> bool:
    def nudge(x: Any) -> Any:
        return np.nextafter(np.float32(x), np.float32(up))

    state = ReferenceState(base.states[i].step, {k: [nudge(x) for x in v] for k, v in base.states[i].slots.items()})
    rule = Reference(program, SHAPES, {h.name: float(nudge(h.default)) for h in program.hypers})
    g, w = data[i]
    asked = {n: [nudge(x) for x in v] if isinstance(v, list) else v for n, v in queries(program, state.step).items()}
    update, after = rule.update([nudge(x) for x in g], state, [nudge(x) for x in w], float(nudge(LEARNING_RATE)), asked)
    moved = [*update, *flat(_live(flow, after))]
    if _all_finite(moved) != base.finite[i]:
        return True
    return base.finite[i] and not all(
        close(a, b, base.largest[i]) for a, b in zip(moved, [*base.updates[i], *flat(base.after[i])], strict=True)
    )


def flat(slots: dict[str, list[np.ndarray]]) -> list[np.ndarray]:
    """All arrays of live slots, by name."""
    return [x for name in sorted(slots) for x in slots[name]]


def compiled_step(program: Program, flow: Dataflow, jit: bool) -> Any:
    """A function (state of the reference, gradients, weights) → (updates, slots by name in the matrix view)."""
    update = to_optax(program, LEARNING_RATE).update
    update = jax.jit(update) if jit else update

    def step(state: ReferenceState, g: list[np.ndarray], w: list[np.ndarray]) -> tuple[list[Any], dict[str, list[Any]]]:
        def stored(s: Any) -> Any:
            values = state.slots[s.name]
            if s.kind == "global":
                return jnp.asarray(values[0].reshape(()))
            return [jnp.asarray(v.reshape(stored_shape(s.kind, shape, s.depth))) for v, shape in zip(values, SHAPES, strict=True)]

        before = RuleState(jnp.int32(state.step), {s.name: stored(s) for s in flow.slots})
        asked = {QUERY_KEYWORDS[n] if n in program.queries else n: v for n, v in queries(program, state.step).items()}
        updates, after = update([jnp.asarray(x) for x in g], before, [jnp.asarray(x) for x in w], **asked)
        slots = {s.name: [after.slots[s.name]] * len(SHAPES) if s.kind == "global" else after.slots[s.name] for s in flow.slots}
        return updates, {n: [np.asarray(x).reshape(state.slots[n][k].shape) for k, x in enumerate(v)] for n, v in slots.items()}

    return step


@jax.jit
def _interpret(code: Encoded, state: InterpreterState, g: Any, w: Any) -> Any:
    count = code.result.shape[0]
    repeat = lambda tree: [jnp.broadcast_to(x, (count, *x.shape)) for x in tree]  # noqa: E731
    return batch_optimizer(LAYOUT, code).update(repeat(g), state, repeat(w), jnp.full(count, LEARNING_RATE))


def interpreted_step(
    codes: list[Encoded], flows: list[Dataflow], states: list[ReferenceState], g: list[np.ndarray], w: list[np.ndarray]
) -> list[tuple[list[np.ndarray], dict[str, list[np.ndarray]], bool]]:
    """One step of P programs from the reference's states: updates, live slots (matrix view), finite."""
    code = stack(codes)
    template = batch_optimizer(LAYOUT, code).init([np.zeros((len(codes), *s), np.float32) for s in SHAPES])
    banks = {name: np.array(getattr(template, name)) for name in ("number", "small", "full")}
    for p, (one, flow, state) in enumerate(zip(codes, flows, states, strict=True)):
        for bank, register, s in placed(one, flow):
            banks[bank][p, register, 0] = _to_register(s.kind, state.slots[s.name])
    before = InterpreterState(*(jnp.asarray(banks[b]) for b in ("number", "small", "full")), template.finite, jnp.float32(states[0].step))
    updates, after = _interpret(code, before, g, w)
    out = []
    for p, (one, flow) in enumerate(zip(codes, flows, strict=True)):
        slots = {
            s.name: _from_register(s.kind, np.asarray(getattr(after, bank)[p, register, 0])) for bank, register, s in placed(one, flow)
        }
        out.append(([np.asarray(u[p]) for u in updates], slots, bool(after.finite[p, 0])))
    return out


def placed(code: Encoded, flow: Dataflow) -> list[tuple[str, int, Any]]:
    """(bank, register, slot) of every live slot."""
    banks = {"number": list(code.number_slots), "small": list(code.small_slots[:, 0]), "full": list(code.full_slots)}
    bank_of = {"global": "number", "full": "full"}
    return [(bank_of.get(s.kind, "small"), int(banks[bank_of.get(s.kind, "small")].pop(0)), s) for s in flow.slots]


def _to_register(kind: str, values: list[np.ndarray]) -> Any:
    if kind == "full":
        return np.concatenate([v.reshape(-1) for v in values])
    if kind == "global":
        return values[0].reshape(())
    parts = [jnp.asarray(v.reshape(1, -1)) for v in values]
    return np.asarray(LAYOUT.from_tensor(parts) if kind == "tensor" else LAYOUT.from_axis(kind, parts))[0]


def _from_register(kind: str, value: np.ndarray) -> list[np.ndarray]:
    if kind == "global":
        return [value.reshape(1, 1)] * len(SHAPES)
    if kind == "full":
        return [np.asarray(m[0]) for m in LAYOUT.matrices(jnp.asarray(value[None]))]
    shape = {"tensor": (1, 1), "row": (-1, 1), "col": (1, -1)}[kind]
    return [np.asarray(x[0]).reshape(shape) for x in LAYOUT.pieces(jnp.asarray(value[None]), kind)]


def check(programs: Sequence[Program], *, jit: bool = False, compile_every: int = 1, seed: int = 0) -> Verdicts:
    """Compare the three executors on every program, step by step from the reference's state. `compile_every` thins the compiler's share."""
    data = streams(seed)
    verdicts = Verdicts()
    codes, flows, traces = [], [], []
    for program in programs:
        flow = dataflow(program)
        try:
            code = encode(program, CAPACITY, flow=flow)
        except RuleError:
            code = None
        codes.append(code)
        flows.append(flow)
        traces.append(trace(program, flow, data))
    problems: list[str | None] = [None] * len(programs)
    for p, program in enumerate(programs):
        if p % compile_every == 0:
            problems[p] = _compare_compiled(program, flows[p], traces[p], data, jit)
    _compare_interpreted(codes, flows, traces, data, problems)
    for program, flow, code, base, problem in zip(programs, flows, codes, traces, problems, strict=True):
        if problem is not None:
            problem = "sensitive" if sensitive(program, flow, data, base) else problem
        verdicts.outcome.append(problem or ("too large" if code is None else "agree"))
    return verdicts


def _compare_compiled(program: Program, flow: Dataflow, base: Trace, data: Sequence[Any], jit: bool) -> str | None:
    step = compiled_step(program, flow, jit)
    for i, (g, w) in enumerate(data[: len(base.finite)]):
        updates, slots = step(base.states[i], g, w)
        problem = _difference(base, i, updates, slots)
        if problem:
            return f"compiler, step {i + 1}: {problem}"
    return None


def _compare_interpreted(codes: list[Any], flows: list[Any], traces: list[Trace], data: Sequence[Any], problems: list[str | None]) -> None:
    batch = 64
    for i, (g, w) in enumerate(data):
        running = [p for p in range(len(codes)) if codes[p] is not None and len(traces[p].finite) > i]
        for at in range(0, len(running), batch):
            group = running[at : at + batch]
            padded = group + [group[0]] * (batch - len(group))
            results = interpreted_step([codes[p] for p in padded], [flows[p] for p in padded], [traces[p].states[i] for p in padded], g, w)
            for p, (updates, slots, finite) in zip(group, results[: len(group)], strict=True):
                problem = _difference(traces[p], i, updates, slots)
                if problem is None and finite != traces[p].finite[i]:
                    problem = f"finite flag is {finite}"
                if problem and problems[p] is None:
                    problems[p] = f"interpreter, step {i + 1}: {problem}"


def _difference(base: Trace, i: int, updates: Sequence[Any], slots: dict[str, list[Any]]) -> str | None:
    arrays = [np.asarray(x) for x in (*updates, *flat(slots))]
    finite = all(np.isfinite(x).all() for x in arrays)
    if finite != base.finite[i]:
        return f"finite is {finite}, the reference says {base.finite[i]}"
    if not finite:
        return None
    expected = [*base.updates[i], *flat(base.after[i])]
    for a, b in zip(arrays, expected, strict=True):
        if not close(a.reshape(b.shape), b, base.largest[i]):
            return f"largest difference {np.max(np.abs(a.reshape(b.shape) - b)):.3g} of {base.largest[i]:.3g}"
    return None
