"""Hub data sets read from the imitated hub: row group by row group, as far as is wanted, over kills and faults."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.curation.tables import iter_parts
from tests.hub.builder import Builder, Built
from tests.hub.faults import Damage, Fault
from tests.hub.limits import Limits
from tests.hub.repository import COMMIT
from tests.hub.server import Hub

FILES = [f"data/train-{number:05d}-of-00003.parquet" for number in range(3)]
README = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n---\n"
Place = tuple[Hub, Builder, Path]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A hub, a process that builds from it, and the folder of the files of its data sets: three of three row groups."""
    folder = tmp_path_factory.mktemp("hub")
    for number, name in enumerate(FILES):
        texts = [f"Story {number} {row}. The cat sat on the mat and looked at row {row}." for row in range(1500)]
        (folder / name).parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({"text": texts, "score": [1.0] * 1500}), folder / name, row_group_size=500)
    with Hub(folder) as hub, Builder(hub, folder / "hf") as builder:
        yield hub, builder, folder


@pytest.fixture
def dataset(request: pytest.FixtureRequest) -> str:
    """A data set of the test's own: the process remembers where the files of others are."""
    return f"some/{request.node.name[5:60]}"


@pytest.fixture
def hub(place: Place, dataset: str) -> Hub:
    """The hub as new, with one data set of these files."""
    hub, _, folder = place
    hub.faults.clear()
    hub.requests.clear()
    hub.state.limits = Limits(api=10**9, resolvers=10**9)
    hub.state.bytes_per_second = None
    hub.add(dataset, {name: folder / name for name in FILES}, readme=README)
    return hub


@pytest.fixture
def run(hub: Hub, place: Place, dataset: str, tmp_path: Path) -> Any:
    """A build by the process: `run(out=..., cache=..., workers=..., maximum_bytes=...)`."""

    def built(out: str = "out", cache: str = "cache", **how: Any) -> Built:
        how = {"dataset": dataset, "revision": COMMIT} | how
        built = place[1].build(tmp_path / out, tmp_path / cache, **how)
        assert not built.refused
        return built

    return built


def texts_of(out: Path) -> list[str]:
    return [text.split(".")[0] for batch in iter_parts(out, ("text",)) for text in batch.column("text").to_pylist()]


def stories(files: int = 3, rows: int = 1500) -> list[str]:
    return [f"Story {number} {row}" for number in range(files) for row in range(rows)]


def test_rows_come_in_order_each_row_group_fetched_once_and_few_questions_asked(
    hub: Hub, run: Any, place: Place, tmp_path: Path
) -> None:
    whole = run()
    assert not whole.refused
    assert texts_of(tmp_path / "out") == stories()
    for name in FILES:
        text = pq.read_metadata(place[2] / name).row_group(1).column(0)
        first = text.dictionary_page_offset or text.data_page_offset
        asked = [request.range for request in hub.ranges(name)]
        assert sum(start <= first < stop for start, stop in filter(None, asked)) <= 2, (
            "once with the footer, once alone"
        )
    assert hub.limits.asked["api"] <= 4
    assert hub.limits.asked["resolvers"] <= 10

    before = len(hub.requests)
    again = run(out="again")
    assert again.content_hash == whole.content_hash
    assert len(hub.requests) == before, "another build finds everything in the cache"


@pytest.mark.slow
def test_neither_the_number_of_processes_nor_a_lost_cache_changes_a_byte(run: Any, tmp_path: Path) -> None:
    one = run(maximum_bytes=150_000)
    two = run(out="two", cache="cold", workers=2, maximum_bytes=150_000)
    assert one.content_hash == two.content_hash
    parts = [sorted(path.name for path in (tmp_path / out).glob("part-*.parquet")) for out in ("out", "two")]
    assert parts[0] == parts[1]
    assert all((tmp_path / "out" / n).read_bytes() == (tmp_path / "two" / n).read_bytes() for n in parts[0])


