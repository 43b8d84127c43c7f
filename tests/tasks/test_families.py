"""Checks that every built-in family passes, and the particular promises of each."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tasks import corpora, data, variation
from tasks.batch import TaskBatch
from tasks.contracts import Schedule, TensorMeta, from_optax
from tasks.registry import installed as names
from tasks.registry import load
from tasks.rollout import rollout
from tests.tasks.family_checks import FAST, GAMES, TRAINED, at, make, setup_of, slopes, spec, trained
from tests.tasks.known_optima import KNOWN

ALWAYS_VARIED = {
    "noisy_quadratic": None, "bbob": None, "bilinear_game": None, "coherent_game": None, "matrix_sensing": {"target"},
    "deep_linear": {"target"}, "lasso": {"truth"}, "siren": {"crop"},
}  # fmt: skip
"""Parts of a configuration that differ at vary=0 too; None for all."""


@pytest.mark.parametrize("name", [name for name in names() if name not in GAMES])
def test_gradient_is_the_slope(name):
    by_gradient, by_difference = slopes(name)
    np.testing.assert_allclose(by_gradient, by_difference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", TRAINED)
def test_adam_learns(name):
    rate, share = TRAINED[name]
    initial, valid, test = np.mean([trained(make(name), rate, jax.random.key(seed)) for seed in (1, 2)], axis=0)
    assert valid < share * initial and test < 1.2 * share * initial


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


@pytest.mark.parametrize("kind", ["plain", "varied"])
def test_quadratic_is_flat_at_its_optimum_and_higher_elsewhere(kind):
    made, key = make("noisy_quadratic"), jax.random.key(3)
    config = at(getattr(made, kind), 0)
    start, _, valid, _ = made.setup(config, key)
    with jax.enable_x64(True):
        best, first = (jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree) for tree in (config["target"], start))
        loss, gradient = made.slope(config, best, valid, key)
        elsewhere, _ = made.slope(config, first, valid, key)
    assert float(loss) == 0.0 < float(elsewhere)
    assert not any(leaf.any() for leaf in jax.tree.leaves(gradient))


def test_quadratic_has_the_curvatures_that_it_states():
    family = load("noisy_quadratic?rows=4&cols=3")
    config = jax.jit(family.sample)(jax.random.key(3))
    batch = {"matrix": jnp.zeros((4, 3)), "vector": jnp.zeros(3)}  # no noise
    hessian = jax.jit(lambda c: jax.hessian(family.task(c).loss)(c["target"], batch, jax.random.key(0)))(config)
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
        def run(batch):
            return rollout(batch, from_optax(optimizer), steps=1500, schedule=Schedule("constant", 0.0), evals=1)

        result = jax.jit(run, compiler_options=FAST)(batch)
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
    points = np.random.default_rng(0).random((64, 1 if equation == "poisson" else 2))
    with jax.enable_x64(True):
        residual = jax.jit(jax.vmap(family._residual(solution, solution)))(points)
    np.testing.assert_allclose(residual, 0.0, atol=1e-9)


@pytest.mark.parametrize("name", KNOWN)
def test_the_optimum_is_where_it_is_stated(name):
    made, key = make(name), jax.random.key(4)
    for config in (at(made.plain, 1), at(made.varied, 2)):
        _, _, valid, _ = made.setup(config, key)
        assert made.family.task(config).optimum == 0.0
        assert abs(float(made.loss(config, KNOWN[name](config), valid, key))) < 1e-10


def test_the_stream_shows_few_classes_at_a_time_and_all_of_them_again_and_again():
    made = make("digits_stream")
    runs = [made.setup(at(made.plain, 0), jax.random.key(seed))[1]["y"] for seed in range(4)]
    labels = np.asarray(runs).reshape(-1, 5 * 64)  # a row is a phase of 5 steps
    phases = [set(row) for row in labels]
    assert all(len(phase) == 2 for phase in phases)
    assert all(sum(digit in phase for phase in phases) >= 2 for digit in range(10))
    assert len(set(map(frozenset, phases))) > 20
    for row in labels:  # both classes are as likely, up to how many examples there are
        assert 0.3 < np.mean(row == row[0]) < 0.7
