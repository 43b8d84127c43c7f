"""Time and memory of learned optimizers' updates on 1 M parameters, one core: `python -m benchmarks.inference [SPEC …]`.

All sides run the same jitted step (update and apply, buffers donated), in turn; a figure is the median over rounds, in CPU time of this
process, so that other programs on the machine count little; each side runs untimed before, or it would pay for memory that the one
before it gave back. "published" is the plain transcription that the tests use as oracle, which forms all 39 features of all parameters
as its authors do. `--beside COMMAND`, which may be given several times, runs a program outside of this project that times the same
update in another library, on one core too, and prints one JSON object with `update_s` and `transient`.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import subprocess
import time
from typing import Any, NamedTuple

from benchmarks.step_time import SHAPES
from discover.bench.timing import interleaved, machine, one_core

SPECS = (
    "sgd",
    "adam",
    "small_fc",
    "small_fc?hidden=8",
    "small_fc?hidden=32",
    "celo2",
    "velo",
    "scale_free?hidden=4",
    "scale_free",
    "scale_free?hidden=4&bf16=1",
)
LIMIT, MOONSHOT = 12.0, 4.0
STEPS = 5
TRANSIENT = 32.0
PARAMETERS = sum(math.prod(shape) for shape in SHAPES.values())


class Prepared(NamedTuple):
    """A step to time, and its bytes for each parameter: temporary ones of the compiled step, and state."""

    run: Any
    transient: float
    state: float


def prepare(tx: Any) -> Prepared:
    """Compile a step of an optax transformation on 1 M parameters."""
    import jax
    import jax.numpy as jnp
    import optax

    keys = jax.random.split(jax.random.key(0), len(SHAPES))
    params = {n: jax.random.normal(k, s) for (n, s), k in zip(SHAPES.items(), keys, strict=True)}
    grads = {n: 0.01 * jax.random.normal(k, s) for (n, s), k in zip(SHAPES.items(), keys[::-1], strict=True)}

    def step(grads: Any, params: Any, state: Any) -> Any:
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    held = [jax.tree.map(lambda x: jnp.array(x, copy=True), (params, tx.init(params)))]
    compiled = jax.jit(step, donate_argnums=(1, 2)).lower(grads, *held[0]).compile()
    memory, state = compiled.memory_analysis(), sum(x.nbytes for x in jax.tree.leaves(held[0][1]))

    def run() -> None:
        for _ in range(STEPS):
            held[0] = jax.block_until_ready(compiled(grads, *held[0]))

    return Prepared(run, memory.temp_size_in_bytes / PARAMETERS, state / PARAMETERS)


def published(theta: Any) -> Any:
    """The transcription as an optax transformation."""
    import jax
    import jax.numpy as jnp
    import optax

    from tests.meta_train.published import start, step

    def init(params: Any) -> Any:
        return jax.tree.map(lambda p: jax.tree.map(jnp.asarray, start(p.shape, jnp)), params)

    def update(grads: Any, state: Any, params: Any) -> Any:
        pairs = {n: step(theta, grads[n], params[n], state[n], jnp) for n in params}
        return {n: -d for n, (d, _) in pairs.items()}, {n: s for n, (_, s) in pairs.items()}

    return optax.GradientTransformation(init, update)  # type: ignore[arg-type]


def _beside(command: str, base: float) -> None:
    """Run another library's measurement, print it as one of ours."""
    done = subprocess.run(shlex.split(command), check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    name = " ".join(command.split()[-1:])
    print(f"{name:26s} {1e3 * found['update_s']:8.2f} {found['update_s'] / base:8.1f} {found['transient']:12.1f}")


def main() -> None:
    """Print a line for each optimizer and which of the gates hold."""
    one_core()
    import jax
    import optax

    from meta_train.cost import flops_per_param
    from meta_train.registry import load

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("specs", nargs="*", default=SPECS)
    parser.add_argument("--beside", metavar="COMMAND", action="append", default=[], help="measures another library")
    options = parser.parse_args()
    specs = options.specs
    small = load("small_fc")
    prepared = {"optax.adam": prepare(optax.adam(1e-3)), "published": prepare(published(small.init(jax.random.key(0))))}
    for spec in specs:
        optimizer = load(spec)
        prepared[spec] = prepare(optimizer.transform(optimizer.init(jax.random.key(0)), learning_rate=1e-3))
    times = interleaved({name: p.run for name, p in prepared.items()}, rounds=9, clock=time.process_time, settle=True)
    times = {name: seconds / STEPS for name, seconds in times.items()}
    base = times["optax.adam"]
    print("                                ms    × adam   B transient   B state   operations")
    for name, p in prepared.items():
        operations = f"{flops_per_param(load(name)):9.0f}" if name in specs else ""
        print(f"{name:26s} {1e3 * times[name]:8.2f} {times[name] / base:8.1f} {p.transient:12.1f} {p.state:10.2f} {operations}")
    for command in options.beside:
        _beside(command, base)
    four = [s for s in ("small_fc", "scale_free?hidden=4") if s in specs]
    for spec in four:
        ratio, p = times[spec] / base, prepared[spec]
        print(
            f"{spec}: at most {LIMIT} × Adam {ratio <= LIMIT}, moonshot {MOONSHOT} {ratio <= MOONSHOT}, memory {p.transient <= TRANSIENT}"
        )
    print(machine())


if __name__ == "__main__":
    main()
