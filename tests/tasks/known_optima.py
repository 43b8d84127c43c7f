"""Weights at which a family's loss is at its stated optimum, where they can be written down."""

import jax.numpy as jnp
import numpy as np


def _sensing(config):
    size = config["target"].shape[0]
    return {"left": config["target"], "right": jnp.eye(size)}


def _deep_linear(config):
    """Identities into the first directions of the wider layers, then the target."""
    inputs, width = config["target"].shape[0], 16
    into, through = jnp.eye(inputs, width), jnp.eye(width)
    out = jnp.zeros((width, inputs)).at[:inputs].set(config["target"])
    return {"layer_0": {"w": into}, "layer_1": {"w": through}, "layer_2": {"w": through}, "layer_3": {"w": out}}


def _parity(config):
    """Four corners, each with its unit: relu(±x0 ± x1 − 1) is 1 in one corner and 0 in the others."""
    del config
    first, second = np.zeros((16, 32), np.float32), np.zeros((32, 2), np.float32)
    bias = np.full(32, -1.0, np.float32)
    for unit, (a, b) in enumerate([(1, 1), (-1, -1), (1, -1), (-1, 1)]):
        first[:2, unit] = a, b
        second[unit, int(a * b > 0)] = 100.0
    return {"layer_0": {"w": first, "b": bias}, "layer_1": {"w": second, "b": np.zeros(2, np.float32)}}


KNOWN = {
    "bilinear_game": lambda config: {"x": jnp.zeros(8), "y": jnp.zeros(8)},
    "coherent_game": lambda config: {"x": jnp.zeros(8), "y": jnp.zeros(8)},
    "deep_linear": _deep_linear,
    "matrix_sensing": _sensing,
    "noisy_quadratic": lambda config: config["target"],
    "rosenbrock": lambda config: {"x": jnp.ones(8)},
    "xor": _parity,
}
"""Family in its usual size → weights, given a configuration."""
