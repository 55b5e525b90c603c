"""Curation and shuffling over Ray and over Slurm write the bytes that one process writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.base.executor import Executor, InProcess, Processes
from pipeline.engine.executors import executor_of
from pipeline.engine.settings import RayEngine, SlurmEngine
from tests.cluster.small_build import build
from tests.cluster.small_work import give_small_work_away

pytestmark = pytest.mark.cluster


@pytest.fixture(params=["processes", "ray", "slurm"])
def executor(request: pytest.FixtureRequest, tmp_path: Path) -> Executor:
    if request.param == "processes":
        return Processes(2)
    if request.param == "ray":
        engine = RayEngine(address=request.getfixturevalue("ray_nodes").address)
        return executor_of(engine, 0, tmp_path / "shared", setting="workers")
    request.getfixturevalue("slurm")
    return executor_of(SlurmEngine(slots=2), 0, tmp_path / "shared", setting="workers")


def test_every_file_is_that_of_one_process(executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_small_work_away(monkeypatch.setattr)
    alone = build(tmp_path / "alone", InProcess())
    with executor:
        made = build(tmp_path / "engine", executor)
    assert list(made) == list(alone)
    assert [name for name in alone if made[name] != alone[name]] == []
    assert len([name for name in alone if name.endswith(".arrow")]) >= 4
