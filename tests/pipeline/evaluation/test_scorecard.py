"""The scorecard: what stands beside a score, and when a difference is said to be noise."""

import dataclasses
import math

import pytest

from pipeline.base.errors import EvaluationError
from pipeline.evaluation.results import Details, Score, finish, not_possible
from pipeline.evaluation.scores.baselines import read_baselines
from pipeline.evaluation.scores.noise import within_noise
from pipeline.evaluation.scores.scorecard import Earlier, build_scorecard, read_scorecard
from pipeline.evaluation.suites.bits_per_byte import BitsPerByteDetails
from pipeline.evaluation.suites.table import read_result
from pipeline.reporting.scores import comparison_words, not_possible_rows, plottable, score_rows


def suite(folder, scores, kind="lm_eval", details=None):
    folder.mkdir(parents=True)
    return finish(folder, kind, scores, details or Details(), seconds=1.0)


def hellaswag(value, count=10042):
    stderr = math.sqrt(value * (1 - value) / count)
    return Score("hellaswag", "acc_norm", value, stderr, count, version="1.0", shots=0)


def test_published_scores_carry_their_source_and_a_standard_error_from_the_count():
    (gpt2, *_) = read_baselines().of("hellaswag", "acc_norm")
    assert (gpt2.model, gpt2.value, gpt2.comparable) == ("GPT-2 124M", 0.3114, True)
    assert gpt2.stderr == pytest.approx(0.0046, abs=1e-4)
    assert all(score.source for score in read_baselines().scores)
    assert {"GPT-3 124M", "SmolLM2-135M"} <= {score.model for score in read_baselines().scores}


@pytest.mark.parametrize(
    ("value", "count", "verdict"),
    [
        (0.27, 100, "not comparable: of 10,042 items, this one of 100"),
        (0.3082, 10042, "within noise"),
        (0.2892, 10042, "this is worse"),
        (0.36, 10042, "this is better"),
    ],
)
def test_a_difference_is_noise_up_to_two_standard_errors(tmp_path, value, count, verdict):
    suite(tmp_path / "hs", [hellaswag(value, count)])
    card = build_scorecard({"hellaswag": tmp_path / "hs"}, {}, tmp_path)
    gpt2 = next(item for item in card.rows[0].comparisons if item.name == "GPT-2 124M")
    assert verdict in comparison_words(gpt2)


def test_a_number_taken_in_another_way_is_shown_but_never_judged(tmp_path):
    suite(tmp_path / "hs", [hellaswag(0.5)])
    card = build_scorecard({"hellaswag": tmp_path / "hs"}, {}, tmp_path)
    gpt3 = next(item for item in card.rows[0].comparisons if item.name == "GPT-3 124M")
    assert gpt3.within_noise is None
    assert "not comparable: taken otherwise" in comparison_words(gpt3)
    assert 0.337 not in [item["value"] for item in plottable(card.rows)[0]["comparisons"]]


def test_compressors_and_earlier_models_stand_beside_bits_per_byte_on_the_same_text_alone(tmp_path, text_row):
    for name, value, text in (("now", 2.4, "a"), ("before", 2.5, "a"), ("elsewhere", 2.0, "b")):
        score = Score("books", "bits_per_byte", value, 0.01, 12, higher_is_better=False, version="1")
        row = text_row("books", "books", None, text, {"gzip": 3.0, "xz_primed": 2.405})
        suite(tmp_path / name, [score], "bits_per_byte", BitsPerByteDetails((row,), 16, 384))
    earlier = {name: Earlier(name, {"bpb": tmp_path / name}) for name in ("before", "elsewhere")}
    card = build_scorecard({"bpb": tmp_path / "now"}, {}, tmp_path, earlier=earlier)
    words = [comparison_words(item) for item in card.rows[0].comparisons]
    assert words == [
        "gzip -9 3.0000 (this is better)",
        "xz -9e after training text 2.4050 (within noise)",
        "before 2.5000 (this is better)",
    ]


