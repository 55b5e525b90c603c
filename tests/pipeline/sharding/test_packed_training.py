"""A run trains on packed rows: whole documents, padding neither read as a token nor scored."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.executor import InProcess
from pipeline.sharding.epoch import build_epoch
from pipeline.sharding.schedule.build import build_schedule
from pipeline.sharding.schedule.schedule import Schedule
from pipeline.sharding.settings import PackingSettings, ScheduleSettings, ShardSettings
from trainer.data.shards import read_manifest

torch = pytest.importorskip("torch")

CONTEXT, BATCH = 31, 4
PACKED = ShardSettings(tokens_per_shard=2000, tokens_per_batch=500, workers=1, packing=PackingSettings(context=CONTEXT))


def run(folder: Path, epoch: Path, *, packed: bool, context: int = CONTEXT) -> Any:
    from trainer.config import read_run
    from trainer.process.ranks import Ranks
    from trainer.process.signals import StopRequest
    from trainer.run.loop import train

    config = {
        "model": {"vocab_size": 65_000, "context": context, "width": 8, "layers": 1, "heads": 1, "ff_width": 8},
        "training": {
            "batch_tokens": BATCH * context,
            "optimizer": {"learning_rate": 0.01},
            "schedule": {"warmup_steps": 1},
            "checkpoint_every": 2,
            "log_every": 1,
            "device": "cpu",
        },
        "data": {"epochs": [str(epoch / "shards.json")], "packed": packed},
        "out": "out",
    }
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps(config))
    return train(read_run(folder / "run.json"), Ranks(0, 1, torch.device("cpu")), StopRequest())


def test_a_run_trains_on_packed_rows(stores: dict[str, Path], tmp_path: Path) -> None:
    from trainer.config import read_run  # after torch is known to be there
    from trainer.errors import CheckpointError, DataError
    from trainer.plan import plan

    (tmp_path / "s").mkdir()
    stages = [{"name": "all", "mixture": {"kids": {"repeats": 2}}}]
    build_schedule(ScheduleSettings.model_validate({"stages": stages}), stores, tmp_path / "s")
    build_epoch(Schedule.read(tmp_path / "s").epoch(1), stores, PACKED, tmp_path / "e", InProcess())
    packing = read_manifest(tmp_path / "e").stages[0].packing
    assert packing is not None
    assert packing.tokens_padded > 0
    summary = run(tmp_path / "packed", tmp_path / "e", packed=True)
    assert (summary.state, summary.steps) == ("finished", packing.rows // BATCH)
    assert plan(read_run(tmp_path / "packed" / "run.json")).steps == packing.rows // BATCH
    first = json.loads((tmp_path / "packed" / "out" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["loss"] == pytest.approx(math.log(65_000), abs=0.05)  # a mean over tokens, not over padding
    with pytest.raises(CheckpointError, match="trained on other shards"):
        run(tmp_path / "packed", tmp_path / "e", packed=False)  # a run goes on with what it began on
    with pytest.raises(DataError, match="rows packed for context 31, the model's context is 15"):
        run(tmp_path / "other", tmp_path / "e", packed=True, context=15)
