"""One holder at a time, between threads and processes, and never a stale lock."""

import logging
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

from pipeline.base.lock import exclusive, exclusive_if_free


def _hold(path: str, started: str) -> None:
    with exclusive(Path(path), "counting"):
        Path(started).touch()
        time.sleep(60)


def test_a_second_thread_waits_and_says_for_whom(tmp_path: Path, caplog) -> None:
    lock, order = tmp_path / "x.lock", []
    caplog.set_level(logging.INFO)

    def wait() -> None:
        with exclusive(lock, "counting"):
            order.append("second")

    with exclusive(lock, "counting"):
        thread = threading.Thread(target=wait)
        thread.start()
        while not caplog.messages:
            time.sleep(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert caplog.messages == [f"waiting for process {os.getpid()}, which is counting"]


def test_a_lock_that_is_held_is_not_free(tmp_path: Path) -> None:
    with exclusive_if_free(tmp_path / "x.lock") as held:
        assert held
        with exclusive_if_free(tmp_path / "x.lock") as twice:
            assert not twice
    with exclusive_if_free(tmp_path / "x.lock") as again:
        assert again


def test_a_killed_holder_leaves_nothing_to_wait_for(tmp_path: Path) -> None:
    started = tmp_path / "started"
    worker = multiprocessing.get_context("spawn").Process(target=_hold, args=(str(tmp_path / "x.lock"), str(started)))
    worker.start()
    while not started.exists():
        time.sleep(0.02)
    with exclusive_if_free(tmp_path / "x.lock") as held:
        assert not held
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    with exclusive(tmp_path / "x.lock", "counting"):
        assert (tmp_path / "x.lock").read_text() == str(os.getpid())
