"""Checkpoints: everything a run needs to go on to the bit, as safetensors and JSON, nothing ever unpickled.

    <out>/checkpoints/step_00000200/  model.safetensors  optimizer.safetensors  [ema.safetensors]  state.json
    <out>/checkpoints/best.json       {"step", "loss"} of the checkpoint with the lowest validation loss

A checkpoint is written beside its place, synced and renamed: one that has its name is whole. `state.json` is its
`RunState` plus the model's configuration and a SHA-256 for each file, so that damage is found and named. The random
state is part of it as two numbers: every draw is seeded by (seed, step) or by the sequence, never by what ran before,
which is what lets another number of ranks go on from the same checkpoint.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic.dataclasses import dataclass

from trainer.errors import CheckpointError, ConfigError
from trainer.model.config import ModelConfig
from trainer.settings import STRICT_KEYS, from_mapping

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from trainer.model import GPT

log = logging.getLogger(__name__)

FORMAT = "squeeze-checkpoint"
FORMAT_VERSION = 1
MODEL_FILE = "model.safetensors"
EMA_FILE = "ema.safetensors"
BEST_FILE = "best.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
STATE_FILE = "state.json"
CONFIG_FILE = "config.json"
_NAME = re.compile(r"step_(\d{8,})")


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
    place = checkpoints / f"step_{state.step:08d}"
    temporary = checkpoints / f"{place.name}.tmp"
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
        "files": {file.name: file_hash(file) for file in sorted(temporary.iterdir())},
    }
    write_json(temporary / STATE_FILE, document)
    shutil.rmtree(place, ignore_errors=True)
    temporary.rename(place)
    _sync_folder(checkpoints)
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


def sorted_checkpoints(checkpoints: Path) -> list[Path]:
    """All finished checkpoints, lowest step first."""
    places = [place for place in checkpoints.glob("step_*") if _NAME.fullmatch(place.name)]
    return sorted(places, key=step_of)


def step_of(place: Path) -> int:
    """The step that a checkpoint's name says."""
    return int(place.name.removeprefix("step_"))


def read_best(checkpoints: Path) -> dict[str, Any] | None:
    """`{"step", "loss"}` of the best checkpoint so far."""
    path = checkpoints / "best.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


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
            found = file_hash(place / name) if (place / name).exists() else "no file"
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


def load_model(folder: Path, *, device: str = "cpu", weights: str | None = None) -> GPT:
    """A trained model in evaluation mode, from a finished run's folder or one of its checkpoints.

    `weights`: `"ema"`, `"model"`, `"best"` (of the evaluations during the run), or none for the average where there is
    one. Raises `CheckpointError` for a folder that holds no such weights.
    """
    from trainer.model import GPT

    files = {"ema": EMA_FILE, "model": MODEL_FILE, "best": BEST_FILE}
    if weights is not None and weights not in files:
        raise CheckpointError(f"weights must be one of {', '.join(files)} or none, found {weights!r}")
    if (folder / CONFIG_FILE).exists():
        config = ModelConfig.from_dict(json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")))
    elif (folder / STATE_FILE).exists():
        _, config = read_state(folder)
    else:
        raise CheckpointError(f"{folder}: neither {CONFIG_FILE} nor {STATE_FILE}; give the folder of a trained model")
    chosen = weights or ("ema" if (folder / EMA_FILE).exists() else "model")
    model = GPT(config)
    load_tensors_into(model_tensors(model), folder / files[chosen])
    return model.to(device).eval()


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, each tensor once (a tied one under its first name)."""
    tensors = {name: parameter.data for name, parameter in model.named_parameters()}
    seen = {tensor.data_ptr() for tensor in tensors.values()}
    for name, tensor in model.state_dict().items():
        if name not in tensors and tensor.data_ptr() not in seen:
            tensors[name] = tensor
    return tensors


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a safetensors file and sync it."""
    from safetensors.torch import save_file

    save_file({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, path)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def load_tensors_into(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy a safetensors file into tensors of the same names and shapes.

    Raises `CheckpointError` naming the file and the first tensor that differs: a checkpoint of another architecture.
    """
    import torch
    from safetensors import safe_open

    if not path.exists():
        raise CheckpointError(f"{path}: no such file")
    with safe_open(path, framework="pt") as file, torch.no_grad():
        found = set(file.keys())
        if found != set(tensors):
            odd = sorted(found ^ set(tensors))[0]
            side = "in the file but not" if odd in found else "missing in the file but"
            raise CheckpointError(f"{path}: of another architecture: {odd!r} is {side} in the model")
        for name, tensor in tensors.items():
            value = file.get_tensor(name)
            if value.shape != tensor.shape:
                raise CheckpointError(
                    f"{path}: of another architecture: {name!r} is {tuple(value.shape)} in the file, "
                    f"{tuple(tensor.shape)} in the model"
                )
            tensor.copy_(value)


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state by `<parameter>/<entry>`: `layers.0.mlp.input.weight/exp_avg`."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Take a file of `optimizer_tensors`. Raises CheckpointError for state of another model."""
    from safetensors.torch import load_file

    parameters = dict(model.named_parameters())
    numbers = {
        id(parameter): number
        for number, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"])
    }
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in load_file(path).items():
        name, _, entry = key.rpartition("/")
        if name not in parameters or id(parameters[name]) not in numbers:
            raise CheckpointError(f"{path}: optimizer state of {name!r}, which this model does not train")
        # torch moves all of a state but `step`, which the fused AdamW needs where its parameter is
        state.setdefault(numbers[id(parameters[name])], {})[entry] = value.to(parameters[name].device)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def file_hash(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
