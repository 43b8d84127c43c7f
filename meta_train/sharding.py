"""Particles spread over devices: every device advances its own, and one sum of gradients crosses between them.

On a CPU a process has as many devices as `--xla_force_host_platform_device_count` says before jax starts, one for each core. Several
processes, on one machine or many, call `join` first and then all run the same estimates; the mesh spans the devices of all of them:

    join("host:1234", processes=2, number=0)   # and number=1 elsewhere
    mesh = make_mesh(len(jax.devices()))
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from meta_train.estimators.contracts import Estimator, Info, estimate
from meta_train.problem import PyTree

AXIS = "particles"


def join(coordinator: str, processes: int, number: int) -> None:
    """Make this process number `number` of `processes` that share a computation, before jax is used for anything else.

    `coordinator` is the address of process 0, host:port. The trainer itself is for one process: its checkpoints are.
    """
    jax.distributed.initialize(coordinator_address=coordinator, num_processes=processes, process_id=number)


def make_mesh(devices: int) -> Mesh:
    """The first `devices` devices of all processes as a line."""
    return jax.make_mesh((devices,), (AXIS,), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])


def place(tree: PyTree, mesh: Mesh) -> PyTree:
    """Arrays that are the same on all devices."""
    return tree if mesh.size == 1 else _spread(tree, NamedSharding(mesh, PartitionSpec()))


def place_state(state: Any, mesh: Mesh) -> Any:
    """An estimator's state, its particles spread over the mesh."""
    if mesh.size == 1:
        return state
    spread = {name: NamedSharding(mesh, spec) for name, spec in _specs(state)._asdict().items()}
    return type(state)(**{name: _spread(getattr(state, name), sharding) for name, sharding in spread.items()})


def _spread(tree: PyTree, sharding: NamedSharding) -> PyTree:
    """Arrays that every process has whole, each process keeping its own part; `device_put` does not reach other processes' devices."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)
    return jax.jit(lambda tree: tree, out_shardings=sharding)(tree)


def make_step(estimator: Estimator, state: Any, mesh: Mesh) -> Callable[[PyTree, Any, jax.Array], tuple[PyTree, Any, Info]]:
    """The compiled estimate(theta, state, key) -> (gradient, state, Info); the state is donated.

    What a particle draws depends on its number alone, so results differ between numbers of devices by the order of one sum.
    """
    if mesh.size == 1:
        return jax.jit(partial(estimate, estimator), donate_argnums=1)
    specs, all_ = _specs(state), PartitionSpec()
    body = partial(estimate, estimator, axis=AXIS)
    spread = jax.shard_map(body, mesh=mesh, in_specs=(all_, specs, all_), out_specs=(all_, specs, all_), check_vma=False)
    return jax.jit(spread, donate_argnums=1)


def _specs(state: Any) -> Any:
    """Particles are split along their first axis, the rest of a state is everywhere."""
    return type(state)(*(PartitionSpec(AXIS) if name == "particles" else PartitionSpec() for name in state._fields))
