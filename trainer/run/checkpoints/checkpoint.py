"""Checkpoints: everything a run needs to go on to the bit, as safetensors and JSON, nothing ever unpickled.

    <out>/checkpoints/step_00000200/
        model.safetensors  optimizer.safetensors  [ema.safetensors]  state.json  state.json.sha256

A checkpoint is written beside its place, synced and renamed: one that has its name is whole. `state.json` is its
`RunState` plus the model's configuration and a SHA-256 for each file; `state.json.sha256`, written last, holds its own,
as `sha256sum` writes it. So a flipped bit anywhere is found, and the file named. The random state is part of the
checkpoint as two numbers: every draw is seeded by (seed, step) or by the sequence, never by what ran before, which is
what lets another number of ranks go on from it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic.dataclasses import dataclass

from trainer.errors import CheckpointError, ConfigError
from trainer.files import TEMPORARY, sha256_of, sync_folder, write_json, write_text
from trainer.mistakes import UNKNOWN_KEY
from trainer.model.config import ModelConfig
from trainer.model.kernels import PLAIN, Kernels
from trainer.records import parse_json
from trainer.run.checkpoints.best import BestCheckpoint
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
    SEAL_FILE,
    STATE_FILE,
    checkpoint_at,
    sorted_checkpoints,
    step_of,
)
from trainer.settings import STRICT_KEYS, from_mapping

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


T = TypeVar("T")
log = logging.getLogger(__name__)

FORMAT = "squeeze-checkpoint"
FORMAT_VERSION = 2
UNSEALED_VERSION = 1
"""Before `state.json` had a hash of its own: read without one."""
_KEYS = {"format", "version", "run", "model", "files"}


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
    sequences: int | None = None
    """Sequences in them; none in checkpoints of before batches could differ in size."""
    flops: float | None = None
    """That learning from them took; none as above."""
    averaged: int | None = None
    """Updates that the average is over; none where it is over all of them, as it once always was."""
    teachers: list[str] = field(default_factory=list)
    """Content hashes of the models it learns from; other ones refuse to go on."""
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
    recent_stage: tuple[int, int] | None = None
    """Epoch and stage that those losses are of."""
    best: BestCheckpoint | None = None
    """Of the evaluations so far."""
    micro_batch: int | None = None
    world_size: int = 1
    precision: Literal["bf16", "float32"] | None = None
    """What the run computes in; none in checkpoints of before it could be chosen, whose settings say it."""
    precision_seconds: dict[str, float] = field(default_factory=dict)
    """Of a layer's pass in each, where it was chosen by them."""
    kernels: Kernels = PLAIN
    """What it computes by; as in checkpoints of before these could be chosen."""
    way_seconds: dict[str, float] = field(default_factory=dict)
    """Of a layer's pass in each way that was tried."""

    def learned(self, sequences: int, flops: float) -> None:
        """Count an update from a batch of so many sequences, which took so many FLOPs."""
        self.updates += 1
        self.sequences = (self.sequences or 0) + sequences
        self.flops = (self.flops or 0.0) + flops


def save_checkpoint(
    checkpoints: Path,
    state: RunState,
    model: nn.Module,
    config: ModelConfig,
    optimizer: torch.optim.Optimizer,
    ema: Mapping[str, Tensor] | None,
) -> Path:
    """Write `checkpoints/step_<step>` whole or not at all, and return it.

    What lies there already is none that the run went on from, so it was passed over as unusable: it is kept under
    another name. Raises what the disk raises (OSError), and leaves nothing half-written then.
    """
    place = checkpoint_at(checkpoints, state.step)
    temporary = place.with_name(place.name + TEMPORARY)
    shutil.rmtree(temporary, ignore_errors=True)
    try:
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
        write_text(temporary / SEAL_FILE, _seal((temporary / STATE_FILE).read_bytes()).decode())
        _set_aside(place)
        temporary.rename(place)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(checkpoints)
    return place


