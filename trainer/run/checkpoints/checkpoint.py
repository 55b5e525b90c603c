"""Checkpoints: everything a run needs to go on to the bit, as safetensors and JSON, nothing ever unpickled.

    <out>/checkpoints/step_00000200/  model.safetensors  optimizer.safetensors  [ema.safetensors]  state.json

A checkpoint is written beside its place, synced and renamed: one that has its name is whole. `state.json` is its
`RunState` plus the model's configuration and a SHA-256 for each file, so that damage is found and named. The random
state is part of it as two numbers: every draw is seeded by (seed, step) or by the sequence, never by what ran before,
which is what lets another number of ranks go on from the same checkpoint.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic.dataclasses import dataclass

from trainer.errors import CheckpointError, ConfigError
from trainer.files import TEMPORARY, sha256_of, sync_folder, write_json
from trainer.model.config import ModelConfig
from trainer.run.checkpoints.tensors import (
    load_optimizer,
    load_tensors_into,
    model_tensors,
    optimizer_tensors,
    save_tensors,
)
from trainer.run.folder import (
    EMA_FILE,
    MODEL_FILE,
    OPTIMIZER_FILE,
    STATE_FILE,
    checkpoint_at,
    sorted_checkpoints,
)
from trainer.settings import STRICT_KEYS, from_mapping

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


log = logging.getLogger(__name__)

FORMAT = "squeeze-checkpoint"
FORMAT_VERSION = 1


@dataclass(config=STRICT_KEYS)
class RunState:
    """Where a run stands, apart from its tensors. Counted by what the optimizer consumed."""

    reader: dict[str, Any]
    """The reader's whole state: manifest hash, epoch, next sequence. Other shards refuse to go on."""
    training: dict[str, Any]
    """The run's identity settings, the seed among them; other ones refuse to go on."""
    steps: int
    """Of the whole run, which the schedule depends on."""
    step: int = 0
    """Batches consumed, skipped ones included."""
    updates: int = 0
    """Batches the optimizer learned from."""
    seconds: float = 0.0
    """Wall clock of training, evaluation and checkpoints, over all resumptions."""
    step_seconds: float = 0.0
    """Of it, in the steps themselves."""
    device_seconds: float = 0.0
    """`seconds` times the ranks that spent them."""
    resumed_from: list[int] = field(default_factory=list)
    """Steps at which the run went on from a checkpoint."""
    skipped_steps: list[int] = field(default_factory=list)
    """Steps whose batch a roll-back left out."""
    recent_losses: list[float] = field(default_factory=list)
    """What a jump of the loss is measured against."""
    micro_batch: int | None = None
    world_size: int = 1


def save_checkpoint(
    checkpoints: Path,
    state: RunState,
    model: nn.Module,
    config: ModelConfig,
    optimizer: torch.optim.Optimizer,
    ema: Mapping[str, Tensor] | None,
) -> Path:
    """Write `checkpoints/step_<step>` whole or not at all, and return it. One of the same step is replaced."""
    place = checkpoint_at(checkpoints, state.step)
    temporary = place.with_name(place.name + TEMPORARY)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_tensors(model_tensors(model), temporary / MODEL_FILE)
    save_tensors(optimizer_tensors(model, optimizer), temporary / OPTIMIZER_FILE)
    if ema is not None:
        save_tensors(ema, temporary / EMA_FILE)
    document = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "run": dataclasses.asdict(state),
        "model": config.to_dict(),
        "files": {file.name: sha256_of(file) for file in sorted(temporary.iterdir())},
    }
    write_json(temporary / STATE_FILE, document, indent=2)
    shutil.rmtree(place, ignore_errors=True)
    temporary.rename(place)
    sync_folder(checkpoints)
    return place


def newest_checkpoint(checkpoints: Path) -> Path | None:
    """The checkpoint of the highest step that can be used, or none where there are no checkpoints at all.

    Unusable ones above it are named in the log and passed over. Raises `CheckpointError` with the reason for each where
    none can be used: starting anew would throw away what they may still be worth.
    """
    reasons: list[str] = []
    for place in sorted_checkpoints(checkpoints)[::-1]:
        try:
            read_state(place)
        except CheckpointError as error:
            reasons.append(str(error))
        else:
            for reason in reasons:
                log.warning("%s; taking %s, the newest before it that can be used", reason, place.name)
            return place
    if not reasons:
        return None
    raise CheckpointError(
        f"{checkpoints}: none of {len(reasons)} checkpoint{'s' * (len(reasons) > 1)} can be used: "
        f"{'; '.join(reasons)}. To go on, put a whole one back or use the version that wrote them; to begin anew, move "
        "them away or train into another `out`"
    )


def read_state(place: Path) -> tuple[RunState, ModelConfig]:
    """The state and model configuration of a checkpoint, after its files' hashes were checked.

    Raises `CheckpointError`, and nothing else, naming the file that is missing, damaged or of a newer version.
    """
    path = place / STATE_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # neither JSON nor UTF-8
        raise CheckpointError(f"{path}: cannot be read ({error})") from None
    if not isinstance(document, dict):
        raise CheckpointError(f"{path}: damaged (expected a mapping, found {type(document).__name__})")
    if document.get("format") != FORMAT or document.get("version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: expected {FORMAT} version {FORMAT_VERSION}, found {document.get('format')!r} version "
            f"{document.get('version')!r}; this trainer cannot go on from it"
        )
    hashes = document.get("files")
    if not isinstance(hashes, dict) or not {MODEL_FILE, OPTIMIZER_FILE} <= hashes.keys():
        raise CheckpointError(f"{path}: damaged (`files` does not name {MODEL_FILE} and {OPTIMIZER_FILE})")
    for name, expected in hashes.items():
        try:
            found = sha256_of(place / name) if (place / name).exists() else "no file"
        except OSError as error:
            raise CheckpointError(f"{place / name}: cannot be read ({error})") from None
        if found != expected:
            raise CheckpointError(f"{place / name}: damaged (sha256 {expected} expected, found {found})")
    try:
        return (
            from_mapping(RunState, document.get("run"), f"{path}: run"),
            ModelConfig.from_dict(document.get("model"), f"{path}: model"),
        )
    except ConfigError as error:
        raise CheckpointError(f"{error}; damaged, or written by another version") from None


def load_checkpoint(
    place: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: Mapping[str, Tensor] | None,
) -> None:
    """Copy a checkpoint's tensors into a model, its optimizer and its average. `read_state` checks it first."""
    load_tensors_into(model_tensors(model), place / MODEL_FILE)
    if ema is not None:
        load_tensors_into(ema, place / EMA_FILE)
    load_optimizer(place / OPTIMIZER_FILE, model, optimizer)
