"""Short decimals in place of fitted constants, wherever the recorded data does not tell them apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from discover.imitate.epsilon import denominators
from discover.imitate.fit import Fitter, Form
from discover.imitate.products import replaced
from discover.imitate.signals import Node, constant_sites, with_constants
from discover.imitate.signfit import SignFitter

_DIGITS = (1, 2, 3, 4, 5)


def snap(fitter: Fitter, form: Form) -> Form:
    """The form with each constant as short as the data allows, the others refitted; coefficients last."""
    form = _all_short(fitter, form)
    budget = 1.1 * form.error + 1e-6
    form = _tie(fitter, form, budget)
    root: Node = ("terms", *form.terms)
    for site, (kind, _) in enumerate(constant_sites(root)):
        root = _snap_site(fitter, root, site, kind, budget)
    terms = root[1:]
    solved = fitter.solve(terms)
    if solved is None:
        return form
    coefficients = tuple(float(c) for c in solved[0])
    return replace(form, terms=terms, coefficients=_snap_coefficients(fitter, terms, coefficients, budget))


def _all_short(fitter: Fitter, form: Form) -> Form:
    """The form with all constants shortened at once where that is closer: a fit may end in a valley where no single one can move."""
    root: Node = ("terms", *form.terms)
    sites = constant_sites(root)
    for decimals in _DIGITS[:4]:
        for digits in _DIGITS[:2]:
            values = tuple(short(value, decimals if kind == "unit" else digits, kind) for kind, value in sites)
            terms = with_constants(root, values)[1:]
            solved = fitter.solve(terms)
            error = form.error if solved is None else float((solved[1] @ solved[1]) ** 0.5)
            if solved is not None and error < form.error:
                form = replace(form, terms=terms, coefficients=tuple(float(c) for c in solved[0]), error=error)
    return form


def with_sums(form: Form) -> Form:
    """The form with averages written as decaying sums, `s = b * s + x`, where that shortens its coefficients."""
    below = denominators(form.terms)
    for node in {n: None for term in form.terms for n in averages_in(term)}:
        if any(contains(d, node) for d in below):
            continue
        gain = 1.0 - node[2]
        scaled = tuple(_near(c * gain) if node in averages_in(t) else c for t, c in zip(form.terms, form.coefficients, strict=True))
        if _digits(scaled) < _digits(form.coefficients):
            form = replace(form, terms=replaced(form.terms, node, ("trace", *node[1:])), coefficients=scaled)
    return form


def _near(value: float) -> float:
    """The shortest number within the precision that coefficients were snapped to."""
    return next((v for d in _DIGITS if abs((v := short(value, d, "number")) - value) < 3e-5 * abs(value)), value)


def _digits(values: tuple[float, ...]) -> int:
    return sum(len(f"{v:g}") for v in values if abs(v) != 1.0)


def contains(node: Node, inner: Node) -> bool:
    """Whether one node lies in another."""
    return node == inner or any(contains(arg, inner) for arg in node[1:] if isinstance(arg, tuple))


def averages_in(term: Node) -> list[Node]:
    """Averages that a term is proportional to: reached through products and numerators only."""
    if term[0] == "ema":
        return [term]
    if term[0] in ("ratio", "mul"):
        return [found for arg in term[1 : 2 if term[0] == "ratio" else 3] if isinstance(arg, tuple) for found in averages_in(arg)]
    return []


def _tie(fitter: Fitter, form: Form, budget: float) -> Form:
    """Constants of one kind that nearly agree are made equal, so that slots merge."""
    root: Node = ("terms", *form.terms)
    sites = constant_sites(root)
    values = [value for _, value in sites]
    for i, (kind, _) in enumerate(sites):
        for j in range(i):
            if kind == sites[j][0] == "unit" and values[i] != values[j] and abs(values[i] - values[j]) < 0.1 * (1 - values[j]) + 1e-4:
                trial = [*values[:i], values[j], *values[i + 1 :]]
                if fitter.error(with_constants(root, tuple(trial))[1:]) <= max(budget, 3 * form.error):
                    values = trial
    # Equal nodes are one node now, so the number of sites may have shrunk.
    return replace(form, terms=with_constants(root, tuple(values))[1:])


def _snap_site(fitter: Fitter, root: Node, site: int, kind: str, budget: float) -> Node:
    sites = constant_sites(root)
    if site >= len(sites):
        return root
    values = [value for _, value in sites]
    for digits in _DIGITS:
        values[site] = short(sites[site][1], digits, kind)
        trial = with_constants(root, tuple(values))
        if fitter.error(trial[1:]) <= budget:
            return trial
    return root


def short(value: float, digits: int, kind: str) -> float:
    """A number with few digits: decimals for a decay, significant digits otherwise."""
    if kind == "unit":
        return min(max(round(value, digits), 0.0), 1.0)
    return float(f"{value:.{digits}g}")


def _snap_coefficients(fitter: Fitter, terms: tuple[Node, ...], coefficients: tuple[float, ...], budget: float) -> tuple[float, ...]:
    columns = fitter.columns(terms)
    if columns is None:
        return coefficients

    def error(trial: tuple[float, ...]) -> float:
        left = fitter.y - columns @ trial
        return float((left @ left) ** 0.5) / fitter.norm

    # The fitted optimum sits in rounding noise: allow each coefficient the same small excess.
    return _shorten(coefficients, error, max(budget, 2e-5))


def _shorten(values: tuple[float, ...], error: Callable[[tuple[float, ...]], float], budget: float) -> tuple[float, ...]:
    now = list(values)
    for k, value in enumerate(values):
        for digits in _DIGITS:
            trial = [*now[:k], short(value, digits, "number"), *now[k + 1 :]]
            if error(tuple(trial)) <= budget:
                now = trial
                break
    return tuple(now)


def snap_sign(fitter: SignFitter, form: Form) -> Form:
    """A sign form with short constants and coefficients (as a weighted mean, or relative to the first term) that flips no further point."""
    budget = form.error + 0.5 / fitter.y.size
    root: Node = ("terms", *form.terms)
    sites = constant_sites(root)
    best = form
    best_cost = 1000
    for digits in _DIGITS:
        values = tuple(short(value, digits, kind) for kind, value in sites)
        terms = with_constants(root, values)[1:]
        for normal in _normalised(form.coefficients):
            for more in _DIGITS:
                coefficients = tuple(short(c, more, "number") for c in normal)
                if len(normal) == 2 and abs(sum(normal) - 1) < 1e-9:
                    coefficients = (coefficients[0], round(1 - coefficients[0], 9))
                cost = digits * max(len(sites), 1) + more * (len(normal) - 1)
                if cost < best_cost and fitter.flips(terms, coefficients) <= budget:
                    best, best_cost = replace(form, terms=terms, coefficients=coefficients), cost
    return best


def _normalised(coefficients: tuple[float, ...]) -> list[tuple[float, ...]]:
    found = []
    total = sum(coefficients)
    if all(c > 0 for c in coefficients):
        found.append(tuple(c / total for c in coefficients))
    for c in coefficients:
        if c != 0:
            found.append(tuple(v / abs(c) for v in coefficients))
    return found


def length(form: Form) -> int:
    """Digits of a form's numbers and its terms; a weighted mean needs one number fewer."""
    numbers = [value for _, value in constant_sites(("terms", *form.terms))]
    free = [c for c in form.coefficients if abs(c) != 1.0]
    mean = len(form.terms) == 2 and abs(sum(form.coefficients) - 1.0) < 1e-9 and min(form.coefficients) > 0
    digits = sum(len(f"{c:g}") for c in numbers) + sum(len(f"{c:g}") for c in free[: 1 if mean else None])
    return digits + 3 * len(form.terms) - 2 * mean