def test_no_more_row_groups_are_read_than_hold_the_text_that_is_wanted(
    hub: Hub, run: Any, place: Place, tmp_path: Path
) -> None:
    group = pq.read_metadata(place[2] / FILES[0]).row_group(0).column(0).total_uncompressed_size
    run(maximum_bytes=group + 1)
    assert texts_of(tmp_path / "out") == stories(files=1, rows=1000)
    assert not hub.ranges(FILES[1]), "no byte of a file that is not needed, its footer neither"


@pytest.mark.fault
def test_what_a_killed_build_had_fetched_is_not_fetched_again(hub: Hub, run: Any, dataset: str, tmp_path: Path) -> None:
    whole = run(out="whole", cache="whole-cache")
    hub.state.bytes_per_second = 50_000
    with Builder(hub, tmp_path / "hf") as killed:
        killed.start(tmp_path / "out", tmp_path / "cache", dataset=dataset, revision=COMMIT)
        deadline = time.monotonic() + 120
        while len(list((tmp_path / "cache").rglob("*.range"))) < 6 and time.monotonic() < deadline:
            time.sleep(0.005)
    finished = {(path.parent.name, path.stem) for path in (tmp_path / "cache").rglob("*.range")}
    hub.state.bytes_per_second = None
    killed_at = time.monotonic()
    assert run().content_hash == whole.content_hash
    later = [request for request in hub.requests if request.at > killed_at and request.range is not None]
    again = {(Path(r.path.partition("?")[0]).name, f"{r.range[0]}-{r.range[1]}") for r in later if r.range}
    assert not finished & again


def test_a_data_set_of_json_lines_is_read_through_datasets(hub: Hub, run: Any, dataset: str, tmp_path: Path) -> None:
    rows = [{"text": f"Line {row}. The cat sat on the mat.", "score": row} for row in range(20)]
    hub.add(dataset, {"train.jsonl": "\n".join(map(json.dumps, rows))})
    run(dataset=dataset)
    assert texts_of(tmp_path / "out") == [row["text"].split(".")[0] for row in rows]


def test_a_branch_is_read_at_the_commit_it_named_when_the_build_began(
    hub: Hub, run: Any, place: Place, dataset: str, tmp_path: Path
) -> None:
    run(revision="main")
    record = tmp_path / "out" / "commits.json"
    assert json.loads(record.read_text()) == {f"{dataset}@main": COMMIT}

    later = "f" * 40
    hub.commit(dataset, {FILES[0]: place[2] / FILES[1], "README.md": README}, later)
    (tmp_path / "out" / "part-00001.parquet").unlink()
    run(revision="main", cache="other")
    assert texts_of(tmp_path / "out") == stories(), "it goes on with the commit it began with"

    run(revision="main", out="new")
    assert len(texts_of(tmp_path / "new")) == 1500


@pytest.mark.fault
def test_rows_of_a_busy_hub_come_in_order_and_none_twice(hub: Hub, run: Any, tmp_path: Path) -> None:
    hub.faults.add(
        Fault(r"GET /some/.*.*00000-of", damage=Damage.TRUNCATED, times=2),
        Fault(r"GET /some/.*.*00001-of", 503, times=2, after=1),
        Fault(r"GET /some/.*.*00002-of", damage=Damage.RESET, times=2),
        Fault(r"HEAD /datasets/some/.*00002-of", 500, times=2),
        Fault(r"/api/datasets/some/", 408, times=1),
    )
    run()
    assert texts_of(tmp_path / "out") == stories()


@pytest.mark.fault
def test_a_full_window_is_waited_for_and_said(hub: Hub, run: Any, tmp_path: Path) -> None:
    hub.state.limits = Limits(api=2, resolvers=4, window=1.0)
    run()
    assert texts_of(tmp_path / "out") == stories()
    assert hub.limits.refused.total() > 0
