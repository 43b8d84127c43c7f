"""Data of a local folder: what is read, and one clear line for what is missing or broken."""

import gzip
import socket
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tasks import corpora, external, images
from tasks.errors import TaskError
from tasks.fetch import fetch
from tasks.registry import BUILTINS, load, names, parse
from tests.tasks.conftest import TEXT, small_images


def complaint(spec):
    """The one line that a task's name leads to."""
    with pytest.raises(TaskError) as caught:
        parse(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", [name for name in names() if BUILTINS[name].needs])
def test_tasks_of_the_folder_have_the_shapes_that_they_state(filled, name):
    family = load(f"{name}?width=8&batch=4")
    assert family.name == name
    config = jax.eval_shape(family.sample, jax.random.key(0))
    params = jax.eval_shape(lambda c: family.task(c).init(jax.random.key(0)), config)
    for split in ("train", "valid", "test"):
        batch = jax.eval_shape(lambda c, split=split: family.task(c).batch(jax.random.key(1), split), config)
        loss = jax.eval_shape(lambda c, p, b: family.task(c).loss(p, b, jax.random.key(2)), config, params, batch)
        assert loss == jax.ShapeDtypeStruct((), jnp.float32)
    with pytest.raises(TaskError, match="width 0, allowed: a whole number from 1"):
        load(f"{name}?width=0")


def test_minibatches_are_scaled_images_with_their_labels(filled):
    family = load("cifar_mlp?pool=4&batch=400&examples=150")
    task = family.task(jax.jit(family.sample)(jax.random.key(0)))
    batch = jax.jit(lambda key: task.batch(key, "train"))(jax.random.key(1))
    assert batch["x"].shape == (400, 8 * 8 * 3)
    assert abs(float(batch["x"].mean())) < 0.2 and 0.8 < float(batch["x"].std()) < 1.2
    assert np.corrcoef(batch["x"].mean(axis=1), batch["y"])[0, 1] > 0.99


def write_idx(path, array):
    """An idx file as published."""
    data = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_published_idx_files_are_read(folder, ending):
    arrays = small_images("fashion_mnist")
    for split, published in (("train", "train"), ("test", "t10k")):
        write_idx(folder / "fashion_mnist" / f"{published}-images-idx3-ubyte{ending}", arrays[f"x_{split}"][..., 0])
        write_idx(folder / "fashion_mnist" / f"{published}-labels-idx1-ubyte{ending}", arrays[f"y_{split}"])
    for found, expected in zip(images.load("fashion_mnist"), arrays.values(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_published_cifar_batches_are_read(folder):
    arrays = small_images("cifar10", 1_500)

    def records(x, y):
        return np.concatenate([y[:, None], x.transpose(0, 3, 1, 2).reshape(len(x), -1)], axis=1).tobytes()

    (folder / "cifar10").mkdir()
    for i in range(5):
        rows = slice(300 * i, 300 * (i + 1))
        (folder / "cifar10" / f"data_batch_{i + 1}.bin").write_bytes(records(arrays["x_train"][rows], arrays["y_train"][rows]))
    (folder / "cifar10" / "test_batch.bin").write_bytes(records(arrays["x_test"], arrays["y_test"]))
    for found, expected in zip(images.load("cifar10"), arrays.values(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_text_is_cut_without_overlap(filled):
    corpus = corpora.load("own_text")
    assert len(corpus.train) + len(corpus.valid) + len(corpus.test) == len(TEXT)
    assert bytes(corpus.train[:3] + 32) == b"The" and len(corpus.valid) == pytest.approx(len(TEXT) / 10, abs=1)


@pytest.mark.parametrize(
    ("name", "command"), [("fashion_mlp", "discover data fashion_mnist"), ("newsgroups_lstm", "discover data newsgroups")]
)
def test_what_is_missing_names_the_command(folder, name, command):
    line = complaint(name)
    assert f"`{command}`" in line and str(folder) in line


def test_a_missing_own_text_says_where_to_put_it(folder):
    assert complaint("own_text_lstm") == (
        f"data set 'own_text' is not in {folder}: put text.txt there (DISCOVER_DATA names another folder)"
    )


def broken(arrays, **changed):
    """Arrays as the content of an .npz file's writer."""
    return lambda path: np.savez(path, **{**arrays, **changed})


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda path: path.write_bytes(b"PK\x03\x04 cut off"), "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: np.savez(path, x_train=np.zeros(3, np.uint8)), "y_train"),
        (broken(small_images("fashion_mnist"), y_test=np.full(100, 12, np.uint8)), "labels run from 12 to 12, expected 0 to 9"),
        (broken(small_images("fashion_mnist"), x_test=np.zeros((100, 9), np.uint8)), "expected bytes [N, 28, 28, 1]"),
        (broken(small_images("fashion_mnist"), x_train=np.array([{}], object)), "Object arrays cannot be loaded"),
    ],
)
def test_a_corrupt_image_file_is_one_line(folder, write, says):
    write(folder / "fashion_mnist.npz")
    line = complaint("fashion_mlp")
    assert says in line and "fashion_mnist.npz" in line


@pytest.mark.parametrize(("content", "says"), [(b"short", "at least 20000"), (bytes(30_000), "hardly a text")])
def test_a_useless_text_is_one_line(folder, content, says):
    (folder / "text.txt").write_bytes(content)
    assert says in complaint("own_text_transformer")


@pytest.mark.parametrize("name", [name for name, source in external.SOURCES.items() if source.origin])
def test_without_a_network_fetching_is_one_line_and_leaves_nothing(folder, monkeypatch, name):
    def refuse(*_):
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(TaskError, match=f"cannot fetch '{name}'") as caught:
        fetch(name)
    assert "\n" not in str(caught.value)
    assert not list(folder.iterdir())


def test_the_command_lists_and_refuses(folder, capsys):
    from discover.cli import main

    assert main(["data", "--json"]) == 0
    assert '"cifar10": null' in capsys.readouterr().out
    assert main(["data", "mnist"]) == 2 and "allowed: fashion_mnist" in capsys.readouterr().err
    assert main(["data", "own_text"]) == 2 and "text.txt" in capsys.readouterr().err
    assert main(["search", "--task", "fashion_mlp"]) == 2
    assert "discover data fashion_mnist" in capsys.readouterr().err
