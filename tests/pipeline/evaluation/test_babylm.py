"""BabyLM's evaluation data in the schema of its files: what is scored, how, and what is wrong with others."""

import json

import pytest

from pipeline.base.errors import EvaluationError, NotPossibleError
from pipeline.evaluation.lm_eval.babylm import bundle_content, load, write_tasks
from pipeline.evaluation.suites.babylm import BabylmSuite
from pipeline.evaluation.suites.suite import SuiteInputs, evaluate_suite

FILES = {
    "blimp_filtered/wh_island": {
        "sentence_good": "Who have those men said they saw?",
        "sentence_bad": "Who have those men said who saw?",
        "field": "syntax",
        "linguistics_term": "island_effects",
        "UID": "wh_island",
        "simple_LM_method": True,
        "one_prefix_method": False,
        "two_prefix_method": False,
        "lexically_identical": False,
        "pair_id": 0,
    },
    "supplement_filtered/hypernym": {
        "sentence_good": "If the fox has a rose, it has a flower.",
        "sentence_bad": "If the fox has a flower, it has a rose.",
    },
    "supplement_filtered/qa_congruence_tricky": {
        "row": 0,
        "fragment": "sentence",
        "contrast": "animate vs. inanimate (tricky)",
        "sentence_good": "Who ate?\nThe fox ate.",
        "sentence_bad": "Who ate?\nThe bread ate.",
    },
    "ewok_filtered/physical-dynamics": {
        "Domain": "physical-dynamics",
        "ConceptA": "accelerate",
        "ConceptB": "slow down",
        "ContextType": "direct",
        "ContextDiff": "antonym",
        "TargetDiff": "concept swap",
        "Context1": "The cart rolls down.",
        "Context2": "The cart rolls up.",
        "Target1": "It accelerates.",
        "Target2": "It slows down.",
    },
    "entity_tracking/regular": {"sample_id": 1, "numops": 0, "input_prefix": "Box 0", "options": ["a"]},
}


@pytest.fixture
def bundle(tmp_path):
    for name, item in FILES.items():
        file = tmp_path / "bundle" / f"{name}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(item | {"number": n}) + "\n" for n in range(3)), encoding="utf-8")
    return tmp_path / "bundle"


def test_phenomena_and_folders_are_scored_and_what_the_suite_does_not_know_is_left_alone(
    bundle, model_folder, tokenizer_folder, tmp_path
):
    (tmp_path / "out").mkdir()
    suite = BabylmSuite(bundle=str(bundle), limit=2)
    result = evaluate_suite(suite, model_folder, tokenizer_folder, SuiteInputs(), tmp_path / "out")
    counts = {score.task: score.count for score in result.scores if score.metric == "acc"}
    assert counts == {
        "babylm_blimp": 2,
        "babylm_blimp_wh_island": 2,
        "babylm_supplement": 4,
        "babylm_supplement_hypernym": 2,
        "babylm_supplement_qa_congruence_tricky": 2,
        "babylm_ewok": 2,
        "babylm_ewok_physical_dynamics": 2,
    }
    assert {score.metric for score in result.scores} == {"acc", "answer_bits_per_byte", "answer_margin"}
    bits = {score.task: score.value for score in result.scores if score.metric == "answer_bits_per_byte"}
    assert bits["babylm_supplement"] == pytest.approx(
        (bits["babylm_supplement_hypernym"] + bits["babylm_supplement_qa_congruence_tricky"]) / 2
    )


def test_the_right_choice_is_the_last_so_that_a_tie_is_wrong(bundle, tmp_path):
    from pipeline.evaluation.lm_eval.tasks import load_tasks

    groups = write_tasks(tmp_path / "tasks", bundle)
    assert groups == ["babylm_blimp", "babylm_supplement", "babylm_ewok"]
    tasks = load_tasks(groups, include=tmp_path / "tasks")["tasks"]
    asked = {}
    for name, task in tasks.items():
        document = task.test_docs()[0]
        asked[name] = (task.doc_to_text(document), task.doc_to_choice(document), task.doc_to_target(document))
    assert asked["babylm_supplement_qa_congruence_tricky"] == (
        "",
        ["Who ate?\nThe bread ate.", "Who ate?\nThe fox ate."],
        1,
    )
    assert asked["babylm_ewok_physical_dynamics"] == (
        "The cart rolls down.",
        ["It slows down.", "It accelerates."],
        1,
    )


def test_the_data_are_a_part_of_the_result_and_where_they_lie_is_not(bundle, tmp_path):
    moved = bundle.rename(tmp_path / "elsewhere")
    content = BabylmSuite(bundle=str(moved)).local_files()["bundle"]
    assert sorted(content) == sorted(f"{name}.jsonl" for name in FILES if "entity" not in name)
    (moved / "supplement_filtered" / "hypernym.jsonl").write_text("{}\n")
    assert bundle_content(moved) != content


def test_without_its_data_the_suite_cannot_be_had_and_says_what_is_missing(tmp_path):
    with pytest.raises(NotPossibleError, match="none of blimp_filtered, supplement_filtered, ewok_filtered") as refused:
        write_tasks(tmp_path / "tasks", tmp_path)
    assert refused.value.passing


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"sentence_good": "A."}\n', "line 1 is not an item with sentence_good, sentence_bad"),
        ('{"sentence_good": "A.", "sentence_bad": "B."}\n[1]\n', "line 2 is not an item"),
        ('{"sentence_good": "A.", "sentence_bad": 3}\n', "line 1 has no text in sentence_bad"),
        ("", "has no items"),
    ],
)
def test_what_is_no_item_is_refused_by_file_and_line(text, said, tmp_path):
    file = tmp_path / "hypernym.jsonl"
    file.write_text(text)
    with pytest.raises(EvaluationError, match=f"hypernym.jsonl.*{said}"):
        load(str(file), "supplement", None)
