"""CORE from a bundle in its own schema: prompts as they are written out by hand, scores as a plain loop gives them."""

import json
import math

import pyarrow.parquet as pq
import pytest
import torch

from pipeline.base.errors import EvaluationError, NotPossibleError
from pipeline.evaluation.core_bundle import read_items, read_tasks
from pipeline.evaluation.scores.paired import Scored, paired
from pipeline.evaluation.scores.scorecard import build_scorecard
from pipeline.evaluation.suites.core import CoreSuite
from pipeline.evaluation.suites.suite import SuiteInputs
from pipeline.evaluation.suites.table import read_result

CORE = """\
icl_tasks:
-
  label: piqa
  dataset_uri: commonsense_reasoning/piqa.jsonl
  num_fewshot: [2]
  icl_task_type: multiple_choice
  continuation_delimiter: "\\nAnswer: "
-
  label: winograd
  dataset_uri: language_understanding/winograd_wsc.jsonl
  num_fewshot: [0]
  icl_task_type: schema
-
  label: bigbench_operators
  dataset_uri: symbolic_problem_solving/bigbench_operators.jsonl
  num_fewshot: [1]
  icl_task_type: language_modeling
"""
META = """\
Eval Task,Task Category,Task Type,#shots,#datapoints,Random baseline,Centered Metric?,Description
piqa,commonsense reasoning,multiple choice,10,1838,50,,two choices
winograd,language understanding,schema,0,273,50,,"two beginnings, one end"
bigbench_operators,symbolic problem solving,language modeling,10,210,0,,an end
"""
ITEMS = {
    "commonsense_reasoning/piqa": [
        {"query": f"How to open box {n}?", "choices": ["Lift the lid.", "Eat the fox."], "gold": n % 2}
        for n in range(5)
    ],
    "language_understanding/winograd_wsc": [
        {"context_options": [f"The fox {n} and", "The very old dog, and"], "continuation": "it sleeps.", "gold": n % 2}
        for n in range(4)
    ],
    "symbolic_problem_solving/bigbench_operators": [
        {"context": f"{n} op {n} = ", "continuation": str(2 * n)} for n in range(3, 7)
    ],
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "core.yaml").write_text(CORE)
    (folder / "eval_meta_data.csv").write_text(META)
    for name, items in ITEMS.items():
        path = folder / "eval_data" / f"{name}.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(f"{json.dumps(item)}\n" for item in items))
    return folder


@pytest.fixture(scope="module")
def scored(bundle, scorer, tmp_path_factory):
    out = tmp_path_factory.mktemp("core")
    return CoreSuite(bundle=str(bundle)).evaluate(scorer, SuiteInputs(), out), out


def test_examples_stand_before_a_question_with_their_answers_and_never_itself(bundle):
    piqa, winograd, operators = read_tasks(bundle)
    assert (piqa.shots, piqa.delimiter, winograd.delimiter, piqa.guessing) == (2, "\nAnswer: ", " ", 0.5)
    for item in read_items(piqa):
        *examples, asked = item.texts[0].split("\n\n")
        assert len(examples) == 2
        assert asked.endswith("\nAnswer: Lift the lid.")
        questions = [text.partition("\n")[0] for text in (*examples, asked)]
        assert len(set(questions)) == 3
        for example in examples:
            odd = int(example.partition("?")[0][-1]) % 2
            assert example.endswith("Eat the fox." if odd else "Lift the lid.")
    assert {item.texts for item in read_items(winograd)} == {
        (f"The fox {n} and it sleeps.", "The very old dog, and it sleeps.") for n in range(4)
    }
    for item in read_items(operators):
        without, whole = item.texts
        end = whole.removeprefix(without)
        assert without.endswith("=")  # no blank at the end, which would be a token of its own
        assert end == f" {2 * int(without.split()[-2])}"


def losses(scorer, text):
    """Tokens of a text, and the nats and likeliest token at each of them, one plain pass."""
    ids = [scorer.eot_id, *scorer.tokenizer.encode(text)]
    with torch.inference_mode():
        logits = scorer.model(torch.tensor([ids[:-1]]))[0].float()
    nats = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="none")
    return ids[1:], nats.tolist(), logits.argmax(dim=-1).tolist()


def expected(scorer, task, item):
    read = [losses(scorer, text) for text in item.texts]
    ids = [tokens for tokens, *_ in read]
    shortest = min(map(len, ids))
    if task.kind == "language_modeling":
        tokens, _, likeliest = read[1]
        return likeliest[len(ids[0]) :] == tokens[len(ids[0]) :]
    if task.kind == "schema":
        shared = next(n for n in range(1, shortest) if ids[0][-n - 1] != ids[1][-n - 1])
        means = [sum(nats[-shared:]) / shared for _, nats, _ in read]
    else:
        shared = next(n for n in range(shortest) if ids[0][n] != ids[1][n])
        means = [sum(nats[shared:]) / len(nats[shared:]) for _, nats, _ in read]
    return means[item.right] < means[1 - item.right]


