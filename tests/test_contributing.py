"""CONTRIBUTING and the walk name files, types and rooms: all of them are there, and the map's rows are the linter's."""

import ast
import configparser
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("CONTRIBUTING.md", "docs/walk.md")
WHERE = ("", "pipeline/", "docs/")


def named(page: str) -> list[str]:
    return re.findall(r"`([^`\s]+)`", (ROOT / page).read_text(encoding="utf-8"))


def place(name: str) -> Path | None:
    return next((ROOT / start / name for start in WHERE if (ROOT / start / name).exists()), None)


@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_folder_that_is_named_is_there(page: str) -> None:
    paths = [name for name in named(page) if re.fullmatch(r"[\w./-]+(\.(py|md|toml|yaml|j2)|/)", name)]
    assert paths
    assert [name for name in paths if place(name) is None] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_type_that_is_named_is_somewhere_in_the_code(page: str) -> None:
    known = {
        node.name
        for folder in ("pipeline", "trainer")
        for file in (ROOT / folder).rglob("*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    }
    types = [name for name in named(page) if re.fullmatch(r"([A-Z][a-z0-9]+){1,}", name)]
    assert types
    assert [name for name in types if name not in known] == []


def test_the_map_has_the_rows_that_the_linter_holds() -> None:
    linter = configparser.ConfigParser()
    linter.read(ROOT / ".importlinter", encoding="utf-8")
    layers = linter["importlinter:contract:layers"]["layers"]
    held = [{room.strip() for room in row.split("|")} for row in layers.strip().splitlines()]
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Where things are")[1].split("\n## ")[0]
    rows = [re.findall(r"`([^`]+)`", row.split("|")[1]) for row in table.splitlines() if row.startswith("| `")]
    shown = [{path.rstrip("/").removesuffix(".py").replace("/", ".") for path in row} for row in rows]
    assert shown == held


def test_every_file_of_tests_has_a_name_of_its_own():
    """Two of one name, in whatever folders, end pytest while it collects; a run of one folder does not show it."""
    names = Counter(file.name for file in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
