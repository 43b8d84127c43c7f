"""Checks that every built-in family passes, and the particular promises of each."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tasks import corpora, data, variation
from tasks.batch import TaskBatch
from tasks.contracts import PyTree, Schedule, TaskFamily, TensorMeta, from_optax
from tasks.registry import installed as names
from tasks.registry import load
from tasks.rollout import rollout

# learning rate of Adam, and the share of the initial validation loss that must remain at most after 100 steps
TRAINED = {
    "adding_rnn": (0.01, 0.3),
    "bbob": (0.3, 0.05),
    "breast_cancer": (0.03, 0.35),
    "deep_linear": (0.03, 0.02),
    "diabetes_mlp": (0.01, 0.45),
    "digits_autoencoder": (0.01, 0.6),
    "digits_convnet": (0.1, 0.25),
    "digits_mlp": (0.01, 0.2),
    "digits_stream": (0.01, 0.75),
    "digits_vit": (0.03, 0.85),
    "flow_2d": (0.03, 0.75),
    "flow_digits": (0.01, 0.85),
    "grammar_lstm": (0.1, 0.95),
    "grammar_recurrence": (0.1, 0.95),
    "grammar_transformer": (0.01, 0.9),
    "lasso": (0.1, 0.06),
    "matrix_sensing": (0.03, 0.02),
    "micro_mlp": (0.03, 0.5),
    "noisy_quadratic": (0.3, 0.1),
    "patch_denoising": (0.03, 0.2),
    "pinn_burgers": (0.1, 0.02),
    "pinn_poisson": (0.1, 0.85),
    "rosenbrock": (0.3, 0.02),
    "siren": (0.1, 0.15),
    "text_lstm": (0.1, 0.6),
    "text_recurrence": (0.1, 0.6),
    "text_transformer": (0.03, 0.63),
    "wine_softmax": (0.1, 0.15),
    "xor": (0.03, 0.1),
}
SMALL = {
    **{name: "width=16&depth=1&context=16&batch=8" for name in names() if name.startswith(("text", "grammar"))},
    "digits_vit": "width=8&depth=1&batch=32",
    "digits_convnet": "width=8&batch=32",
}
"""Smaller forms of the families that take long to compile and run."""


def spec(name, **options):
    """A family in its small form, with further options."""
    parts = [SMALL[name]] if name in SMALL else []
    parts += [f"{key}={value}" for key, value in options.items()]
    return "?".join([name, "&".join(parts)]) if parts else name


GAMES = ("bilinear_game", "coherent_game")
"""Where the gradient is no slope of one function."""
ALWAYS_VARIED = {
    "noisy_quadratic": None, "bbob": None, "bilinear_game": None, "coherent_game": None, "matrix_sensing": {"target"},
    "deep_linear": {"target"}, "lasso": {"truth"}, "siren": {"crop"},
}  # fmt: skip
"""Parts of a configuration that differ at vary=0 too; None for all."""
STEPS = 100
FAST = {"xla_backend_optimization_level": 0}
"""Compiling takes longer than running here."""


class Made(NamedTuple):
    """A family's functions, each compiled once and for any configuration; configurations are stacked, three of a kind."""

    family: TaskFamily
    plain: PyTree
    varied: PyTree
    setup: Callable  # (config, key) -> weights, minibatches of all steps, "valid", "test"
    slope: Callable  # (config, params, batch, key) -> loss and gradient in float64
    loss: Callable  # the same loss in float32


@cache
def make(name):
    """What the tests of a family share."""
    family = load(spec(name, vary=1))
    keys = jax.random.split(jax.random.key(0), 3)
    plain, varied = (jax.jit(jax.vmap(load(spec(name, vary=vary)).sample))(keys) for vary in (0, 1))

    def loss(config, params, batch, key):
        return family.task(config).loss(params, batch, key)

    compiled = (jax.jit(f, compiler_options=FAST) for f in (jax.value_and_grad(loss, 1), loss))
    return Made(family, plain, varied, jax.jit(setup_of(family), compiler_options=FAST), *compiled)


def setup_of(family):
    """The function `setup` of a family."""

    def setup(config, key):
        task = family.task(config)
        batches = jax.vmap(lambda step: task.minibatch(key, step))(jnp.arange(STEPS))
        return task.init(key), batches, task.batch(key, "valid"), task.batch(key, "test")

    return setup


