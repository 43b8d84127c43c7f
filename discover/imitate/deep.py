"""Deeper stages: gates that depend on agreement in sign, filters of scaled gradients, signs and sizes found apart, zeros set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from discover.imitate.epsilon import with_epsilons
from discover.imitate.facts import level_of
from discover.imitate.fit import Fitter, Form
from discover.imitate.library import averages, factors, linear_columns, power, signs, sizes, slots_of_slots
from discover.imitate.products import EXACT, ONE, Judge, Relaxation, numerators, rank, replaced, times
from discover.imitate.signals import G, Node
from discover.imitate.signfit import SignFitter, sign_forms
from discover.imitate.snap import snap_sign
from discover.imitate.stages import CLOSE, Problem, bulk_target, fitter_on, linear, multiplied, signed, softened
from discover.imitate.streams import Array, Layout

_TRIED = 8


def gated(p: Problem) -> Iterator[Form]:
    """Sums of filtered gradients whose coefficients depend on whether two quantities agree in sign."""
    ranked = []
    for other in signs(p.facts):
        agree, differ = gates(G, other)
        columns = [*p.columns, *(times(gate, c) for c in p.columns for gate in (agree, differ))]
        ranked.append((Relaxation(p.probe, columns).error(ONE), other))
    ranked.sort(key=lambda pair: pair[0])
    for error, other in ranked[:_TRIED]:
        if error > 0.5 or p.stop():
            return
        form = _with_gate(p, other)
        if form is None:
            continue
        form = with_shared_gate(p, form)
        yield form
        # With the gate in its place, columns that it hid before can show.
        moved = [n for term in form.terms for gate in _found(term, "less") for n in _found(gate, "ema")]
        inner = _found(other, "ema")
        if moved and inner and moved[0] != inner[0]:
            again = _with_gate(p, replaced((other,), inner[0], moved[0])[0])
            if again is not None:
                yield again


def _with_gate(p: Problem, other: Node) -> Form | None:
    plain = [c for c in p.columns if c[0] in ("ema", "g", "lag", "debiased")]
    columns = [*plain, *(times(gate, c) for c in plain for gate in gates(G, other))]
    return numerators(p.probe, ONE, columns, 4, p.stop)


def gates(a: Node, b: Node) -> tuple[Node, Node]:
    """1 where two quantities agree in sign, and 1 where they differ."""
    product: Node = ("mul", a, b)
    return ("less", 0, product), ("less", product, 0)


def with_shared_gate(p: Problem, form: Form) -> Form:
    """The form with the averages in its gates moved to where they fit best: no slope leads there, so decays are tried one by one."""
    inside = [n for term in form.terms for gate in _found(term, "less") for n in _found(gate, "ema")]
    best = form
    shared = [n[2] for term in form.terms for n in _found(term, "ema")]
    for decay in dict.fromkeys([*shared, *(round(0.01 * k, 2) for k in range(50, 100))] if inside else []):
        terms = form.terms
        for node in dict.fromkeys(inside):
            terms = replaced(terms, node, ("ema", node[1], decay))
        if len(set(terms)) == len(terms) and p.probe.error(terms) < best.error:
            refined = p.probe.refine(terms, rounds=3)
            best = refined if refined is not None and refined.error < best.error else best
    return best


def _found(term: Node, op: str) -> list[Node]:
    """Parts of a term with this operation."""
    found = [term] if term[0] == op else []
    return found + [n for arg in term[1:] if isinstance(arg, tuple) for n in _found(arg, op)]


def filtered(p: Problem) -> Iterator[Form]:
    """Filters of scaled gradients, such as momentum over normalised steps.

    Factors are ranked by how well the last update and the scaled gradient predict this update: a first-order recursion is linear in them.
    """
    if p.facts.memoryless:
        return
    if p.facts.degree is not None:
        yield from _filtered(p, p.probe, p.y, p.facts.degree)
        return
    # Numbers in denominators hide the degree; they vanish where gradients are large.
    for degree in (0.0, 1.0, 0.5):
        for form in _filtered(p, *fitter_on(p, ("large",)), degree):
            refined = p.probe.refine(form.terms) if form.error < CLOSE else None
            if refined is not None:
                yield with_epsilons(p.probe, refined)


def _filtered(p: Problem, fitter: Fitter, y: Array, degree: float) -> Iterator[Form]:
    previous = np.zeros_like(y)
    previous[..., 1:] = y[..., :-1]
    last = (previous * fitter.row).reshape(-1, 1)
    judges: list[Judge] = [Relaxation(fitter, [G], fixed=last)]
    if not p.facts.timeless:
        judges.append(_Filters(fitter))
    for judge in judges:
        for scored in rank(judge, factors(p.facts, degree - 1.0), 12, p.stop):
            if p.stop():
                return
            source = times(scored.factor, G)
            form = numerators(fitter, ONE, linear_columns(p.facts, source), 3, p.stop)
            if form is not None:
                yield form
                if form.error < EXACT:
                    return


class _Filters:
    """Scores factors by corrected averages of the scaled gradient: a correction of the whole hides the recursion."""

    def __init__(self, fitter: Fitter) -> None:
        self.fitter = fitter

    def error(self, factor: Node) -> float:
        """Relative error of the best combination over a few decays."""
        source = times(factor, G)
        return self.fitter.error([("debiased", source, b) for b in (0.7, 0.9, 0.97)])


def polar(p: Problem) -> Iterator[Form]:
    """A sign of one thing times the size of another: each is found by itself."""
    side = SignFitter(p.probe.signals, np.sign(p.y))
    found = [form for form in sign_forms(side, p.columns, p.stop, most=2) if form.error < 2e-3]
    if not found:
        return
    direction: Node = ("sign", as_node(snap_sign(side, found[0])))
    # Where the sign is 0 nothing is known of the size.
    sized = seen_as(p, lambda y, layout: np.abs(_known(y, layout)))
    yield from _slot_sizes(p, sized.probe, direction)
    inner = replace(sized, own=(), columns=tuple(("abs", c) for c in p.columns))
    for form in (softened if p.facts.degree is None else multiplied)(inner):
        refined = p.probe.refine(tuple(times(direction, term) for term in form.terms)) if form.error < CLOSE else None
        if refined is not None:
            yield refined


def _slot_sizes(p: Problem, sized: Fitter, direction: Node) -> Iterator[Form]:
    """Powers of single slots as sizes, where the degree of the target is known."""
    degree = p.facts.degree
    if degree is None:
        return
    candidates = [
        power(slot, degree / size_degree) if degree else slot
        for x, size_degree in sizes(p.facts)
        for slot in (*averages(x, p.facts), *slots_of_slots(x, p.facts))
    ]
    for scored in rank(Relaxation(sized, [("abs", direction)]), candidates, 6, p.stop):
        refined = p.probe.refine((times(direction, scored.factor),))
        if refined is not None:
            yield refined


def seen_as(p: Problem, change: Callable[[Array, Layout], Array]) -> Problem:
    """The problem whose target is a function of the recorded one, `[R, E, T]` both; NaN where that tells nothing."""
    (_, far), layout, bulk = fitter_on(p, ("large",)), p.probe.signals.layout, p.bulk.signals
    y, many = change(p.y, layout), change(bulk_target(p.recording, p.facts), bulk.layout)
    level = level_of(y)
    return replace(
        p,
        facts=replace(p.facts, level=level),
        y=y,
        probe=Fitter(p.probe.signals, y),
        large=Fitter(p.large.signals, change(far, layout)),
        sides=y / (level or 1.0),
        bulk=SignFitter(bulk, many / (level or 1.0)),
    )


def masked(p: Problem) -> Iterator[Form]:
    """Updates that are set to zero where two quantities disagree, the others perhaps grown to make up for it.

    What is left is fitted, times the share that is left of each tensor in the second case; then the rule of the zeros is found.
    """
    idle = (p.y == 0) & (p.probe.signals(G) != 0)
    if not 0.03 < idle.mean() < 0.9:
        return
    fitted = _opponents(p)
    for grown in (False, True):
        seen = seen_as(p, _grown_back if grown else _known)
        seen = replace(seen, facts=replace(seen.facts, elementwise=True))
        for stage in (signed, linear, multiplied, softened):
            for form in stage(seen):
                if form.error < CLOSE:
                    yield from _gates_of(p, form, fitted, grown)


def _opponents(p: Problem) -> list[Node]:
    """What the gradient agrees with where the update is not zero, and disagrees with elsewhere: sums of filtered gradients."""

    def side(y: Array, g: Array) -> Array:
        return np.where(g == 0, np.nan, np.where(y == 0, -1.0, 1.0) * np.sign(g))

    bulk = SignFitter(p.bulk.signals, side(bulk_target(p.recording, p.facts), p.bulk.signals(G)))
    asked = replace(p, facts=replace(p.facts, level=1.0), sides=side(p.y, p.probe.signals(G)), bulk=bulk)
    asked = replace(asked, probe=Fitter(p.probe.signals, asked.sides))
    return [as_node(form) for form in signed(asked) if form.error < 1e-3][:2]


def _known(y: Array, layout: Layout) -> Array:
    """What is not zero."""
    del layout
    return np.where(y == 0, np.nan, y)


def _grown_back(y: Array, layout: Layout) -> Array:
    """What is not zero times the share of its tensor that is not; a tensor that is idle as a whole tells nothing."""
    out = np.full(y.shape, np.nan)
    for part in layout.slices():
        share = (y[:, part] != 0).mean(axis=1, keepdims=True)
        out[:, part] = _known(y[:, part] * share, layout)
    return out


def _gates_of(p: Problem, form: Form, fitted: Sequence[Node], grown: bool) -> Iterator[Form]:
    """The form where the gradient agrees with one of its parts, 0 elsewhere."""
    whole = as_node(form)
    terms: tuple[Node, ...] = (("sign", whole),) if form.outer == "sign" else form.terms
    for other in (*fitted, *terms, whole, *signs(p.facts)):
        gate = gates(G, other)[0]
        factor: Node = ("ratio", gate, ("max", ("mean", gate), 1e-3)) if grown else gate
        gated_form = p.probe.refine(tuple(times(factor, t) for t in terms))
        if gated_form is not None and gated_form.error < CLOSE:
            yield gated_form


def as_node(form: Form) -> Node:
    """The sum inside a form as one node."""
    total: Node | None = None
    for term, c in zip(form.terms, form.coefficients, strict=True):
        size: Node = term if abs(c) == 1.0 else ("mul", abs(float(c)), term)
        if total is None:
            total = size if c > 0 else ("neg", size)
        else:
            total = ("add" if c > 0 else "sub", total, size)
    assert total is not None
    return total
