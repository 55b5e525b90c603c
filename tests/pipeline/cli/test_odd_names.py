"""Brackets of a folder, a profile or a reason are text to every command, and one damaged thing stops none of them."""

import pytest
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.store import Built, Store

NAME = "mine[b] x[1]"


@pytest.fixture
def home(tmp_path, monkeypatch):
    root = tmp_path / "home[" / "red]x[1]"
    profile = tmp_path / f"{NAME}.yaml"
    profile.write_text("extends: sample\n")
    monkeypatch.setenv("SQUEEZE_HOME", str(root))
    monkeypatch.setenv("SQUEEZE_PROFILE", str(profile))
    store = Store(root, NAME).open()
    for number in range(2):

        def build(out):
            (out / "data.txt").write_text("text")
            return Built("content [/i]")

        store.ensure("model", code_version="1", identity={"[/b]": f"[/x]{number}"}, inputs={}, build=build)
    return root


COMMANDS = [
    ["ls"],
    ["ls", "--all"],
    ["ls", "--json"],
    ["lineage", "model"],
    ["verify"],
    ["verify", "--quick"],
    ["gc", "--yes"],
    ["gc", "--forget", NAME, "--yes"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_brackets_are_text(home, words):
    done = CliRunner().invoke(app, words)
    assert done.exception is None, done.output
    if words[0] in ("ls", "lineage"):
        assert NAME in done.output


def test_a_name_that_no_profile_has_is_said_and_nothing_is_removed(home):
    done = CliRunner().invoke(app, ["gc", "--forget", "*", "--yes"])
    assert "the store has no such profile" in str(done.exception)
    assert NAME in str(done.exception)
    assert len(list(home.glob("model/*/manifest.json"))) == 2


@pytest.mark.parametrize(("words", "status"), [(["ls", "--all"], 0), (["verify"], 1), (["gc", "--yes"], 0)])
def test_a_damaged_manifest_is_named_and_the_others_are_shown(home, words, status):
    store = Store(home, NAME).open()
    old = next(item for item in store.artifacts() if item.fingerprint != store.current("model").fingerprint)
    (old.path / "manifest.json").write_text("{")
    (old.path.parent / "CURRENT.other").write_text(old.fingerprint)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == status, done.output
    assert old.fingerprint in done.output.replace("\n", "")
    assert store.current("model").path.exists()
