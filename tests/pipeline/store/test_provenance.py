"""The commit of this code: asked of its own checkout, never of another one that the package happens to lie in."""

import subprocess
from pathlib import Path

import pytest

from pipeline.store.provenance import commit_of


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    return subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "pipeline" / "store").mkdir(parents=True)
    (tmp_path / "pipeline" / "store" / "provenance.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "one")
    return tmp_path


def test_of_a_checkout_with_and_without_changes(checkout: Path) -> None:
    file = checkout / "pipeline" / "store" / "provenance.py"
    commit = git(checkout, "rev-parse", "HEAD")
    assert commit_of(file, 2) == commit
    file.write_text("changed")
    assert commit_of(file, 2) == f"{commit}+changes"


@pytest.mark.parametrize("place", [".venv/lib/site-packages/pipeline/store", "pipeline/store"])
def test_a_foreign_checkout_that_holds_the_package_is_not_asked(checkout: Path, place: str) -> None:
    installed = checkout / place / "installed.py"
    installed.parent.mkdir(parents=True, exist_ok=True)
    installed.touch()
    assert commit_of(installed, 2) is None


def test_a_git_hook_of_another_project_is_not_asked(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(checkout / "other"))
    assert commit_of(checkout / "pipeline" / "store" / "provenance.py", 2) == commit
