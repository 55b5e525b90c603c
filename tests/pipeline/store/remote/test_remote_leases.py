"""One holder at a time over machines: it is waited for, followed when it dies, and notices when it was followed."""

import json
import logging
import multiprocessing
import os
import signal
import time

import pytest
from buckets import behind, proxy

from pipeline.base.errors import BucketUnreachableError
from pipeline.store.remote.address import open_objects
from pipeline.store.remote.leases import lease, lease_name

SECONDS = 0.9


def test_a_lease_that_ended_is_free_for_the_next_at_once(objects):
    for _ in range(3):
        with lease(objects, "corpus/wiki/abc", "building corpus/wiki") as held:
            there = json.loads(objects.read(lease_name("corpus/wiki/abc")))
            assert (there["process"], there["purpose"]) == (os.getpid(), "building corpus/wiki")
            assert not held.lost.is_set()


def test_a_lease_that_cannot_be_read_is_free(objects):
    objects.write(lease_name("corpus/wiki/abc"), b"\xff not json")
    with lease(objects, "corpus/wiki/abc", "building") as held:
        assert not held.lost.is_set()


def test_a_holder_keeps_its_lease_for_longer_than_its_time(objects):
    with lease(objects, "corpus/wiki/abc", "building", seconds=0.3) as held:
        time.sleep(0.7)
        assert not held.lost.is_set()
        assert json.loads(objects.read(lease_name("corpus/wiki/abc")))["renewal"] >= 2


def hold(endpoint: str, address: str, name: str, say, seconds: float) -> None:
    objects = behind(endpoint, address)
    with lease(objects, "corpus/wiki/abc", f"building by {name}", seconds=SECONDS) as held:
        say.send("holds")
        time.sleep(seconds)
        time.sleep(0.5)  # a frozen process is thawed in the middle of something: its renewals have time to look
        say.send("lost" if held.lost.is_set() else "held")
        created = objects.create("manifest", f"by {name}".encode())
        say.send("committed" if created else "somebody else's is there")


class Holder:
    """A process that takes the lease, holds it for some seconds and commits."""

    def __init__(self, endpoint: str, address: str, name: str, seconds: float) -> None:
        context = multiprocessing.get_context("spawn")
        self._hears, say = context.Pipe(duplex=False)
        self.process = context.Process(target=hold, args=(endpoint, address, name, say, seconds), daemon=True)
        self.process.start()

    def says(self, count: int) -> list[str]:
        said = []
        for _ in range(count):
            assert self._hears.poll(30), f"said {said} and no more"
            said.append(self._hears.recv())
        return said

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)


@pytest.fixture
def holder(s3, s3_address):
    """Start holders of one lease; every one of them is gone afterwards."""
    started = []

    def start(name: str, seconds: float) -> Holder:
        started.append(Holder(s3, s3_address, name, seconds))
        return started[-1]

    yield start
    for item in started:
        item.process.kill()
        item.process.join()


def test_the_second_waits_until_the_first_is_done(holder):
    first = holder("a", 0.5)
    assert first.says(1) == ["holds"]
    second = holder("b", 0.0)
    assert first.says(2) == ["held", "committed"]
    assert second.says(3) == ["holds", "held", "somebody else's is there"]


def test_a_holder_that_was_killed_is_followed(holder):
    first = holder("a", 60.0)
    assert first.says(1) == ["holds"]
    first.signal(signal.SIGKILL)
    assert holder("b", 0.0).says(3) == ["holds", "held", "committed"]


def test_a_holder_that_was_frozen_notices_that_it_was_followed(holder, s3, s3_address):
    first = holder("a", 0.1)
    assert first.says(1) == ["holds"]
    first.signal(signal.SIGSTOP)
    assert holder("b", 0.0).says(3) == ["holds", "held", "committed"]
    first.signal(signal.SIGCONT)
    assert first.says(2) == ["lost", "somebody else's is there"]
    assert behind(s3, s3_address).read("manifest") == b"by b"


def test_a_renewal_whose_answer_is_lost_loses_nothing(s3, s3_address):
    with proxy(s3, lambda method, path, count: "lose" if method == "PUT" and count % 2 else None) as endpoint:
        objects = behind(endpoint, s3_address)
        with lease(objects, "corpus/wiki/abc", "building", seconds=SECONDS) as held:
            time.sleep(SECONDS)
            assert not held.lost.is_set()


def test_a_holder_cut_off_from_the_bucket_counts_its_lease_as_lost(monkeypatch, caplog):
    objects = open_objects.__wrapped__("memory:///")
    with lease(objects, "corpus/wiki/abc", "building", seconds=0.3) as held:

        def unreachable(*_):
            raise BucketUnreachableError("the bucket cannot be reached")

        monkeypatch.setattr(objects, "replace", unreachable)
        assert held.lost.wait(5)
    assert "has lost this lease (the bucket cannot be reached)" in caplog.text


def test_who_waits_says_for_whom(caplog):
    caplog.set_level(logging.INFO)
    objects = open_objects.__wrapped__("memory:///")
    text = {"holder": "x", "host": "node-7", "process": 99, "purpose": "building corpus/wiki", "free": False}
    objects.write(lease_name("corpus/wiki/abc"), json.dumps(text).encode())
    with lease(objects, "corpus/wiki/abc", "building", seconds=0.2):
        pass
    assert "waiting for process 99 of node-7, which is building corpus/wiki" in caplog.text