def test_an_earlier_score_of_other_items_is_not_compared(tmp_path):
    suite(tmp_path / "now", [hellaswag(0.3, 100)])
    suite(tmp_path / "before", [hellaswag(0.3, 200)])
    earlier = {"before": Earlier("ab", {"hs": tmp_path / "before"})}
    card = build_scorecard({"hs": tmp_path / "now"}, {}, tmp_path, earlier=earlier)
    assert "before" not in [item.name for item in card.rows[0].comparisons]


def test_a_scorecard_reads_back_as_it_was_with_its_lineage(tmp_path):
    suite(tmp_path / "hs", [hellaswag(0.3)])
    lineage = {"model": {"fingerprint": "ab", "content_hash": "cd"}}
    card = build_scorecard({"hellaswag": tmp_path / "hs"}, lineage, tmp_path, model={"tokens": 7})
    again = read_scorecard(tmp_path)
    assert dataclasses.replace(again, seconds=card.seconds) == card
    assert again.lineage == lineage
    assert score_rows(again.rows)[0]["score"] == "0.3000 ± 0.0046"


def test_its_hash_is_that_of_the_model_however_long_it_took_to_train(tmp_path):
    suite(tmp_path / "hs", [hellaswag(0.3)])

    def card(**model):
        return build_scorecard({"hellaswag": tmp_path / "hs"}, {}, tmp_path, model=model).content_hash

    known = card(content_hash="ab", tokens_per_second=100.0, resumed_from=[])
    assert card(content_hash="ab", tokens_per_second=90.0, resumed_from=[40]) == known
    assert card(content_hash="cd", tokens_per_second=100.0, resumed_from=[]) != known


def test_its_hash_is_that_of_the_documents_wherever_they_were_read_from(tmp_path):
    suite(tmp_path / "hs", [hellaswag(0.3)])

    def card(fingerprint, content):
        lineage = {"documents/web": {"fingerprint": fingerprint, "content_hash": content}}
        return build_scorecard({"hellaswag": tmp_path / "hs"}, lineage, tmp_path).content_hash

    assert card("of one folder", "ab") == card("of another", "ab") != card("of one folder", "cd")


def test_a_suite_that_was_not_possible_reads_back_with_its_reason_and_stands_in_the_card(tmp_path):
    suite(tmp_path / "hs", [hellaswag(0.3)])
    (tmp_path / "length").mkdir()
    not_possible(tmp_path / "length", "length_extrapolation", "no text is as long as the context")
    again = read_result(tmp_path / "length")
    assert (again.scores, again.not_possible) == ((), "no text is as long as the context")
    build_scorecard({"hs": tmp_path / "hs", "length": tmp_path / "length"}, {}, tmp_path)
    card = read_scorecard(tmp_path)
    assert [row.task for row in card.rows] == ["hellaswag"]
    assert not_possible_rows(card) == [{"suite": "length", "not possible here": "no text is as long as the context"}]


def test_the_hash_is_of_the_scores_and_not_of_the_seventh_digit(tmp_path):
    first = suite(tmp_path / "a", [Score("x", "acc", 0.25)])
    second = suite(tmp_path / "b", [Score("x", "acc", 0.25 + 1e-9)])
    third = suite(tmp_path / "c", [Score("x", "acc", 0.2501)])
    assert first.content_hash == second.content_hash != third.content_hash
    assert read_result(tmp_path / "a").content_hash == first.content_hash


def test_a_score_that_is_no_number_says_that_training_diverged(tmp_path):
    with pytest.raises(EvaluationError, match=r"x/acc came out as nan.*diverged"):
        suite(tmp_path / "a", [Score("x", "acc", math.nan)])


def test_scores_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "scores.json").write_text("{}")
    with pytest.raises(EvaluationError, match=r"scores\.json: not a suite's scores"):
        read_result(tmp_path)


def test_noise_is_not_claimed_where_no_error_is_known():
    assert within_noise(0.1, None, None) is None
    assert within_noise(0.1, 0.05, None) is True
    assert within_noise(0.11, 0.05) is False
