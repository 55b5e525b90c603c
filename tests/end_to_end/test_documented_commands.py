"""Every command in the documentation works: run on the tiny project where it is cheap, checked otherwise."""

import re
import shlex
import subprocess
import sys
import tomllib

import pytest
from documented_commands import PAGES, ROOT, commands, profiles, rule_of, ruled

from pipeline.base.errors import ProfileError
from pipeline.profile.profile import load_profile
from pipeline.profile.yaml import find_profile

# what the pages call things, and what the tiny project does
STAND_INS = {"sample mine": "tiny tiny", "mine.yaml": "tiny.yaml", "corpus/books": "corpus/web", "mine_hf": "tiny_hf"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def for_tiny(command):
    for name, stand_in in STAND_INS.items():
        command = command.replace(name, stand_in)
    return shlex.split(command)


def test_every_documented_command_is_checked_somehow():
    unchecked = [f"{item.page}, line {item.line}: {item.text}" for item in commands() if rule_of(item.text) is None]
    assert not unchecked, "add a rule to documented_commands.py"


def test_every_link_within_the_project_leads_somewhere():
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not broken


@pytest.mark.parametrize(("page", "line", "text"), list(profiles()))
def test_every_documented_profile_is_valid(page, line, text, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    try:
        load_profile(str(file))
    except ProfileError as error:
        pytest.fail(f"{page}, line {line}: {error}")


@pytest.mark.parametrize("command", ruled("run"))
def test_a_command_runs(command, project):
    done = project.run(*for_tiny(command), check=False, BROWSER="true")  # a program that shows nothing
    asks = command == "squeeze gc"  # and nobody answers
    assert done.returncode == 0 or (asks and "Remove these" in done.stdout), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ruled("run slowly"))
def test_a_longer_command_runs(command, project):
    project.run(*for_tiny(command))


def test_the_jobs_and_profiles_of_commands_exist():
    documented = {match for _, _, text in profiles() for match in re.findall(r"^# (\w+\.yaml)$", text, re.MULTILINE)}
    names = {match for item in ruled("run slowly") + ruled("job") for match in re.findall(r" -j (\w+)", item)}
    source = (ROOT / "pipeline" / "jobs.py").read_text() + (ROOT / "pipeline" / "definitions.py").read_text()
    assert {name for name in names if f'"{name}"' not in source and name != "verify_store"} <= {"ablations"}
    for item in ruled("job"):
        for profile in re.findall(r"SQUEEZE_PROFILE=(\S+)", item):
            assert profile in documented | {"my.yaml"} or find_profile(profile)


def test_the_options_of_commands_exist():
    import typer

    from pipeline.cli.app import app

    for item in ruled("options") + ruled("run"):
        command, words = typer.main.get_command(app), shlex.split(item)[1:]
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, item


def test_what_is_installed_exists():
    extras = PROJECT["project"]["optional-dependencies"]
    for item in ruled("install"):
        for names in re.findall(r"\.\[([\w,]+)\]", item):
            assert set(names.split(",")) <= set(extras), item
        for file in re.findall(r"-[cr] (\S+)", item):
            assert (ROOT / file).is_file(), item


def test_the_markers_of_test_runs_exist():
    markers = {line.partition(":")[0] for line in PROJECT["tool"]["pytest"]["ini_options"]["markers"]}
    for item in ruled("tools"):
        assert set(re.findall(r"pytest .*-m (\w+)", item)) <= markers, item
        for path in re.findall(r" (tests/\S+)", item):
            assert (ROOT / path).exists(), item


def test_the_modules_and_scripts_of_commands_exist_with_their_options():
    for item in ruled("module") + ruled("script"):
        name = re.search(r"-m ((?:benchmarks|pipeline|tests)[\w.]*)", item)
        script = re.search(r"(benchmarks/\w+\.py)", item)
        path = ROOT / (name[1].replace(".", "/") if name else script[1])
        path = path if path.suffix else path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
        assert path.is_file(), item
        if name is None or not name[1].startswith("pipeline.evaluation"):  # that one is lm-eval's own command line
            beside = "*.py" if path.stem == "__main__" else f"{path.stem}_*.py"
            text = "".join(file.read_text() for file in [path, *path.parent.glob(beside)])
            for option in re.findall(r" (--[\w-]+)", item):
                assert option in text or f"def {option[2:].replace('-', '_')}" in text, f"{item}: {option}"


@pytest.mark.parametrize("name", ["train", "plan"])
def test_the_trainers_commands_exist_with_their_options(name):
    done = subprocess.run([sys.executable, "-m", "trainer", name, "--help"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0
    for item in ruled("trainer"):
        if f"-m trainer {name}" in item:
            for option in re.findall(r" (--[\w-]+)", item.partition(f"trainer {name}")[2]):
                assert option in done.stdout, item
