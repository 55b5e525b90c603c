"""Available memory is the system's, or a container's limit where that is less."""

from pathlib import Path

import psutil
import pytest

from pipeline.base import memory


def test_the_lesser_of_system_and_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert 10**8 < memory.available_memory() <= psutil.virtual_memory().total
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_memory() > 10**8
    (tmp_path / "memory.max").write_text("1048576\n")
    assert memory.available_memory() == 1_048_576
    (tmp_path / "memory.max").unlink()
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("2097152\n")
    assert memory.available_memory() == 2_097_152
