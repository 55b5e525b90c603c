"""Hub data sets streamed from a local server that is busy, breaks connections, and is left in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.base.finished import finish
from pipeline.curation.sources import hub as hub_reading
from pipeline.curation.sources.settings import HubDataset
from pipeline.curation.tables import iter_parts

SERVER = Path(__file__).with_name("hub_server.py")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def hub(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Environment of a program whose hub is the local server, with one data set of three files.

    The fixture's parameter says how the server refuses requests about the data set, see there.
    """
    folder = tmp_path / "hub" / "some" / "stories" / "data"
    folder.mkdir(parents=True)
    for number in range(3):
        texts = [f"Story {number} {row}. The cat sat on the mat and looked at row {row}." for row in range(1500)]
        table = pa.table({"text": texts, "score": [1.0] * len(texts)})
        pq.write_table(table, folder / f"train-{number:05d}-of-00003.parquet", row_group_size=500)
    server = subprocess.Popen(
        [sys.executable, str(SERVER), str(tmp_path / "hub"), str(tmp_path / "log"), getattr(request, "param", "")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    port = server.stdout.readline().strip()
    yield {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HOME": str(tmp_path / "hf"),
        "NO_PROXY": "127.0.0.1",
    }
    server.kill()
    server.wait()


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def program(
    out: Path, cache: Path, dataset: str = "some/stories", field: str = "text", revision: str = COMMIT
) -> list[str]:
    source = {"hub": {"id": dataset, "revision": revision}, "lang": "en"}
    settings = json.dumps({"sources": [{**source, "text_field": field}]})
    code = f"""
        import pathlib
        from pipeline.curation.sources import hub
        from pipeline.curation.documents import build_documents
        from pipeline.curation.settings import CorpusSettings
        from pipeline.base.errors import SqueezeError
        from pipeline.base.executor import InProcess
        hub.FIRST_PAUSE = 0.05
        settings = CorpusSettings.model_validate_json({settings!r})
        out, cache = pathlib.Path({str(out)!r}), pathlib.Path({str(cache)!r})
        try:
            summary = build_documents("web", settings.documents, out, cache=cache, executor=InProcess())
        except SqueezeError as error:
            raise SystemExit(f"refused: {{error}}")
        print(summary.content_hash, summary.documents)
    """
    return [sys.executable, "-c", textwrap.dedent(code)]


@pytest.mark.fault
def test_rows_survive_rate_limits_broken_bodies_and_a_kill(hub: dict[str, str], tmp_path: Path) -> None:
    first = subprocess.run(program(tmp_path / "whole", tmp_path), env=hub, capture_output=True, text=True, check=True)
    assert first.stdout.split()[1] == "4500"
    log = (tmp_path / "log").read_text()
    assert log.count("train-00000-of-00003.parquet bytes") > 2, "the server's faults were met"

    process = subprocess.Popen(program(tmp_path / "out", tmp_path), env=hub, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "out" / "part-00000.parquet").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = subprocess.run(program(tmp_path / "out", tmp_path), env=hub, capture_output=True, text=True, check=True)
    assert again.stdout == first.stdout
    for number in range(3):
        name = f"part-{number:05d}.parquet"
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def texts_of(out: Path) -> list[str]:
    return [text for batch in iter_parts(out, ("text",)) for text in batch.column("text").to_pylist()]


@pytest.mark.parametrize("hub", ["calm"], indirect=True)
def test_rows_of_a_hub_data_set_come_in_order(hub: dict[str, str], tmp_path: Path) -> None:
    run = subprocess.run(program(tmp_path / "out", tmp_path), env=hub, capture_output=True, text=True, check=True)
    assert run.stdout.split()[1] == "4500"
    found = [text.split(".")[0] for text in texts_of(tmp_path / "out")]
    assert found == [f"Story {n} {row}" for n in range(3) for row in range(1500)]


@pytest.mark.parametrize("hub", ["calm"], indirect=True)
def test_a_data_set_of_json_lines_is_read_too(hub: dict[str, str], tmp_path: Path) -> None:
    """Its reader knows no `columns`, which Parquet's takes to leave the others unread."""
    folder = tmp_path / "hub" / "some" / "lines"
    folder.mkdir(parents=True)
    rows = [{"text": f"Line {row}. The cat sat on the mat.", "score": row} for row in range(20)]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    subprocess.run(program(tmp_path / "out", tmp_path, dataset="some/lines"), env=hub, check=True)
    assert texts_of(tmp_path / "out") == [row["text"] for row in rows]


@pytest.mark.parametrize("hub", ["calm"], indirect=True)
def test_a_branch_is_read_at_the_commit_it_named_when_the_build_began(hub: dict[str, str], tmp_path: Path) -> None:
    build = program(tmp_path / "out", tmp_path, revision="main")
    subprocess.run(build, env=hub, capture_output=True, text=True, check=True)
    record = tmp_path / "out" / "commits.json"
    assert json.loads(record.read_text()) == {"some/stories@main": COMMIT}
    read = {line.split("/resolve/")[1].split("/")[0] for line in lines(tmp_path / "log") if "/resolve/" in line}
    assert read == {COMMIT}

    earlier = "f" * 40  # a build that began before the branch moved goes on with the commit it began with
    record.write_text(json.dumps({"some/stories@main": earlier}))
    finish(record)
    (tmp_path / "out" / "part-00001.parquet").unlink()
    (tmp_path / "log").write_text("")
    subprocess.run(build, env=hub, capture_output=True, text=True, check=True)
    assert any(f"/revision/{earlier}" in line for line in lines(tmp_path / "log"))
    assert not any(line.endswith("/revision/main ") for line in lines(tmp_path / "log"))


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.mark.fault
def test_rows_of_a_busy_hub_come_in_order(hub: dict[str, str], tmp_path: Path) -> None:
    subprocess.run(program(tmp_path / "out", tmp_path), env=hub, capture_output=True, text=True, check=True)
    assert (tmp_path / "log").read_text().count("train-00000-of-00003.parquet bytes") > 2, "the faults were met"
    found = [text.split(".")[0] for text in texts_of(tmp_path / "out")]
    assert found == [f"Story {n} {row}" for n in range(3) for row in range(1500)]


@pytest.mark.fault
def test_a_data_set_that_does_not_exist_is_named(hub: dict[str, str], tmp_path: Path) -> None:
    lacks = program(tmp_path / "other", tmp_path, "some/nothing")
    refused = subprocess.run(lacks, env=hub, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "does not exist, or you may not read it: check `id` and `revision`" in refused.stderr


@pytest.mark.fault
def test_a_column_the_data_set_lacks_is_named(hub: dict[str, str], tmp_path: Path) -> None:
    lacks = program(tmp_path / "out", tmp_path, field="body")
    refused = subprocess.run(lacks, env=hub, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "has no column 'body'; it has text, score" in refused.stderr


@pytest.mark.fault
@pytest.mark.parametrize("hub", ["429:2,503:,429:1"], indirect=True)
def test_what_the_hubs_library_gives_up_on_is_tried_again_after_the_pause_it_asks_for(
    hub: dict[str, str], tmp_path: Path
) -> None:
    run = subprocess.run(program(tmp_path / "out", tmp_path), env=hub, capture_output=True, text=True, check=True)
    assert run.stdout.split()[1] == "4500"
    asked = [
        line.split() for line in (tmp_path / "log").read_text().splitlines() if "/api/datasets/some/stories" in line
    ]
    times = [float(line[0]) for line in asked if line[2].split("/revision/")[0].endswith("some/stories")]
    assert times[1] - times[0] >= 2, "Retry-After: 2"
    assert times[3] - times[2] >= 1, "Retry-After: 1"
    assert "attempt 2 in" in run.stderr


@pytest.mark.fault
@pytest.mark.parametrize("hub", [",".join(["503:"] * 20)], indirect=True)
def test_a_hub_that_stays_away_ends_the_build_and_says_that_parts_are_kept(hub: dict[str, str], tmp_path: Path) -> None:
    refused = subprocess.run(program(tmp_path / "out", tmp_path), env=hub, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "could not be read in 8 attempts; finished parts are kept, run again later" in refused.stderr


def test_an_interrupt_while_a_failure_is_dealt_with_is_not_tried_again() -> None:
    calls = []

    def call() -> None:
        calls.append("asked")
        try:
            raise ConnectionError("busy")
        except ConnectionError:
            raise KeyboardInterrupt from None

    with pytest.raises(KeyboardInterrupt):
        hub_reading._retried(HubDataset(id="some/stories", revision=COMMIT), call)
    assert calls == ["asked"]


@pytest.mark.fault
def test_a_gated_data_set_says_whose_terms_to_accept_and_how_to_log_in(hub: dict[str, str], tmp_path: Path) -> None:
    gated = program(tmp_path / "out", tmp_path, "some/gated")
    refused = subprocess.run(gated, env=hub, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "data set some/gated" in refused.stderr
    assert "is gated: accept its terms" in refused.stderr
    assert "hf auth login" in refused.stderr
