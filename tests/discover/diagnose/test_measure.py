"""Diagnostics of whole trainings, on a quadratic whose answers are known and on rules of every kind."""

import jax
import numpy as np
import pytest

from discover.diagnose.measure import diagnose
from tasks.registry import load
from tasks.streams import derive

TASK = "noisy_quadratic?rows=3&cols=2"


@pytest.fixture(scope="module")
def sgd():
    """Plain descent, 21 steps."""
    return diagnose("sgd", TASK, 0.1, 21, points=3, top=2)


def test_curvature_of_a_quadratic_is_the_same_everywhere(sgd):
    family = load(TASK)
    task = family.task(jax.jit(family.sample)(derive(jax.random.key(0), 0)))
    params = jax.jit(task.init)(jax.random.key(1))
    leaves, tree = jax.tree.flatten(params)
    flat = np.concatenate([np.ravel(leaf) for leaf in leaves])

    def loss(w):
        parts = np.split(np.arange(8), [6])
        rebuilt = tree.unflatten([w[part].reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)])
        return task.loss(rebuilt, task.batch(jax.random.key(0), "valid"), jax.random.key(0))

    top = np.linalg.eigvalsh(np.asarray(jax.jit(jax.hessian(loss))(flat)))[-1]
    for point in sgd.points:
        assert point["sharpness"] == pytest.approx(top, rel=1e-3)
        assert point["rate_sharpness"] == pytest.approx(0.1 * top, rel=1e-3)
        assert 0.0 <= point["top_share"] <= 1.0 and 0.0 < point["directional"] <= top * 1.001
    assert [point["step"] for point in sgd.points] == [0, 10, 20]
    assert sgd.points[-1]["loss"] < sgd.points[0]["loss"]
    assert sgd.flow["sharpness"] == pytest.approx(top, rel=1e-3)


def test_layers_of_plain_descent_move_by_the_rate(sgd):
    assert set(sgd.layers) == {"matrix", "vector"}
    for layer in sgd.layers.values():
        assert layer["effective_rate"] == pytest.approx(0.1, rel=1e-4)
        assert layer["barrier"] == pytest.approx(0.0, abs=1e-5) and layer["ratio"] > 0


@pytest.mark.parametrize("rule", ["adam", "sam"])
def test_rules_with_state_and_with_a_plan_are_followed(rule):
    found = diagnose(rule, TASK, 0.05, 6, points=2, top=2)
    assert found.rule == rule and len(found.points) == 2
    assert all(np.isfinite(value) for point in found.points for value in point.values())


def test_the_same_seed_gives_the_same_figures(sgd):
    assert diagnose("sgd", TASK, 0.1, 21, points=3, top=2) == sgd
