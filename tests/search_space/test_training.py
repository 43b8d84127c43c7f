"""Query plans are carried out as written: what is evaluated, where, how often, and what it costs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose

from search_space import Losses, RuleError, cost_per_step, evaluation_params, load, optimizer, training_step, wrap

RNG = np.random.default_rng(0)
W = {"a": jnp.asarray(RNG.normal(size=(3, 2)), jnp.float32), "b": jnp.asarray(RNG.normal(size=2), jnp.float32)}
X = jnp.asarray(RNG.normal(size=(5, 3)), jnp.float32)
Y = jnp.asarray(RNG.normal(size=(5, 2)), jnp.float32)


def outputs(p: Any, x: Any, y: Any) -> Any:
    return jnp.tanh(x @ p["a"]) + p["b"]


def output_loss(o: Any, x: Any, y: Any) -> Any:
    return jnp.mean((o - y) ** 2)


def loss(p: Any, x: Any, y: Any) -> Any:
    return output_loss(outputs(p, x, y), x, y)


def examples(p: Any, x: Any, y: Any) -> Any:
    return jnp.mean((outputs(p, x, y) - y) ** 2, axis=1)


def sampled(p: Any, x: Any, y: Any, key: Any) -> Any:
    o = outputs(p, x, y)
    return output_loss(o, x, jax.lax.stop_gradient(o) + jax.random.normal(key, o.shape))


LOSSES = Losses(loss, sampled, examples, outputs, output_loss)


def flat(tree: Any) -> np.ndarray:
    return np.asarray(jax.flatten_util.ravel_pytree(tree)[0], np.float64)  # type: ignore[attr-defined]


def moved(text: str, losses: Any = LOSSES, lr: float = 1.0, steps: int = 1, **options: Any) -> list[np.ndarray]:
    """What each step subtracted from the weights, as one vector."""
    init, step = training_step(text, lr, losses, **options)
    p, state, out = W, init(W), []
    for _ in range(steps):
        new, state, _ = step(p, state, X, Y)
        out.append(flat(p) - flat(new))
        p = new
    return out


def one(query: str, result: str = "x") -> np.ndarray:
    """The first update of a rule that returns a query's result."""
    return moved(f"def r(w, g, lr, x={query}):\n    return {result}")[0]


def hessian() -> np.ndarray:
    start, unravel = jax.flatten_util.ravel_pytree(W)  # type: ignore[attr-defined]
    return np.asarray(jax.hessian(lambda v: loss(unravel(v), X, Y))(start))


def jacobian() -> np.ndarray:
    start, unravel = jax.flatten_util.ravel_pytree(W)  # type: ignore[attr-defined]
    return np.asarray(jax.jacrev(lambda v: outputs(unravel(v), X, Y).reshape(-1))(start))


def test_gradient_and_value_at_another_point() -> None:
    there = jax.tree.map(lambda w: 0.5 * w, W)
    assert_allclose(one("gradient(0.5 * w)"), flat(jax.grad(loss)(there, X, Y)), rtol=1e-4, atol=1e-6)
    assert_allclose(one("value(0.5 * w)", "0.0 * w + x"), np.full(8, loss(there, X, Y)), rtol=1e-5)


def test_products_with_the_hessian_and_with_gauss_newton() -> None:
    g = flat(jax.grad(loss)(W, X, Y))
    assert_allclose(one("hessian_vector(g)"), hessian() @ g, rtol=1e-4, atol=1e-6)
    jac = jacobian()
    assert_allclose(one("gauss_newton_vector(g)"), jac.T @ (jac @ g) * 2 / Y.size, rtol=1e-4, atol=1e-6)


def test_mean_square_gradient() -> None:
    each = [flat(jax.grad(loss)(W, X[i : i + 1], Y[i : i + 1])) for i in range(5)]
    assert_allclose(one("mean_square_gradient()"), np.mean(np.square(each), axis=0), rtol=1e-4, atol=1e-7)


