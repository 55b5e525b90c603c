"""`squeeze fetch` before a run: what it would fetch, what it fetches, and a machine without network after it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.corpora import FINEWEB_2, SIMPLE_STORIES, add_corpus
from tests.hub.server import Hub

PROFILE = """
name: away
corpora:
  web:
    sources:
      - {hub: {id: HuggingFaceFW/fineweb-2, config: fra_Latn, revision: main}, lang: fr, maximum_bytes: 20_000}
      - {hub: {id: HuggingFaceFW/fineweb-2, config: deu_Latn, revision: main}, lang: de}
  stories:
    sources: [{hub: {id: SimpleStories/SimpleStories, revision: main}, text_field: story, lang: en}]
tokenizers: {candidates: [bpe_1k], select: bpe_1k}
schedule: {stages: [{name: all, mixture: {web: 1.0, stories: 1.0}}]}
preset: s
evaluation: {suites: {}, while_training: {tasks: []}}
"""
OFFLINE_BUILD = """
import pathlib, sys
from pipeline.base.executor import InProcess
from pipeline.curation.documents import build_documents
from pipeline.profile.profile import load_profile
settings = load_profile("away.yaml").corpora["web"].documents
out, cache = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
print(build_documents("web", settings, out, cache=cache, executor=InProcess()).documents)
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    (tmp_path / "away.yaml").write_text(PROFILE)
    with Hub(tmp_path) as hub:
        add_corpus(hub, FINEWEB_2, tmp_path / "corpora", files=2, rows=200, group_rows=50)
        add_corpus(hub, SIMPLE_STORIES, tmp_path / "corpora", rows=100)
        yield hub


def python(hub: Hub, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[3])
    here = {"PYTHONPATH": root, "SQUEEZE_HOME": str(folder / "store"), **hub.environment(folder / "hf"), **environment}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=os.environ | here, capture_output=True, text=True, check=False)


def squeeze(hub: Hub, folder: Path, *arguments: str) -> str:
    code = "from pipeline.cli.app import main; main()"
    done = python(hub, folder, "-c", code, "fetch", "-p", "away.yaml", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_what_is_fetched_ahead_is_what_a_dry_run_said_and_enough_for_a_machine_without_network(
    hub: Hub, tmp_path: Path
) -> None:
    into = ["--into", "carried", "--workers", "1"]
    planned = json.loads(squeeze(hub, tmp_path, *into, "--dry-run", "--json"))["sources"]
    assert [item["files"] for item in planned] == [1, 2, 1], "of the first no more than 20 kB of text"
    assert planned[0]["text"] < 45_000 < planned[1]["text"]
    assert all(0 < item["missing"] == item["bytes"] for item in planned)

    before = len(hub.requests)
    assert "fetched" in squeeze(hub, tmp_path, *into)
    came, missing = (
        sum(request.sent for request in hub.requests[before:] if request.host == "cdn"),
        sum(item["missing"] for item in planned),
    )
    assert missing <= came < 2 * missing, "with what lies between the columns of such small row groups"
    again = json.loads(squeeze(hub, tmp_path, *into, "--dry-run", "--json"))["sources"]
    assert [item["missing"] for item in again] == [0, 0, 0]

    count = len(hub.requests)
    away = {"HF_HUB_OFFLINE": "1"}
    built = python(hub, tmp_path, "-c", OFFLINE_BUILD, "out", "carried/.cache", **away)
    assert int(built.stdout) > 400, built.stderr
    assert len(hub.requests) == count
    lacking = python(hub, tmp_path, "-c", OFFLINE_BUILD, "elsewhere", "nothing-here", **away)
    assert "HF_HUB_OFFLINE is set: unset it, or fetch it on a machine with a network by" in lacking.stderr
