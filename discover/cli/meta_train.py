"""`discover meta-train`: train a learned optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from discover.cli import INTERRUPTED, OK, meta_report, output
from discover.cli.checks import check_budget, check_choice, check_new_run, check_number, check_seed, check_task, new_run_folder
from discover.devices import available, prepare
from discover.errors import UserError
from discover.events import Progress
from discover.lock import RunLock
from meta_train import run_folder
from meta_train.config import MetaConfig
from meta_train.presets import PRESETS, preset


@dataclass(frozen=True)
class MetaTrain:
    """Train a learned optimizer's meta-parameters. `discover resume RUN` continues a run, `discover show RUN` shows its curve.

    The best weights lie in RUN/weights. The same seed and devices give the same weights, however often the run is killed and resumed.
    """

    preset: Annotated[Positional[str], arg(metavar="PRESET")]
    """A named configuration: tiny, digits, general, long."""
    task: UseAppendAction[tuple[str, ...]] = ()
    """A task to train on instead of the preset's, such as digits_mlp?width=16 or module:function of your own."""
    optimizer: Annotated[str | None, arg(metavar="SPEC")] = None
    """Another architecture, such as scale_free, small_fc?hidden=8 or program:adam."""
    estimator: Annotated[str | None, arg(metavar="NAME")] = None
    """Another estimator of the meta-gradient, such as pes or es_single, or evosax:NAME for a strategy that needs none, evosax:CMA_ES."""
    start: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder of trained weights to start from, such as runs/meta-train-1/weights."""
    seed: Annotated[int | None, arg(metavar="INT")] = None
    """Seed of everything random."""
    outer_steps: Annotated[int | None, arg(metavar="INT")] = None
    """Outer steps; the outer learning rate decays towards the last of them."""
    budget_seconds: Annotated[float | None, arg(metavar="SECONDS")] = None
    """Time limit; cuts the sequence of outer steps and changes nothing else."""
    devices: Annotated[int | None, arg(metavar="INT")] = None
    """Devices that the particles are spread over; on a CPU one for each core if not given and the particles divide."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """The run folder; runs/meta-train-N if not given."""
    json: bool = False
    """Print one JSON object as the last line."""

    def execute(self) -> int:
        """Check everything, then train."""
        check_choice("preset", self.preset, PRESETS)
        config = preset(self.preset, **self._changes())
        devices = choose_devices(self.devices, config)
        if config.strategy is not None:
            from meta_train import blackbox

            blackbox.check(config.strategy)
        if config.start is not None:
            from meta_train import weights

            weights.load(Path(config.start), config.optimizer)
        if self.out is not None:
            check_new_run(self.out)
            if run_folder.is_run(self.out):
                raise UserError(f"{self.out} already holds a run: choose another --out, or continue it with `discover resume {self.out}`")
        folder = self.out if self.out is not None else new_run_folder("meta-train")
        run_folder.create(folder, config)
        return perform(folder, devices, self.json)

    def _changes(self) -> dict[str, Any]:
        """The fields of the configuration that were given, checked."""
        if self.seed is not None:
            check_seed(self.seed)
        check_budget(self.budget_seconds)
        check_number("--outer-steps", self.outer_steps, 1)
        for task in self.task:
            check_task(task)
        given = {
            "tasks": self.task or None,
            "families_per_step": min(PRESETS[self.preset].families_per_step, len(self.task)) if self.task else None,
            "optimizer": self.optimizer,
            "estimator": self.estimator,
            "start": None if self.start is None else str(self.start),
            "seed": self.seed,
            "outer_steps": self.outer_steps,
            "budget_seconds": self.budget_seconds,
        }
        return {name: value for name, value in given.items() if value is not None}


def choose_devices(asked: int | None, config: MetaConfig) -> int:
    """How many devices to use; raises UserError where the work cannot be spread evenly over as many as were asked for."""
    particles = config.particles if config.strategy is None else 1
    if asked is None:
        return max(n for n in range(1, available() + 1) if particles % n == 0)
    check_number("--devices", asked, 1)
    if config.strategy is not None and asked > 1:
        raise UserError(f"--devices {asked}: {config.estimator} works on one device")
    if particles % asked:
        raise UserError(f"--devices {asked} does not divide the {particles} particles of this configuration")
    return asked


def perform(folder: Path, devices: int, as_object: bool, budget: float | None = None) -> int:
    """Train in `folder` from its last checkpoint on and report; after Ctrl-C report what is kept, and return 130.

    `budget` replaces the configuration's, in seconds from the run's beginning.
    """
    lock = RunLock.acquire(folder)
    output.say(f"run folder: {folder}")
    try:
        with output.progress() as events:
            _train(folder, devices, budget, events)
    except KeyboardInterrupt:
        output.say(f"interrupted; what is done is kept. Continue with: discover resume {folder}")
        meta_report.report(folder, as_object)
        return INTERRUPTED
    finally:
        lock.release()
    meta_report.report(folder, as_object)
    return OK


def _train(folder: Path, devices: int, budget: float | None, events: Any) -> None:
    prepare(devices)
    from meta_train.trainer import Report, Trainer

    def show(report: Report) -> None:
        note = f"{report.inner_steps_per_s:,.0f} inner steps/s · loss {report.loss:.3f}"
        events(Progress("meta-training", report.step, report.steps, "outer steps", report.seconds_left, report.score, note))

    Trainer(folder, devices, show, budget).train()
