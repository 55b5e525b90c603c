"""Documents that stand for clusters of near duplicates, read as often as the profile's table says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline.assets.every import every_asset
from pipeline.base.errors import ProfileError, ShardError
from pipeline.base.executor import InProcess
from pipeline.base.settings import identity_of
from pipeline.profile.profile import load_profile
from pipeline.sharding.epoch import build_epoch
from pipeline.sharding.schedule.build import build_schedule
from pipeline.sharding.schedule.copies import CopiesRow, times_of
from pipeline.sharding.schedule.schedule import Schedule
from pipeline.sharding.settings import ScheduleSettings, ShardSettings

TABLE = {"2": 2, "5": 3}
SIZES = {0: 2, 1: 4, 2: 5, 3: 900}
"""By a document's number in `web`: the documents of its cluster."""
TIMES = {0: 2, 1: 2, 2: 3, 3: 3}


@pytest.fixture
def clusters(tmp_path: Path, corpora: dict[str, Any]) -> Path:
    """Clusters of which four documents of `web` and one of `kids` stayed."""
    folder = tmp_path / "near_duplicates"
    folder.mkdir()
    ids = [corpora["web"][number][0] for number in SIZES] + [corpora["kids"][0][0], b"gone long ago___"]
    sizes = [*SIZES.values(), 7, 2]
    pq.write_table(
        pa.table({"doc_id": pa.array(ids, pa.binary(16)), "size": pa.array(sizes, pa.uint32())}),
        folder / "clusters.parquet",
    )
    return folder


def schedule_of(stores: dict[str, Path], out: Path, clusters: Path | None, **changes: Any) -> Any:
    out.mkdir(parents=True)
    stage = {"name": "all", "mixture": {"web": {"repeats": 1}, "kids": {"repeats": 1}}}
    given = {"stages": [stage], "repeats_by_cluster": {"web": TABLE}} | changes
    return build_schedule(ScheduleSettings.model_validate(given), stores, out, clusters)


def test_a_size_is_read_as_often_as_the_greatest_size_below_it_says() -> None:
    fineweb2 = ScheduleSettings.model_validate(
        {"stages": [{"name": "a", "mixture": {"web": 1}}], "repeats_by_cluster": {"web": "fineweb2"}}
    ).repeats_by_cluster["web"]
    sizes = np.array([1, 2, 3, 4, 5, 99, 100, 999, 1000, 10**6])
    assert times_of(fineweb2, sizes).tolist() == [1, 2, 3, 3, 5, 5, 8, 8, 1, 1]
    assert times_of({"5": 2}, sizes).tolist() == [1, 1, 1, 1, 2, 2, 2, 2, 2, 2]


@pytest.mark.parametrize("mode", ["global", "within_shard"])
def test_a_pass_reads_each_document_as_often_as_its_cluster_says(
    stores: dict[str, Path], corpora: dict[str, Any], clusters: Path, tmp_path: Path, read_epoch: Any, mode: str
) -> None:
    summary = schedule_of(stores, tmp_path / "schedule", clusters)
    plan = Schedule.read(tmp_path / "schedule").epoch(1)
    settings = ShardSettings(mode=mode, tokens_per_shard=500, tokens_per_batch=250)
    build_epoch(plan, stores, settings, tmp_path / "epoch", InProcess(), tmp_path / "schedule")
    (read,) = read_epoch(tmp_path / "epoch")
    expected = {doc[0]: TIMES.get(number, 1) for number, doc in enumerate(corpora["web"])}
    expected |= {doc[0]: 1 for doc in corpora["kids"]}
    assert Counter(row[0] for row in read) == expected
    assert plan.documents == summary.documents == 340 + 1 + 1 + 2 + 2
    lengths = {number: len(corpora["web"][number][2]) for number in SIZES}
    assert summary.copies == (
        CopiesRow("web", 1, 296, sum(len(doc[2]) for doc in corpora["web"][4:])),
        CopiesRow("web", 2, 2, lengths[0] + lengths[1]),
        CopiesRow("web", 3, 2, lengths[2] + lengths[3]),
    )
    if mode == "global":
        places = [place for place, row in enumerate(read) if row[0] == corpora["web"][3][0]]
        assert max(np.diff(places)) > 1, "copies are shuffled like any document"


