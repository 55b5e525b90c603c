"""The asset `model` beside the trainer: what it does with what a killed attempt left, and with another tokenizer."""

import contextlib
import json
import logging
from types import SimpleNamespace

import pytest

from pipeline.assets import evaluation, training
from pipeline.assets.stored_asset import Build
from pipeline.base.errors import EvaluationError, SqueezeError
from pipeline.base.finished import finish
from pipeline.launch.local import command
from pipeline.profile.profile import load_profile


def summary(state: str) -> str:
    return json.dumps({"state": state, "content_hash": "c"})


def build_in(folder, **inputs) -> Build:
    context = SimpleNamespace(log=logging.getLogger("test_training_asset"))
    return Build(folder, inputs, None, None, context)  # type: ignore[arg-type]


def test_a_run_that_has_finished_is_not_trained_again(tmp_path, monkeypatch):
    """Killed after the trainer's end, before the artifact was whole: the checkpoints may be gone already."""
    (tmp_path / "summary.json").write_text(summary("finished"))
    (tmp_path / "metrics.jsonl").write_text("")
    finish(tmp_path / "summary.json", tmp_path / "metrics.jsonl")
    launched = []
    monkeypatch.setattr(training, "_launch", lambda *_, **__: launched.append(1))
    assert training.train(build_in(tmp_path), SimpleNamespace(), 1, packed=False).content_hash == "c"
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
    assert training.train(build_in(tmp_path), SimpleNamespace(), 1, packed=False).content_hash == "c"
    assert not (tmp_path / "checkpoints").exists()


def test_a_run_that_was_interrupted_keeps_its_checkpoints(tmp_path, monkeypatch):
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.setattr(
        training, "_launch", lambda *_, **__: (tmp_path / "summary.json").write_text(summary("interrupted"))
    )
    with pytest.raises(SqueezeError, match="materialize model again"):
        training.train(build_in(tmp_path), SimpleNamespace(), 1, packed=False)
    assert (tmp_path / "checkpoints").exists()


def test_the_samples_first_command_trains_on_one_gpu(tmp_path, monkeypatch):
    """The sample profile says nothing of ranks: on one GPU the trainer is started with one."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    sample = load_profile("sample")
    programs = []
    monkeypatch.setattr(training, "run_in_dagster", lambda launcher, program, context: programs.append(program) or 0)
    monkeypatch.setattr(training, "observe_metrics", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(training, "run_config", lambda *_, **__: SimpleNamespace(to_dict=dict))
    settings = training.Training(sample.model, sample.training)
    training._launch(Build(tmp_path, {}, settings, None, SimpleNamespace()), sample.launch, 1, packed=False)
    assert "--nproc-per-node=1" in command(programs[0], logging.getLogger("test_training_asset"))


def test_a_model_is_not_scored_with_another_tokenizer(tmp_path):
    def model(trained_with: str) -> SimpleNamespace:
        tokenizer = SimpleNamespace(content_hash=trained_with)
        return SimpleNamespace(manifest=SimpleNamespace(inputs={"tokenizer": tokenizer}))

    now = SimpleNamespace(content_hash="bpe now")
    evaluation.check_tokenizer(build_in(tmp_path, model=model("bpe now"), tokenizer=now))
    with pytest.raises(EvaluationError, match="trained with the tokenizer bpe before"):
        evaluation.check_tokenizer(build_in(tmp_path, model=model("bpe before"), tokenizer=now))
