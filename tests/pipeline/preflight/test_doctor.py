"""`squeeze doctor` says what is wrong with a machine, a store or a profile, and what to do about it."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.preflight import doctor
from pipeline.store import Built, Store
from trainer.process import allocator


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A store with an artifact of one file, and torch that is not asked."""
    monkeypatch.setenv("SQUEEZE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SQUEEZE_PROFILE", "sample")
    monkeypatch.setattr(doctor, "_ASK_TORCH", 'print(\'{"gpus": [], "mps": false, "bf16": false}\')')

    def build(out):
        (out / "file").write_text("text")
        return Built("hash")

    store = Store(tmp_path / "home", "sample").open()
    store.ensure("thing", code_version="1", identity={}, inputs={}, build=build)
    return tmp_path / "home"


def call(*words):
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout)


def finding(found, check):
    (item,) = (item for item in found["findings"] if item["check"] == check)
    return item["verdict"], item["text"]


def test_a_store_that_is_well_ends_with_0_and_says_when_it_was_hashed_last(home):
    status, found = call("doctor")
    assert (status, found["healthy"]) == (0, True)
    assert found["store"]["artifacts"] == 1
    assert found["machine"]["cores"] >= 1
    assert finding(found, "verify") == ("note", "contents were never hashed since they were built: `squeeze verify`")
    assert call("verify")[0] == 0
    _, found = call("doctor")
    verdict, text = finding(found, "verify")
    assert verdict == "ok"
    assert text.startswith("contents of 1 artifact were looked at ")
    assert text.endswith(", all whole")


def test_damage_is_named_with_the_command_that_puts_it_right(home):
    next(home.glob("thing/*/file")).write_text("longer than it was")
    status, found = call("doctor")
    assert (status, found["healthy"]) == (1, False)
    verdict, text = finding(found, "artifacts")
    assert verdict == "refused"
    assert "1 of 1 are damaged" in text
    assert "squeeze verify --repair" in text


def test_builds_that_were_stopped_are_counted(home):
    (home / "thing" / f".building-{'a' * 32}").mkdir()
    status, found = call("doctor")
    assert status == 0
    assert found["store"]["unfinished"] == 1
    assert "squeeze gc --unfinished" in finding(found, "builds")[1]


def test_a_profile_that_does_not_load_must_be_fixed(home, tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text("extends: sample\nnonsense: 1\n")
    monkeypatch.setenv("SQUEEZE_PROFILE", str(tmp_path / "mine.yaml"))
    status, found = call("doctor")
    assert status == 1
    assert "nonsense" in finding(found, "profile")[1]


def test_without_a_store_it_says_what_makes_one(home):
    shutil.rmtree(home)
    status, found = call("doctor")
    assert status == 0
    assert "full_train" in finding(found, "store")[1]


def test_torch_that_does_not_answer_or_fails_is_a_finding(home, monkeypatch):
    monkeypatch.setattr(doctor, "TORCH_SECONDS", 0.2)
    monkeypatch.setattr(doctor, "_ASK_TORCH", "import time; time.sleep(60)")
    status, found = call("doctor")
    assert status == 1
    assert "did not answer" in finding(found, "accelerator")[1]
    monkeypatch.setattr(doctor, "TORCH_SECONDS", 30)
    monkeypatch.setattr(doctor, "_ASK_TORCH", "raise ImportError('libcuda.so.1 is missing')")
    assert "libcuda.so.1 is missing" in finding(call("doctor")[1], "accelerator")[1]


@pytest.mark.parametrize(
    ("kernel", "verdict"),
    [("always [madvise] never", "ok"), ("[always] madvise never", "ok"), ("always madvise [never]", "note")],
)
def test_a_kernel_that_gives_no_huge_pages_is_a_note(home, tmp_path, monkeypatch, kernel, verdict):
    (tmp_path / "enabled").write_text(kernel + "\n")
    monkeypatch.setattr(allocator, "HUGE_PAGES", tmp_path / "enabled")
    status, found = call("doctor")
    said, text = finding(found, "memory")
    assert (status, said) == (0, verdict)
    assert ("echo madvise" in text) == (verdict == "note")


def test_a_kernel_without_huge_pages_has_nothing_to_be_said_of_them(home, tmp_path, monkeypatch):
    monkeypatch.setattr(allocator, "HUGE_PAGES", tmp_path / "missing")
    _, found = call("doctor")
    assert "memory" not in [item["check"] for item in found["findings"]]


def test_runs_whose_processes_are_gone_are_told_from_those_at_work(home):
    for run_id, alive in (("killed", False), ("at-work", True)):
        run = Store(home, "sample").open().for_run(run_id)
        run.look_ahead(["thing"])
        if not alive:
            run.footing.end(keep=True)
    _, found = call("doctor")
    assert (found["store"]["runs_at_work"], found["store"]["runs_ended"]) == (["at-work"], ["killed"])
    said = [item["text"] for item in found["findings"] if item["check"] == "runs"]
    assert said[0] == "1 run at work: what they stand on is kept"
    assert "1 run failed or killed (killed): the same command again goes on" in said[1]
    run.footing.end()
    assert CliRunner().invoke(app, ["gc"]).exit_code == 0
    assert call("doctor")[1]["store"]["runs_ended"] == []


def test_a_bucket_that_answers_is_said_to_and_one_that_is_none_is_refused(home, tmp_path, monkeypatch):
    pytest.importorskip("obstore", reason="obstore is missing: pip install '.[s3]'")
    monkeypatch.setenv("SQUEEZE_STORE", (tmp_path / "bucket").as_uri())
    _, found = call("doctor")
    assert finding(found, "bucket") == ("ok", f"{found['bucket']} answers: what any machine made is used here")
    monkeypatch.setenv("SQUEEZE_STORE", "ftp://somewhere")
    status, found = call("doctor")
    verdict, text = finding(found, "bucket")
    assert (status, verdict) == (1, "refused")
    assert "names no kind of store" in text
