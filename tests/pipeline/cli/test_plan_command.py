"""`squeeze plan` takes no word that it does not use, and says what is fetched, written and cut short."""

import json
import re

import pytest
from typer.testing import CliRunner

from pipeline.base.errors import SqueezeError
from pipeline.cli.plan_commands import app
from trainer.errors import ConfigError


@pytest.fixture
def tried(monkeypatch):
    """Every time that the processor was tried; it trains a thousand tokens a second."""
    times = []
    monkeypatch.setattr("trainer.probe.tokens_per_second", lambda *_, **how: times.append(how) or 1000.0)
    return times


@pytest.fixture
def plan(monkeypatch, tmp_path, tried):
    monkeypatch.setenv("SQUEEZE_HOME", str(tmp_path / "store"))

    def run(*words):
        result = CliRunner().invoke(app, ["plan", *words], catch_exceptions=False)
        return " ".join(result.output.split())

    return run


def test_it_says_what_is_fetched_and_written_and_where_the_time_box_cuts(plan):
    said = plan("--profile", "single_gpu")
    assert "to fetch about 3.6 GB of text" in said
    assert "ended after 50 minutes of training (training.max_minutes), which cuts it short on" in said
    assert "RTX 3090" in said.partition("cuts it short on")[2]


def test_sizes_of_no_corpus_and_devices_of_no_number_are_refused(plan):
    with pytest.raises(SqueezeError, match=r"--size nope=2GB: there is no corpus 'nope'.*the profile has fineweb_edu"):
        plan("--profile", "sample", "--size", "nope=2GB")
    with pytest.raises(ConfigError, match="--devices must be from 1 to the 16 sequences"):
        plan("--profile", "sample", "--devices", "0")


def test_local_files_are_as_large_as_they_lie(plan, tmp_path):
    (tmp_path / "a.txt").write_text("word " * 200_000)
    profile = tmp_path / "mine.yaml"
    profile.write_text(
        "extends: sample\ncorpora: {mine: {sources: [{files: a.txt, format: whole}]}}\n"
        "schedule: {tokens_per_epoch: null, stages: [{name: a, mixture: {mine: {repeats: 1}}}]}\n"
    )
    assert "250,000" in plan("--profile", str(profile))


def test_the_vocabulary_is_that_of_the_tokenizer_and_not_what_a_preset_fills_in(plan, tmp_path):
    profile = tmp_path / "mine.yaml"
    profile.write_text("extends: sample\ntokenizers: {candidates: [bpe_2k, bpe_4k], select: bpe_2k}\n")
    parameters = [
        int(re.search(r"([\d,]+) embedding", plan("--profile", name))[1].replace(",", ""))
        for name in ("sample", str(profile))
    ]
    assert parameters[0] == 4 * parameters[1]


def test_this_machines_processor_is_tried_once_and_stands_beside_gpus(plan, tried):
    told = json.loads(plan("--profile", "sample", "--json"))
    (row,) = [item for item in told["training"]["hardware"] if item["name"] == "this CPU"]
    assert row["tokens_per_second"] == 1000.0
    assert row["hours"] == pytest.approx(told["training"]["tokens"] / 1000 / 3600)
    assert "this CPU" in plan("--profile", "sample")
    assert len(tried) == 1
    assert "this CPU" not in plan("--profile", "sample", "--no-probe")


@pytest.mark.parametrize("text", ["", "{", '{"tokens_per_second": -1}', '{"tokens_per_second": NaN}', "[]"])
def test_a_damaged_measurement_of_the_processor_is_made_anew(plan, tried, tmp_path, text):
    assert "this CPU" in plan("--profile", "sample")
    (kept,) = tmp_path.rglob("speed/*.json")
    kept.write_text(text)
    assert "this CPU" in plan("--profile", "sample")
    assert len(tried) == 2


def test_json_has_all_that_the_tables_say(plan):
    told = json.loads(plan("--profile", "sample", "--no-probe", "--json"))
    assert told.keys() == {"schedule", "notes", "training", "to_fetch", "to_write"}
    assert told["training"]["steps"] == 756
    assert set(told["to_fetch"]) == {"fineweb_edu", "wikipedia", "books", "childrens_books", "multilingual"}
