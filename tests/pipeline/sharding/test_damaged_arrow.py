"""A damaged Arrow file is refused by name, or read as if it were whole: it never ends the process by a signal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.base.executor import InProcess
from pipeline.sharding.epoch import build_epoch
from pipeline.sharding.schedule.build import build_schedule
from pipeline.sharding.schedule.schedule import Schedule
from pipeline.sharding.settings import ScheduleSettings, ShardSettings

READ = """
import json, random, sys
from pathlib import Path
import numpy as np
from pipeline.base.errors import SqueezeError
from pipeline.sharding.shuffle.places import copy_stretches
from pipeline.tokenization.corpus_tokens.store import open_store, scan
from trainer.data.reader import SequenceReader
from trainer.errors import TrainerError
kind, folder, name, number, seed = json.loads(sys.argv[1])
draw, file = random.Random(seed), Path(folder) / name
sound = file.read_bytes()
refused = 0
for _ in range(number):
    data = bytearray(sound)
    for _ in range(draw.choice([1, 1, 2, 8])):
        place = draw.randrange(len(data))
        data[place] = draw.choice([0, 1, 127, 128, 255, data[place] ^ 1 << draw.randrange(8)])
    if draw.random() < 0.1:
        del data[draw.randrange(len(data)) :]
    file.write_bytes(data)
    try:
        if kind == "tokens":
            for documents in scan(open_store(Path(folder))):
                documents.lengths.sum()
        else:
            reader = SequenceReader([folder], 16, packed=kind == "rows")
            for first in range(0, reader.sequences, 64):
                reader.read(np.arange(first, min(first + 64, reader.sequences)))
    except (SqueezeError, TrainerError) as error:
        assert str(file.parent) in str(error) or name in str(error), error
        refused += 1
print(refused)
"""


@pytest.fixture
def epoch(stores: dict[str, Path], tmp_path: Path) -> Path:
    """An epoch's shards with packed rows."""
    (tmp_path / "s").mkdir()
    stages = [{"name": "all", "mixture": {"web": 1, "world": 1}}]
    build_schedule(ScheduleSettings.model_validate({"stages": stages}), stores, tmp_path / "s")
    settings = ShardSettings.model_validate({"tokens_per_batch": 500, "packing": {"context": 16}, "workers": 1})
    build_epoch(Schedule.read(tmp_path / "s").epoch(1), stores, settings, tmp_path / "epoch", InProcess())
    return tmp_path / "epoch"


def read_damaged(kind: str, folder: Path, name: str, number: int) -> int:
    """How many of so many damaged versions of a file were refused."""
    arguments = json.dumps([kind, str(folder), name, number, 1])
    done = subprocess.run([sys.executable, "-c", READ, arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout)


def test_damaged_shards(epoch: Path) -> None:
    name = str(next(epoch.glob("stage_0/shard_*.arrow")).relative_to(epoch))
    assert read_damaged("shards", epoch, name, 400) > 30


def test_damaged_rows(epoch: Path) -> None:
    assert read_damaged("rows", epoch, "stage_0/rows.arrow", 400) > 100


def test_a_damaged_token_store(stores: dict[str, Path]) -> None:
    assert read_damaged("tokens", stores["web"], "train-00000.arrow", 400) > 30
