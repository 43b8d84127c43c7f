"""Named evaluations: rules, tasks with their steps, and the budget of a cell. Imports no jax.

Steps are few enough for two cores and many enough that tuned Adam has left the plateau on every task; microseconds a step were measured on
one core with the protocol's own batches and serve the first estimate of time only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from discover.errors import UserError
from discover.evaluate.jobs import programs_of
from discover.evaluate.protocol import NamedRule, Protocol, TaskPlan
from search_space import zoo
from search_space.printer import to_text
from search_space.program import Program, RuleError, RuleSet
from search_space.use import load


@dataclass(frozen=True, slots=True)
class Preset:
    """Rules by name, tasks and protocol."""

    rules: tuple[str, ...]
    tasks: tuple[TaskPlan, ...]
    protocol: Protocol


STEPS = 100
"""Steps on a task that no preset names."""

TASKS = (
    TaskPlan("text_transformer?context=16", 120, 2600),
    TaskPlan("digits_convnet", 120, 1350),
    TaskPlan("text_lstm?context=16", 100, 1500),
    TaskPlan("text_recurrence?context=16", 100, 550),
    TaskPlan("siren", 100, 450),
    TaskPlan("pinn_poisson", 100, 220),
    TaskPlan("patch_denoising", 100, 150),
    TaskPlan("matrix_sensing", 100, 150),
    TaskPlan("digits_mlp", 100, 90),
    TaskPlan("digits_autoencoder", 100, 90),
    TaskPlan("flow_2d", 100, 90),
    TaskPlan("diabetes_mlp", 100, 60),
    TaskPlan("xor", 100, 60),
    TaskPlan("breast_cancer", 100, 40),
    TaskPlan("wine_softmax", 100, 40),
    TaskPlan("noisy_quadratic?vary=0", 100, 40),
)
"""The standard tasks. The grammar families are not among them: 120 steps end on the plateau of their pair statistics for every rule."""

QUICK_TASKS = ("digits_mlp", "digits_autoencoder", "flow_2d", "wine_softmax", "noisy_quadratic?vary=0")
QUICK_RULES = (
    "sgd", "momentum", "nesterov", "adam", "adamw", "nadam", "lion", "signum", "rmsprop", "adagrad", "lamb", "adafactor",
)  # fmt: skip
MORE_RULES = (
    "accsgd", "adabelief", "adabound", "adadelta", "adalayer", "adamax", "adamp", "adan", "ademamix", "adopt", "aggmo", "amsgrad",
    "beta_normalized_gd", "cautious_adamw", "cautious_lion", "clipped_sgd", "dadapt_adam", "diffgrad", "dog", "dowg", "fadam", "grams",
    "laprop", "lars", "madgrad", "novograd", "optimistic_gradient", "prodigy", "qhadam", "qhm", "radam", "sam", "schedule_free_adamw",
    "sgd_sai", "sgdp", "sign_sgd", "sm3", "yogi",
)  # fmt: skip
MATRIX_RULES = ("muon", "scion", "soap", "shampoo", "kron", "spectral_descent")
"""Rules that act on whole matrices; each needs a compilation for each task."""

PRESETS = {
    "quick": Preset(QUICK_RULES, tuple(task for task in TASKS if task.spec in QUICK_TASKS), Protocol()),
    "standard": Preset((*QUICK_RULES, *MORE_RULES), TASKS, Protocol()),
}


def plan(spec: str, steps: int | None = None) -> TaskPlan:
    """A task with `steps`, or with those of the standard task of its family."""
    families = {task.spec.partition("?")[0]: task for task in TASKS}
    known = families.get(spec.partition("?")[0].replace("-", "_"), TaskPlan(spec, STEPS))
    return TaskPlan(spec, steps or known.steps, known.microseconds)


def named_rules(rules: Sequence[str]) -> tuple[NamedRule, ...]:
    """Known names, paths or texts as a run stores them. Raises `RuleError`, or `UserError` for two of a name."""
    found = tuple(_named(rule) for rule in rules)
    names = [rule.name for rule in found]
    if len(set(names)) < len(names):
        raise UserError(f"two rules are called '{next(n for n in names if names.count(n) > 1)}': give each a name of its own")
    return found


def _named(rule: str) -> NamedRule:
    name = rule.replace("-", "_")
    program = load(rule)
    text = zoo.text(name) if name in zoo.names() else to_text(program)
    if name not in zoo.names():
        name = program.parts[-1][1].name if isinstance(program, RuleSet) else program.name
    for part in programs_of(text):
        _check_served(name, part)
    return NamedRule(name, text)


UNSERVED = {
    "u": "the update of another rule",
    "task": "the number of a task",
    "examples": "the number of examples",
    "h": "a Hessian diagonal",
}
UNSERVED_PLANS = ("sampled_gradient", "mean_square_gradient", "gauss_newton_vector")


def _check_served(name: str, program: Program) -> None:
    """Raise `RuleError` for a rule that asks for more than tasks give."""
    for query in program.queries:
        if query != "f":
            raise RuleError(f"rule '{name}' asks for {UNSERVED.get(query, query)}, which no task gives: it cannot be evaluated by itself")
    for evaluation in program.plan:
        if evaluation.what in UNSERVED_PLANS:
            raise RuleError(f"rule '{name}' asks for {evaluation.what}, which no task gives; search_space.training_step trains with it")
