"""Group `training`: the run, in ranks of its own that a launcher starts, and its export to transformers."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import dagster as dg

from pipeline.assets.evaluation import TRAINING_ITEMS
from pipeline.assets.launchpad import launchpad_config
from pipeline.assets.live import observe_metrics
from pipeline.assets.metadata import rounded, table
from pipeline.assets.naming import TRAINING_POOL
from pipeline.assets.sharding import VALIDATION, epoch_key
from pipeline.assets.stored_asset import Build, Metadata, StoredAsset
from pipeline.assets.teachers import taught_by, teachers_in
from pipeline.base.errors import SqueezeError
from pipeline.base.files import sha256_of, write_text
from pipeline.base.finished import finish, is_finished
from pipeline.base.held import LAUNCH
from pipeline.evaluation.lm_eval.training_items import TrainingItems
from pipeline.launch.in_dagster import run_in_dagster, stay_with
from pipeline.launch.launcher import Handle, Program, Shared
from pipeline.launch.ranks import Batch
from pipeline.launch.settings import LaunchSettings
from pipeline.launch.supervised import running_in
from pipeline.profile.profile import Profile
from pipeline.profile.yaml import merge
from pipeline.reporting.card import model_card
from pipeline.reporting.facts import collect, metrics_rows
from pipeline.reporting.plots.sparkline import sparkline_markdown
from pipeline.sharding.output.commit import EpochSummary
from pipeline.tokenization.choosing.choice import ChoiceSummary
from trainer.config import ChoiceData, DataConfig, RunConfig, TrainingConfig, ValidationData
from trainer.model.config import ModelConfig
from trainer.process.complaint import error_file
from trainer.process.signals import EXIT_UNFINISHED
from trainer.run.figures.summary import RunSummary, read_summary
from trainer.run.folder import CHECKPOINTS, METRICS_FILE, RUN_FILE, SUMMARY_FILE
from trainer.run.kept_weights import AVERAGED

log = logging.getLogger(__name__)

GROUP: Final = "training"
MODEL_VERSION: Final = "3"
EXPORT_VERSION: Final = "2"
INTERRUPTED: Final = "training was interrupted after a checkpoint; materialize model again to go on from there"


@dataclasses.dataclass(frozen=True)
class Training:
    """Settings of the model asset: what is trained, and how."""

    model: ModelConfig
    training: TrainingConfig


@dataclasses.dataclass(frozen=True)
class ModelSummary:
    """What the trainer's summary.json says, with the hash of the weights."""

    content_hash: str
    run: RunSummary
    losses: list[tuple[int, float]]
    """(step, training loss), thinned to a curve's worth of points."""


@dataclasses.dataclass(frozen=True)
class ExportSummary:
    """The exported model."""

    content_hash: str
    architecture: str
    files: list[str]


TrainingOverrides = launchpad_config(
    TrainingConfig,
    "TrainingOverrides",
    "Training settings laid over the profile's for this run; what is left out stays as it is there.",
)


def stored_assets(profile: Profile) -> list[StoredAsset[Any]]:
    """The trained model and its export."""
    epochs = [epoch_key(epoch) for epoch in range(1, profile.schedule.epochs + 1)]
    weights = profile.evaluation.weights
    questions = [TRAINING_ITEMS] if profile.evaluation.while_training.tasks else []
    return [
        StoredAsset(
            key="model",
            group=GROUP,
            description="The trained model: weights, settings, metrics of every step, cost. A run that was stopped or "
            "killed goes on from its newest checkpoint.",
            version=MODEL_VERSION,
            settings=Training(profile.model, profile.training),
            inputs=["tokenizer", *epochs, VALIDATION, *questions],
            elsewhere=lambda settings, store: teachers_in(store, settings.training.teacher),
            summary=ModelSummary,
            make=lambda build: train(build, profile.launch, len(epochs), packed=profile.shards.packing is not None),
            metadata=_model_metadata,
            pictures=_model_pictures,
            kinds=frozenset({"pytorch"}),
            config=TrainingOverrides,
            override=override,
            pool=TRAINING_POOL,
            runtime=profile.launch.model_dump(),
        ),
        StoredAsset(
            key="model_hf",
            group=GROUP,
            description="The model as a stock transformers class with its tokenizer: no remote code.",
            version=EXPORT_VERSION,
            settings={} if weights == AVERAGED else {"weights": weights},
            inputs=["model", "tokenizer"],
            summary=ExportSummary,
            make=lambda build: export(build, weights),
            metadata=_export_metadata,
            kinds=frozenset({"huggingface"}),
        ),
    ]


