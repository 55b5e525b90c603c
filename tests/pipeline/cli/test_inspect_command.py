"""`squeeze inspect`: what files would give, on a page of a terminal or as JSON; mistakes are told as everywhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.base.errors import SqueezeError
from pipeline.cli.app import app
from pipeline.cli.changes import marked_changes
from trainer.errors import ConfigError

FRENCH = "Où est déjà la forêt, près d'ici ? Les élèves écoutaient la maîtresse, qui parlait d'été.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text("Bread &amp;  salt.\r\nMail a.b@example.org.")
    (tmp_path / "in" / "b.txt").write_bytes(FRENCH.encode("cp1252") * 3)
    (tmp_path / "in" / "deep" / "c.jsonl").write_text('{"text": "A tale of bread."}\n{\n')
    (tmp_path / "in" / "d.pdf").write_bytes(b"%PDF-1.7")
    return tmp_path / "in"


def told(*words: object) -> str:
    result = CliRunner().invoke(app, ["inspect", *map(str, words)])
    if result.exception is not None:
        raise result.exception
    return result.output


def test_a_folder_is_told_on_one_page(folder: Path) -> None:
    page = told(folder)
    assert re.search(r"a\.txt +\d+ B +text, a document a file \(by content\) +ascii \(certain\) +en +1 +1 +-", page)
    assert re.search(r"deep/c\.jsonl +\d+ B +JSON lines +ascii \(certain\) +en +1 +1 +1", page)
    assert "Bread &[-amp; -] salt.[-␍-]" in page
    assert "it reads as French text in cp1252 (likely): set `encoding: cp1252`" in page
    assert "d.pdf: a .pdf file: convert it to text first, or leave it out with `exclude`" in page


def test_settings_are_given_as_words_or_yaml_or_in_a_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("encoding: cp1252\nnormalizing: {mask_personal: false}\n")
    ways = (
        ["encoding=cp1252", "normalizing.mask_personal=false"],
        ["{encoding: cp1252, normalizing: {mask_personal: false}}"],
        [str(tmp_path / "settings.yaml")],
    )
    options = ([word for text in way for word in ("-s", text)] for way in ways)
    pages = [json.loads(told(folder / "*.txt", "--json", *words)) for words in options]
    for page in pages:
        assert {file["entry"]: file["documents"] for file in page["files"]} == {"a.txt": 1, "b.txt": 1}
        assert "a.b@example.org" in page["files"][0]["samples"][0]["after"]


def test_a_corpus_of_a_profile_is_looked_at_with_its_settings(folder: Path, tmp_path: Path) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text(
        "extends: sample\ncorpora:\n  mine:\n    sources:\n"
        f"      - {{files: {folder}/b.txt, format: lines, encoding: cp1252}}\n"
    )
    page = json.loads(told("--profile", profile, "mine", "--json"))
    assert [(file["entry"], file["records"]) for file in page["files"]] == [("b.txt", 3)]
    with pytest.raises(SqueezeError, match=r"'mini' is no corpus of the profile .*; did you mean 'mine'"):
        told("--profile", profile, "mini")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("formt=lines", "did you mean 'format'"),
        ("format=line", "did you mean 'lines'"),
        ("encoding=utf-9", "did you mean 'utf-8'"),
        ("{format: [", "cannot be read as YAML"),
        ("lines", "write key=value"),
    ],
)
def test_a_wrong_setting_is_told_with_what_is_meant(folder: Path, settings: str, message: str) -> None:
    with pytest.raises((SqueezeError, ConfigError), match=message):
        told(folder, "-s", settings)


def test_a_place_where_nothing_is_is_told(folder: Path) -> None:
    with pytest.raises(SqueezeError, match=r"nowhere\.txt does not exist"):
        told(folder / "nowhere.txt")


def test_what_changed_is_marked_also_where_one_cannot_see_it() -> None:
    marked = marked_changes("one  two\r\nthree\x00", "one two\nthree", colour=False)
    assert str(marked) == "one [- -]two[-␍-]\nthree[-␀-]"
    coloured = marked_changes("one two", "one three", colour=True)
    assert str(coloured) == "one twothree"
    assert {span.style for span in coloured.spans} == {"red strike", "green"}