def test_answers_are_those_of_one_plain_pass_a_text(bundle, scorer, scored):
    rows = pq.read_table(scored[1] / "core.parquet").to_pylist()
    for task in read_tasks(bundle):
        found = [bool(row["right"]) for row in rows if row["task"] == task.name]
        assert found == [expected(scorer, task, item) for item in read_items(task)]
    assert {row["right"] for row in rows} == {0.0, 1.0}


def test_core_is_the_mean_of_shares_with_guessing_at_nothing(scored):
    result, _ = scored
    values = {(item.task, item.metric): item for item in result.scores}
    piqa, winograd = (values[f"core_{name}", "acc"].value for name in ("piqa", "winograd"))
    operators = values["core_bigbench_operators", "acc"].value
    centered = [2 * piqa - 1, 2 * winograd - 1, operators]
    assert [values[f"core_{name}", "centered"].value for name in ("piqa", "winograd", "bigbench_operators")] == (
        pytest.approx(centered)
    )
    first = result.scores[0]
    assert (first.task, first.value, first.count) == ("core", pytest.approx(sum(centered) / 3), 13)
    errors = [values[f"core_{name}", "centered"].stderr for name in ("piqa", "winograd", "bigbench_operators")]
    assert first.stderr == pytest.approx(math.hypot(*errors) / 3)
    assert values["core_piqa", "acc"].shots == 2


def test_the_right_answers_bits_are_over_the_bytes_that_were_scored(bundle, scorer, scored):
    task = read_tasks(bundle, ["winograd"])[0]
    rows = [row for row in pq.read_table(scored[1] / "core.parquet").to_pylist() if row["task"] == task.name]
    for row, item in zip(rows, read_items(task), strict=True):
        ids = [losses(scorer, text)[0] for text in item.texts]
        shared = next(n for n in range(1, min(map(len, ids))) if ids[0][-n - 1] != ids[1][-n - 1])
        tokens, nats, _ = losses(scorer, item.texts[item.right])
        size = len(scorer.tokenizer.decode_bytes(tokens[-shared:]))
        assert row["bits_per_byte"] == pytest.approx(sum(nats[-shared:]) / math.log(2) / size, rel=1e-4)


def test_it_reads_back_pairs_item_by_item_and_stands_beside_guessing(scored, tmp_path):
    result, out = scored
    suite = Scored(read_result(out), out)
    assert suite.result.details == result.details
    for score in result.scores:
        values = suite.values(score)
        assert paired(score, score, values, values).stderr == 0, score.name
    rows = build_scorecard({"core": out}, {}, tmp_path).rows
    beside = {row.task: row.comparisons[0].value for row in rows if row.metric == "acc"}
    assert beside == {"core_piqa": 0.5, "core_winograd": 0.5, "core_bigbench_operators": 0.0}


def test_what_is_no_bundle_is_said(bundle, scorer, tmp_path):
    with pytest.raises(NotPossibleError, match=r"has no core\.yaml: unpack CORE's evaluation bundle") as error:
        CoreSuite(bundle=str(tmp_path)).evaluate(scorer, SuiteInputs(), tmp_path)
    assert error.value.passing
    with pytest.raises(EvaluationError, match=r"has no task copa; it has piqa, winograd, bigbench_operators"):
        read_tasks(bundle, ["copa"])
    (tmp_path / "core.yaml").write_text(CORE.replace("schema", "riddle"))
    (tmp_path / "eval_meta_data.csv").write_text(META)
    with pytest.raises(EvaluationError, match="winograd is of the kind riddle, not multiple_choice, schema"):
        read_tasks(tmp_path)


def test_a_line_that_is_no_item_of_its_kind_is_named(bundle, tmp_path):
    path = tmp_path / "eval_data" / "commonsense_reasoning" / "piqa.jsonl"
    path.parent.mkdir(parents=True)
    (tmp_path / "core.yaml").write_text(CORE)
    (tmp_path / "eval_meta_data.csv").write_text(META)
    path.write_text('{"query": "How?", "gold": 0}\n')
    task = read_tasks(tmp_path)[0]
    with pytest.raises(EvaluationError, match=r"piqa\.jsonl: not items of piqa|line 1 has no choices"):
        read_items(task)


def test_a_bundle_lies_beside_the_profile_and_its_content_is_in_the_fingerprint(bundle, tmp_path):
    from pipeline.profile.profile import load_profile

    (tmp_path / "mine.yaml").write_text(
        "extends: sample\nevaluation:\n  suites:\n    core: {kind: core, bundle: eval_bundle}\n"
    )

    def files():
        return load_profile(str(tmp_path / "mine.yaml")).evaluation.suites["core"].local_files()["bundle"]

    assert files() == {}  # it may come later
    (tmp_path / "eval_bundle").symlink_to(bundle)
    assert {"core.yaml", "eval_data/commonsense_reasoning/piqa.jsonl"} <= set(files())
