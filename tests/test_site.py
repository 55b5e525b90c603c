"""The documentation site: every page has a place in it, and what leads nowhere ends the build.

CI builds the site itself. Here a small copy of the repository is built with one mistake of each kind.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SITE = ROOT / "packaging" / "site"
OUTSIDE = (".github", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "tokenizers")
needs_mkdocs = pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs the extra `docs`")


def test_every_page_of_docs_is_in_the_navigation():
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")} - {"README.md"}
    named = set(re.findall(r"([\w/-]+\.md)$", (SITE / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert pages - named == set(), "name them under nav: in packaging/site/mkdocs.yml"


def copy_of_repository(folder):
    """The pages, the site's own files and two rooms of the code."""
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copytree(SITE, folder / "packaging" / "site", ignore=shutil.ignore_patterns("__pycache__"))
    for name in OUTSIDE:
        (folder / name).symlink_to(ROOT / name)
    for room in ("pipeline/launch", "trainer/optim"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def build(folder):
    command = ["mkdocs", "build", "--strict", "-f", "packaging/site/mkdocs.yml", "-d", str(folder / "out")]
    return subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, timeout=120)


@needs_mkdocs
def test_the_repositorys_own_pages_and_a_reference_of_each_room_are_on_the_site(tmp_path):
    done = build(copy_of_repository(tmp_path))
    assert done.returncode == 0, done.stderr
    start = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert 'href="guide/"' in start  # docs/guide.md in the repository
    assert 'src="pictures/graph.png"' in start
    guide = (tmp_path / "out" / "guide" / "index.html").read_text(encoding="utf-8")
    assert 'href="../contributing/"' in guide
    assert 'href="../specifications/"' in guide
    room = (tmp_path / "out" / "api" / "trainer.optim" / "index.html").read_text(encoding="utf-8")
    assert 'id="trainer.optim.muon"' in room


@needs_mkdocs
def test_each_mistake_ends_the_build_with_its_name(tmp_path):
    folder = copy_of_repository(tmp_path)
    shards = folder / "docs" / "shards.md"
    links = "\n[a](no_such_page.md) [b](guide.md#no-such-heading) [c](../pyproject.toml)\n"
    shards.write_text(shards.read_text(encoding="utf-8") + links, encoding="utf-8")
    (folder / "docs" / "unlisted.md").write_text("# Unlisted\n", encoding="utf-8")
    done = build(folder)
    assert done.returncode != 0
    for mistake in ("no_such_page.md", "no-such-heading", "pyproject.toml", "unlisted.md"):
        assert mistake in done.stderr
