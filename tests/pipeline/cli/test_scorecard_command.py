"""`squeeze scorecard`: the table and the JSON of the current profile's scores."""

import json

import pytest
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.evaluation.results import Details, Score, finish, not_possible
from pipeline.evaluation.scores.scorecard import build_scorecard
from pipeline.store import Built, Store

RUN = {
    "parameters": {"total": 644_160},
    "tokens": 3_997_696,
    "seconds": 156.0,
    "world_size": 2,
    "device": "cpu",
    "cost": None,
}


@pytest.fixture
def squeeze(tmp_path, monkeypatch):
    """Runs `squeeze scorecard` on a store with one scored model."""
    monkeypatch.setenv("SQUEEZE_HOME", str(tmp_path / "store"))
    store = Store(tmp_path / "store", "sample").open()
    made = {"code_version": "1", "identity": {}}
    model = store.ensure("model", inputs={}, build=lambda out: Built("weights"), **made).artifact

    def card(out):
        for name in ("hellaswag", "long"):
            (tmp_path / name).mkdir()
        score = Score("hellaswag", "acc_norm", 0.3, 0.0461, 100, version="1.0", shots=0)
        finish(tmp_path / "hellaswag", "lm_eval", [score], Details(), seconds=1)
        not_possible(tmp_path / "long", "length_extrapolation", "no text is as long as the context")
        suites = {name: tmp_path / name for name in ("hellaswag", "long")}
        return Built(build_scorecard(suites, {}, out, model=RUN).content_hash)

    store.ensure("scorecard", inputs={"model": model}, build=card, **made)
    return lambda *words: CliRunner().invoke(app, ["scorecard", "--profile", "sample", *words], catch_exceptions=False)


def test_the_table_has_scores_beside_chance_what_it_took_and_what_was_not_possible(squeeze):
    said = squeeze().output
    assert "644k parameters, 4M tokens, 2.6 min on 2 × cpu, no price an hour given" in said
    (line,) = [line.split() for line in said.splitlines() if line.startswith("hellaswag acc_norm")]
    assert line[2:] == ["0.3000", "±", "0.0461", "100", "0", "nothing", "(noise)", "0.25"]
    assert "no text is as long as the context" in said


def test_json_is_one_object_with_every_score(squeeze):
    found = json.loads(squeeze("--json").output)
    assert (found["profile"], found["run"]["tokens"]) == ("sample", 3_997_696)
    (score,) = found["scores"]
    assert (score["task"], score["value"], score["comparisons"][0]["name"]) == ("hellaswag", 0.3, "guessing")
    assert found["not_possible"] == {"long": "no text is as long as the context"}
