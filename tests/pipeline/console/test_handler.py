"""A run's records become a few lines: quick assets together, long ones alone, failures at once and again at the end."""

import logging
import types

import dagster as dg
import pytest

from pipeline.assets.logged import ALIVE, OUTCOME, REUSED
from pipeline.base.progress import PROGRESS
from pipeline.console import handler as module
from pipeline.console.handler import TerminalHandler
from pipeline.console.named import named

Event = dg.DagsterEventType


def happened(kind, step=None, data=None):
    """An event as far as the terminal looks at it: Dagster's own class takes only finished runs' data."""
    return types.SimpleNamespace(
        event_type=kind,
        event_type_value=kind.value,
        is_step_failure=kind == Event.STEP_FAILURE,
        job_name="full_train",
        step_key=step,
        event_specific_data=data,
        message="it happened",
    )


class Terminal:
    """A handler whose lines are kept, without their times."""

    def __init__(self, **settings):
        self.lines = []
        self.handler = TerminalHandler(self.write, "two assets", lambda succeeded: ["  closing"], **settings)

    def write(self, line):
        self.lines.append(line[9:] if line[2:3] == ":" else line)

    def take(self, message, step=None, level=logging.INFO, event=None, **extra):
        record = logging.LogRecord("dagster", level, __file__, 1, message, None, None)
        meta = {"orig_message": message, "step_key": step, "dagster_event": event}
        vars(record).update(extra, dagster_meta=meta)
        self.handler.emit(record)

    def event(self, kind, step=None, data=None):
        self.take("it happened", step, logging.DEBUG, happened(kind, step, data))

    def build(self, step, *details, outcome="first build"):
        self.event(Event.STEP_START, step)
        for detail in details:
            self.take(detail, step)
        self.take(f"{step.replace('__', '/')}: {outcome}", step, **{OUTCOME: outcome})
        self.event(Event.STEP_SUCCESS, step)


@pytest.fixture
def terminal():
    return Terminal()


def test_quick_assets_with_one_outcome_share_a_line(terminal):
    terminal.build("documents__web", "web: 3 documents")
    terminal.build("documents__tales")
    terminal.build("mixture", outcome=REUSED)
    terminal.event(Event.RUN_SUCCESS)
    assert terminal.lines == [
        "documents/web, documents/tales: first build",
        "mixture: reused",
        "full_train finished after 0:00",
        "  closing",
    ]


def test_an_asset_alone_says_what_it_found_out(terminal):
    terminal.build("documents__web", "web: 3 documents")
    terminal.event(Event.RUN_SUCCESS)
    assert terminal.lines[0] == "documents/web: 3 documents · first build, 0:00"


def test_a_long_asset_has_a_line_of_its_own(terminal, monkeypatch):
    terminal.build("documents__web")
    terminal.event(Event.STEP_START, "model")
    terminal.take("finished after 93 steps", "model")
    monkeypatch.setattr(module, "LONG", 0.0)
    monkeypatch.setattr(module, "LONG_SHARE", 0.0)
    terminal.take("model: first build", "model", **{OUTCOME: "first build"})
    assert terminal.lines == ["documents/web: first build", "model: finished after 93 steps · first build, 0:00"]


def test_progress_is_shown_only_after_a_silence(terminal, monkeypatch):
    terminal.event(Event.STEP_START, "model")
    terminal.take("step 5/93 · loss 6.1", "model")
    assert terminal.lines == []
    monkeypatch.setattr(module, "SILENCE", 0.0)
    monkeypatch.setattr(module, "SHARE", 0.0)
    terminal.take("encoded 3 documents", "model", **{PROGRESS: True})
    assert terminal.lines == ["model: encoded 3 documents"]


def test_what_a_step_has_said_tells_more_than_that_it_is_still_at_work(terminal, monkeypatch):
    terminal.event(Event.STEP_START, "model")
    terminal.take("step 10/488 · loss 6.3", "model")
    monkeypatch.setattr(module, "SILENCE", 0.0)
    monkeypatch.setattr(module, "SHARE", 0.0)
    for seconds in (10, 20):
        terminal.take(f"model: still at work after 0:{seconds}", "model", **{ALIVE: True})
    assert terminal.lines == ["model: step 10/488 · loss 6.3", "model: still at work after 0:20"]


