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


@pytest.mark.parametrize(("profile", "name"), [("study", "results"), ("second_round", "second_round")])
def test_a_results_page_holds_what_draw_makes_of_its_csv_files(tmp_path, profile, name):
    shutil.copytree(DOCS / name, tmp_path / name, ignore=shutil.ignore_patterns("*.png"))
    page = tmp_path / f"{name}.md"
    shutil.copy(DOCS / f"{name}.md", page)
    assert "runs of" in run("draw", "--profile", profile, "--out", tmp_path / name, "--page", page)
    assert page.read_text() == (DOCS / f"{name}.md").read_text()


@pytest.mark.parametrize(("profile", "name"), [("study", "results")])
def test_the_page_of_signals_holds_what_is_made_of_the_csv_files(tmp_path, profile, name):
    shutil.copytree(DOCS / name, tmp_path / name, ignore=shutil.ignore_patterns("*.png"))
    page = tmp_path / "signal.md"
    shutil.copy(DOCS / "signal.md", page)
    assert "metrics" in run("signal", "--profile", profile, "--out", tmp_path / name, "--page", page)
    assert page.read_text() == (DOCS / "signal.md").read_text()
    assert (tmp_path / name / "signal.csv").read_text() == (DOCS / name / "signal.csv").read_text()


def test_a_profile_without_a_study_is_named():
    with pytest.raises(StudyError, match="the profile sample has no study; add the section"):
        run("draw", "--profile", "sample")
