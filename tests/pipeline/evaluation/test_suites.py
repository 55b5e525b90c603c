"""Suites as the assets run them, and folders that are not what they should be."""

import json
import shutil

import pytest

from pipeline.base.errors import EvaluationError, NotPossibleError
from pipeline.evaluation.suites.length import LengthExtrapolationSuite, evaluate_length
from pipeline.evaluation.suites.lm_eval import LmEvalSuite
from pipeline.evaluation.suites.samples import SamplesSuite
from pipeline.evaluation.suites.suite import SuiteInputs, evaluate_suite
from pipeline.evaluation.suites.table import KINDS
from pipeline.reporting.plots.length import length_png

BOOK = [("The fox jumps over the lazy dog and sits on a roof. " * 40, "en", "fox") for _ in range(4)]


def test_samples_are_the_same_again_and_differ_by_seed(model_folder, tokenizer_folder, tmp_path):
    suite = SamplesSuite(prompts={"en": ("Once", "Once")}, new_tokens=8)
    first, again = (evaluate_suite(suite, model_folder, tokenizer_folder, SuiteInputs(), tmp_path) for _ in range(2))
    assert first.content_hash == again.content_hash
    one, two = first.details.samples
    assert (one.seed, two.seed) == (1, 2)
    assert one.text != two.text


def test_length_extrapolation_scores_the_same_text_at_every_length(model_folder, tokenizer_folder, heldout, tmp_path):
    folders = heldout({"books": BOOK})
    inputs = SuiteInputs(heldout=folders)
    suite = LengthExtrapolationSuite(factors=(1, 2, 8), scalings=("none", "yarn"), windows=2)
    result = evaluate_suite(suite, model_folder, tokenizer_folder, inputs, tmp_path)
    assert [score.task for score in result.scores] == ["rope 1x", "rope 2x", "rope yarn 2x"]
    assert result.details.notes == ["no held-out text is long enough for 8x"]
    one, two, _ = result.details.curves
    assert one.positions == [128, 256, 384, 512]
    assert two.losses[:4] == pytest.approx(one.losses, abs=1e-4)


def small(scorer, **config):
    import torch

    from pipeline.evaluation.loading import Scorer
    from trainer.model import GPT, ModelConfig

    torch.manual_seed(0)
    model = GPT(ModelConfig(vocab_size=384, context=32, width=32, layers=1, heads=2, **config)).eval()
    return Scorer(model, scorer.tokenizer, context=32)


def test_learned_positions_end_with_the_trained_context_and_the_result_says_so(scorer, heldout, tmp_path):
    learned = small(scorer, position="learned")
    result = evaluate_length(learned, heldout({"books": BOOK}), LengthExtrapolationSuite(windows=3), tmp_path)
    assert [score.task for score in result.scores] == ["learned 1x"]
    assert result.details.notes == ["learned positions end with the trained context, so only 1x is scored"]
    assert {curve.positions[-1] for curve in result.details.curves} == {32}
    assert length_png(result.details.curves, 32)[:4] == b"\x89PNG"


def test_rope_is_scored_raw_and_stretched_by_every_scaling_at_every_length(scorer, heldout, tmp_path):
    suite = LengthExtrapolationSuite(scalings=("none", "linear", "ntk", "yarn"), windows=2)
    result = evaluate_length(small(scorer, position="rope"), heldout({"books": BOOK}), suite, tmp_path)
    stretched = [f"rope{scaling} {factor}x" for factor in (2, 4, 8) for scaling in ("", " linear", " ntk", " yarn")]
    assert [score.task for score in result.scores] == ["rope 1x", *stretched]
    assert [len(curve.losses) for curve in result.details.curves] == [4] + [8] * 4 + [16] * 4 + [32] * 4
    for score, curve in zip(result.scores, result.details.curves, strict=True):
        assert score.value == pytest.approx(sum(curve.last_by_window) / 2)
        assert score.value == pytest.approx(sum(curve.losses[-4:]) / 4)


def test_held_out_text_shorter_than_the_context_is_refused(model_folder, tokenizer_folder, heldout, tmp_path):
    folders = heldout({"books": [("too short", "en", "a")]})
    inputs = SuiteInputs(heldout=folders)
    with pytest.raises(NotPossibleError, match="no held-out text has the 512 tokens"):
        evaluate_suite(LengthExtrapolationSuite(), model_folder, tokenizer_folder, inputs, tmp_path)


def test_every_kind_of_suite_has_a_code_version_and_says_what_it_is():
    assert set(KINDS) >= {"bits_per_byte", "lm_eval", "length_extrapolation", "samples", "minimal_pairs"}
    assert all(kind.version and kind.description for kind in KINDS.values())


def test_an_unknown_task_is_refused_before_the_model_is_looked_at(tmp_path):
    none = tmp_path / "none"
    with pytest.raises(EvaluationError, match="hellaswag"):
        evaluate_suite(LmEvalSuite(tasks=("hellaswagg",)), none, none, SuiteInputs(), tmp_path)


def test_a_folder_that_is_no_model_or_no_tokenizer_is_named(model_folder, tokenizer_folder, tmp_path):
    with pytest.raises(EvaluationError, match="is not a finished model"):
        evaluate_suite(SamplesSuite(), tmp_path, tokenizer_folder, SuiteInputs(), tmp_path)
    with pytest.raises(EvaluationError, match="holds no tokenizer"):
        evaluate_suite(SamplesSuite(), model_folder, tmp_path, SuiteInputs(), tmp_path)


def test_a_model_of_another_vocabulary_is_refused(model_folder, tokenizer_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text()) | {"vocab_size": 500}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(EvaluationError, match=r"has 384 tokens, but the model .* was built for 500"):
        evaluate_suite(SamplesSuite(), tmp_path / "model", tokenizer_folder, SuiteInputs(), tmp_path)
