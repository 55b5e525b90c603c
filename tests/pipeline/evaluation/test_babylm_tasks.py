"""BLiMP and EWoK by the files and columns that the hub has, through `datasets` itself, from the imitated hub."""

import json
import os
import subprocess
import sys

import pytest

from pipeline.base.errors import NotPossibleError
from pipeline.evaluation.lm_eval.names import MORE_TASKS, check_tasks
from tests.hub.server import TOKEN, Hub
from tests.hub.task_data import add_benchmarks

PROGRAM = """
import json, os, sys
from pathlib import Path
from pipeline.base.errors import NotPossibleError
from pipeline.evaluation.loading import load_scorer
from pipeline.evaluation.suites.lm_eval import LmEvalSuite
from pipeline.evaluation.suites.suite import SuiteInputs

model, tokenizer, out = map(Path, sys.argv[1:])
scorer = load_scorer(model, tokenizer)

def scores(*tasks):
    result = LmEvalSuite(tasks=tasks).evaluate(scorer, SuiteInputs(cache=out), out)
    return [[score.task, score.metric, score.count] for score in result.scores]

try:
    refused = [scores("ewok"), False]
except NotPossibleError as error:
    refused = [str(error), error.passing]
os.environ["HF_TOKEN"] = os.environ["TOKEN_OF_A_READER"]
tasks = ("blimp_causative", "blimp_regular_plural_subject_verb_agreement_1", "ewok")
print(json.dumps({"refused": refused, "scores": scores(*tasks)}))
"""


@pytest.mark.slow
def test_pairs_of_sentences_and_of_ends_are_scored_from_the_hub_s_own_columns(model_folder, tokenizer_folder, tmp_path):
    with Hub(tmp_path) as hub:
        add_benchmarks(hub, tmp_path / "items", items=5)
        environment = os.environ | hub.environment(tmp_path / "home") | {"HF_TOKEN": "", "TOKEN_OF_A_READER": TOKEN}
        command = [sys.executable, "-c", PROGRAM, str(model_folder), str(tokenizer_folder), str(tmp_path)]
        said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout.splitlines()[-1])
    why, passing = found["refused"]
    assert passing
    assert "ewok" in why
    tasks = ("blimp_causative", "blimp_regular_plural_subject_verb_agreement_1", "ewok")
    metrics = ("acc", "answer_bits_per_byte", "answer_margin")
    assert sorted(found["scores"]) == sorted([task, metric, 5] for task in tasks for metric in metrics)


def test_of_two_equally_likely_ends_the_wrong_one_counts():
    """lm-eval takes the first of equals."""
    text = (MORE_TASKS / "ewok.yaml").read_text(encoding="utf-8")
    assert 'doc_to_choice: "{{[Target2, Target1]}}"\ndoc_to_target: 1\n' in text


def test_the_project_s_own_tasks_are_known_by_name_beside_lm_eval_s():
    check_tasks(["ewok", "blimp"])
    with pytest.raises(NotPossibleError, match=r"no task named 'ewoks'.*ewok"):
        check_tasks(["ewoks"])