def test_epochs_of_a_part_each_tile_the_weighted_corpus(
    stores: dict[str, Path], corpora: dict[str, Any], clusters: Path, tmp_path: Path, read_epoch: Any
) -> None:
    stages = [{"name": "all", "mixture": {"web": {"repeats": 0.25}}}]
    schedule_of(stores, tmp_path / "schedule", clusters, stages=stages, epochs=4)
    read: Counter[bytes] = Counter()
    for epoch in range(1, 5):
        plan, out = Schedule.read(tmp_path / "schedule").epoch(epoch), tmp_path / f"epoch_{epoch}"
        build_epoch(plan, stores, ShardSettings(), out, InProcess(), tmp_path / "schedule")
        read.update(row[0] for row in read_epoch(out)[0])
    assert read == {doc[0]: TIMES.get(number, 1) for number, doc in enumerate(corpora["web"])}


def test_without_a_table_a_plan_says_nothing_of_copies_and_other_tables_are_other_plans(
    stores: dict[str, Path], clusters: Path, tmp_path: Path
) -> None:
    def plan(name: str, table: Any) -> Any:
        schedule_of(stores, tmp_path / name, clusters, repeats_by_cluster=table)
        return Schedule.read(tmp_path / name).epoch(1)

    without = plan("without", {})
    assert "copies" not in without.to_json()
    assert not (tmp_path / "without" / "documents").exists()
    hashes = {plan(str(times), {"web": {"2": times}}).content_hash for times in (2, 3)}
    assert len({without.content_hash, *hashes}) == 3
    assert "repeats_by_cluster" not in identity_of(ScheduleSettings.model_validate({"stages": [STAGE]}))


STAGE = {"name": "a", "mixture": {"web": 1}}


def test_what_is_missing_is_named(stores: dict[str, Path], clusters: Path, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="there are no clusters of near duplicates to go by"):
        schedule_of(stores, tmp_path / "none", None)
    schedule_of(stores, tmp_path / "schedule", clusters)
    plan = Schedule.read(tmp_path / "schedule").epoch(1)
    with pytest.raises(ShardError, match="documents of web are read as its schedule's folder says"):
        build_epoch(plan, stores, ShardSettings(), tmp_path / "a", InProcess())
    (tmp_path / "schedule" / "documents" / "web" / "copies.npy").unlink()
    with pytest.raises(ShardError, match=r"copies of documents: .*; materialize the schedule again"):
        build_epoch(plan, stores, ShardSettings(), tmp_path / "b", InProcess(), tmp_path / "schedule")


@pytest.mark.parametrize("table", [{1: 2}, {2: 0}, {2: 101}, {"many": 2}])
def test_a_table_that_cannot_be_is_refused(table: Any) -> None:
    with pytest.raises(ValidationError, match="is not a cluster's size, from 2, and how often"):
        ScheduleSettings.model_validate({"stages": [STAGE], "repeats_by_cluster": {"web": table}})


def test_a_profile_with_a_table_builds_its_schedule_from_the_clusters(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    for table, found in (("{}", False), ("{books: fineweb2}", True)):
        path.write_text(f"extends: sample\nschedule: {{repeats_by_cluster: {table}}}\n")
        assets = {asset.key: asset for asset in every_asset(load_profile(str(path)))}
        assert ("near_duplicates" in assets["schedule"].inputs) == found
    path.write_text("extends: sample\nschedule: {repeats_by_cluster: {boks: fineweb2}}\n")
    with pytest.raises(ProfileError, match=r"repeats_by_cluster.boks: there is no corpus 'boks'; did you mean 'books'"):
        load_profile(str(path))