def test_sampled_gradient_draws_anew_each_step_from_its_seed() -> None:
    text = "def r(w, g, lr, x=sampled_gradient()):\n    return 0.0001 * x"  # a small step, so that weights hardly change
    first, again, other = (moved(text, steps=3, seed=s) for s in (0, 0, 1))
    assert_allclose(first, again, rtol=0)
    assert np.abs(first[0] - first[1]).max() > 1e-6 < np.abs(first[0] - other[0]).max()
    key = jax.random.fold_in(jax.random.key(0), 0)
    assert_allclose(1e4 * first[0], flat(jax.grad(sampled)(W, X, Y, key)), rtol=0.01, atol=0.01)


def test_order_points_read_what_was_evaluated_before_them() -> None:
    text = "def r(w, g, lr, a=gradient(w - g), v=vector(a - g), b=gradient(w - v)):\n    return b"
    g = jax.grad(loss)(W, X, Y)
    a = jax.grad(loss)(jax.tree.map(jnp.subtract, W, g), X, Y)
    point = jax.tree.map(lambda w, a, g: w - (a - g), W, a, g)
    assert_allclose(moved(text)[0], flat(jax.grad(loss)(point, X, Y)), rtol=1e-4, atol=1e-5)


def test_points_read_slots_as_they_are_before_the_step_and_the_step_s_own_t_and_rate() -> None:
    text = "def r(w, g, lr, x=gradient(w - lr * t * m), *, m: full = ones):\n    m = m + 1.0\n    return x"
    init, step = training_step(text, lambda count: 0.1 * (count + 1), loss)
    p, state = W, init(W)
    for t in (1, 2, 3):
        point = jax.tree.map(lambda w, t=t: w - 0.1 * t * t * t, p)  # rate 0.1 t, m = t
        new, state, value = step(p, state, X, Y)
        assert_allclose(flat(p) - flat(new), flat(jax.grad(loss)(point, X, Y)), rtol=1e-3, atol=1e-5)
        assert_allclose(value, loss(point, X, Y), rtol=1e-5)
        p = new


def test_a_period_evaluates_at_1_4_7_and_gives_zeros_between() -> None:
    steps = moved("def r(w, g, lr, x=gradient(w, every=3)):\n    return x", steps=7)
    assert [bool(np.any(u)) for u in steps] == [True, False, False, True, False, False, True]


def calls(text: str, losses: Losses = LOSSES) -> int:
    """How often the loss is traced in one step."""
    count = 0

    def counted(*args: Any) -> Any:
        nonlocal count
        count += 1
        return loss(*args)

    init, step = training_step(text, 0.1, losses._replace(loss=counted))
    jax.eval_shape(step, W, init(W), X, Y)
    return count


@pytest.mark.parametrize(
    ("text", "traced", "total"),
    [
        ("def r(w, g, lr):\n    return g", 1, 1.0),
        ("def r(w, g, lr, f):\n    return f * w", 1, 1.0),
        ("def r(w, g, lr, x=gradient(0.5 * w)):\n    return x", 1, 1.0),
        ("def r(w, g, lr, x=gradient(0.5 * w)):\n    return x + 0.0 * g", 2, 2.0),
        ("def r(w, g, lr, x=gradient(w - g)):\n    return x", 2, 2.0),
        ("def r(w, g, lr, x=gradient(0.5 * w), y=vector(x)):\n    return y", 1, 1.0),
        ("def r(w, g, lr, x=value(0.5 * w)):\n    return x * g", 2, 4 / 3),
        ("def r(w, g, lr, x=hessian_vector(w)):\n    return x + g", 2, 3.0),
        ("def r(w, g, lr, x=gradient(0.5 * w, every=4)):\n    return g + x", 2, 1.25),
        ("def r(w, g, lr, x=gauss_newton_vector(w)):\n    return x + g", 1, 3.0),
    ],
)
def test_no_more_is_evaluated_than_is_counted(text: str, traced: int, total: float) -> None:
    program = load(text)
    assert cost_per_step(program)["total"] == pytest.approx(total)  # type: ignore[arg-type]
    compiled_more = 1 if "every=" in text else 0  # a conditional is traced once more for its shape
    assert calls(text) == traced + compiled_more


