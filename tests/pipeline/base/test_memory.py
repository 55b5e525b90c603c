"""Available memory is the system's, or a container's limit where that is less."""

from pathlib import Path

import psutil
import pytest

from pipeline.base import memory
from trainer.process import cgroup


def test_the_lesser_of_system_and_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "CGROUP", tmp_path)
    monkeypatch.setattr(cgroup, "GROUPS_OF_THIS", tmp_path / "no_such_file")
    assert 10**8 < memory.available_memory() <= psutil.virtual_memory().total
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_memory() > 10**8
    (tmp_path / "memory.max").write_text("1048576\n")
    assert memory.available_memory() == 1_048_576
    (tmp_path / "memory.max").unlink()
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("2097152\n")
    assert memory.available_memory() == 2_097_152


def test_a_group_inside_another_has_the_least_of_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "CGROUP", tmp_path)
    monkeypatch.setattr(cgroup, "GROUPS_OF_THIS", tmp_path / "own")
    (tmp_path / "own").write_text("4:memory:/job/step\n0::/\n")
    (tmp_path / "memory" / "job" / "step").mkdir(parents=True)
    (tmp_path / "memory" / "job" / "memory.limit_in_bytes").write_text("3145728\n")
    (tmp_path / "memory" / "job" / "step" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert memory.available_memory() == 3_145_728
