"""Width scaling: the tables, and rules that follow them."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from search_space import load, mup, optimizer
from search_space.parametrisation import DECAY_RULES, PARAMETRISATIONS, Scales, tensor_scales
from search_space.parse import parse_program
from search_space.program import Program
from search_space.reference import Reference
from search_space.width import fold, width_rule

M = 4.0
PAGE = Path(__file__).parents[2] / "docs" / "mup.md"


class Info(NamedTuple):
    role: str
    width_mult: float = M


METADATA = {"a": Info("input"), "b": Info("hidden"), "c": Info("output"), "d": Info("vector"), "e": Info("vector", 1.0)}
SHAPES = {"a": (3, 4), "b": (4, 4), "c": (4, 2), "d": (4,), "e": (2,)}


def tree(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in SHAPES.items()}


def factors(role: str, parametrisation: str, rule: str) -> float:
    return fold(width_rule(single(rule)), tensor_scales(Info(role), parametrisation)).learning_rate


def single(rule: str) -> Program:
    program = load(rule)
    assert isinstance(program, Program)
    return program


def train(tx: optax.GradientTransformation, steps: int = 3) -> Any:
    params = tree(0)
    state = tx.init(params)
    update = jax.jit(tx.update)
    for k in range(steps):
        updates, state = update(tree(k + 1), state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize(
    ("parametrisation", "rule", "expected"),
    [  # Tensor Programs V, table 3 (multipliers folded): input, hidden, output, vector; the kernel limit: the rate of SGD over fan-in
        ("mup", "sgd", (M, 1.0, 1 / M, M)),
        ("mup", "adam", (1.0, 1 / M, 1 / M, 1.0)),
        ("mup", "lion", (1.0, 1 / M, 1 / M, 1.0)),
        ("ntp", "sgd", (1.0, 1 / M, 1 / M, 1.0)),
        ("sp", "sgd", (1.0, 1.0, 1.0, 1.0)),
        ("sp", "lamb", (1.0, 1.0, 1.0, 1.0)),
        ("mup", "lamb", (1.0, M**-0.5, 1.0, 1.0)),
    ],
)
def test_learning_rates_of_the_tables(parametrisation: str, rule: str, expected: tuple[float, ...]) -> None:
    assert tuple(factors(role, parametrisation, rule) for role in ("input", "hidden", "output", "vector")) == expected


def test_initial_weights_of_the_tables() -> None:
    for parametrisation, output in (("sp", 1.0), ("ntp", 1.0), ("mup", M**-0.5)):
        scaled = mup.scale_init(tree(0), METADATA, parametrisation)
        for name, k in {"a": 1.0, "b": 1.0, "c": output, "d": 1.0, "e": 1.0}.items():
            np.testing.assert_allclose(scaled[name], tree(0)[name] * k, rtol=1e-6)
    zero = mup.scale_init(tree(0), METADATA, zero_readout=True)
    assert not zero["c"].any() and zero["e"].any()


def test_epsilon_follows_the_gradient() -> None:
    """Entries of gradients shrink as 1/m but for the readout's; ε of Adam is added to √v, ε of RMSProp to v."""
    for rule, power in (("adam", -1.0), ("rmsprop", -2.0)):
        for role, shrinks in (("input", 1.0), ("hidden", 1.0), ("output", 0.0), ("vector", 1.0)):
            found = fold(width_rule(single(rule)), tensor_scales(Info(role))).hypers["eps"]
            assert found == pytest.approx(M ** (power * shrinks))


RULES = ("sgd", "momentum", "adam", "rmsprop", "lion", "nadam", "lamb", "lars", "adafactor", "sign_sgd", "adagrad")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("role", ["input", "hidden", "output"])
def test_the_folded_table_does_what_scaled_gradients_do(rule: str, role: str) -> None:
    program, scales = single(rule), tensor_scales(Info(role))
    found = width_rule(program)
    assert found.kind == "homogeneous" and found.weights.update is not None
    defaults = {h.name: h.default or (0.01 if h.name == "decay" else 0.0) for h in program.hypers}
    scales = scales._replace(rows=1.0, columns=1.0)  # the tensor is the same
    folded = fold(found, scales)
    plain = Reference(program, [(4, 3)], {k: v * folded.hypers.get(k, 1.0) for k, v in defaults.items()})
    scaled = Reference(program, [(4, 3)], {**defaults, "decay": defaults["decay"] * scales.decay / scales.weights})
    rng, a, b = np.random.default_rng(0), plain.init(), scaled.init()
    for _ in range(3):
        g, w = rng.normal(size=(2, 4, 3)).astype(np.float32)
        x, a = plain.update([g], a, [w], 0.1 * folded.learning_rate)
        y, b = scaled.update([g * scales.gradient], b, [w * scales.weights], 0.1)
        np.testing.assert_allclose(x[0], y[0] * scales.update, rtol=3e-5, atol=1e-7)


@pytest.mark.parametrize("rule", ["adamw", "lamb"])
def test_scaling_inside_and_outside_agree(rule: str) -> None:
    for decay_rule in DECAY_RULES if rule == "adamw" else ("sqrt",):  # weights that LAMB's ratio reads follow their units
        inside = mup.optimizer(rule, 0.1, METADATA, decay_rule=decay_rule, decay=0.1 if rule == "adamw" else 0.0)
        outside = mup.scale(optimizer(rule, 0.1, decay=0.1 if rule == "adamw" else 0.0), METADATA, decay_rule=decay_rule)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6), train(inside), train(outside))