def test_the_value_is_the_loss_at_the_first_point() -> None:
    for text, point in (("def r(w, g, lr):\n    return lr * g", 1.0), ("def r(w, g, lr, x=gradient(0.5 * w)):\n    return x", 0.5)):
        init, step = training_step(text, 0.1, loss)
        assert_allclose(step(W, init(W), X, Y)[2], loss(jax.tree.map(lambda w: point * w, W), X, Y), rtol=1e-6)  # noqa: B023


def test_query_inputs_are_keywords_of_the_step() -> None:
    init, step = training_step("def r(w, g, lr, examples):\n    return lr * examples * w", 1.0, loss)
    assert_allclose(flat(step(W, init(W), X, Y, examples=5)[0]), -4 * flat(W), rtol=1e-6)


def test_jit_scan_and_vmap_agree_with_plain_steps() -> None:
    init, step = training_step("sam", 0.1, loss)

    def train(p: Any, count: int = 4) -> Any:
        return jax.lax.scan(lambda c, _: (lambda r: ((r[0], r[1]), r[2]))(step(*c, X, Y)), (p, init(p)), None, length=count)

    p, state = W, init(W)
    for _ in range(4):
        p, state, _ = step(p, state, X, Y)
    (scanned, _), values = jax.jit(train)(W)
    assert_allclose(flat(scanned), flat(p), rtol=1e-4, atol=1e-6)
    assert values.shape == (4,)
    pair = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), W)
    (mapped, _), _ = jax.vmap(train)(pair)
    assert_allclose(flat(jax.tree.map(lambda x: x[0], mapped)), flat(p), rtol=1e-4, atol=1e-6)


def test_learning_rates_and_hyperparameters_may_be_mapped_over() -> None:
    def one_step(lr: Any, radius: Any) -> Any:
        init, step = training_step("sam", lr, loss, radius=radius)
        return step(W, init(W), X, Y)[0]

    many = jax.vmap(one_step)(jnp.asarray([0.1, 0.2]), jnp.asarray([0.05, 0.5]))
    assert_allclose(flat(jax.tree.map(lambda x: x[1], many)), flat(one_step(0.2, 0.5)), rtol=1e-5, atol=1e-6)


def test_the_second_call_does_not_compile_again() -> None:
    init, step = training_step("sam", 0.1, loss)
    jitted = jax.jit(step)
    p, state = W, init(W)
    for _ in range(3):
        p, state, _ = jitted(p, state, X, Y)
    assert jitted._cache_size() == 1  # type: ignore[attr-defined]


def test_an_optax_loop_passes_evaluations_by_name() -> None:
    init, step = training_step("sam", 0.1, loss, radius=0.3)
    expected = step(W, init(W), X, Y)[0]
    tx = optimizer("sam", 0.1, radius=0.3)
    g = jax.grad(loss)(W, X, Y)
    norm = optax.tree.norm(g)
    there = jax.grad(loss)(jax.tree.map(lambda w, x: w + 0.3 * x / norm, W, g), X, Y)
    u, _ = tx.update(g, tx.init(W), W, gs=there)
    assert_allclose(flat(optax.apply_updates(W, u)), flat(expected), rtol=1e-5, atol=1e-6)


