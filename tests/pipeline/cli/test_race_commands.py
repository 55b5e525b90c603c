"""`squeeze race check`: the board of this repository holds, and one that was altered does not."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.base.errors import StudyError
from pipeline.cli.app import app
from pipeline.study.race.board import BEGIN, END

DOCS = Path(__file__).parents[3] / "docs"


def check(board, page):
    result = CliRunner().invoke(app, ["race", "check", "--board", str(board), "--page", str(page)])
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.fixture
def copied(tmp_path, monkeypatch):
    monkeypatch.setenv("SQUEEZE_HOME", str(tmp_path / "no_store"))
    shutil.copytree(DOCS / "race", tmp_path / "race")
    shutil.copy(DOCS / "race.md", tmp_path)
    return tmp_path / "race", tmp_path / "race.md"


def test_the_repositorys_board_follows_from_its_records(copied):
    assert "heats follow from their profiles, 0 of them compared with this store" in check(*copied)


def test_a_page_that_says_something_else_is_named(copied):
    board, page = copied
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\nI won.\n\n{END}{rest.partition(END)[2]}")
    with pytest.raises(StudyError, match=r"race\.md: is not what the records make; `squeeze race enter` writes it"):
        check(board, page)
