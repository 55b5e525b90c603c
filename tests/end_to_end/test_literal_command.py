"""`dagster job` finds the project without -m, in any folder, and only where nothing else was asked for."""

import importlib.util
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
PACKAGE = "/env/site-packages"
FULL_TRAIN = "job execute -j full_train"
spec = importlib.util.spec_from_file_location("help", ROOT / "packaging" / "squeeze_default_location.py")
help_ = importlib.util.module_from_spec(spec)
spec.loader.exec_module(help_)  # this process is not `dagster`: it does nothing


def variables(command, folder, **environment):
    return help_.variables(command.split(), environment, str(folder), PACKAGE)


@pytest.fixture
def foreign(tmp_path):
    """A folder with packages of the same names."""
    for name in ("pipeline", "trainer"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    return tmp_path


@pytest.mark.parametrize("command", [FULL_TRAIN, "asset materialize --select model", "job list"])
def test_in_a_clone_its_own_code_and_settings_are_taken(command):
    assert variables(command, ROOT) == {"DAGSTER_MODULE_NAME": "pipeline.definitions"}


@pytest.mark.parametrize("command", [FULL_TRAIN, "asset materialize --select model", "job launch -j full_train"])
def test_anywhere_else_the_installed_package_is_and_history_is_kept(command, foreign):
    assert variables(command, foreign) == {
        "DAGSTER_MODULE_NAME": "pipeline.definitions",
        "DAGSTER_WORKING_DIRECTORY": PACKAGE,
        "DAGSTER_HOME": str(foreign / ".dagster"),
    }


def test_the_web_ui_elsewhere_has_the_location_by_the_name_that_runs_are_tagged_with(foreign):
    home = foreign / ".dagster"
    workspace = home / "workspace.yaml"
    assert variables("dev -p 3001", foreign) == {
        "DAGSTER_HOME": str(home),
        "DAGSTER_CLI_DEV_WORKSPACE": str(workspace),
    }
    assert help_.make_home(str(home), PACKAGE)
    (clone,) = YAML(typ="safe").load((ROOT / "workspace.yaml").read_text())["load_from"]
    (written,) = YAML(typ="safe").load(workspace.read_text())["load_from"]
    assert written["python_module"] == clone["python_module"] | {"working_directory": PACKAGE}


def test_nothing_is_set_for_the_web_ui_that_the_servers_it_starts_would_read_and_refuse(foreign):
    assert variables("dev", ROOT) == {}
    assert variables("dev", foreign, DAGSTER_HOME="/elsewhere") == {
        "DAGSTER_CLI_DEV_MODULE_NAME": "pipeline.definitions",
        "DAGSTER_CLI_DEV_WORKING_DIRECTORY": PACKAGE,
    }
    named = variables("dev -m pipeline.definitions", foreign)
    assert named == {"DAGSTER_CLI_DEV_WORKING_DIRECTORY": PACKAGE, "DAGSTER_HOME": str(foreign / ".dagster")}


def test_a_look_at_the_jobs_makes_no_history_and_reads_what_is_there(tmp_path):
    assert "DAGSTER_HOME" not in variables("job list", tmp_path)
    assert help_.make_home(str(tmp_path / ".dagster"), PACKAGE)
    assert variables("job list", tmp_path)["DAGSTER_HOME"] == str(tmp_path / ".dagster")


@pytest.mark.parametrize(
    "command",
    [
        "job execute -m other -j full_train",
        "job execute --python-file=other.py -j full_train",
        "job list -w workspace.yaml",
        "job execute --help",
        "instance info",
        "",
    ],
)
def test_a_command_that_names_a_location_or_needs_none_is_left_alone(command, tmp_path):
    assert variables(command, tmp_path) == {}
    assert variables(command, ROOT) == {}


def test_variables_that_are_set_are_left_alone(tmp_path):
    assert variables(FULL_TRAIN, tmp_path, DAGSTER_MODULE_NAME="mine") == {}
    assert variables(FULL_TRAIN, tmp_path, DAGSTER_PYTHON_FILE="mine.py") == {}
    assert "DAGSTER_HOME" not in variables(FULL_TRAIN, tmp_path, DAGSTER_HOME="/elsewhere")


@pytest.mark.parametrize("name", ["workspace.yaml", "pyproject.toml"])
def test_a_folder_with_a_project_of_its_own_is_left_to_it_where_dagster_reads_that(name, foreign):
    (foreign / name).write_text("[tool.dg]\n")
    assert variables("dev", foreign) == variables("job list", foreign) == {}
    assert variables(FULL_TRAIN, foreign)["DAGSTER_MODULE_NAME"] == "pipeline.definitions"


@pytest.mark.parametrize("named", ["-m pipeline.definitions", "--module-name=pipeline.definitions"])
def test_naming_the_module_means_the_installed_one_unless_the_folder_has_it(named, foreign):
    assert variables(f"job execute {named} -j full_train", foreign)["DAGSTER_WORKING_DIRECTORY"] == PACKAGE
    (foreign / "pipeline" / "definitions.py").touch()
    assert variables(f"job execute {named} -j full_train", foreign) == {}
    assert variables(FULL_TRAIN, foreign)["DAGSTER_WORKING_DIRECTORY"] == PACKAGE


@pytest.mark.parametrize(
    ("command_line", "words"),
    [
        (["/env/bin/python", "/env/bin/dagster", "job", "list"], ["job", "list"]),
        (["python", "-X", "dev", "-m", "dagster", "job", "list"], ["job", "list"]),
        (["python", "-m", "pytest", "dagster.py"], []),
        (["python"], []),
    ],
)
def test_it_is_for_the_command_dagster(command_line, words):
    assert help_.dagster_words(command_line) == words


def test_history_is_kept_with_the_settings_of_a_clone(tmp_path):
    """Its settings but for where things lie, which DAGSTER_HOME says."""
    clone = YAML(typ="safe").load((ROOT / "dagster.yaml").read_text())
    assert {key: value for key, value in clone.items() if "storage" not in key and key != "compute_logs"} == YAML(
        typ="safe"
    ).load(help_.INSTANCE)


def test_a_folder_that_cannot_be_written_gets_no_history(tmp_path):
    (tmp_path / "file").touch()
    assert not help_.make_home(str(tmp_path / "file" / ".dagster"), PACKAGE)
