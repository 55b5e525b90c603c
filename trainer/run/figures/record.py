"""What a run is, for the services that show runs: an identity that is its own, and everything that was set.

In: the settings and surroundings of a run. Out: a `RunRecord`. Its id lies in the run's folder, so that two runs whose
folders have one name are two runs, and a resumed one goes on as itself; a run that begins at its first step is a new
one. Paths are left out: what they lead to is named by its hash.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainer.config import RunConfig
from trainer.data.reader import SequenceReader
from trainer.files import write_json
from trainer.process.ranks import Ranks
from trainer.provenance import commit_of
from trainer.records import parse_json
from trainer.run.folder import TRACKING_FILE


@dataclass(frozen=True)
class RunRecord:
    """One run as a service of runs has it."""

    out: Path
    id: str
    name: str
    resumed: bool
    configuration: Mapping[str, Any]
    """Nested, as plain JSON values."""

    def flat(self) -> dict[str, Any]:
        """The configuration by dotted names, lists and what is none as text."""
        return dict(_flat(self.configuration))

    def service_id(self, service: str) -> str | None:
        """What a service called this run when it began; none where it has not."""
        return _kept(self.out).get(service)

    def keep(self, service: str, name: str) -> None:
        """Remember what a service called this run."""
        write_json(self.out / TRACKING_FILE, {**_kept(self.out), service: name})


def record_of(config: RunConfig, reader: SequenceReader, ranks: Ranks, step: int) -> RunRecord:
    """The record of the run in `config.out` that begins, or goes on, at `step`."""
    out = Path(config.out)
    kept = _kept(out).get("id") if step else None
    run_id = kept or secrets.token_hex(8)
    if kept is None:
        write_json(out / TRACKING_FILE, {"id": run_id})
    return RunRecord(
        out, run_id, f"{out.resolve().name}-{run_id[:6]}", bool(kept), _configuration(config, reader, ranks)
    )


def _configuration(config: RunConfig, reader: SequenceReader, ranks: Ranks) -> dict[str, Any]:
    data = config.data
    return {
        "model": config.model.to_dict(),
        "training": dataclasses.asdict(config.training),
        "data": {
            "shards": reader.manifest_hash,
            "tokenizer": reader.tokenizer.content_hash,
            "epochs": len(data.epochs),
            "validation": [item.name for item in data.validation],
            "choices": [item.name for item in data.choices],
            "packed": data.packed,
        },
        "machine": {
            "ranks": ranks.world_size,
            "device": torch.cuda.get_device_name(ranks.device) if ranks.device.type == "cuda" else ranks.device.type,
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        "code": {"commit": commit_of(Path(__file__).resolve(), levels=3)},
    }


def _kept(out: Path) -> dict[str, str]:
    """What `tracking.json` holds; nothing where it is not there or is damaged: the run then is a new one there."""
    try:
        values = parse_json((out / TRACKING_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in values.items()} if isinstance(values, dict) else {}


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((prefix + name, value if isinstance(value, bool | int | float | str) else json.dumps(value)))
    return found
