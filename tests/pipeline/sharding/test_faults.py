"""Kills and full disks: nothing bad reads as finished, and the next attempt ends with an undisturbed build's bytes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.base import files
from pipeline.base.errors import DiskFullError, ShardError
from pipeline.base.executor import InProcess
from pipeline.sharding.epoch import build_epoch
from pipeline.sharding.schedule.build import build_schedule
from pipeline.sharding.schedule.schedule import EpochPlan, Schedule
from pipeline.sharding.settings import ScheduleSettings, ShardSettings

SMALL = ShardSettings(tokens_per_shard=2000, tokens_per_batch=500, workers=1)

BUILD = """
import json, sys
from pathlib import Path
from pipeline.base.executor import Processes
from pipeline.sharding.epoch import build_epoch
from pipeline.sharding.schedule.schedule import EpochPlan
from pipeline.sharding.settings import ShardSettings
if __name__ == "__main__":
    part, tokens, settings, out = json.loads(sys.argv[1])
    part, tokens = EpochPlan.from_json(part), {k: Path(v) for k, v in tokens.items()}
    settings = ShardSettings.model_validate(settings)
    print("ready", flush=True)
    with Processes(settings.workers) as executor:
        build_epoch(part, tokens, settings, Path(out), executor)
"""


@pytest.fixture
def part(stores: dict[str, Path], tmp_path: Path) -> EpochPlan:
    stages = [{"name": "k", "share": 0.1, "mixture": {"kids": 1}}, {"name": "all", "mixture": {"web": 1, "world": 1}}]
    (tmp_path / "s").mkdir()
    build_schedule(ScheduleSettings.model_validate({"stages": stages}), stores, tmp_path / "s")
    return Schedule.read(tmp_path / "s").epoch(1)


def test_what_a_killed_attempt_left_half_written_goes_before_anything_is_built(part: EpochPlan, tmp_path: Path) -> None:
    for name in ("stage_0/shard_00000.arrow.host-1-00.tmp", "_work/piece_00000_run_000.tokens.host-1-00.tmp"):
        (tmp_path / "e" / name).parent.mkdir(parents=True)
        (tmp_path / "e" / name).write_bytes(b"half")
    with pytest.raises(ShardError, match="no token store given"):
        build_epoch(part, {}, SMALL, tmp_path / "e", InProcess())
    assert not list((tmp_path / "e").rglob("*.tmp")), "they would count as written when the disk's room is worked out"


@pytest.mark.fault
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment_and_started_again_the_bytes_are_those_of_an_undisturbed_build(
    stores: dict[str, Path], part: EpochPlan, tmp_path: Path, tree: Any, workers: int
) -> None:
    build_epoch(part, stores, SMALL, tmp_path / "whole", InProcess())
    script = tmp_path / "build.py"
    script.write_text(BUILD)
    out = tmp_path / "killed"
    settings = SMALL.model_dump() | {"workers": workers}
    tokens = {name: str(folder) for name, folder in stores.items()}
    delays = random.Random(workers)
    arguments = [sys.executable, str(script), json.dumps([part.to_json(), tokens, settings, str(out)])]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    for _ in range(12):
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delays.uniform(0, 0.25 if workers == 1 else 3))
            process.send_signal(signal.SIGKILL)
        if (out / "shards.json").exists():
            assert json.loads((out / "shards.json").read_text())["tokens"] == part.tokens
    build_epoch(part, stores, SMALL, out, InProcess())
    assert tree(out) == tree(tmp_path / "whole")


@pytest.mark.parametrize(
    ("mode", "copying", "stopped"),
    [
        ("global", True, "shuffle.two_passes.gather"),
        ("global", False, "epoch.commit"),
        ("within_shard", False, "epoch.commit"),
    ],
)
def test_what_a_power_cut_emptied_is_made_again(
    stores: dict[str, Path],
    part: EpochPlan,
    tmp_path: Path,
    tree: Any,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    copying: bool,
    stopped: str,
) -> None:
    settings = SMALL.model_copy(update={"mode": mode})
    monkeypatch.setattr("pipeline.sharding.shuffle.two_passes._stay_in_page_cache", lambda *_: not copying)
    build_epoch(part, stores, settings, tmp_path / "whole", InProcess())
    with monkeypatch.context() as patch:
        patch.setattr(f"pipeline.sharding.{stopped}", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build_epoch(part, stores, settings, tmp_path / "stopped", InProcess())
    names = sorted(p.relative_to(tmp_path / "stopped") for p in (tmp_path / "stopped").rglob("*") if p.is_file())
    assert names
    for name in names[:: max(1, len(names) // 12)]:
        for damage in (b"", bytes((tmp_path / "stopped" / name).stat().st_size)):
            out = tmp_path / "damaged"
            shutil.rmtree(out, ignore_errors=True)
            shutil.copytree(tmp_path / "stopped", out)
            (out / name).write_bytes(damage)
            build_epoch(part, stores, settings, out, InProcess())
            assert tree(out) == tree(tmp_path / "whole"), name


def test_a_full_disk_in_the_middle_says_so_and_finished_parts_are_kept(
    stores: dict[str, Path], part: EpochPlan, tmp_path: Path, tree: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_epoch(part, stores, SMALL, tmp_path / "whole", InProcess())
    real = files.HashingWriter.write
    left = [30_000]

    def filling(self: files.HashingWriter, data: Any) -> int:
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, data)

    out = tmp_path / "full"
    with monkeypatch.context() as patch:
        patch.setattr(files.HashingWriter, "write", filling)
        with pytest.raises(DiskFullError, match="the disk is full while building epoch 1"):
            build_epoch(part, stores, SMALL, out, InProcess())
    assert not (out / "shards.json").exists()
    assert list(out.glob("stage_*/*.arrow"))
    build_epoch(part, stores, SMALL, out, InProcess())
    assert tree(out) == tree(tmp_path / "whole")


ON_A_FULL_DISK = """
import hashlib, json, subprocess, sys
from pathlib import Path
from pipeline.base.errors import DiskFullError
from pipeline.base.executor import InProcess
from pipeline.sharding.epoch import build_epoch
from pipeline.sharding.schedule.schedule import EpochPlan
from pipeline.sharding.settings import ShardSettings
from pipeline.sharding.shuffle import two_passes
part, tokens, settings, disk = json.loads(sys.argv[1])
part, tokens, disk = EpochPlan.from_json(part), {k: Path(v) for k, v in tokens.items()}, Path(disk)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "none", str(disk)], check=True)
two_passes._check_disk = lambda *_: None  # as if another process had filled the disk since
for size in range(48, 4096, 8):
    subprocess.run(["mount", "-o", f"remount,size={size}k", str(disk)], check=True)
    try:
        build_epoch(part, tokens, ShardSettings.model_validate(settings), disk / "e", InProcess())
        break
    except DiskFullError as error:
        left, said = len(list(disk.glob("e/stage_*/*.arrow"))), str(error)
        assert not (disk / "e" / "shards.json").exists()
