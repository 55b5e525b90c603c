"""What commands print and write: under any locale, for programs, and a sentence where a place cannot be written."""

import json

import pytest

from pipeline.cli.streams import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1.98 ± 0.02 × 3 · a→b…", "1.98 +/- 0.02 x 3 - a->b..."),
        ("╭─┬─╮│", "+-+-+|"),
        ("‘wood’ 木 \ud800", "'wood' ? ?"),
    ],
)
def test_what_an_encoding_lacks_is_spelled(text, shown):
    assert printable(text, "ascii") == shown
    assert printable("±", "latin-1") == "±"


@pytest.mark.parametrize(
    ("words", "locale"),
    [
        (["--help"], {"PYTHONIOENCODING": "ascii"}),
        (["ls"], {"PYTHONIOENCODING": "latin-1"}),
        (["lineage"], {"PYTHONIOENCODING": "ascii"}),
        (["compare", "sample", "sample"], {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}),
        (["generate", "é ± 木", "--tokens", "3"], {"PYTHONIOENCODING": "ascii"}),
    ],
)
def test_every_command_prints_under_every_locale(squeeze, words, locale):
    done = squeeze(*words, **locale)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


@pytest.mark.parametrize("words", [["ls"], ["lineage"], ["compare", "sample", "sample"], ["verify"]])
def test_json_is_one_document(squeeze, words):
    done = squeeze(*words, "--json", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


def test_json_of_the_store_has_whole_fingerprints(squeeze):
    rows = {row["key"]: row for row in json.loads(squeeze("ls", "--json").stdout)}
    assert rows["model"]["inputs"] == {"tokenizer": rows["tokenizer"]["fingerprint"]}
    assert rows["model"]["profiles"] == ["sample"]
    assert [row["key"] for row in json.loads(squeeze("lineage", "--json").stdout)] == ["model", "tokenizer"]


@pytest.mark.parametrize(
    ("out", "said"), [("file/report.html", b"cannot be written"), (".", b"is a folder; name a file"), ("", b"--out")]
)
def test_a_place_that_cannot_be_written_is_a_sentence(squeeze, tmp_path, out, said):
    (tmp_path / "file").touch()
    done = squeeze("report", "--out", out)
    assert done.returncode == 1
    assert said in done.stderr
    assert b"Traceback" not in done.stderr


def test_folders_above_a_page_are_made(squeeze, tmp_path):
    assert squeeze("report", "--out", "deep/er/page.html").returncode == 0
    assert (tmp_path / "deep" / "er" / "page.html").is_file()


def test_the_page_opens_in_the_browser_that_one_has(squeeze, tmp_path):
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\necho \"$1\" > '{tmp_path}/asked'\n")
    browser.chmod(0o755)
    assert squeeze("report", "--open", BROWSER=f"{browser} %s").returncode == 0
    assert (tmp_path / "asked").read_text().strip() == (tmp_path / "report.html").as_uri()


def test_a_machine_without_a_browser_is_told_what_to_open(squeeze, tmp_path):
    done = squeeze("report", "--open", BROWSER="/bin/false", PATH=str(tmp_path), DISPLAY="", WAYLAND_DISPLAY="")
    assert (tmp_path / "report.html").is_file()
    assert done.returncode == 1
    assert f"open {(tmp_path / 'report.html').as_uri()}".encode() in done.stderr


def test_the_version_is_that_of_the_package(squeeze):
    from importlib.metadata import version

    assert squeeze("--version").stdout.decode() == f"squeeze {version('squeeze-gpt')}\n"


def test_a_shell_can_complete(squeeze):
    told = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # tests may have no shell above them
    assert b"_SQUEEZE_COMPLETE" in squeeze("--show-completion", "bash", **told).stdout
    environment = {"_SQUEEZE_COMPLETE": "complete_bash", "COMP_WORDS": "squeeze ls --profile sam", "COMP_CWORD": "3"}
    assert squeeze(**environment).stdout.decode().split() == ["sample"]
