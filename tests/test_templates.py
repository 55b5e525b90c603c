"""The forms of issues: whole, answerable, and asking for commands, pages and settings that are there."""

import re
from pathlib import Path

import pytest
import typer
from ruamel.yaml import YAML

from pipeline.cli.app import app

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".github" / "ISSUE_TEMPLATE"
FORMS = sorted(path for path in FOLDER.glob("*.yml") if path.name != "config.yml")
KINDS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}
COMMANDS = typer.main.get_command(app).commands
by_name = pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)


def form(path):
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


@by_name
def test_a_form_has_a_name_a_description_and_fields_of_known_kinds(path):
    found = form(path)
    assert found["name"]
    assert found["description"]
    assert {field["type"] for field in found["body"]} <= KINDS
    asked = [field for field in found["body"] if field["type"] != "markdown"]
    assert all(field["attributes"]["label"] for field in asked)
    assert len({field["id"] for field in asked}) == len(asked)
    assert any(field.get("validations", {}).get("required") for field in asked)


@by_name
def test_what_a_form_names_is_there(path):
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"`squeeze (\w+)", text)) <= set(COMMANDS)
    for name in re.findall(r"(?:docs/\w+|\.github/\w+|CONTRIBUTING)\.md", text):
        assert (ROOT / name).is_file(), name


def test_a_bug_comes_with_its_command_profile_version_and_machine():
    fields = {field["id"]: field for field in form(FOLDER / "bug.yml")["body"] if "id" in field}
    for name in ("what", "commands", "profile", "machine"):
        assert fields[name]["validations"]["required"]
    assert "squeeze --version" in fields["machine"]["attributes"]["description"]
