"""`squeeze study`: what the CSV files say is what the page shows."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.base.errors import StudyError
from pipeline.cli.app import app

DOCS = Path(__file__).parents[3] / "docs"


def run(*words):
    result = CliRunner().invoke(app, ["study", *map(str, words)])
    if result.exception is not None:
        raise result.exception
    return result.output


def test_the_results_page_holds_what_draw_makes_of_its_csv_files(tmp_path):
    shutil.copytree(DOCS / "results", tmp_path / "results", ignore=shutil.ignore_patterns("*.png"))
    page = tmp_path / "results.md"
    shutil.copy(DOCS / "results.md", page)
    assert "runs of" in run("draw", "--out", tmp_path / "results", "--page", page)
    assert page.read_text() == (DOCS / "results.md").read_text()


def test_a_profile_without_a_study_is_named():
    with pytest.raises(StudyError, match="the profile sample has no study; add the section"):
        run("draw", "--profile", "sample")
