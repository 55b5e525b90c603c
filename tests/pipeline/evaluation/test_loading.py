"""Which weights of a run are scored, by the names a profile gives them."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.base.errors import EvaluationError, ProfileError
from pipeline.evaluation.loading import load_scorer
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.evaluation.suites.samples import SamplesSuite
from pipeline.profile.profile import load_profile

FILES = {"model": "model.safetensors", "ema": "ema.safetensors", "lowest_loss": "best.safetensors"}


@pytest.fixture
def kept(model_folder, tmp_path):
    """A run that kept all its weights; those of each file are filled with another number."""
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    weights = load_file(folder / FILES["model"])
    for number, name in enumerate(FILES.values(), start=1):
        save_file({key: torch.full_like(value, number) for key, value in weights.items()}, folder / name)
    return folder


def loaded(folder, tokenizer_folder, weights):
    model = load_scorer(folder, tokenizer_folder, weights=weights).model
    return int(next(model.parameters()).flatten()[0])


def test_each_name_is_of_the_weights_it_says(kept, tokenizer_folder):
    found = {name: loaded(kept, tokenizer_folder, name) for name in (*FILES, "averaged")}
    assert found == {"model": 1, "ema": 2, "lowest_loss": 3, "averaged": 2}


def test_averaged_is_the_last_weights_of_a_run_without_an_average(kept, tokenizer_folder):
    (kept / FILES["ema"]).unlink()
    assert loaded(kept, tokenizer_folder, "averaged") == 1


@pytest.mark.parametrize(("weights", "setting"), [("ema", "ema_horizon"), ("lowest_loss", "evaluate_every")])
def test_weights_the_run_did_not_keep_say_what_keeps_them(model_folder, tokenizer_folder, weights, setting):
    with pytest.raises(
        EvaluationError, match=rf"weights: {weights} cannot be loaded .*no such file.*training.{setting}"
    ):
        load_scorer(model_folder, tokenizer_folder, weights=weights)


def test_best_says_what_it_is_called_now(model_folder, tokenizer_folder, tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: sample\nevaluation: {weights: best}\n")
    with pytest.raises(ProfileError, match=r"weights: best is called averaged now.*lowest_loss"):
        load_profile(str(tmp_path / "mine.yaml"))
    with pytest.raises(EvaluationError, match="weights: best is called averaged now"):
        load_scorer(model_folder, tokenizer_folder, weights="best")
    with pytest.raises(EvaluationError, match="weights: found 'lowest'; there are averaged, model, ema, lowest_loss"):
        load_scorer(model_folder, tokenizer_folder, weights="lowest")


def test_the_average_keeps_the_fingerprints_it_had_under_its_old_name():
    identities = {
        weights: EvaluationSettings(weights=weights).identity_of_suite(SamplesSuite())["weights"]
        for weights in ("averaged", "model", "ema", "lowest_loss")
    }
    assert identities == {"averaged": "best", "model": "model", "ema": "ema", "lowest_loss": "lowest_loss"}
