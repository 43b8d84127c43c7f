"""What scaling rules rely on: metadata says exactly which sides of which tensors grow with the width, in every family."""

import jax
import jax.numpy as jnp
import pytest

from tasks.registry import BUILTINS, load, names

WIDE = tuple(name for name in names() if "width" in BUILTINS[name].parameters)
GROWTH = {"input": (False, True), "hidden": (True, True), "output": (True, False)}
"""Role → which of fan-in and fan-out grow."""


def tensors(family):
    """(path, shape, metadata) of each tensor."""
    found = []

    def init(config):
        task = family.task(config)
        found.extend(jax.tree.leaves_with_path(task.metadata))
        return task.init(jax.random.key(0))

    leaves = jax.tree.leaves(jax.eval_shape(init, jax.eval_shape(family.sample, jax.random.key(0))))
    return [(path, leaf.shape, meta) for leaf, (path, meta) in zip(leaves, found, strict=True)]


@pytest.mark.parametrize("name", WIDE)
def test_sides_grow_as_the_role_says(filled, name):
    base = load(name)
    narrow, wide = tensors(base), tensors(load(f"{name}?width={4 * base.width}"))
    assert {"input", "output"} <= {meta.role for _, _, meta in narrow}
    for (path, shape, meta), (_, wider, wide_meta) in zip(narrow, wide, strict=True):
        assert meta.role == wide_meta.role and meta.width_mult == 1.0, path
        grown = [a * 4 == b for a, b in zip(shape, wider, strict=True)]
        assert all(a == b or g for a, b, g in zip(shape, wider, grown, strict=True)), path
        assert wide_meta.width_mult == (4.0 if any(grown) else 1.0), path
        fans = (wide_meta.fan_in == 4 * meta.fan_in, wide_meta.fan_out == 4 * meta.fan_out)
        assert fans == (GROWTH[meta.role] if meta.role != "vector" else (False, any(grown))), path
        assert fans == (any(grown[:-1]), grown[-1]), path


@pytest.mark.parametrize("name", [name for name in names() if name not in WIDE])
def test_families_without_a_width_say_so(name):
    assert {meta.width_mult for _, _, meta in tensors(load(name))} == {1.0}


def smallest(name):
    """A family with every whole number at its lowest."""
    lowest = [f"{key}={rule.low}" for key, rule in BUILTINS[name].parameters.items() if rule.type is int]
    return f"{name}?{'&'.join(lowest)}"


ODD = ("text_transformer?width=33&rotary=1", "digits_vit?width=33")
"""Widths that heads and halves do not divide."""


@pytest.mark.parametrize("spec", [*map(smallest, names()), *ODD])
def test_the_smallest_sizes_are_tasks(filled, spec):
    family = load(spec)

    def losses(config):
        task = family.task(config)
        params, key = task.init(jax.random.key(0)), jax.random.key(1)
        return [task.loss(params, task.batch(key, split), key) for split in ("train", "test")]

    shapes = jax.eval_shape(losses, jax.eval_shape(family.sample, jax.random.key(0)))
    assert shapes == [jax.ShapeDtypeStruct((), jnp.float32)] * 2
