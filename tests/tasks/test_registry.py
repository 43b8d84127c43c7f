"""Names, parameters, users' own tasks, and one clear line for everything that can be wrong."""

import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import jax
import optax
import pytest

from tasks import names
from tasks.batch import TaskBatch
from tasks.contracts import from_optax
from tasks.errors import TaskError
from tasks.registry import BUILTINS, load, parse
from tasks.rollout import rollout

USER_TASK = """
import jax.numpy as jnp
from tasks import Task, TensorMeta


def make_task(size=3):
    def loss(params, batch, key):
        return jnp.mean((batch @ params["w"]) ** 2)

    return Task(
        name="valley",
        init=lambda key: {"w": jnp.ones(size)},
        batch=lambda key, split: jnp.eye(size),
        loss=loss,
        metadata={"w": TensorMeta("vector", 1, size)},
        optimum=0.0,
    )
"""
ALLOWED = f"{', '.join(names())}, or module:function of your own"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A function that writes a user's module into the current folder, under a name that is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    written = []

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        written.append(name)

    yield write
    for name in written:
        sys.modules.pop(name, None)


def message(spec):
    with pytest.raises(TaskError) as caught:
        load(spec)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("name", names())
def test_table_agrees_with_the_family(name):
    entry = BUILTINS[name]
    family = getattr(import_module(entry.module), entry.family)
    declared = {field.name: field.default for field in fields(family) if field.name != "name"}
    optional = {"rotary"} if entry.fixed.get("net") in ("lstm", "recurrence") else set()
    assert set(entry.parameters) | set(entry.fixed) == set(declared) - optional
    for key, rule in entry.parameters.items():
        assert type(declared[key]) is rule.type
        assert rule.low <= declared[key] <= rule.high
    assert family(**entry.fixed).name == name
    if not entry.needs:
        assert load(name) == family(**entry.fixed)


def test_parameters_reach_the_family():
    family = load("digits-mlp?width=64&depth=2&vary=1")
    assert (family.width, family.depth, family.vary) == (64, 2, 1.0)
    assert hash(family) == hash(load("digits_mlp?depth=2&width=64&vary=1.0"))


def test_names_and_parameters_are_checked_without_jax():
    code = (
        "import sys, tasks; from tasks.registry import parse; parse('digits_mlp?width=64'); parse('mine:make'); tasks.names()\n"
        "try: parse('nothing')\nexcept tasks.TaskError: pass\n"
        "print([name for name in ('jax', 'numpy', 'sklearn', 'optax') if name in sys.modules])"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("nothing", f"unknown task 'nothing', allowed: {ALLOWED}"),
        ("", f"unknown task '', allowed: {ALLOWED}"),
        ("digits_mlp?", "task 'digits_mlp?' has nothing after '?', expected name=number&name=number"),
        ("digits_mlp?width", "task 'digits_mlp?width' has 'width', expected name=number"),
        ("digits_mlp?width=a", "task 'digits_mlp?width=a' has 'width=a', expected name=number"),
        ("breast_cancer?width=3", "task 'breast_cancer' has no parameter 'width', allowed: batch, vary"),
        ("digits_mlp?width=0", "task 'digits_mlp' has width 0, allowed: a whole number from 1 to 65536"),
        ("digits_mlp?width=2.5", "task 'digits_mlp' has width 2.5, allowed: a whole number from 1 to 65536"),
        ("digits_mlp?vary=nan", "task 'digits_mlp' has vary nan, allowed: a number from 0.0 to 1.0"),
        ("digits_mlp?batch=8&batch=9", "task 'digits_mlp?batch=8&batch=9' sets 'batch' twice"),
        ("my module:make", "task 'my module:make' is not of the form module:function"),
        (":make", "task ':make' is not of the form module:function"),
        ("a:b:c", "task 'a:b:c' is not of the form module:function"),
        ("no_such_module_:make", "cannot import 'no_such_module_': ModuleNotFoundError: No module named 'no_such_module_'"),
    ],
)
def test_what_is_wrong_is_said(spec, expected):
    assert message(spec) == expected


def test_users_task_trains(module):
    module("valley_task", USER_TASK)
    family = load("valley_task:make_task")
    assert family.name == "valley"
    batch = TaskBatch.create(family, jax.random.key(0), learning_rates=[0.3], seeds=2)
    result = rollout(batch, from_optax(optax.sgd), steps=20)
    assert (result.final["valid"] < 0.1 * result.initial[..., None]).all()


def test_users_task_takes_parameters(module):
    module("valley_sizes", USER_TASK)
    assert load("valley_sizes:make_task?size=5").task({}).metadata["w"].fan_out == 5
    wrong = message("valley_sizes:make_task?width=5")
    assert wrong.startswith("'valley_sizes:make_task' failed: TypeError: make_task() got an unexpected keyword argument 'width'")


def test_users_family_is_used_as_it_is(module):
    module("own_family", "from tasks.registry import load\ndef make_task(): return load('micro_mlp?batch=8')\n")
    assert load("own_family:make_task") == load("micro_mlp?batch=8")


def test_search_path_is_left_as_it_was(module):
    module("path_task", USER_TASK)
    before = list(sys.path)
    load("path_task:make_task")
    assert sys.path == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def make_task(:\n", "cannot import '{0}': SyntaxError: "),
        ("raise RuntimeError('first line\\nsecond line')\n", "cannot import '{0}': RuntimeError: first line"),
        ("other = 1\n", "module '{0}' has no function 'make_task'"),
        ("make_task = 3\n", "'{0}:make_task' is an object of type int, expected a function that returns a Task or a TaskFamily"),
        ("def make_task(): return 3\n", "'{0}:make_task' returned an object of type int, expected a Task or a TaskFamily"),
        ("def make_task(): raise KeyError('x')\n", "'{0}:make_task' failed: KeyError: 'x'"),
    ],
)
def test_broken_users_modules_are_explained(module, text, expected, request):
    name = f"broken_{abs(hash(request.node.name))}"
    module(name, text)
    assert message(f"{name}:make_task").startswith(expected.format(name))


def test_parse_keeps_numbers():
    assert parse("mine:make?size=3&noise=0.5").parameters == {"size": 3, "noise": 0.5}
