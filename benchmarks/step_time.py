"""Step time of compiled zoo rules against their optax counterparts, on 1 M parameters, one core: `python -m benchmarks.step_time [NAME …]`.

Both sides run the same jitted step (update and apply, buffers donated), in turn; a figure is the median over rounds of ten steps.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

from discover.bench.timing import interleaved, machine, one_core

SHAPES = {"in": (512, 1024), "bias": (1024,), "mid": (1024, 384), "kernel": (3, 3, 64, 128), "out": (384, 16)}
"""1.0 million parameters in the shapes that networks have."""
STEPS = 10
BAR, LARGEST = 1.05, 1.3


def counterparts() -> dict[str, Any]:
    """Rule → the transformation that optax's users would take, with the same hyperparameters."""
    import optax

    lr = 1e-3
    contrib = optax.contrib
    return {
        "sgd": lambda: optax.sgd(lr),
        "momentum": lambda: optax.sgd(lr, momentum=0.9),
        "nesterov": lambda: optax.sgd(lr, momentum=0.9, nesterov=True),
        "sign_sgd": lambda: optax.sign_sgd(lr),
        "rmsprop": lambda: optax.rmsprop(lr, decay=0.9, eps=1e-8),
        "adagrad": lambda: optax.adagrad(lr),
        "adadelta": lambda: optax.adadelta(lr),
        "adam": lambda: optax.adam(lr),
        "adamw": lambda: optax.adamw(lr),
        "nadam": lambda: optax.nadam(lr),
        "adamax": lambda: optax.adamax(lr),
        "amsgrad": lambda: optax.chain(optax.scale_by_amsgrad(bias_correction_mu=False, bias_correction_nu=False), optax.scale(-lr)),
        "adabelief": lambda: optax.adabelief(lr),
        "adan": lambda: optax.adan(lr),
        "ademamix": lambda: contrib.ademamix(lr),
        "lion": lambda: optax.lion(lr, weight_decay=0.0),
        "novograd": lambda: optax.novograd(lr),
        "lamb": lambda: optax.lamb(lr),
        "lars": lambda: optax.lars(lr),
        "yogi": lambda: optax.yogi(lr),
        "radam": lambda: optax.radam(lr),
        "sm3": lambda: optax.sm3(lr),
        "adafactor": lambda: optax.adafactor(lr, min_dim_size_to_factor=2),
        "optimistic_gradient": lambda: optax.optimistic_gradient_descent(lr),
        "dog": lambda: contrib.dog(lr),
        "dowg": lambda: contrib.dowg(lr),
        "prodigy": lambda: contrib.prodigy(lr),
        "muon": lambda: contrib.muon(lr),
    }


def runner(tx: Any) -> Any:
    """A function that makes ten steps on 1 M parameters."""
    import jax
    import jax.numpy as jnp
    import optax

    keys = jax.random.split(jax.random.key(0), len(SHAPES))
    params = {n: jax.random.normal(k, s) for (n, s), k in zip(SHAPES.items(), keys, strict=True)}
    grads = {n: jax.random.normal(k, s) for (n, s), k in zip(SHAPES.items(), keys[::-1], strict=True)}

    def step(params: Any, state: Any) -> Any:
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(0, 1))
    # Initial states may alias constants or parameters, which cannot be donated twice.
    held = [jax.tree.map(lambda x: jnp.array(x, copy=True), (params, tx.init(params)))]

    def run() -> None:
        for _ in range(STEPS):
            held[0] = compiled(*held[0])
        jax.block_until_ready(held[0])

    return run


def main() -> None:
    """Print a line for each pair, then the geometric mean."""
    one_core()
    from search_space import optimizer, zoo

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    chosen = parser.parse_args().names
    pairs = {n: make for n, make in counterparts().items() if n in (chosen or zoo.names())}
    ratios = {}
    for name, make in pairs.items():
        decay = {"decay": 1e-4} if name == "adamw" else {}
        times = interleaved({"ours": runner(optimizer(name, 1e-3, **decay)), "optax": runner(make())}, rounds=15)
        ratios[name] = times["ours"] / times["optax"]
        mark = "  above 1.3" if ratios[name] > LARGEST else ""
        print(
            f"{name:22s} {1e3 * times['ours'] / STEPS:8.3f} ms {1e3 * times['optax'] / STEPS:8.3f} ms  {ratios[name]:5.2f}{mark}",
            flush=True,
        )
    mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
    print(f"geometric mean {mean:.3f} over {len(ratios)} rules (bar {BAR}); {machine()}")


if __name__ == "__main__":
    main()
