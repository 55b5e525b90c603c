"""`dagster job` finds the project without -m, and only when nothing else was asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HELP = ROOT / "packaging" / "squeeze_default_location.py"


def variable_after(words, cwd, **environment):
    """DAGSTER_MODULE_NAME as the help leaves it for a command line."""
    read = f"exec(open({str(HELP)!r}).read())"
    code = f"import sys, os; sys.argv = {words!r}; {read}; print(os.environ.get('DAGSTER_MODULE_NAME'))"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER_")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=clean | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    "command", [["job", "execute", "-j", "full_train"], ["asset", "materialize", "--select", "model"]]
)
def test_a_command_without_a_location_gets_this_one(command):
    assert variable_after(["dagster", *command], ROOT) == "pipeline.definitions"


@pytest.mark.parametrize(
    "command",
    [
        ["job", "execute", "-m", "other", "-j", "full_train"],
        ["job", "execute", "--python-file=other.py", "-j", "full_train"],
        ["job", "list", "-w", "workspace.yaml"],
        ["dev"],
        [],
    ],
)
def test_a_command_that_names_a_location_or_needs_none_is_left_alone(command):
    assert variable_after(["dagster", *command], ROOT) == "None"


def test_other_folders_and_other_variables_are_left_alone(tmp_path):
    command = ["dagster", "job", "execute", "-j", "full_train"]
    assert variable_after(command, tmp_path) == "None"
    assert variable_after(command, ROOT, DAGSTER_MODULE_NAME="mine") == "mine"
    assert variable_after(command, ROOT, DAGSTER_PYTHON_FILE="mine.py") == "None"
