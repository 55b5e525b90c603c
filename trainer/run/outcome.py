"""What a run leaves when it ends: its weights, those that evaluated best, and its summary."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from trainer.data.reader import SequenceReader
from trainer.errors import CheckpointError
from trainer.files import sha256_of, whole_path
from trainer.process.ranks import Ranks
from trainer.run.checkpoints.best import BestCheckpoint
from trainer.run.checkpoints.checkpoint import RunState, read_state
from trainer.run.checkpoints.tensors import model_tensors, save_tensors
from trainer.run.figures.meter import RunMeter, peak_memory_bytes
from trainer.run.figures.summary import End, ParameterCounts, RunSummary, TeacherRecord, write_summary
from trainer.run.folder import BEST_FILE, CHECKPOINTS, EMA_FILE, MODEL_FILE, checkpoint_at
from trainer.run.learner import Learner
from trainer.scoring.evaluation import Evaluation

log = logging.getLogger(__name__)


def leave_outcome(out: Path, summary: RunSummary, learner: Learner, ranks: Ranks) -> RunSummary:
    """Write the weights of a run that is over, and its summary last; returns the summary with what was written.

    Only the first rank writes; the others wait for it.
    """
    if ranks.is_first:
        if not summary.interrupted:
            save_tensors(model_tensors(learner.model), out / MODEL_FILE)
            averages = learner.averages()
            if averages is not None:
                save_tensors(averages, out / EMA_FILE)
            best = summary.best if summary.best and _keep_weights_of(out, summary.best) else None
            summary = dataclasses.replace(summary, best=best, content_hash=weights_hash(out))
        write_summary(out, summary)
    ranks.barrier()
    return summary


def _keep_weights_of(out: Path, best: BestCheckpoint) -> bool:
    """Put the weights that evaluated best beside the final ones, as they were evaluated: averaged where there are any.

    False, with a line in the log, where their checkpoint cannot be used any more.
    """
    place = checkpoint_at(out / CHECKPOINTS, best.step)
    try:
        read_state(place)
    except CheckpointError as error:
        log.warning("%s evaluated best, but cannot be used: no %s is left (%s)", place.name, BEST_FILE, error)
        return False
    with whole_path(out / BEST_FILE) as temporary:
        shutil.copyfile(place / EMA_FILE if (place / EMA_FILE).exists() else place / MODEL_FILE, temporary)
    return True


def weights_hash(out: Path) -> str:
    """SHA-256 over the final weights' files."""
    files = [out / MODEL_FILE, *([out / EMA_FILE] if (out / EMA_FILE).exists() else [])]
    return hashlib.sha256("\n".join(sha256_of(file) for file in files).encode()).hexdigest()


def summarise(
    meter: RunMeter,
    state: RunState,
    end: End,
    evaluated: Evaluation | None,
    reader: SequenceReader,
    teachers: Sequence[TeacherRecord],
) -> RunSummary:
    """The summary but for what depends on the files."""
    evaluated = evaluated or Evaluation()
    sequences = state.sequences or 0
    consumed = reader.next_sequence * meter.config.model.context  # skipped batches included
    tokens_per_second = consumed / max(state.step_seconds, 1e-9)
    device_hours = state.device_seconds / 3600
    price = meter.config.training.price_per_device_hour
    return RunSummary(
        state=end,
        steps=state.step,
        skipped_steps=state.skipped_steps,
        tokens=sequences * meter.config.model.context,
        sequences=sequences,
        final_train_loss=state.recent_losses[-1] if state.recent_losses else None,
        validation=dict(evaluated.validation),
        choices=dict(evaluated.choices),
        parameters=ParameterCounts(**meter.parameters),
        flops=int(state.flops or 0.0),
        flops_per_token=meter.flops_per_token,
        seconds=state.seconds,
        device_hours=device_hours,
        cost=None if price is None else price * device_hours,
        tokens_per_second=tokens_per_second,
        mfu=meter.mfu(tokens_per_second),
        peak_memory_bytes=peak_memory_bytes(meter.ranks.device),
        world_size=meter.ranks.world_size,
        device=meter.device_name,
        precision=meter.ways.precision.name,
        precision_seconds=dict(meter.ways.precision.seconds),
        kernels=meter.ways.kernels,
        way_seconds=dict(meter.ways.seconds),
        resumed_from=state.resumed_from,
        best=state.best,
        shards=reader.manifest_hash,
        tokenizer=reader.tokenizer.content_hash,
        teachers=list(teachers),
    )