def override(settings: Training, given: Mapping[str, Any]) -> Training:
    """The settings with the launchpad's values laid over them, validated as the profile's are."""
    if not given:
        return settings
    values = merge(dataclasses.asdict(settings.training), given)
    return dataclasses.replace(settings, training=TrainingConfig.from_dict(values, "launchpad: training"))


def train(build: Build, launch: LaunchSettings, epochs: int, *, packed: bool) -> ModelSummary:
    """Run the trainer and read what it left behind.

    Raises SqueezeError with the trainer's own message when it ends in any other way than by finishing.
    """
    if not is_finished(build.out / SUMMARY_FILE):  # as it is where an attempt was killed after the run's end
        running = running_in(build.out, build.context.log)
        if running is None or not _came_to_its_end(build, running):
            _launch(build, launch, epochs, packed=packed)
    summary = read_summary(build.out)
    if summary is None or summary.interrupted or summary.content_hash is None:
        raise SqueezeError(INTERRUPTED)
    finish(build.out / SUMMARY_FILE, *(file for file in build.out.glob("[!.]*") if file.is_file()))
    for scratch in (CHECKPOINTS, LAUNCH):
        shutil.rmtree(build.out / scratch, ignore_errors=True)
    return ModelSummary(summary.content_hash, summary, _loss_curve(build.out))


def batch_of(settings: Training) -> Batch:
    """What the ranks of a run share in a step. Raises ConfigError where it holds no whole sequences."""
    training = settings.training
    return Batch(training.smallest_batch(settings.model.context), training.batch_tokens)


def _launch(build: Build, launch: LaunchSettings, epochs: int, *, packed: bool) -> None:
    config = build.out / RUN_FILE
    write_text(config, json.dumps(run_config(build, epochs, packed=packed).to_dict(), indent=1))
    error_file(config).unlink(missing_ok=True)  # what an earlier attempt said explains no kill of this one
    program = Program(
        "trainer",
        ("train", "--config", str(config)),
        shared=Shared(batch_of(build.settings), launch.ranks, build.settings.training.device),
        environment={"OMP_NUM_THREADS": str(launch.threads_per_rank)} if launch.threads_per_rank is not None else {},
        folder=build.out,
        stands_on={item.key: item.fingerprint for item in build.inputs.values()},
    )
    with observe_metrics(build.context, build.out):
        status = run_in_dagster(build.launcher(launch), program, build.context)
    _require_end(build, status)


def _came_to_its_end(build: Build, running: Handle) -> bool:
    """Stay with a trainer that a run which is gone has started; whether it went to its end, or was being stopped, so
    that another has to go on from its checkpoint. Raises SqueezeError where it fails."""
    rows = metrics_rows(build.out / METRICS_FILE)
    at = f"at step {rows[-1]['step']:,}" if rows else "before its first step"
    build.context.log.info(f"a trainer runs here already, {at}: attached to it")
    with observe_metrics(build.context, build.out):
        status = stay_with(running, build.context)
    if status != EXIT_UNFINISHED:
        _require_end(build, status)
    return status == 0


def _require_end(build: Build, status: int) -> None:
    if status:
        raise SqueezeError(_why_it_failed(build.out / RUN_FILE, status))


def run_config(build: Build, epochs: int, *, packed: bool) -> RunConfig:
    """The run with paths relative to its folder, which stay right when the store renames or moves it."""

    def relative(path: Path) -> str:
        return os.path.relpath(path, build.out)

    tokenizer = build.summary("tokenizer", ChoiceSummary)
    settings: Training = build.settings
    return RunConfig(
        model=dataclasses.replace(settings.model, vocab_size=tokenizer.vocab_size),
        training=settings.training,
        data=DataConfig(
            epochs=tuple(relative(build.path(epoch_key(n)) / "shards.json") for n in range(1, epochs + 1)),
            validation=tuple(
                ValidationData(name, relative(build.path(VALIDATION) / "shards.json"))
                for name, counts in build.summary(VALIDATION, EpochSummary).sources.items()
                if counts.documents
            ),
            choices=_choices(build, relative),
            packed=packed,
            teachers=tuple(relative(teacher.path) for teacher in taught_by(build.inputs)),
        ),
        out=".",
    )


