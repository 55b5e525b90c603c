"""`squeeze push`, `pull`, `ls --remote` and `gc --remote`, as somebody types them: what they say and refuse."""

import json

import pytest
from typer.testing import CliRunner

from pipeline.base.errors import SqueezeError
from pipeline.cli.app import app
from pipeline.store import Built, Store
from pipeline.store.local import LocalBackend

pytest.importorskip("obstore", reason="obstore is missing: pip install '.[s3]'")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A store with one artifact, and a bucket that is named and empty."""
    monkeypatch.setenv("SQUEEZE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SQUEEZE_PROFILE", "sample")

    def build(out):
        (out / "file").write_text("text")
        return Built("hash")

    store = Store(tmp_path / "home", "sample", backend=LocalBackend(tmp_path / "home")).open()
    store.ensure("corpus/wiki", code_version="1", identity={}, inputs={}, build=build)
    monkeypatch.setenv("SQUEEZE_STORE", (tmp_path / "bucket").as_uri())
    return tmp_path / "home"


def call(*words):
    done = CliRunner().invoke(app, words)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, " ".join(done.output.split())


def test_a_store_goes_to_the_bucket_and_comes_out_on_another_machine(home, tmp_path, monkeypatch):
    status, said = call("push")
    assert status == 0
    assert "1 artifact sent, 4 B; 0 there already; 1 pointer moved, in file:///" in said
    monkeypatch.setenv("SQUEEZE_HOME", str(tmp_path / "laptop"))
    (row,) = json.loads(call("ls", "--remote", "--json")[1])
    assert (row["key"], row["content_hash"], row["profiles"]) == ("corpus/wiki", "hash", ["sample"])
    assert "0 artifacts" in call("ls")[1]
    assert "1 artifact of sample, 4 B" in call("pull")[1]
    assert "1 artifacts" in call("ls")[1]
    assert "nothing to remove: everything in file:///" in call("gc", "--remote")[1]


def test_a_damaged_file_ends_a_push_with_1(home):
    (file,) = home.glob("corpus/wiki/*/file")
    file.write_text("tixt")
    status, said = call("push")
    assert status == 1
    assert "0 artifacts sent" in said
    assert "is damaged: its content is not what was built" in said


def test_what_is_forgotten_is_no_longer_current(home):
    call("push")
    assert "1 pointers of sample removed" in call("gc", "--remote", "--forget", "sample", "--yes")[1]
    assert call("ls", "--remote", "--json")[1] == "[]"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pull",), "nothing of that is current there for the profile sample"),
        (("pull", "model"), "nothing of that is current there"),
        (("gc", "--remote", "--older-than", "1"), "--older-than 1: files of builds at work would go; at least 2 days"),
    ],
)
def test_what_cannot_be_meant_is_refused(home, words, said):
    with pytest.raises(SqueezeError, match=said):
        call(*words)


@pytest.mark.parametrize("words", [("push",), ("pull",), ("ls", "--remote"), ("gc", "--remote")])
def test_without_a_bucket_each_says_how_one_is_named(home, monkeypatch, words):
    monkeypatch.delenv("SQUEEZE_STORE")
    with pytest.raises(SqueezeError, match=r"no bucket is named: set SQUEEZE_STORE, such as to s3://bucket/prefix"):
        call(*words)
