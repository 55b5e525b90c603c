"""A curve over the number of examples: one suite, the same questions at each number, judged item by item."""

import json

import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import ValidationError

from pipeline.evaluation.results import Score
from pipeline.evaluation.scores.paired import Scored, paired
from pipeline.evaluation.scores.scorecard import build_scorecard
from pipeline.evaluation.suites.few_shot import FewShotDetails, FewShotSuite
from pipeline.evaluation.suites.lm_eval import LmEvalSuite
from pipeline.evaluation.suites.suite import SuiteInputs
from pipeline.evaluation.suites.table import read_result
from pipeline.reporting.plots.shots import shots_png

TASK = {
    "task": "animals",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "animals.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "Question: {{question}}\nAnswer:",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "answer",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    "metadata": {"version": 1.0},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "animals.yaml").write_text(yaml.safe_dump(TASK))
    items = [
        {"question": f"Which animal barks {n} times?", "choices": [" a fox", " a dog"], "answer": n % 2}
        for n in range(6)
    ]
    (folder / "animals.jsonl").write_text("".join(f"{json.dumps(item)}\n" for item in items))
    return folder


@pytest.fixture(scope="module")
def scored(folder, scorer, tmp_path_factory):
    out = tmp_path_factory.mktemp("few_shot")
    suite = FewShotSuite(tasks=("animals",), shots=(0, 2), include_path=str(folder))
    return suite.evaluate(scorer, SuiteInputs(), out), out


def test_each_number_of_examples_has_the_scores_of_a_suite_of_its_own(scored, folder, scorer, tmp_path):
    result, _ = scored
    for shots in (0, 2):
        suite = LmEvalSuite(tasks=("animals",), shots=shots, include_path=str(folder))
        alone = suite.evaluate(scorer, SuiteInputs(), tmp_path)
        ours = {item.metric: item.value for item in result.scores if item.task == f"animals, {shots} shots"}
        assert ours == pytest.approx({item.metric: item.value for item in alone.scores})
        assert all(item.shots == shots for item in alone.scores)


def test_what_examples_gain_is_judged_item_by_item(scored):
    result, out = scored
    (curve,) = [item for item in result.details.curves if item.metric == "answer_bits_per_byte"]
    assert (list(curve.shots), curve.gain_stderrs[0]) == ([0, 2], 0.0)
    items = pq.read_table(out / "items.parquet").to_pylist()
    bits = [
        [json.loads(item["metrics"])["answer_bits_per_byte"] for item in items if item["shots"] == n] for n in (0, 2)
    ]
    gains = [after - before for before, after in zip(*bits, strict=True)]
    mean = sum(gains) / 6
    assert curve.values[1] - curve.values[0] == pytest.approx(mean)
    assert curve.gain_stderrs[1] == pytest.approx((sum((gain - mean) ** 2 for gain in gains) / 5 / 6) ** 0.5)
    (row,) = [row for row in result.details.table() if row["metric"] == "answer_bits_per_byte"]
    assert {"0 shots", "2 shots", "last minus first"} <= set(row)


def test_it_reads_back_and_pairs_with_another_model_at_each_number(scored):
    result, out = scored
    again = read_result(out)
    assert again.details == result.details
    suite = Scored(again, out)
    for score in again.scores:
        assert len(suite.values(score).keys) == 6
        assert paired(score, score, suite.values(score), suite.values(score)).stderr == 0
    assert not list(out.glob("squeeze-shots-*"))


def test_guessing_and_published_scores_stand_beside_the_benchmark_and_not_beside_its_other_numbers(tmp_path):
    from pipeline.evaluation.lm_eval.details import LmEvalDetails
    from pipeline.evaluation.results import finish

    details = FewShotDetails((), {"0": LmEvalDetails(), "4": LmEvalDetails()})
    scores = [Score(f"hellaswag, {n} shots", "acc_norm", 0.30, 0.0046, 10042, version="1.0", shots=n) for n in (0, 4)]
    finish(tmp_path, "few_shot", scores, details, seconds=1.0)
    zero, four = build_scorecard({"few_shot": tmp_path}, {}, tmp_path).rows
    assert [row.comparisons[0].name for row in (zero, four)] == ["guessing", "guessing"]
    gpt2 = [next(item for item in row.comparisons if item.name == "GPT-2 124M") for row in (zero, four)]
    assert [item.comparable for item in gpt2] == [True, False]
    assert gpt2[1].why_not == "with 0 shots, this one with 4"


def test_curves_of_one_unit_are_one_picture(scored):
    by_unit = scored[0].details.by_unit()
    assert set(by_unit) == {"accuracy", "answers", "margins"}
    assert shots_png(by_unit["accuracy"])[:4] == b"\x89PNG"


@pytest.mark.parametrize("shots", [(4, 1), (1, 1), (-1, 2)])
def test_numbers_of_examples_rise(shots):
    with pytest.raises(ValidationError, match="numbers of examples rise from 0 or more, each once"):
        FewShotSuite(tasks=("animals",), shots=shots)
