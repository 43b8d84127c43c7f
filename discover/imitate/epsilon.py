"""Small numbers that only show where gradients are small: inside denominators, and as first values of slots."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from discover.imitate.fit import Fitter, Form
from discover.imitate.products import EXACT, replaced
from discover.imitate.signals import SLOTS, G, Node

_SIZES = tuple(10.0**k for k in range(-14, 3))


def with_epsilons(fitter: Fitter, form: Form, most: int = 3, kept: int = 3) -> Form:
    """The form with up to `most` fitted numbers added along its denominators, as long as each brings it much closer.

    The `kept` closest are taken along: a number beside a slot and one that the slot starts with look alike until the next is in place.
    """
    best, forms = form, [form]
    for _ in range(most):
        if best.error < EXACT:
            break
        trials = {f.terms: f for last in forms for terms in _placements(fitter, last) if (f := fitter.refine(terms)) is not None}
        forms = sorted((f for f in trials.values() if f.error < 0.7 * best.error), key=lambda f: f.error)[:kept]
        if not forms:
            break
        best = forms[0]
    return best


def _placements(fitter: Fitter, form: Form) -> Iterator[tuple[Node, ...]]:
    """Terms with one number added at one place, at its best size on a grid; the best places."""
    found: list[tuple[float, tuple[Node, ...]]] = []
    for site in denominators(form.terms):
        for op in ("add", "max"):
            tried = [(fitter.error(terms), terms) for size in _SIZES for terms in [replaced(form.terms, site, (op, site, size))]]
            found.append(min(tried, key=lambda pair: pair[0]))
        late = _corrected_late(site)
        if late is not None:
            tried = [(fitter.error(terms), terms) for size in _SIZES for terms in [replaced(form.terms, site, late(size))]]
            found.append(min(tried, key=lambda pair: pair[0]))
    for slot in _slots(form.terms):
        tried = [(fitter.error(terms), terms) for size in _SIZES for terms in [replaced(form.terms, slot, _started(slot, size))]]
        found.append(min(tried, key=lambda pair: pair[0]))
    found.sort(key=lambda pair: pair[0])
    yield from (terms for _, terms in found[:4])


def _corrected_late(site: Node) -> Callable[[float], Node] | None:
    """The root of a corrected average with a number added before the correction, as older codes of Adam have it."""
    if site[0] != "sqrt" or site[1][0] != "debiased":
        return None
    _, x, b = site[1]
    return lambda size: ("mul", ("sqrt", ("debias", ("ones", G), b)), ("add", ("sqrt", ("ema", x, b)), size))


def _slots(terms: tuple[Node, ...]) -> list[Node]:
    """Slots that start at zero and could start elsewhere."""
    found: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node[0] in ("ema", "pulled", "debiased") and len(node) == 3:
            found.setdefault(node)
        for arg in node[1:]:
            if isinstance(arg, tuple):
                visit(arg)

    for term in terms:
        visit(term)
    return list(found)


def _started(slot: Node, value: float) -> Node:
    op, x, b = slot
    return ("debias", ("ema", x, b, value), b, 0) if op == "debiased" else (op, x, b, value)


def denominators(terms: tuple[Node, ...]) -> list[Node]:
    """What is divided by, and what it is a plain function of, down to the slots."""
    found: list[Node] = []

    def visit(node: Node) -> None:
        if node[0] == "ratio":
            below = node[2]
            while isinstance(below, tuple):
                if below not in found:
                    found.append(below)
                if below[0] in SLOTS and below[0] not in ("debias", "record") or len(below) < 2:
                    break
                below = below[1]
        for arg in node[1:]:
            if isinstance(arg, tuple):
                visit(arg)

    for term in terms:
        visit(term)
    return found