def _set_aside(place: Path) -> None:
    if not place.exists():
        return
    number = 1
    while (aside := place.with_name(f"unusable_{place.name}_{number}")).exists():
        number += 1
    place.rename(aside)
    log.warning("%s could not be used and a new one takes its place; the old one is kept as %s", place, aside.name)


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
    path, seal = place / STATE_FILE, place / SEAL_FILE
    text = _reading(path, Path.read_bytes)
    sealed = _reading(seal, lambda file: file.read_bytes() if file.exists() else None)
    damage = f"damaged (not of the SHA-256 in {SEAL_FILE})" if sealed not in (None, _seal(text)) else None
    try:
        document = _parsed(text, path)
        state = _section(RunState, document.get("run"), f"{path}: run")
        model = _section(ModelConfig, document.get("model"), f"{path}: model")
    except CheckpointError as error:  # which may be for what a newer version put there
        raise CheckpointError(f"{error}{f'; in any case {damage}' if damage else ''}") from None
    if damage:
        raise CheckpointError(f"{path}: {damage}")
    if sealed is None and document["version"] != UNSEALED_VERSION:
        raise CheckpointError(f"{seal}: no such file, so nothing says that {STATE_FILE} is whole")
    if state.step != step_of(place):
        raise CheckpointError(f"{path}: of step {state.step}, in a folder of another: give the folder its own name")
    for name, expected in _hashes(document, path).items():
        found = _reading(place / name, lambda file: sha256_of(file) if file.exists() else "no file")
        if found != expected:
            raise CheckpointError(f"{place / name}: damaged (sha256 {expected} expected, found {found})")
    return state, model


def _parsed(text: bytes, path: Path) -> dict[str, Any]:
    try:
        document = parse_json(text, finite=False)
    except ValueError as error:  # neither JSON nor UTF-8
        raise CheckpointError(f"{path}: cannot be read ({error})") from None
    if not isinstance(document, dict):
        raise CheckpointError(f"{path}: damaged (expected a mapping, found {type(document).__name__})")
    version = document.get("version")
    if document.get("format") != FORMAT or type(version) is not int or version < UNSEALED_VERSION:
        raise CheckpointError(
            f"{path}: expected {FORMAT} version {FORMAT_VERSION}, found {document.get('format')!r} version "
            f"{version!r}; this trainer cannot go on from it"
        )
    more = [f"version {version}"] if version > FORMAT_VERSION else sorted(document.keys() - _KEYS)
    if more:
        raise CheckpointError(
            f"{path}: written by a newer version of this trainer (it has {', '.join(more)}; this one knows {FORMAT} "
            f"version {FORMAT_VERSION}); go on with the version that wrote it"
        )
    return document


def _hashes(document: dict[str, Any], path: Path) -> dict[str, str]:
    hashes = document.get("files")
    if (
        not isinstance(hashes, dict)
        or not all(isinstance(item, str) for item in hashes.values())
        or not {MODEL_FILE, OPTIMIZER_FILE} <= hashes.keys()
    ):
        raise CheckpointError(f"{path}: damaged (`files` does not name {MODEL_FILE} and {OPTIMIZER_FILE})")
    return hashes


def _seal(state: bytes) -> bytes:
    """As `sha256sum` writes it."""
    return f"{hashlib.sha256(state).hexdigest()}  {STATE_FILE}\n".encode()


def _reading(path: Path, read: Callable[[Path], T]) -> T:
    try:
        return read(path)
    except (OSError, ValueError) as error:  # a ValueError: no name that a file can have
        raise CheckpointError(f"{path}: cannot be read ({error})") from None


def _section(kind: type[T], values: object, where: str) -> T:
    try:
        return from_mapping(kind, values, where)
    except (ConfigError, RecursionError) as error:
        version = (
            "a newer version of this trainer, which knows more" if UNKNOWN_KEY in str(error) else "another version"
        )
        raise CheckpointError(f"{error}; damaged, or written by {version}: go on with the one that wrote it") from None


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