def test_warnings_come_at_once_and_dagsters_own_noise_never(terminal):
    terminal.take("2 of 9 files cannot be read", "documents__web", logging.WARNING)
    terminal.take("Dependencies for step model were not executed: ['mixture']. Not executing.", "model", logging.ERROR)
    assert terminal.lines == ["documents/web: 2 of 9 files cannot be read"]


def test_a_failed_check_is_the_sentence_of_the_run(terminal, monkeypatch):
    said_last = []
    monkeypatch.setattr(module.atexit, "register", lambda write, line: said_last.append(line))
    check = types.SimpleNamespace(
        passed=False, asset_key=dg.AssetKey("corpus"), check_name="not_empty", description="0 documents"
    )
    error = types.SimpleNamespace(cls_name="DagsterAssetCheckFailedError", message="X: check failed", cause=None)
    failure = types.SimpleNamespace(user_failure_data=None, error=error)
    terminal.event(Event.STEP_START, "corpus_not_empty")
    terminal.event(Event.ASSET_CHECK_EVALUATION, "corpus_not_empty", check)
    terminal.event(Event.STEP_FAILURE, "corpus_not_empty", failure)
    first = happened(Event.STEP_FAILURE, "corpus_not_empty", failure)
    terminal.event(Event.RUN_FAILURE, None, types.SimpleNamespace(first_step_failure_event=first))
    sentence = "corpus: check not_empty: 0 documents"
    assert terminal.lines[0] == f"corpus_not_empty failed: {sentence}"
    assert said_last == [f"error: {sentence}"]


def test_an_error_that_nobody_foresaw_keeps_its_traceback(terminal):
    cause = types.SimpleNamespace(message="ValueError: boom\n", cause=None)
    error = types.SimpleNamespace(cls_name="X", message="while", cause=cause, to_string=lambda: "File x.py, line 3")
    failure = types.SimpleNamespace(user_failure_data=None, error=error)
    terminal.event(Event.STEP_FAILURE, "model", failure)
    assert "File x.py, line 3" in terminal.lines[0]


def test_the_killed_process_of_an_asset_is_named_with_its_signal_and_without_a_traceback(terminal, monkeypatch):
    """As `assets_at_once` has it: Dagster says which signal in an event of its own."""
    last = []
    monkeypatch.setattr(module.atexit, "register", lambda write, line: last.append(line))
    gone = happened(Event.ENGINE_EVENT, "heldout__web")
    gone.message = "Multiprocess executor: child process for step heldout__web was terminated by signal 9 (SIGKILL)."
    terminal.take(gone.message, "heldout__web", logging.ERROR, gone)
    error = types.SimpleNamespace(cls_name="ChildProcessCrashException", cause=None, message="", to_string=lambda: "")
    data = types.SimpleNamespace(error=error, user_failure_data=None, first_step_failure_event=None)
    failed = happened(Event.STEP_FAILURE, "heldout__web", data)
    terminal.take("failed", "heldout__web", logging.ERROR, failed)
    terminal.event(Event.RUN_FAILURE, data=types.SimpleNamespace(first_step_failure_event=failed))
    said = (
        "its process was terminated by signal 9 (SIGKILL); if nobody killed it, memory ran out: lower assets_at_once."
    )
    assert terminal.lines[0].startswith(f"heldout/web failed: {said}")
    assert last[0].startswith(f"error: {said}")


def test_below_info_every_record_is_a_line():
    terminal = Terminal(level=logging.DEBUG)
    terminal.build("documents__web", "web: 3 documents")
    assert terminal.lines == [
        "STEP_START documents/web: it happened",
        "documents/web: 3 documents",
        "documents/web: first build",
        "STEP_SUCCESS documents/web: it happened",
    ]


def test_many_assets_of_a_folder_are_counted():
    assert named(["corpus/a", "mixture", "corpus/b"]) == "corpus/a, corpus/b, mixture"
    assert named(["mixture", *(f"corpus/{name}" for name in "abcd")]) == "mixture, 4 corpus"
