"""A call that takes too long ends, and nothing of it stays behind."""

from __future__ import annotations

import re
import signal
import threading

import pytest

from pipeline.base.executor import Processes
from pipeline.base.time_limit import TimeIsUpError, TimeLimit


def spin(rounds: int) -> int:
    return sum(1 for _ in range(rounds))


def within(seconds: float, rounds: int) -> str:
    with TimeLimit() as limit:
        try:
            return str(limit.run(seconds, spin, rounds))
        except TimeIsUpError:
            return "time is up"


def test_a_call_in_time_gives_its_result() -> None:
    assert within(60, 10) == "10"


def test_a_call_that_takes_too_long_ends() -> None:
    assert within(0.05, 10**12) == "time is up"


def test_a_regular_expression_is_broken_off() -> None:
    with TimeLimit() as limit, pytest.raises(TimeIsUpError):
        limit.run(0.05, re.fullmatch, "(a+)+b", "a" * 60)


def test_the_signal_and_the_timer_are_as_before() -> None:
    before = signal.getsignal(signal.SIGVTALRM)
    assert within(0.05, 10**12) == "time is up"
    assert signal.getsignal(signal.SIGVTALRM) == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    assert threading.active_count() == len(threading.enumerate())


def test_calls_end_in_worker_processes_too() -> None:
    with Processes(2) as executor:
        assert list(executor.map(within, [(0.05, 10**12), (60, 10)])) == ["time is up", "10"]


def test_in_another_thread_a_call_counts_as_too_long_afterwards() -> None:
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.extend((within(60, 10), within(1e-9, 10**5))))
    thread.start()
    thread.join()
    assert seen == ["10", "time is up"]