def _choices(build: Build, relative: Callable[[Path], str]) -> tuple[ChoiceData, ...]:
    """The multiple-choice items that the profile wants scored while the model trains."""
    if TRAINING_ITEMS not in build.inputs:
        return ()
    tasks = [item.task for item in build.summary(TRAINING_ITEMS, TrainingItems).tasks]
    return tuple(ChoiceData(task, relative(build.path(TRAINING_ITEMS) / f"{task}.json")) for task in tasks)


def export(build: Build, weights: str) -> ExportSummary:
    """Export the weights that are scored to the transformers class that holds the model's switches.

    Raises CheckpointError where the run kept no such weights.
    """
    from trainer.export import export_hf
    from trainer.run.trained_model import load_model

    model = build.inputs["model"]
    export_hf(load_model(model.path, weights=weights), build.path("tokenizer"), build.out)
    card = model_card(collect(model, build.store.ancestry(model), name=f"squeeze-{build.store.profile}"))
    write_text(build.out / "README.md", card)
    architecture = json.loads((build.out / "config.json").read_text(encoding="utf-8"))["architectures"][0]
    files = sorted(file.relative_to(build.out).as_posix() for file in build.out.rglob("*") if file.is_file())
    return ExportSummary(sha256_of(build.out / "model.safetensors"), architecture, files)


def _why_it_failed(config: Path, status: int) -> str:
    """The trainer's own words where it left any, else the status it ended with."""
    said = error_file(config)
    if said.is_file() and (text := said.read_text(encoding="utf-8", errors="replace").strip()):
        return text
    if status == EXIT_UNFINISHED:
        return INTERRUPTED
    return (
        f"the trainer ended with status {status} before it was done; its output is in this run's stdout and stderr. "
        "Materialize model again to go on from the newest checkpoint"
    )


def _loss_curve(out: Path, points: int = 200) -> list[tuple[int, float]]:
    rows = metrics_rows(out / METRICS_FILE)
    every = max(1, len(rows) // points)
    return [(row["step"], row["loss"]) for row in rows[::every]]


def _model_pictures(summary: ModelSummary, folder: Path) -> Mapping[str, bytes]:
    from pipeline.reporting.plots.loss import loss_curve_png

    validation = {name: score.loss for name, score in summary.run.validation.items()}
    return {"loss_curve": loss_curve_png(metrics_rows(folder / METRICS_FILE), validation)}


def _model_metadata(summary: ModelSummary, folder: Path) -> Metadata:
    run = summary.run
    validation = [
        {"corpus": name, "loss": score.loss, "bits_per_byte": score.bits_per_byte, "tokens": score.tokens}
        for name, score in run.validation.items()
    ]
    numbers = {
        "parameters": run.parameters.total,
        "embedding_parameters": run.parameters.embedding,
        "active_parameters": run.parameters.active,
        "steps": run.steps,
        "tokens": run.tokens,
        "final_train_loss": run.final_train_loss,
        "tokens_per_second": round(run.tokens_per_second),
        "flops": run.flops,
        "device_hours": run.device_hours,
        "cost": run.cost,
        "peak_memory_mb": round(run.peak_memory_bytes / 1e6),
    }
    if run.teachers:
        numbers |= {"flops_with_teachers": run.whole_flops, "device_hours_with_teachers": run.whole_device_hours}
    return {
        "loss_so_far": dg.MetadataValue.md(sparkline_markdown([loss for _, loss in summary.losses], "training loss")),
        **{name: rounded(value) for name, value in numbers.items() if value is not None},
        "validation": table(validation),
        "device": f"{run.world_size} rank(s) on {run.device}",
    }


def _export_metadata(summary: ExportSummary, folder: Path) -> Metadata:
    return {"architecture": summary.architecture, "files": ", ".join(summary.files)}
