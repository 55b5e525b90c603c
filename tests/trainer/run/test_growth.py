"""A model that has all its configuration says only later in a run."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("torch")

from in_process import StopAfter, go

from trainer.config import TrainingConfig, read_run
from trainer.model import GPT, ModelConfig, Recurrence
from trainer.run.growth import grow
from trainer.run.learner import Learner
from trainer.run.trained_model import load_model

GROWING = {"recurrence_from": 0.5, "window_warmup": 0.75}
MODEL = {"recurrence": {"first": 0, "last": 0}, "window": 8, "window_pattern": "S"}


def test_windows_grow_in_quarters_and_layers_run_again_from_their_share_on():
    config = ModelConfig(vocab_size=8, width=16, heads=2, layers=2, window=40, recurrence=Recurrence(0, 1))
    model, training = GPT(config), TrainingConfig(window_warmup=0.5, recurrence_from=0.75)
    seen = []
    for step in range(8):
        grow(model, training, step / 8)
        seen.append((model.window, model.recurs))
    windows = [10, 20, 30, 40, 40, 40, 40, 40]
    assert seen == list(zip(windows, [False] * 6 + [True] * 2, strict=True))
    grow(model, TrainingConfig(), 0.0)
    assert (model.window, model.recurs) == (40, True)


def test_a_run_grows_as_it_goes_on_and_ends_with_the_whole_model(make_run, tmp_path, monkeypatch):
    seen, gradients = [], Learner.gradients

    def watched(self, *arguments):
        seen.append((self.model.window, self.model.recurs))
        return gradients(self, *arguments)

    monkeypatch.setattr(Learner, "gradients", watched)
    whole = go(make_run("whole", MODEL, max_steps=8, **GROWING))
    expected = list(zip([2, 2, 4, 6, 6, 8, 8, 8], [False] * 4 + [True] * 4, strict=True))
    assert seen == expected
    seen.clear()
    go(make_run("cut", MODEL, max_steps=8, **GROWING), StopAfter(4))
    cut = go(make_run("cut", MODEL, max_steps=8, **GROWING))
    assert cut.resumed_from
    assert seen == expected
    assert cut.content_hash == whole.content_hash
    model = load_model(tmp_path / "whole")
    assert (model.window, model.recurs) == (8, True)


def test_a_trained_model_is_without_what_only_training_uses(make_run, tmp_path):
    go(make_run("run", {"predict_ahead": 2, "ahead_weight": 0.3}, max_steps=2))
    model, config = load_model(tmp_path / "run"), read_run(tmp_path / "run.json").model
    plain = dataclasses.replace(config, predict_ahead=0, ahead_weight=0.5)
    assert model.config == plain
    assert model.parameter_counts() == GPT(plain).parameter_counts()
