"""Every known rule equals its reference: optax in float64, or the author's formula in NumPy."""

from __future__ import annotations

import inspect
import re

import numpy as np
import optax
import pytest

from search_space import zoo
from tests.search_space.zoo.authors import REFERENCES
from tests.search_space.zoo.authors.problem import float32_errors
from tests.search_space.zoo.harness import MATRIX_TOLERANCE, QUICK, TOLERANCE, errors, gradients, our_updates, relative

CARD = ("title", "source", "year", "row", "certainty", "learning-rate", "verified")
ILL_CONDITIONED = ("sophia_h", "sophia_g", "nonconvex_ag", "opt_amsgrad", "opt_amsgrad_extrapolated")


def test_every_rule_has_a_reference() -> None:
    assert set(REFERENCES) == set(zoo.names())


@pytest.mark.parametrize("name", REFERENCES)
def test_equal_to_its_reference(name: str) -> None:
    for run, error in enumerate(errors(name, REFERENCES[name], QUICK)):
        assert error <= REFERENCES[name].tolerance, f"run {run}"


@pytest.mark.parametrize("name", ILL_CONDITIONED)
def test_beyond_the_tolerance_only_as_the_formula_itself_is_in_float32(name: str) -> None:
    """Without fused operations Sophia misses by exactly as much; with them rounding is a lottery of a few elements, hence the margin."""
    assert max(errors(name, REFERENCES[name])) <= 3 * max(float32_errors(name, REFERENCES[name]))


def test_no_other_rule_has_more_than_the_tolerance_of_its_tier() -> None:
    beyond = {name for name, reference in REFERENCES.items() if reference.tolerance not in (TOLERANCE, MATRIX_TOLERANCE)}
    assert beyond == set(ILL_CONDITIONED)


@pytest.mark.parametrize("name", zoo.names())
def test_card(name: str) -> None:
    card = zoo.card(name)
    assert not [key for key in CARD if not card.get(key)]
    assert re.fullmatch(r"(19|20)\d\d", card["year"])
    assert re.fullmatch(r"-|\d+(, \d+)*", card["row"])
    assert card["certainty"] in ("C", "S", "M", "M?", "-")
    assert float(card["learning-rate"]) > 0


@pytest.mark.parametrize("name", REFERENCES)
def test_defaults_are_the_authors(name: str) -> None:
    """The reference has its own defaults; a rule's must be the same numbers."""
    theirs = {k: p.default for k, p in inspect.signature(REFERENCES[name].make).parameters.items() if isinstance(p.default, float)}
    ours = {h.name: h.default for program in zoo.programs(name) for h in program.hypers}
    assert ours == theirs


def test_a_wrong_rule_is_noticed() -> None:
    assert max(errors("adam", REFERENCES["nadam"])) > 0.01


def test_adafactor_equals_optax_on_matrices() -> None:
    updates, weights = our_updates("adafactor", {}, 0.1, 0)
    tx = optax.adafactor(0.1, min_dim_size_to_factor=2)
    state = tx.init({"matrix": weights["matrix"][0]})
    for t, g in enumerate(gradients(0)["matrix"]):
        expected, state = tx.update({"matrix": g}, state, {"matrix": weights["matrix"][t]})
        assert relative({"matrix": updates["matrix"][t]}, {"matrix": np.asarray(expected["matrix"])}) <= 3e-5  # optax's own float32
