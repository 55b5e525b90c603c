"""The asset `model` beside the trainer: what it does with what a killed attempt left, and with another tokenizer."""

import json
from types import SimpleNamespace

import pytest

from pipeline.assets import evaluation, training
from pipeline.assets.stored_asset import Job
from pipeline.base.errors import EvaluationError, SqueezeError


def summary(state: str) -> str:
    return json.dumps({"state": state, "content_hash": "c"})


def job(folder, **inputs) -> Job:
    return Job(folder, inputs, None, None, None)  # type: ignore[arg-type]


def test_a_run_that_has_finished_is_not_trained_again(tmp_path, monkeypatch):
    """Killed after the trainer's end, before the artifact was whole: the checkpoints may be gone already."""
    (tmp_path / "summary.json").write_text(summary("finished"))
    (tmp_path / "metrics.jsonl").write_text("")
    launched = []
    monkeypatch.setattr(training, "_launch", lambda *_, **__: launched.append(1))
    assert training.train(job(tmp_path), SimpleNamespace(), 1, packed=False).content_hash == "c"
    assert launched == []


@pytest.mark.parametrize("left", [None, "interrupted"])
def test_a_run_that_has_not_is(tmp_path, monkeypatch, left):
    if left is not None:
        (tmp_path / "summary.json").write_text(summary(left))
    (tmp_path / "metrics.jsonl").write_text("")
    (tmp_path / "checkpoints").mkdir()

    def launch(*_, **__):
        (tmp_path / "summary.json").write_text(summary("finished"))

    monkeypatch.setattr(training, "_launch", launch)
    assert training.train(job(tmp_path), SimpleNamespace(), 1, packed=False).content_hash == "c"
    assert not (tmp_path / "checkpoints").exists()


def test_a_run_that_was_interrupted_keeps_its_checkpoints(tmp_path, monkeypatch):
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.setattr(
        training, "_launch", lambda *_, **__: (tmp_path / "summary.json").write_text(summary("interrupted"))
    )
    with pytest.raises(SqueezeError, match="materialize model again"):
        training.train(job(tmp_path), SimpleNamespace(), 1, packed=False)
    assert (tmp_path / "checkpoints").exists()


def test_a_model_is_not_scored_with_another_tokenizer(tmp_path):
    def model(trained_with: str) -> SimpleNamespace:
        tokenizer = SimpleNamespace(content_hash=trained_with)
        return SimpleNamespace(manifest=SimpleNamespace(inputs={"tokenizer": tokenizer}))

    now = SimpleNamespace(content_hash="bpe now")
    evaluation.check_tokenizer(job(tmp_path, model=model("bpe now"), tokenizer=now))
    with pytest.raises(EvaluationError, match="trained with the tokenizer bpe before"):
        evaluation.check_tokenizer(job(tmp_path, model=model("bpe before"), tokenizer=now))
