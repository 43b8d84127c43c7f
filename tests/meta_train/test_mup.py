"""The coordinate check tells muP from the standard parametrisation, for rules and for learned optimizers."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meta_train.mup import network
from meta_train.mup.coordinate_check import CoordinateCheck, coordinate_checks, slope
from meta_train.mup.drawing import draw_checks, draw_transfer
from meta_train.mup.subjects import learned_subject, rule_subject
from meta_train.mup.tables import learned_scales
from meta_train.registry import load as load_optimizer
from search_space import RuleError, load
from search_space.mup import multipliers
from tasks.registry import load as load_task

WIDTHS = (128, 512)
RATES = {"sgd": 1.0, "adam": 0.01}


@pytest.fixture(scope="module", params=list(RATES))
def checks(request: pytest.FixtureRequest) -> dict[str, CoordinateCheck]:
    subject = rule_subject(load(request.param), RATES[request.param])
    return coordinate_checks(subject, ("mup", "sp"), WIDTHS, steps=4, seeds=1, zero_readout=True)


def test_movement_does_not_depend_on_the_width_under_mup(checks: dict[str, CoordinateCheck]) -> None:
    assert max(abs(s) for s in checks["mup"].slopes().values()) <= 0.05


def test_movement_grows_under_the_standard_parametrisation(checks: dict[str, CoordinateCheck]) -> None:
    """The first step moves the outputs n times as far, a number that nothing has saturated yet."""
    assert checks["sp"].slopes(0)["output"] == pytest.approx(1.0, abs=0.1)


def test_both_are_the_same_at_the_base_width(checks: dict[str, CoordinateCheck]) -> None:
    np.testing.assert_allclose(checks["mup"].movement[0], checks["sp"].movement[0], rtol=1e-5)


def test_a_learned_optimizer_gets_its_factors() -> None:
    """Learned SGD at its fresh weights is SGD, which scaled gradients leave with the rates of Tensor Programs V."""
    learned = load_optimizer("sgd")
    theta = learned.init(jax.random.key(0))
    info = network.metadata(64, 16)
    params = network.init(jax.random.key(1), 64)
    ones = jax.tree.map(jnp.ones_like, params)
    plain, scaled = (learned.transform(theta, learning_rate=1.0, scales=s) for s in (learned_scales(info, "sp"), learned_scales(info)))
    a, _ = plain.update(ones, plain.init(params), params)
    b, _ = scaled.update(ones, scaled.init(params), params)
    expected = {"input": {"w": 4.0, "b": 4.0}, "hidden": {"w": 1.0, "b": 4.0}, "output": {"w": 0.25, "b": 1.0}}
    jax.tree.map(lambda x, y, k: np.testing.assert_allclose(y, k * x, rtol=1e-6), a, b, expected)
    first = jax.jit(lambda factors: learned_subject(learned, theta, 1.0)(factors).init(params))(multipliers(info))
    assert jax.tree.structure(first) == jax.tree.structure(plain.init(params))


def test_metadata_of_every_network_is_scalable() -> None:
    for spec in ("digits_mlp?width=64&depth=2", "digits_autoencoder"):
        family = load_task(spec)
        task = family.task(family.sample(jax.random.key(0)))
        params = jax.eval_shape(task.init, jax.random.key(0))
        assert jax.tree.structure(jax.tree.map(lambda _: 0, params)) == jax.tree.structure(
            jax.tree.map(lambda _: 0, multipliers(task.metadata), is_leaf=lambda x: hasattr(x, "update") and hasattr(x, "init"))
        )


def test_slopes() -> None:
    x = np.log([64.0, 128.0, 256.0])
    assert slope(x, 3.0 * np.exp(-0.5 * x)) == pytest.approx(-0.5)
    assert np.isnan(slope(x, np.array([1.0, np.inf, 1.0]))) and np.isnan(slope(x, np.zeros(3)))


def test_figures(tmp_path: Path) -> None:
    check = CoordinateCheck((32, 64), np.ones((2, 3, 3)), np.ones((2, 3)))
    draw_checks({"a": check, "b": check}, tmp_path / "new" / "checks.png")
    draw_transfer({"mup": {32: np.array([2.0, 1.0, np.nan])}}, np.array([0.1, 0.2, 0.4]), tmp_path / "transfer.png")
    assert (tmp_path / "new" / "checks.png").stat().st_size > 5000 and (tmp_path / "transfer.png").stat().st_size > 5000


def test_rules_that_cannot_be_checked_say_so() -> None:
    with pytest.raises(RuleError, match="asks for 'task'"):
        rule_subject(load("tag"), 0.1)
