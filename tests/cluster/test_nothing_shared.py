"""Nodes of a Ray that share nothing but a bucket: the same bytes, and files that travel once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.base.executor import InProcess
from pipeline.engine.executors import executor_of
from pipeline.engine.settings import RayEngine
from pipeline.store.remote.address import open_objects
from tests.cluster import parts
from tests.cluster.ray_nodes import RayNodes
from tests.cluster.small_build import build
from tests.cluster.small_work import give_small_work_away

pytestmark = pytest.mark.cluster
pytest.importorskip("obstore", reason="obstore is missing: pip install 'squeeze-gpt[s3]'")


@pytest.fixture(params=["s3", "file"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket's address, which SQUEEZE_STORE names."""
    environment = {"SQUEEZE_STORE": (tmp_path / "bucket").as_uri()}
    if request.param == "s3":
        environment = request.getfixturevalue("s3_bucket")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment["SQUEEZE_STORE"]


def test_every_file_is_that_of_one_process(
    ray_nodes: RayNodes, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_small_work_away(monkeypatch.setattr)
    alone = build(tmp_path / "home" / "alone", InProcess())
    engine = RayEngine(address=ray_nodes.address, files="store")
    with executor_of(engine, 0, tmp_path / "unused", setting="workers", root=tmp_path / "home") as executor:
        made = build(tmp_path / "home" / "engine", executor)
    assert list(made) == list(alone)
    assert [name for name in alone if made[name] != alone[name]] == []
    for number in range(2):
        node = ray_nodes.folder / f"node-{number}"
        assert list((node / "blobs").iterdir()), "each node had parts"
        assert not list((node / "attempts").iterdir()), "nothing is left of them but files by their hashes"


def test_a_part_sees_no_path_of_the_run_and_its_file_comes_back(
    ray_nodes: RayNodes, bucket: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / "in").mkdir(parents=True)
    (home / "out").mkdir()
    tasks = []
    for number in range(4):
        (home / "in" / f"{number}.txt").write_text(f"text {number}")
        tasks.append((home / "in" / f"{number}.txt", home / "out"))
    engine = RayEngine(address=ray_nodes.address, files="store")
    with executor_of(engine, 0, tmp_path / "unused", setting="workers", root=home) as executor:
        results = list(executor.map(parts.upper, tasks))
    assert [path for path, _ in results] == [home / "out" / f"{number}.txt" for number in range(4)]
    assert [path.read_text() for path, _ in results] == [f"TEXT {number}" for number in range(4)]
    assert all(str(home) not in there for _, there in results)
    blobs = list(open_objects(bucket).entries("blobs"))
    assert len(blobs) == 8, "each file is there once"
