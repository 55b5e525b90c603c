"""The data sets that tasks are scored on, known from lm-eval's files alone, as lm-eval itself reads them."""

import pytest

from pipeline.evaluation.lm_eval.names import stock_names
from pipeline.evaluation.lm_eval.task_data import TaskData, task_data


@pytest.mark.parametrize(
    ("task", "found"),
    [
        ("hellaswag", ("Rowan/hellaswag", None, "validation")),
        ("lambada_openai", ("EleutherAI/lambada_openai", "default", "test")),
        ("arc_challenge", ("allenai/ai2_arc", "ARC-Challenge", "test")),  # which includes another task's file
        ("xnli_sw", ("facebook/xnli", "sw", "validation")),
        ("belebele_swh_Latn", ("facebook/belebele", "swh_Latn", "test")),
        ("xstorycloze_es", ("juletxara/xstory_cloze", "es", "eval")),
    ],
)
def test_a_task_names_its_data_set_configuration_and_scored_split(task, found):
    assert task_data([task]) == [TaskData(*found, (task,))]
    from lm_eval.tasks._yaml_loader import load_yaml

    config = load_yaml(stock_names()[task][0].path, resolve_func=False)
    assert (config["dataset_path"], config.get("dataset_name")) == found[:2]
    assert found[2] == config.get("test_split") or config["validation_split"]


def test_a_group_names_the_data_sets_of_its_members_each_once():
    found = task_data(["xnli", "xnli_fr"])
    assert {item.path for item in found} == {"facebook/xnli"}
    assert len(found) == len({item.config for item in found}) == 15


def test_tasks_of_one_data_set_stand_together_and_unknown_names_for_nothing():
    (one,) = task_data(["truthfulqa_mc1", "truthfulqa_mc2", "no_such_task"])
    assert one.tasks == ("truthfulqa_mc1", "truthfulqa_mc2")


def test_a_task_of_ones_own_on_local_files_has_no_data_set_of_the_hub(tmp_path):
    files = "dataset_kwargs: {data_files: {test: animals.jsonl}}"
    (tmp_path / "animals.yaml").write_text(f"task: animals\ndataset_path: json\n{files}\ntest_split: test\n")
    theirs = "task: theirs\ndataset_path: some/stories\ntest_split: test\nprocess_docs: !function utils.process\n"
    (tmp_path / "theirs.yaml").write_text(theirs)
    assert task_data(["animals", "theirs"], tmp_path) == [TaskData("some/stories", None, "test", ("theirs",))]