def at(tree, index):
    """One of several that are stacked."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


@pytest.mark.parametrize("name", [name for name in names() if name not in GAMES])
def test_gradient_is_the_slope(name):
    made, config, distance = make(name), at(make(name).varied, 0), 1e-6
    start, batches, _, _ = made.setup(config, jax.random.key(2))
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64) + 0.01, start)
    direction = jax.tree.map(lambda leaf: random.normal(size=leaf.shape), params)

    def slope(distance):
        moved = jax.tree.map(lambda p, d: p + distance * d, params, direction)
        return made.slope(config, moved, at(batches, 0), jax.random.key(3))

    with jax.enable_x64(True):
        gradient = slope(0.0)[1]
        by_difference = (float(slope(distance)[0]) - float(slope(-distance)[0])) / (2 * distance)
    by_gradient = sum(np.vdot(g, d) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True))
    np.testing.assert_allclose(by_gradient, by_difference, rtol=1e-5, atol=1e-6)


def adam(slope, params, rates):
    """Weights in float64 after a step of Adam for each of the rates (arXiv:1412.6980); `slope(params, step)` is the gradient."""
    leaves, tree = jax.tree.flatten(params)
    m, v = ([np.zeros(leaf.shape) for leaf in leaves] for _ in range(2))
    for step, rate in enumerate(rates):
        gradients = [np.asarray(g) for g in jax.tree.leaves(slope(jax.tree.unflatten(tree, leaves), step))]
        m = [0.9 * a + 0.1 * g for a, g in zip(m, gradients, strict=True)]
        v = [0.999 * a + 0.001 * g * g for a, g in zip(v, gradients, strict=True)]
        first, second = 1 - 0.9 ** (step + 1), 1 - 0.999 ** (step + 1)
        leaves = [p - rate * (a / first) / (np.sqrt(b / second) + 1e-8) for p, a, b in zip(leaves, m, v, strict=True)]
    return jax.tree.unflatten(tree, leaves)


@pytest.mark.parametrize("name", TRAINED)
def test_adam_learns(name):
    rate, share = TRAINED[name]
    initial, valid, test = np.mean([trained(make(name), rate, jax.random.key(seed)) for seed in (1, 2)], axis=0)
    assert valid < share * initial and test < 1.2 * share * initial


def trained(made, rate, key):
    """Validation loss before a training, and validation and test loss after it."""
    config = at(made.plain, 0)
    start, batches, valid, test = made.setup(config, key)
    batches = jax.tree.map(np.asarray, batches)
    rates = rate * np.asarray(Schedule().value(np.arange(STEPS), STEPS))
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), start)
        end = adam(lambda params, step: made.slope(config, params, at(batches, step), key)[1], wide, rates)
    end = jax.tree.map(lambda leaf: leaf.astype(np.float32), end)
    as_many = jax.tree.map(lambda t, v: t[: v.shape[0]] if t.ndim else t, test, valid)  # one compilation for both
    return [float(made.loss(config, *pair, key)) for pair in ((start, valid), (end, valid), (end, as_many))]


@pytest.mark.parametrize("name", names())
def test_metadata_describes_the_parameters(name):
    made = make(name)
    task, config = made.family.task(at(made.plain, 0)), at(made.plain, 0)

    def check(meta, leaf):
        assert isinstance(meta, TensorMeta)
        assert leaf.dtype == jnp.float32
        assert (meta.role == "vector") == (leaf.ndim == 1)
        rows = int(np.prod(leaf.shape[:-1]))  # a vector is one row, a kernel one for each weight of its window
        assert (meta.fan_in, meta.fan_out) == (rows, leaf.shape[-1])

    jax.tree.map(check, task.metadata, made.setup(config, jax.random.key(0))[0])


@pytest.mark.parametrize("name", names())
def test_everything_follows_from_the_keys(name):
    made, config = make(name), at(make(name).varied, 0)
    key, other = jax.random.key(5), jax.random.key(6)
    first, second, third = (made.setup(config, k) for k in (key, key, other))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    for one, another in zip(first[:2], third[:2], strict=True):
        assert not all(jax.tree.leaves(jax.tree.map(lambda a, b: bool(jnp.all(a == b)), one, another)))
    made_again = jax.make_jaxpr(setup_of(load(spec(name, vary=1))))(config, key)
    made_once = jax.make_jaxpr(setup_of(made.family))(config, key)
    assert str(made_once) == str(made_again)
    jax.tree.map(np.testing.assert_array_equal, made_once.consts, made_again.consts)
    assert made.loss(config, first[0], first[2], key).dtype == jnp.float32


@pytest.mark.parametrize("name", names())
def test_members_of_a_batch_can_be_stacked(name):
    """What a vmapped training asks for has the shapes that it expects; `python -m benchmarks.families` compares the numbers."""
    made, keys = make(name), jax.random.split(jax.random.key(0), (3, 1))
    batch = TaskBatch(made.family, made.varied, keys, jnp.asarray([0.1, 0.2]))
    one = jax.eval_shape(made.family.task(at(made.varied, 0)).init, keys[0, 0])
    params = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((6, *leaf.shape), leaf.dtype), one)
    assert jax.eval_shape(batch.gradients, params, 0) == params


@pytest.mark.parametrize("name", names())
def test_variation_is_data(name):
    made = make(name)
    for leaf in jax.tree.leaves(made.varied):
        assert not np.array_equal(leaf[0], leaf[1])
    always = ALWAYS_VARIED.get(name, {"fold"})
    if always is not None:
        for part, leaf in made.plain.items():
            assert np.array_equal(leaf[0], leaf[1]) == (part not in always), part


def test_every_family_but_games_is_trained():
    assert set(TRAINED) | set(GAMES) == set(names())


def test_micro_mlp_has_212_parameters():
    params = make("micro_mlp").setup(at(make("micro_mlp").plain, 0), jax.random.key(0))[0]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 212


@pytest.mark.parametrize(("spec", "roles"), [("digits_mlp", "io"), ("digits_mlp?depth=3&width=64", "ihho"), ("digits_mlp?depth=0", "i")])
def test_digits_mlp_has_the_shape_that_was_asked_for(spec, roles):
    family = load(spec)
    task = family.task(jax.eval_shape(family.sample, jax.random.key(0)))
    layers = [task.metadata[f"layer_{i}"]["w"] for i in range(len(task.metadata))]
    assert "".join(layer.role[0] for layer in layers) == roles
    wide = 2.0 if "width=64" in spec else 1.0
    assert [layer.width_mult for layer in layers] == [wide] * len(layers)
    assert task.metadata[f"layer_{len(layers) - 1}"]["b"].width_mult == 1.0


def test_label_noise_replaces_the_stated_share_of_training_labels():
    digits = data.digits()
    config = at(make("digits_mlp").plain, 0)
    noisy = config | {"label_noise": jnp.float32(0.2)}
    labels = jax.jit(lambda c: variation.minibatch(digits, c, jax.random.key(1), "train", 20_000)["y"])
    clean, wrong = labels(config), labels(noisy)
    assert float(jnp.mean(clean != wrong)) == pytest.approx(0.2 * 0.9, abs=0.03)  # one in ten is right by chance
    labels = jax.jit(lambda c: variation.minibatch(digits, c, jax.random.key(1), "valid", 8)["y"])
    clean, wrong = labels(config), labels(noisy)
    np.testing.assert_array_equal(clean, wrong)


def rows(batch):
    """The examples of a batch as a set."""
    return {row.tobytes() for row in np.asarray(batch["x"])}


@pytest.mark.parametrize("name", ["digits_mlp", "digits_autoencoder", "digits_stream", "micro_mlp", "breast_cancer"])
def test_each_configuration_has_its_own_split_and_the_test_part_is_never_in_it(name):
    seen = []
    for config in (at(make(name).plain, i) for i in range(3)):
        _, batches, valid, test = make(name).setup(config, jax.random.key(0))
        train = rows({"x": batches["x"].reshape(-1, batches["x"].shape[-1])})
        valid, test = rows(valid), rows(test)
        twice = 5 if name == "micro_mlp" else 0  # pooled pixels, of which two images may agree in all
        assert len(train & valid) <= twice and len(train & test) <= twice and len(valid & test) <= twice
        seen.append(valid)
    assert seen[0] != seen[1] != seen[2] and len({len(valid) for valid in seen}) == 1


def test_training_batches_are_examples_that_are_not_for_testing():
    batch = at(make("digits_mlp").setup(at(make("digits_mlp").plain, 0), jax.random.key(0))[1], 0)
    parts = [data.digits().train, data.digits().valid]
    known = {row.tobytes(): label for part in parts for row, label in zip(part.x, part.y, strict=True)}
    assert [known[row.tobytes()] for row in np.asarray(batch["x"])] == batch["y"].tolist()


@pytest.mark.parametrize("vary", [0, 1])
def test_quadratic_is_zero_at_its_optimum_and_nowhere_lower(vary):
    family = load(f"noisy_quadratic?vary={vary}")
    config = jax.jit(family.sample)(jax.random.key(3))
    task = family.task(config)
    batch = task.batch(jax.random.key(0), "valid")
    loss, gradient = jax.jit(jax.value_and_grad(task.loss))(config["target"], batch, jax.random.key(0))
    assert float(loss) == task.optimum == 0.0
    assert not any(leaf.any() for leaf in jax.tree.leaves(gradient))
    assert float(task.loss(task.init(jax.random.key(1)), batch, jax.random.key(0))) > 0


def test_quadratic_has_the_curvatures_that_it_states():
    family = load("noisy_quadratic?rows=4&cols=3")
    config = jax.jit(family.sample)(jax.random.key(3))
    task = family.task(config)
    batch = task.batch(jax.random.key(0), "valid")
    hessian = jax.jit(jax.hessian(task.loss))(config["target"], batch, jax.random.key(0))
    for name, size in {"matrix": 12, "vector": 3}.items():
        curvature = np.linalg.eigvalsh(np.asarray(hessian[name][name]).reshape(size, size))
        assert curvature[-1] == pytest.approx(1.0, rel=1e-4)
        assert curvature[0] == pytest.approx(1 / float(config["condition"]), rel=1e-2)
    steepest = np.outer(config["left"][0], config["right"][:, 0]).ravel()
    assert steepest @ np.asarray(hessian["matrix"]["matrix"]).reshape(12, 12) @ steepest == pytest.approx(1.0, rel=1e-4)


def test_quadratic_noise_averages_to_nothing_and_has_the_stated_size():
    from tasks.families.quadratic import _noise

    table = _noise(16, 8)
    for values in table.values():
        np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-6)
        assert values.std() == pytest.approx(1.0, abs=0.03)
    made, config = make("noisy_quadratic"), at(make("noisy_quadratic").plain, 0)
    drawn = made.setup(config, jax.random.key(1))[1]["matrix"]
    assert float(drawn.std()) == pytest.approx(float(config["noise"]), rel=0.05)


def test_descent_spirals_out_of_a_bilinear_game_and_optimism_converges():
    """C4.4: simultaneous gradient descent diverges; the same steps with the last gradient subtracted once do not."""
    batch = TaskBatch.create(load("bilinear_game?noise=0"), jax.random.key(0), learning_rates=[0.1])

    def final(optimizer):
        result = jax.jit(lambda b: rollout(b, from_optax(optimizer), steps=1500, schedule=Schedule("constant", 0.0)))(batch)
        return float(result.final["valid"][0, 0, 0]), float(result.initial[0, 0])

    worse, start = final(optax.sgd)
    better, _ = final(optax.optimistic_gradient_descent)
    assert worse > 2 * start and better < 0.2 * start


def test_grammar_has_the_entropy_that_it_states():
    """A table of counts of pairs, fitted on half of the stream, comes within 2 % of the entropy rate on the other half and not below."""
    corpus = corpora.grammar()
    counts = np.full((corpus.size,) * 3, 1e-3)
    np.add.at(counts, (corpus.train[:-2], corpus.train[1:-1], corpus.train[2:]), 1.0)
    chance = counts / counts.sum(axis=-1, keepdims=True)
    held = corpus.test
    loss = -np.log(chance[held[:-2], held[1:-1], held[2:]]).mean()
    assert corpus.entropy * 0.98 < loss < corpus.entropy * 1.02


def test_corpora_hold_whole_files_out():
    corpus = corpora.standard_library()
    assert len(corpus.train) > 500_000 and corpus.train.max() < corpus.size == 97
    windows = {bytes(corpus.test[i : i + 200]) for i in range(0, len(corpus.test) - 200, 5_000)}
    text = corpus.train.tobytes()
    assert sum(window in text for window in windows) <= 0.02 * len(windows)


@pytest.mark.parametrize("equation", ["poisson", "burgers"])
def test_the_stated_solution_solves_the_equation(equation):
    from tasks.families.fields import Pinn

    family = Pinn(equation=equation)
    solution = family._solution(jnp.asarray([1.0, 0.5]))
    points = jax.random.uniform(jax.random.key(0), (64, 1 if equation == "poisson" else 2))
    with jax.enable_x64(True):
        residual = jax.vmap(family._residual(solution, solution))(jnp.asarray(points, jnp.float64))
    np.testing.assert_allclose(residual, 0.0, atol=1e-9)