def test_equal_to_adamw_with_rates_by_hand() -> None:
    """The published form (microsoft/mup): Adam's rate over width_mult for matrices, decay times it; here ε goes with the gradients."""
    labels = {"a": "one", "b": "over_m", "c": "over_m", "d": "one", "e": "plain"}
    by_hand = optax.partition(
        {
            "one": optax.adamw(0.1, eps=0.01 / M, weight_decay=0.1),
            "over_m": optax.adamw(0.1 / M, eps=0.01, weight_decay=0.1 * M),
            "plain": optax.adamw(0.1, eps=0.01, weight_decay=0.1),
        },
        labels,
    )
    metadata = {**METADATA, "b": Info("output")}  # whose gradients keep their size
    ours = mup.optimizer("adamw", 0.1, metadata, decay_rule="linear", eps=0.01, decay=0.1)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6), train(ours), train(by_hand))


@pytest.mark.parametrize(("decay_rule", "power"), [("constant", 0.0), ("sqrt", 0.5), ("linear", 1.0)])
def test_decay_rules(decay_rule: Any, power: float) -> None:
    """With zero gradients only decay is left: of hidden matrices it is lr/m · λ·m^power; all else keeps lr · λ."""
    expected = {name: 0.1 * 0.2 * (M ** (power - 1.0) if name == "b" else 1.0) for name in SHAPES}
    params, zeros = tree(0), jax.tree.map(jnp.zeros_like, tree(0))
    for tx in (
        mup.optimizer("adamw", 0.1, METADATA, decay_rule=decay_rule, decay=0.2),
        mup.scale(optax.adamw(0.1, weight_decay=0.2), METADATA, decay_rule=decay_rule),
    ):
        updates, _ = tx.update(zeros, tx.init(params), params)
        for name, k in expected.items():
            np.testing.assert_allclose(updates[name], -k * params[name], rtol=1e-5)


def test_rules_that_keep_weights_stay_consistent() -> None:
    text = "def kept(w, g, lr, *, z: full = first(w)):\n    z = z - lr * g\n    return w - z"
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        train(mup.optimizer(text, 0.1, METADATA)),
        train(mup.optimizer("sgd", 0.1, METADATA)),
    )


def test_masks_and_schedules_still_work() -> None:
    mask = {name: name == "b" for name in SHAPES}
    tx = mup.optimizer("adamw", lambda count: 0.1 / (1 + count), METADATA, mask=mask, decay=0.2)
    zeros = jax.tree.map(jnp.zeros_like, tree(0))
    state = tx.init(tree(0))
    for rate in (0.1, 0.05):
        updates, state = tx.update(zeros, state, tree(0))
        np.testing.assert_allclose(updates["b"], -rate * 0.2 * tree(0)["b"], rtol=1e-5)
        assert not updates["a"].any()


def test_kinds_of_rules() -> None:
    kinds = {"adam": "homogeneous", "sgd": "homogeneous", "adabelief": "not homogeneous", "shampoo": "matrix"}
    for name, kind in kinds.items():
        program = load(name)
        part = program if isinstance(program, Program) else program.parts[0][1]
        assert width_rule(part).kind == kind and kind.split()[-1] in width_rule(part).verdict()
    assert width_rule(single("schedule_free_sgd")).shared == "peak"
    with pytest.raises(ValueError, match="not homogeneous"):
        fold(width_rule(single("adabelief")), Scales(1, 1, 1, 1, 1))


def test_sums_are_corrected_for_the_size_of_the_tensor() -> None:
    """Gradients over their norm have entries that shrink with the root of the tensor's size; a clipping threshold must grow with it."""
    normalised = width_rule(parse_program("def r(w, g, lr):\n    return lr * ratio(g, norm(g))"))
    assert [fold(normalised, tensor_scales(Info(role))).learning_rate for role in ("input", "hidden", "output")] == [2.0, 1.0, 0.5]
    assert fold(normalised, tensor_scales(Info("hidden"), "sp")).learning_rate == 1.0
    clipped = width_rule(parse_program("def r(w, g, lr, *, c: scale = 1.0):\n    return lr * g * min(1.0, ratio(c, global_norm(g)))"))
    factors = mup.multipliers(METADATA)
    assert [fold(clipped, factors[k]).hypers["c"] * factors[k].gradient for k in "abc"] == [M, M, M]


def test_nothing_changes_at_the_base_width() -> None:
    for parametrisation in PARAMETRISATIONS:
        for role in ("input", "hidden", "output", "vector"):
            assert tensor_scales(Info(role, 1.0), parametrisation) == Scales(1.0, 1.0, 1.0, 1.0, 1.0)


def test_traced_gradients_of_a_plan_are_scaled_too() -> None:
    program = parse_program("def two(w, g, lr, q=gradient(w)):\n    return lr * (g + q)")
    tx = mup.optimizer(program, 0.1, METADATA)
    plain = mup.optimizer("sgd", 0.2, METADATA)
    g = tree(1)
    updates, _ = tx.update(g, tx.init(tree(0)), tree(0), q=g)
    expected, _ = plain.update(g, plain.init(tree(0)), tree(0))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), updates, expected)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: mup.multipliers(METADATA, "mupp"), "unknown parametrisation 'mupp'; allowed: sp, ntp, mup"),
        (lambda: mup.multipliers(METADATA, decay_rule="root"), "unknown decay rule 'root'; allowed: constant, sqrt, linear"),
        (lambda: mup.multipliers({"a": Info("middle")}), "unknown role 'middle'; allowed: input, hidden, output, vector"),
        (lambda: mup.multipliers({"a": None}), "metadata needs a role and a width_mult for every tensor, found None"),
        (lambda: mup.multipliers({"a": Info("input", 0.0)}), "width_mult must be positive"),
    ],
)
def test_mistakes_are_one_line(action: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        action()
    assert "\n" not in str(error.value)


def test_the_page() -> None:
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted > 10 and found.failed == 0
