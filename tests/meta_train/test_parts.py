"""The parts of architectures against plain NumPy: LSTM, networks, means without features, the course of the loss, costs, structure."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meta_train import features
from meta_train.architectures.coordinate_lstm import log_and_sign
from meta_train.architectures.structured import StructuredLSTM
from meta_train.cost import bytes_per_param, flops_per_param
from meta_train.loss_trend import observe, start_trend, trend_features
from meta_train.lstm import init_lstm, lstm_start, lstm_step
from meta_train.network import apply_mlp, init_mlp
from meta_train.registry import load


def sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def test_lstm_against_its_equations() -> None:
    theta = init_lstm(jax.random.key(0), 2, 3, 2)
    x = np.random.default_rng(0).normal(size=(4, 5, 2)).astype(np.float32)
    state, step = lstm_start((5,), 3, 2), jax.jit(lstm_step)
    h, c = np.zeros((2, 5, 3)), np.zeros((2, 5, 3))
    for seen in x:
        output, state = step(theta, seen, state)
        value = np.float64(seen)
        for layer in range(2):
            gates = np.concatenate([value, h[layer]], -1) @ np.float64(theta[layer]["w"]) + np.float64(theta[layer]["b"])
            i, f, o, g = np.split(gates, 4, -1)
            c[layer] = sigmoid(f) * c[layer] + sigmoid(i) * np.tanh(g)
            value = h[layer] = sigmoid(o) * np.tanh(c[layer])
        np.testing.assert_allclose(output, value, atol=1e-6)


def test_layers_start_from_draws_of_their_own() -> None:
    theta = init_mlp(jax.random.key(3), (5, 4, 2))
    for layer, (key, shape) in enumerate(zip(jax.random.split(jax.random.key(3)), ((5, 4), (4, 2)), strict=True)):
        expected = jax.random.truncated_normal(key, -2.0, 2.0, shape) / shape[0] ** 0.5
        np.testing.assert_allclose(theta[f"w{layer}"], expected, rtol=1e-6)
        np.testing.assert_array_equal(theta[f"b{layer}"], np.zeros(shape[1]))


@pytest.mark.parametrize("hidden", [3, 12])
def test_network_against_plain_layers(hidden: int) -> None:
    """Written out and as matrix products, with features of three sizes, scales and a linear path."""
    theta = init_mlp(jax.random.key(1), (4, hidden, hidden, 2)) | {"skip": jnp.asarray([0.5, -1.0, 2.0, 0.0])}
    generator = np.random.default_rng(0)
    inputs = [generator.normal(size=s).astype(np.float32) for s in ((3, 5), (3, 1), (1, 1), (3, 5))]
    scales = np.asarray([1.0, 2.0, -1.0, 0.5], np.float32)
    found = jax.jit(apply_mlp)(theta, inputs, scales)
    x = plain = np.stack([np.broadcast_to(f, (3, 5)) * s for f, s in zip(inputs, scales, strict=True)], -1)
    for layer in range(3):
        x = x @ np.float64(theta[f"w{layer}"]) + np.float64(theta[f"b{layer}"])
        x = np.maximum(x, 0) if layer < 2 else x
    np.testing.assert_allclose(found[0], x[..., 0] + plain @ np.float64(theta["skip"]), atol=1e-5)
    np.testing.assert_allclose(found[1], x[..., 1], atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (2, 5, 3, 4)])
def test_means_without_forming_the_features(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(2)
    g, p = (generator.normal(size=shape).astype(np.float32) for _ in range(2))
    decays = [jnp.asarray(d, jnp.float32) for d in (features.MOMENTUM_DECAYS, features.SECOND_DECAYS, features.FACTORED_DECAYS)]

    @jax.jit
    def both() -> Any:
        state = features.accumulate(g, features.start(p), *decays)
        monkeypatch.setattr(features, "LARGE", 1)
        large = features.published_mean_squares(g, p, state)
        monkeypatch.setattr(features, "LARGE", 10**9)
        return large, features.published_mean_squares(g, p, state)

    large, small = both()
    assert set(large) == set(small)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), large, small)


def test_log_and_sign() -> None:
    """The two forms of the paper, and that gradients of ± e⁻¹⁰, where they meet, are seen as (−1, ± 1)."""
    g = jnp.asarray([1.0, -np.exp(-5.0), np.exp(-10.0) * 1.0001, 1e-8, 0.0], jnp.float32)
    first, second = log_and_sign(g)
    np.testing.assert_allclose(first, [0.0, -0.5, -1.0, -1.0, -1.0], atol=1e-4)
    np.testing.assert_allclose(second, [1.0, -1.0, 1.0, 1e-8 * np.exp(10.0), 0.0], rtol=1e-5)


def test_course_of_the_loss() -> None:
    """A falling loss lies at its lowest, a rising one above its longer means; a huge one counts as twice the highest mean."""
    step = jax.jit(lambda trend, loss: (lambda new: (new, trend_features(new, 100)))(observe(trend, loss, 100)))
    trend = start_trend()
    for number, loss in enumerate(np.linspace(3.0, 1.0, 30)):
        trend, found = step(trend, np.float32(loss))
        if number < 2:
            np.testing.assert_array_equal(found, 0.0)
    np.testing.assert_allclose(found, -1.0, atol=1e-6)
    for loss in np.linspace(1.5, 5.0, 10):
        trend, found = step(trend, np.float32(loss))
    assert np.all(found > 0.0)
    before = trend
    twice, huge = (step(before, np.float32(x))[0].means for x in (1e9, 1e12))
    np.testing.assert_array_equal(twice, huge)


def test_structured_takes_the_papers_step() -> None:
    """Two steps with the heads at zero: P = 1 and A = 1/2, with a penalty."""
    optimizer = StructuredLSTM(hidden=2)
    tx = optimizer.transform(optimizer.init(jax.random.key(0)), learning_rate=0.2)
    x, l1 = np.asarray([1.0, -0.3, 0.02], np.float32), 0.1
    state, before = tx.init(x), None
    update = jax.jit(lambda g, state, x: tx.update(g, state, x, l1=l1))
    for g in np.asarray([[1.0, 1.0, 0.0], [0.5, -2.0, 0.3]], np.float32):
        updates, state = update(g, state, x)
        moved = x - 0.2 * g
        y = np.sign(moved) * np.maximum(np.abs(moved) - 0.2 * l1, 0.0)
        expected = y + 0.5 * (y - (y if before is None else before))
        np.testing.assert_allclose(x + updates, expected, atol=1e-6)
        x, before = x + updates, y


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("sgd", 0.0),
        ("adam", 8.0),
        ("program:lion", 4.0),
        ("small_fc", 16 + 24 / 1024),  # and rows and columns, three of each
        ("celo2", 16 + 24 / 1024),
        ("scale_free", 12.0),
        ("scale_free?bf16=1", 8.0),
        ("scale_free?adaptive=1", 12 + 12 / 1024**2),
        ("coordinate_lstm", 320.0),
    ],
)
def test_bytes_of_state(spec: str, expected: float) -> None:
    assert bytes_per_param(load(spec)) == pytest.approx(expected, abs=1e-4)


def test_operations_are_those_of_the_layers() -> None:
    """A linear layer of 16 full-size features costs 32 operations for each of its units, so 8 units more cost at least 8 · 32."""
    assert flops_per_param(load("sgd")) == pytest.approx(2.0, abs=0.1)
    wider, wide, narrow = (flops_per_param(load(f"small_fc?hidden={h}")) for h in (8, 6, 4))
    assert wider - wide > wide - narrow > 2 * 32
