"""Services that show runs beside one another: TensorBoard, Weights & Biases, MLflow, behind one small interface.

In: a `RunRecord`, and figures by step. Out: what the service keeps of them, with the whole configuration. A package
that is missing is refused before anything is computed. A service that fails once the run is under way is a warning, and
the run goes on without it: metrics.jsonl has the figures in any case.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from trainer.config import TrainingConfig
from trainer.errors import ConfigError
from trainer.run.figures.record import RunRecord

log = logging.getLogger(__name__)

PROJECT: Final = "squeeze"
"""Where runs are shown together, unless WANDB_PROJECT or MLFLOW_EXPERIMENT_NAME says otherwise."""


class Tracker(ABC):
    """One service. Its `setting` is the switch of `training` that asks for it."""

    setting: ClassVar[str]
    package: ClassVar[str]

    @abstractmethod
    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Show figures of a step."""

    @abstractmethod
    def close(self) -> None:
        """End the run there; what was shown stays."""

    def go_back(self, step: int) -> None:
        """The run does again what came after `step`; a service that cannot forget keeps both."""
        return


class TensorBoard(Tracker):
    """Files in the run's own folder `tensorboard/`."""

    setting, package = "tensorboard", "tensorboard"

    def __init__(self, record: RunRecord, step: int) -> None:
        self._folder = record.out / "tensorboard"
        self._open(step)
        written = json.dumps(record.configuration, indent=2)
        self._writer.add_text("configuration", "\n".join(f"    {line}" for line in written.splitlines()), step)

    def _open(self, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(self._folder), purge_step=step + 1 if step else None)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        for name, figure in figures.items():
            self._writer.add_scalar(name, figure, step)

    def go_back(self, step: int) -> None:
        self._writer.close()
        self._open(step)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases(Tracker):
    """A run of the project `squeeze`, or WANDB_PROJECT; WANDB_MODE=offline keeps it here until `wandb sync`."""

    setting, package = "wandb", "wandb"

    def __init__(self, record: RunRecord, step: int) -> None:
        import wandb

        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=record.id,
            name=record.name,
            resume="allow",
            dir=str(record.out),
            config=dict(record.configuration),
        )

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._run.log(dict(figures), step=step)

    def close(self) -> None:
        self._run.finish()


class MLflow(Tracker):
    """A run of the experiment `squeeze`, or MLFLOW_EXPERIMENT_NAME, where MLFLOW_TRACKING_URI says."""

    setting, package = "mlflow", "mlflow"
    longest: ClassVar[int] = 500  # characters of a parameter that every server takes
    at_once: ClassVar[int] = 100  # parameters that one request may hold

    def __init__(self, record: RunRecord, step: int) -> None:
        import mlflow

        self._mlflow: Any = mlflow
        mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
        before = record.service_id(self.package)
        if before is not None:
            mlflow.start_run(run_id=before)
            return
        run = mlflow.start_run(run_name=record.name)
        record.keep(self.package, run.info.run_id)
        values = [(name, str(value)[: self.longest]) for name, value in record.flat().items()]
        for start in range(0, len(values), self.at_once):
            mlflow.log_params(dict(values[start : start + self.at_once]))

    def log(self, figures: Mapping[str, float], step: int) -> None:
        named = {re.sub(r"[^\w\-./ ]", "_", name): figure for name, figure in figures.items()}
        self._mlflow.log_metrics(named, step=step)

    def close(self) -> None:
        self._mlflow.end_run()


TRACKERS: Final[tuple[type[Tracker], ...]] = (TensorBoard, WeightsAndBiases, MLflow)


def check_trackers(training: TrainingConfig) -> None:
    """Raise `ConfigError` for a service that is asked for and whose package is not installed. Imports none of them."""
    for kind in TRACKERS:
        there = kind.package in sys.modules or importlib.util.find_spec(kind.package) is not None
        if getattr(training, kind.setting) and not there:
            raise ConfigError(
                f"training.{kind.setting} is set, but {kind.package} is not installed: pip install {kind.package}, or "
                f"leave training.{kind.setting} out"
            )


class Trackers:
    """Those that a run is shown by; each falls away where it fails."""

    def __init__(self, training: TrainingConfig, record: RunRecord, step: int) -> None:
        """Raises `ConfigError` for one that cannot begin."""
        check_trackers(training)
        self._open: list[Tracker] = []
        for kind in TRACKERS:
            if getattr(training, kind.setting):
                try:
                    self._open.append(kind(record, step))  # type: ignore[call-arg]
                except Exception as error:
                    raise ConfigError(
                        f"training.{kind.setting} is set, but {kind.package} cannot begin a run ({error}); set it up, "
                        f"or leave training.{kind.setting} out"
                    ) from error

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._each("show a step", lambda tracker: tracker.log(figures, step))

    def go_back(self, step: int) -> None:
        self._each("go back", lambda tracker: tracker.go_back(step))

    def close(self) -> None:
        self._each("end the run", lambda tracker: tracker.close())

    def _each(self, what: str, act: Callable[[Tracker], None]) -> None:
        for tracker in list(self._open):
            try:
                act(tracker)
            except Exception as error:
                self._open.remove(tracker)
                log.warning("%s cannot %s (%s); the run goes on without it", tracker.package, what, error)