def test_more_may_be_put_around_a_rule_with_a_plan() -> None:
    init, step = training_step("xgrad_momentum", 0.1, loss, around=lambda tx: wrap("ema", optax.chain(tx, optax.scale(0.5)), decay=0.5))
    plain, plain_step = training_step("xgrad_momentum", 0.1, loss)
    p, state, q, kept = W, init(W), W, plain(W)
    average = W
    for _ in range(3):
        before = p
        p, state, _ = step(p, state, X, Y)
        q, kept, _ = plain_step(before, kept, X, Y)
        assert_allclose(flat(p) - flat(before), 0.5 * (flat(q) - flat(before)), rtol=1e-3, atol=1e-6)
        average = jax.tree.map(lambda a, w: (a + w) / 2, average, p)
    assert_allclose(flat(evaluation_params("ema", state, p, decay=0.5)), flat(average), rtol=1e-5, atol=1e-6)


def test_a_mask_says_where_weights_decay() -> None:
    init, step = training_step("sgd", 0.1, loss, mask={"a": True, "b": False}, decay=0.5)
    masked = step(W, init(W), X, Y)[0]
    init, step = training_step("sgd", 0.1, loss)
    plain = step(W, init(W), X, Y)[0]
    assert_allclose(masked["b"], plain["b"], rtol=1e-6)
    assert_allclose(masked["a"], plain["a"] - 0.05 * W["a"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: training_step("def r(w, g, lr, x=sampled_gradient()):\n    return x", 1.0, loss), RuleError, "sampled=..."),
        (lambda: training_step("def r(w, g, lr, x=mean_square_gradient()):\n    return x", 1.0, loss), RuleError, "examples=..."),
        (lambda: training_step("def r(w, g, lr, x=gauss_newton_vector(w)):\n    return x", 1.0, loss), RuleError, "outputs=..."),
        (lambda: training_step("sam", 1.0, loss, radius=-1.0), ValueError, "'radius' must not be negative"),
        (lambda: training_step("sam", 1.0, loss, radios=1.0), TypeError, "unknown hyperparameter 'radios'; allowed: radius, decay"),
        (lambda: training_step("def r(w, g, lr):\n    return g", 1.0, loss, mask=True), TypeError, "no hyperparameter 'decay'"),
        (
            lambda: training_step('@role("matrix")\ndef a(w, g, lr):\n    return g\n\n\ndef b(w, g, lr):\n    return g', 1.0, loss),
            RuleError,
            "role",
        ),
        (lambda: optimizer("sam", 1.0).update(W, optimizer("sam", 1.0).init(W), W), TypeError, "update(..., gs=...), or train with"),
        (lambda: moved("def r(w, g, lr, examples):\n    return examples * g"), TypeError, "update(..., examples=...)"),
        (lambda: evaluation_params("ema", optimizer("adam", 1.0).init(W), W), ValueError, "no state of rule 'ema'"),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_evaluation_weights_are_read_between_steps() -> None:
    text = (
        "def r(w, g, lr, *, s: full = first(w), n: global = zeros):\n    s = s - 2.0 * g\n    n = n + 1.0\n    return lr * g, s + 10.0 * n"
    )
    tx = optimizer(text, 1.0)
    state = tx.init(W)
    assert_allclose(flat(evaluation_params(text, state, W)), flat(W), rtol=1e-6)
    _, state = tx.update(W, state, W)
    assert_allclose(flat(evaluation_params(text, state, W)), 10 - flat(W), rtol=1e-5)


def test_evaluation_weights_of_a_rule_without_a_view_are_the_weights() -> None:
    assert evaluation_params("adam", optimizer("adam", 1.0).init(W), W) is W


def test_of_two_equal_wrappers_the_outer_one_is_meant() -> None:
    tx = wrap("ema", wrap("ema", optax.sgd(1.0), decay=0.0), decay=0.9)
    _, state = tx.update(W, tx.init(W), W)
    zero = jax.tree.map(jnp.zeros_like, W)
    assert_allclose(flat(evaluation_params("ema", state, zero, decay=0.9)), 0.9 * flat(W), rtol=1e-5)


def test_weights_of_half_precision_keep_their_type() -> None:
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), W)
    init, step = training_step("sam", 0.1, loss)
    p, state, _ = step(half, init(half), X, Y)
    assert p["a"].dtype == jnp.bfloat16
