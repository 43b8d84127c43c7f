"""Trainings of a cell: interpreter against compiler, rules with a plan or a view against loops written out, all on one tiny task."""

from __future__ import annotations

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from discover.evaluate import measure
from discover.evaluate.measure import Trainer
from discover.evaluate.protocol import Protocol
from discover.evaluate.trials import Answer, Request
from search_space import zoo
from tasks.contracts import Schedule
from tasks.registry import load

TASK, STEPS = "noisy_quadratic?rows=3&cols=2", 8
PROTOCOL = Protocol(members=2, evals=2, tune_seeds=1, seeds=2)
TRAINER = Trainer(TASK, STEPS, PROTOCOL, 5)
ADAM = (("b1", 0.8), ("b2", 0.99), ("eps", 1e-6), ("decay", 0.01))
REQUESTS = [
    Request(ADAM, (0.01, 0.1, 0.3), (0, 1, 2), scheduled=True, final=True),
    Request(ADAM, (0.1,), (2,), scheduled=False),
    Request((*ADAM[:3], ("decay", 1e30)), (1e30, 0.1), (0, 1), scheduled=False),
]


@pytest.fixture(scope="module")
def interpreted() -> list[Answer]:
    return TRAINER.measure(zoo.text("adamw"), REQUESTS)


def test_the_compiler_measures_the_same(interpreted: list[Answer], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(measure, "interpreted", lambda program: False)
    for mine, theirs in zip(interpreted, TRAINER.measure(zoo.text("adamw"), REQUESTS), strict=True):
        for name in Answer._fields:
            np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), rtol=1e-4)


def test_curves_are_measured_where_asked_for(interpreted: list[Answer]):
    final, tuning, _ = interpreted
    assert np.isfinite(final.curve).all() and [row[-1] for row in final.curve] == list(final.valid)
    assert math.isnan(tuning.curve[0][0]) and tuning.curve[0][1] == tuning.valid[0]
    assert len(final.valid) == 3 and len(tuning.valid) == 1


def test_a_diverged_member_is_infinite_and_disturbs_no_other(interpreted: list[Answer]):
    last = interpreted[2]
    assert last.valid == last.test == (math.inf, math.inf) and np.isfinite(last.initial).all()


def test_the_answer_does_not_depend_on_what_else_is_asked(interpreted: list[Answer]):
    assert TRAINER.measure(zoo.text("adamw"), REQUESTS[1:2])[0].valid == interpreted[1].valid


def test_less_is_compiled_for_known_rules_and_nothing_else_changes(interpreted: list[Answer]):
    some = replace(TRAINER, rules=(zoo.text("adamw"), zoo.text("sam"), zoo.text("muon")))
    assert repr(some.measure(zoo.text("adamw"), REQUESTS)) == repr(interpreted)
    with pytest.raises(ValueError, match="not among those"):
        some.measure(zoo.text("lion"), REQUESTS)


def written_out(step, rate: float, instance: int, schedule: Schedule | None = None) -> float:
    """Train one member by `step(gradient, w, rate)`, gradient being a function of the weights at that step: test loss at the end."""
    pool = measure._pool(TASK, TRAINER.seed, 3)
    batch = pool.select(tasks=slice(instance, instance + 1))
    params, state = jax.jit(batch.init)(), None
    gradients = jax.jit(batch.gradients)
    for number in range(STEPS):
        factor = 1.0 if schedule is None else float(schedule.value(number, STEPS))
        params, state = step(lambda w, number=number: gradients(w, number), params, rate * factor, state)
    return float(batch.losses(params if state is None else state, "test")[0])


def test_a_rule_with_a_plan_trains_as_its_formula_says():
    def sam(gradient, w, rate, state):
        g = gradient(w)
        norm = jnp.sqrt(sum(jnp.sum(x**2) for x in jax.tree.leaves(g)))
        there = gradient(jax.tree.map(lambda x, d: x + 0.3 * d / norm, w, g))
        return jax.tree.map(lambda x, d: x - rate * d, w, there), state

    request = Request((("radius", 0.3), ("decay", 0.0)), (0.2, 0.4), (1, 2), scheduled=True, final=True)
    found = TRAINER.measure(zoo.text("sam"), [request])[0]
    schedule = Schedule("cosine", PROTOCOL.warmup)
    np.testing.assert_allclose(found.test, [written_out(sam, 0.2, 1, schedule), written_out(sam, 0.4, 2, schedule)], rtol=1e-4)


def test_a_rule_with_a_view_is_measured_there():
    """The weights are plain descent, the view their average in which each older one counts half."""

    def averaged(gradient, w, rate, mean):
        new = jax.tree.map(lambda x, d: x - rate * d, w, gradient(w))
        return new, jax.tree.map(lambda m, x: 0.5 * m + 0.5 * x, w if mean is None else mean, new)

    text = "def averaged(w, g, lr, *, d: full = zeros):\n    d = 0.5 * (d + lr * g)\n    return lr * g, w + d\n"
    found = TRAINER.measure(text, [Request((), (0.2,), (1,), scheduled=False, final=True)])[0]
    assert found.test[0] == pytest.approx(written_out(averaged, 0.2, 1), rel=1e-4)


def test_facts_name_the_metric_and_the_optimum():
    facts = TRAINER.facts()
    assert facts["metric"] == load(TASK).task(load(TASK).sample(jax.random.key(0))).metric and facts["optimum"] == [0.0, 0.0]
