"""The model by its name in lm-eval's registry, and the tokenizer that is found for it."""

import shutil

import pytest

from pipeline.base.errors import EvaluationError
from pipeline.evaluation.lm_eval.registration import SqueezeModel, find_tokenizer, register


def test_lm_eval_knows_the_model_by_name(model_folder, tokenizer_folder):
    from lm_eval.api.registry import get_model

    register()
    made = get_model("squeeze").create_from_arg_string(
        f"path={model_folder},tokenizer={tokenizer_folder},max_length=64", {"batch_size": 4, "device": "cpu"}
    )
    assert isinstance(made, SqueezeModel)
    assert (made.max_length, made.batch_tokens) == (64, 4 * 64)


def test_the_tokenizer_is_found_through_the_stores_manifests(tokenizer_folder, manifest, tmp_path):
    tokenizer = tmp_path / "tokenizer" / "bpe" / "f1"
    shutil.copytree(tokenizer_folder, tokenizer)
    for key, name, parents in (
        ("shards/epoch_001", "f2", {"tokenizer": ("tokenizer/bpe", "f1")}),
        ("model", "f3", {"shards": ("shards/epoch_001", "f2")}),
    ):
        folder = tmp_path / key / name
        folder.mkdir(parents=True)
        manifest(folder, key, **parents)
    assert find_tokenizer(tmp_path / "model" / "f3") == tokenizer


def test_a_model_without_tokenizer_and_a_context_too_long_say_what_to_give(model_folder, tokenizer_folder):
    with pytest.raises(EvaluationError, match=r"no tokenizer is known .*tokenizer=…"):
        SqueezeModel(path=str(model_folder))
    with pytest.raises(EvaluationError, match="max_length must be from 2 to the model's 512 tokens, found 4096"):
        SqueezeModel(path=str(model_folder), tokenizer=str(tokenizer_folder), max_length=4096)
