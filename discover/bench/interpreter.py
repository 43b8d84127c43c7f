"""Interpreter against compiled optax: run time of the same trainings, and candidates a second with compilation counted.

Digits MLP 64-32-10, batch 64, 200 steps, 4 learning rates × 2 seeds, one core. Both run the one inner loop on the same data.
"""

from __future__ import annotations

import time
from typing import Any

from discover.bench.timing import interleaved, machine, one_core
from discover.events import Events, Progress

RATES = (1e-3, 3e-3, 1e-2, 3e-2)
STEPS = 200


def run(events: Events) -> dict[str, Any]:
    """`interpreted_s compiled_s compile_s ratio candidates_per_s speedup`, with the same ratio for LAMB and Adafactor."""
    one_core()
    import jax
    import numpy as np
    import optax

    from search_space import zoo
    from search_space.encode import encode, stack
    from search_space.interpreter import batch_optimizer
    from search_space.layout import Layout
    from tasks.batch import TaskBatch
    from tasks.contracts import BatchOptimizer, from_optax
    from tasks.registry import load
    from tasks.rollout import rollout

    batch = TaskBatch.create(load("digits_mlp"), jax.random.key(0), learning_rates=RATES, seeds=2)
    layout = Layout.of(jax.tree.map(lambda x: x[0], batch.init()))
    factories: dict[str, Any] = {
        "adamw": lambda lr: optax.adamw(lr, weight_decay=1e-4),
        "lamb": lambda lr: optax.lamb(lr, weight_decay=0.0),
        "adafactor": lambda lr: optax.adafactor(lr, min_dim_size_to_factor=2),
    }
    events(Progress("compile", 0, 1 + len(factories), "programs"))
    interpreted, interpreter_compile = _compile(
        lambda code, b: rollout(b, BatchOptimizer(*batch_optimizer(layout, code)), steps=STEPS).final["valid"],
        stack([encode(zoo.program("adamw"))]),
        batch,
    )
    runs: dict[str, Any] = {}
    compile_s = {}
    for done, (name, factory) in enumerate(factories.items(), start=1):
        events(Progress("compile", done, 1 + len(factories), "programs"))
        compiled, compile_s[name] = _compile(lambda b, f=factory: rollout(b, from_optax(f), steps=STEPS).final["valid"], batch)
        code = stack([encode(zoo.program(name))])
        runs[f"{name} interpreted"] = lambda code=code: np.asarray(interpreted(code, batch))
        runs[f"{name} compiled"] = lambda compiled=compiled: np.asarray(compiled(batch))
    events(Progress("measure", 0, None, "runs"))
    seconds = interleaved(runs)
    gap = float(np.max(np.abs(runs["adamw interpreted"]() - runs["adamw compiled"]())))
    ratios = {name: seconds[f"{name} interpreted"] / seconds[f"{name} compiled"] for name in factories}
    each = compile_s["adamw"] + seconds["adamw compiled"]
    return {
        "interpreted_s": seconds["adamw interpreted"],
        "compiled_s": seconds["adamw compiled"],
        "compile_s": compile_s["adamw"],
        "ratio": ratios["adamw"],
        "ratio_lamb": ratios["lamb"],
        "ratio_adafactor": ratios["adafactor"],
        "candidates_per_s": 1.0 / seconds["adamw interpreted"],
        "speedup": each / seconds["adamw interpreted"],
        "largest_loss_difference": gap,
        "interpreter_compile_s": interpreter_compile,
        **machine(),
    }


def _compile(function: Any, *arguments: Any) -> tuple[Any, float]:
    import jax

    start = time.perf_counter()
    compiled = jax.jit(function).lower(*arguments).compile()
    return compiled, time.perf_counter() - start
