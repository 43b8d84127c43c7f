"""Meta-gradient estimators compared: `python -m benchmarks.estimators`.

First on a problem in closed form (`tests.meta_train.moving`): variance of one particle's estimate, relative to the squared gradient,
when an episode is cut into more and more truncations, and the bias. Then on a learnable Adam that trains the 212-weight network
`micro_mlp` for 80 steps: bias and variance of the mean over an episode, against full evolution strategies with many particles.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from meta_train.estimators import evolution
from meta_train.estimators.backprop import Backprop, ForwardGradient
from meta_train.inner import TaskProblem
from meta_train.parametrised import Parametrised
from meta_train.problem import InnerProblem
from meta_train.registry import load as load_optimizer
from tasks.registry import load as load_family
from tests.meta_train.moving import Moving, gradient, theta

SIGMA = 0.01
KINDS: dict[str, Callable[[InnerProblem, int, int], Any]] = {
    "PES": lambda problem, n, steps: evolution.pes(problem, n, steps, SIGMA),
    "noise reuse, period 4": lambda problem, n, steps: evolution.noise_reuse(problem, n, steps, SIGMA),
    "ES-Single": lambda problem, n, steps: evolution.es_single(problem, n, steps, SIGMA),
    "forward, tangents kept": ForwardGradient,
    "truncated ES": lambda problem, n, steps: evolution.truncated_es(problem, n, steps, SIGMA),
    "backprop": Backprop,
}


def episode(estimator: Any, start: Any, length: int, truncations: int) -> tuple[np.ndarray, int, float]:
    """Each particle's mean estimate over one whole episode, f64[N, P], the inner steps that all took, and the variance of one truncation's.

    The last, the mean over truncations of the trace over particles, is what an outer step sees, whose particles are at all ages.
    """
    state = estimator.init(start, length)
    track = state.particles.track
    state = state._replace(particles=state.particles._replace(track=track._replace(t=jnp.zeros_like(track.t))))  # not staggered
    advance, total, taken, variance = jax.jit(estimator.contributions), 0.0, 0, 0.0
    for i in range(truncations):
        part, state = advance(start, state, jax.random.fold_in(jax.random.key(0), i))
        each = np.asarray(part.gradient, np.float64)
        total, variance = total + each, variance + float(np.sum(each.var(axis=0)))
        taken += estimator.arms * int(np.sum(state.particles.track.taken))
    return total / truncations, taken, variance / truncations


def closed_form(length: int = 64, particles: int = 20_000) -> None:
    """Variance against the number of truncations, and the bias."""
    print(f"closed form, episodes of {length} steps, {particles:,} particles: variance of a truncation's estimate / |gradient|², bias")
    problem = Moving(rho=0.8, length=length)
    exact = gradient(problem, length)
    counts = (1, 4, 16, 64)
    print(f"{'':24}" + "".join(f"{f'{count} truncations':>24}" for count in counts))
    for name, make in KINDS.items():
        cells = []
        for count in counts:
            each, _, variance = episode(make(problem, particles, length // count), theta(), length, count)
            bias = np.linalg.norm(each.mean(axis=0) - exact) / np.linalg.norm(exact)
            cells.append(f"{variance / np.sum(exact**2):12.2f} {bias:8.3f}   ")
        print(f"{name:24}" + "".join(cells), flush=True)


def network(length: int = 80, steps: int = 10, particles: int = 256) -> None:
    """Bias and variance on a real inner problem."""
    optimizer = load_optimizer("adam")
    problem = TaskProblem(Parametrised(load_family("micro_mlp")), optimizer, length, length)
    start = optimizer.init(jax.random.key(0)) | {"log_rate": jnp.full(2, jnp.log(3e-3))}
    reference, _, _ = episode(evolution.full_es(problem, 8 * particles, SIGMA), start, length, 1)
    exact = reference.mean(axis=0)
    error = np.sqrt(np.sum(reference.var(axis=0)) / len(reference)) / np.linalg.norm(exact)
    print(f"learnable Adam on micro_mlp, {length} steps, truncations of {steps}, {particles} particles; reference known to {error:.3f}")
    print(f"{'':24}{'inner steps':>14}{'relative bias':>16}{'± error':>10}{'variance × steps / |g|²':>26}{'seconds':>10}")
    full = {"full ES": lambda problem, n, _: evolution.full_es(problem, n, SIGMA)}
    for name, make in {**KINDS, **full}.items():
        began = time.process_time()
        count = 1 if name == "full ES" else length // steps
        each, taken, _ = episode(make(problem, particles, steps), start, length, count)
        variance = np.sum(each.var(axis=0))
        bias = np.linalg.norm(each.mean(axis=0) - exact) / np.linalg.norm(exact)
        noise = np.sqrt(variance / particles) / np.linalg.norm(exact)
        cost = variance * taken / particles / np.sum(exact**2)
        print(f"{name:24}{taken:14,}{bias:16.3f}{noise:10.3f}{cost:26.1f}{time.process_time() - began:10.1f}", flush=True)


def main() -> None:
    """Print both tables."""
    closed_form()
    network()


if __name__ == "__main__":
    tyro.cli(main)
