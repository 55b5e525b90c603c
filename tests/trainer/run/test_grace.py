"""A step that is longer than the time a signal leaves is told of before anybody sends one."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

pytest.importorskip("torch")

import torch
from in_process import ONE

from trainer.config import TrainingConfig
from trainer.process.ranks import Ranks
from trainer.process.signals import GRACE_SECONDS, heeded_stops
from trainer.run.grace import Grace

LONG = GRACE_SECONDS + 1


def test_it_is_said_before_the_first_step_and_once(caplog: pytest.LogCaptureFixture) -> None:
    grace = Grace(TrainingConfig(checkpoint_every=300), ONE)
    grace.expect(LONG)
    for _ in range(3):
        grace.step(LONG)
    (warning,) = caplog.records
    assert "a step takes about 0:26, longer than the 25 seconds" in warning.getMessage()
    assert "up to 300 steps" in warning.getMessage()


def test_the_first_step_may_have_compiled_and_a_short_one_is_no_matter(caplog: pytest.LogCaptureFixture) -> None:
    grace = Grace(TrainingConfig(), ONE)
    grace.expect(1.0)
    grace.step(LONG)
    grace.step(2.0)
    grace.checkpoint(3.0)
    assert caplog.records == []
    grace.checkpoint(GRACE_SECONDS)
    assert "a step takes about 0:02 and a checkpoint 0:25" in caplog.records[0].getMessage()


def test_one_rank_speaks_for_all(caplog: pytest.LogCaptureFixture) -> None:
    Grace(TrainingConfig(), Ranks(1, 2, torch.device("cpu"))).expect(LONG)
    assert caplog.records == []


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in heeded_stops()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_what_nohup_has_ignored_stays_ignored(handlers: None) -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2} <= set(heeded_stops())
    assert signal.SIGHUP not in heeded_stops()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert signal.SIGHUP in heeded_stops()
