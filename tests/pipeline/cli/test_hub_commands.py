"""`squeeze check` and `squeeze pin` as a user runs them, against the imitated hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hub.repository import COMMIT
from tests.hub.server import Hub
from tests.hub.task_data import add_benchmarks

SQUEEZE = Path(sys.executable).with_name("squeeze")
PROFILE = """\
description: several sources of the hub
corpora:
  good:
    license: MIT
    sources: [{hub: {id: some/stories, revision: main}, lang: en}]
  other_column:
    license: MIT
    sources: [{hub: {id: some/stories, revision: main}, text_field: story, lang: en}]
tokenizers: {candidates: [bpe_1k], select: bpe_1k}
schedule: {stages: [{name: a, mixture: {good: 1.0}}]}
preset: s
evaluation:
  suites:
    hellaswag: {kind: lm_eval, tasks: [hellaswag]}
    stories: {kind: lm_eval, tasks: [xstorycloze_es]}
"""


@pytest.fixture
def run(tmp_path):
    table = tmp_path / "stories.parquet"
    pq.write_table(pa.table({"text": ["A fox sleeps."], "score": [1.0]}), table)
    (tmp_path / "mine.yaml").write_text(PROFILE)
    with Hub(tmp_path) as hub:
        hub.add("some/stories", {"data/train-00000-of-00001.parquet": table}, readme="---\nlicense: mit\n---\n")
        add_benchmarks(hub, tmp_path / "items", items=1)
        home = {"SQUEEZE_HOME": str(tmp_path / "store"), "HF_TOKEN": ""}

        def command(*words, **more):
            return subprocess.run(
                [str(SQUEEZE), *words, "--profile", "mine.yaml"],
                cwd=tmp_path,
                env=os.environ | hub.environment(tmp_path / "home") | home | more,
                capture_output=True,
                text=True,
                timeout=120,
            )

        command.hub = hub
        yield command


def test_check_sees_columns_and_benchmarks_before_anything_is_made(run, tmp_path):
    done = run("check", "--json")
    assert done.returncode == 2, done.stderr
    found = {item["check"]: item for item in json.loads(done.stdout)["findings"]}
    verdicts = {name: item["verdict"] for name, item in found.items()}
    assert verdicts == {
        "data set some/stories": "ok",
        "columns for corpora.good.sources.0": "ok",
        "columns for corpora.other_column.sources.0": "refused",
        "items of Rowan/hellaswag": "ok",
        "items of juletxara/xstory_cloze": "refused",
        "rate limit": "ok",
    }
    assert "has no column 'story'; it has text, score" in found["columns for corpora.other_column.sources.0"]["text"]
    assert "is made by a script" in found["items of juletxara/xstory_cloze"]["text"]
    assert len([item for item in run.hub.requests if item.path.startswith("/api/datasets/some/stories/revision")]) < 4


def test_pin_writes_the_commit_and_shows_what_moved(run, tmp_path):
    done = run("pin")
    assert done.returncode == 0, done.stderr
    assert "2 of 2 written" in done.stdout
    assert COMMIT in done.stdout
    assert (tmp_path / "mine.yaml").read_text() == PROFILE.replace("revision: main", f"revision: {COMMIT}")


@pytest.mark.slow
def test_what_was_opened_is_found_again_without_a_network(run):
    assert run("pin").returncode == 0
    before = run("check", "--json", HF_HUB_OFFLINE="1")
    assert "`squeeze fetch" in before.stdout
    run("check")
    asked = len(run.hub.requests)
    found = {item["check"]: item for item in json.loads(run("check", "--json", HF_HUB_OFFLINE="1").stdout)["findings"]}
    assert len(run.hub.requests) == asked
    assert found["columns for corpora.good.sources.0"]["verdict"] == "ok"
    assert found["columns for corpora.other_column.sources.0"]["verdict"] == "refused"
    assert found["items of Rowan/hellaswag"]["verdict"] == "note"
    assert "from the cache in HF_HOME" in found["items of Rowan/hellaswag"]["text"]
