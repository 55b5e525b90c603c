"""Commits are written into a profile's file where the old ones stood, and every other character stays."""

from __future__ import annotations

import pytest

from pipeline.base.errors import ProfileError, SourceError
from pipeline.profile import pins
from pipeline.profile.pins import pin_file

OLD, NEW = "a" * 40, "0123456789" * 4
TEXT = """\
# my profile: {curly}
extends: sample
corpora:
  web:
    sources:
      - hub: {id: some/web, config: small, revision: main}   # the branch
        lang: en
      - {hub: {revision: "v1.0", id: 'some/web'}, lang: fr}
  books:   # pinned
    license: MIT
    sources:
      - hub:
          id: some/books
          revision: OLD
      - files: "*.txt"
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The profile's file; a hub on which every branch and tag is at a commit of its own."""
    heads = {"main": "b" * 40, "v1.0": "c" * 40, "digits": NEW}

    def commit_of(dataset):
        if pins.COMMIT.fullmatch(dataset.revision):
            return dataset.revision
        if dataset.revision not in heads:
            raise SourceError(f"data set {dataset.id} has no such revision")
        return heads[dataset.revision]

    monkeypatch.setattr(pins, "commit_of", commit_of)
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT.replace("OLD", OLD), encoding="utf-8")
    return path


def test_branches_and_tags_become_commits_and_nothing_else_changes(file):
    found = pin_file(file)
    assert [(pin.line, pin.dataset, pin.before) for pin in found] == [
        (6, "some/web", "main"),
        (8, "some/web", "v1.0"),
        (14, "some/books", OLD),
    ]
    assert [pin.moved for pin in found] == [True, True, False]
    expected = TEXT.replace("OLD", OLD).replace("main}", "b" * 40 + "}").replace('"v1.0"', f'"{"c" * 40}"')
    assert file.read_text() == expected
    assert not any(pin.moved for pin in pin_file(file))


def test_commits_move_where_one_says_to_what(file):
    assert [pin.after for pin in pin_file(file, move="main")] == ["b" * 40] * 3
    assert file.read_text().count("b" * 40) == 3


def test_a_dry_run_says_the_same_and_writes_nothing(file):
    before = file.read_bytes()
    assert [pin.moved for pin in pin_file(file, write=False)] == [True, True, False]
    assert file.read_bytes() == before


def test_a_commit_of_digits_alone_stays_a_text(file):
    pin_file(file, move="digits")
    text = file.read_text()
    assert f"revision: '{NEW}'" in text
    assert [pin.before for pin in pin_file(file)] == [NEW] * 3


def test_line_ends_of_windows_stay(file):
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    pin_file(file, move="main")
    content = file.read_bytes()
    assert content.count(b"\r\n") == content.count(b"\n")
    assert content.count(b"b" * 40) == 3


def test_what_is_an_alias_is_told_with_its_line_and_nothing_is_written(file):
    text = file.read_text().replace("revision: main", "revision: &commit main").replace(OLD, "*commit")
    file.write_text(text)
    with pytest.raises(ProfileError, match=r"mine.yaml, line 6: the revision of some/web is not written out here"):
        pin_file(file)
    assert file.read_text() == text


def test_a_branch_that_is_not_there_ends_it_before_anything_is_written(file):
    text = file.read_text().replace("main", "mian")
    file.write_text(text)
    with pytest.raises(SourceError, match="no such revision"):
        pin_file(file)
    assert file.read_text() == text


def test_a_profile_of_the_installed_package_is_not_written(monkeypatch, tmp_path, file):
    (tmp_path / "pipeline").mkdir()
    monkeypatch.setattr(pins, "BUILT_IN", file.parent)
    with pytest.raises(ProfileError, match="write `extends: mine` into a file of your own"):
        pin_file(file)
    assert len(pin_file(file, write=False)) == 3