print(left, said)
files = sorted(p for p in (disk / "e").rglob("*") if p.is_file())
print(json.dumps({str(p.relative_to(disk / "e")): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}))
"""


@pytest.mark.fault
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's mount namespaces for a disk of its own")
def test_on_a_really_full_disk_more_space_is_all_it_takes(
    stores: dict[str, Path], part: EpochPlan, tmp_path: Path, tree: Any
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    inside = ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*inside, "mount", "-t", "tmpfs", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("this system does not let its users mount a disk in a namespace of their own")
    build_epoch(part, stores, SMALL, tmp_path / "whole", InProcess())
    tokens = {name: str(folder) for name, folder in stores.items()}
    arguments = json.dumps([part.to_json(), tokens, SMALL.model_dump(), str(disk)])
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = [*inside, sys.executable, "-c", ON_A_FULL_DISK, arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    last_failure, hashes = done.stdout.splitlines()
    left, message = last_failure.split(" ", 1)
    assert int(left) > 0
    assert message.startswith(f"the disk is full while building epoch 1 in {disk}/e ")
    assert "run the same command again; finished parts are kept" in message
    whole = {name: hashlib.sha256(data).hexdigest() for name, data in tree(tmp_path / "whole").items()}
    assert json.loads(hashes) == whole


def test_a_disk_too_small_is_refused_before_the_work(
    stores: dict[str, Path], part: EpochPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr("pipeline.sharding.shuffle.two_passes.shutil.disk_usage", lambda path: usage)
    with pytest.raises(ShardError, match=r"epoch 1 needs 0\.0 GB of disk.*squeeze gc"):
        build_epoch(part, stores, SMALL, tmp_path / "e", InProcess())


def test_a_dropped_epoch_is_rebuilt_byte_for_byte_from_its_slice(
    stores: dict[str, Path], part: EpochPlan, tmp_path: Path, tree: Any
) -> None:
    build_epoch(part, stores, SMALL, tmp_path / "first", InProcess())
    again = EpochPlan.from_json(json.loads(json.dumps(part.to_json())))
    build_epoch(again, stores, SMALL, tmp_path / "again", InProcess())
    assert tree(tmp_path / "first") == tree(tmp_path / "again")


def test_datasets_reads_the_shards_as_they_are(stores: dict[str, Path], part: EpochPlan, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    summary = build_epoch(part, stores, SMALL, tmp_path / "e", InProcess())
    paths = [str(path) for path in sorted((tmp_path / "e").glob("stage_*/*.arrow"))]
    loaded = datasets.load_dataset("arrow", data_files=paths, split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.num_rows == summary.documents
    assert sum(map(len, loaded["tokens"])) == summary.tokens
    assert loaded.column_names == ["doc_id", "source_id", "bytes", "tokens"]
