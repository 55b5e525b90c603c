"""What a bucket of every kind promises: one creator, no update lost, and errors that say what to do."""

import logging
import multiprocessing
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from buckets import behind, proxy

from pipeline.base.errors import BucketError, BucketUnreachableError
from pipeline.store.remote.address import open_objects
from pipeline.store.remote.objects import Objects


def test_an_object_is_read_as_it_was_written_and_is_gone_once_deleted(objects):
    assert objects.read("a/b") is None
    assert objects.entry("a/b") is None
    objects.write("a/b", b"one")
    objects.write("a/b", b"other")
    assert objects.read("a/b") == b"other"
    assert objects.entry("a/b").bytes == 5
    objects.rename("a/b", "c/d")
    objects.delete("a/b")
    assert [(entry.name, entry.bytes) for entry in objects.entries("c")] == [("c/d", 5)]
    assert list(objects.entries("a")) == []


def test_the_first_creates_an_object_and_the_second_learns_that_it_was_not_him(objects):
    assert objects.create("manifest", b"mine")
    assert objects.create("manifest", b"mine"), "the same again is what a lost answer looks like"
    assert not objects.create("manifest", b"of another")
    assert objects.read("manifest") == b"mine"


def test_an_object_is_replaced_only_while_it_is_what_was_read(objects):
    first = objects.replace("pointer", b"1", None)
    assert objects.replace("pointer", b"2", None) is None
    second = objects.replace("pointer", b"2", first)
    assert objects.replace("pointer", b"3", first) is None
    assert objects.read_version("pointer") == (b"2", second)
    objects.delete("pointer")
    assert objects.replace("pointer", b"3", second) is None, "what was taken away is not what was read"


def test_of_increments_at_once_none_is_lost(objects):
    def increment(name: int) -> None:
        while True:
            found = objects.read_version("count")
            text, version = found if found else (b"0", None)
            number = int(text.split()[0]) + 1
            if objects.replace("count", f"{number} of {name}".encode(), version):
                return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(increment, range(20)))
    assert objects.read("count").split()[0] == b"20"


def race(endpoint: str, address: str, name: str, barrier, wins) -> None:
    objects = behind(endpoint, address)
    for number in range(100):
        barrier.wait(60)
        if objects.create(f"manifests/{number}", f"of {name}".encode()):
            wins.put((number, name))


def test_of_two_processes_that_create_one_manifest_one_wins_100_times_of_100(s3, s3_address):
    context = multiprocessing.get_context("spawn")
    barrier, wins = context.Barrier(2), context.Queue()
    racers = [context.Process(target=race, args=(s3, s3_address, name, barrier, wins)) for name in ("a", "b")]
    for racer in racers:
        racer.start()
    won = [wins.get(timeout=60) for _ in range(100)]
    for racer in racers:
        racer.join(60)
    assert wins.empty()
    assert sorted(number for number, _ in won) == list(range(100))
    objects = behind(s3, s3_address)
    assert all(objects.read(f"manifests/{number}") == f"of {name}".encode() for number, name in won)


def test_an_answer_that_is_lost_on_the_way_back_makes_nobody_a_loser(s3, s3_address):
    with proxy(s3, lambda method, path, count: "lose" if (method, count) == ("PUT", 0) else None) as endpoint:
        assert behind(endpoint, s3_address).create("manifest", b"mine")
    version = behind(s3, s3_address).read_version("manifest")[1]
    with proxy(s3, lambda method, path, count: "lose" if (method, count) == ("PUT", 0) else None) as endpoint:
        assert behind(endpoint, s3_address).replace("manifest", b"mine again", version)
    assert behind(s3, s3_address).read("manifest") == b"mine again"


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_in_trouble_is_asked_again(s3, s3_address, status):
    with proxy(s3, lambda method, path, count: status if count == 0 else None) as endpoint:
        objects = behind(endpoint, s3_address)
        assert objects.create("manifest", b"mine")
        assert objects.read("manifest") == b"mine"


def test_a_race_that_has_no_winner_yet_is_run_again(s3, s3_address):
    with proxy(s3, lambda method, path, count: 409 if (method, count) == ("PUT", 0) else None) as endpoint:
        assert behind(endpoint, s3_address).create("manifest", b"mine")


def test_a_bucket_that_is_not_there_is_said_to_be_missing(s3):
    objects = behind(s3, "s3://no-such-bucket/store")
    for ask in (objects.read, objects.delete, lambda name: list(objects.entries(name))):
        with pytest.raises(BucketError, match="s3://no-such-bucket/store: there is no such bucket; make it"):
            ask("store.json")
    with pytest.raises(BucketError, match="there is no such bucket"):
        objects.create("store.json", b"{}")


def test_credentials_that_are_refused_are_said_to_be(s3, s3_address):
    def set_open_requests(number: bytes) -> None:
        plain = {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(f"{s3}/moto-api/reset-auth", number, plain), timeout=10)

    set_open_requests(b"0")  # from here on the server looks at credentials
    try:
        with pytest.raises(BucketError, match="this machine's credentials do not allow this") as refused:
            behind(s3, s3_address).read("store.json")
    finally:
        set_open_requests(b"inf")
    assert not isinstance(refused.value, BucketUnreachableError)
    assert refused.value.__cause__ is None


def test_a_server_that_is_not_there_is_said_to_be_out_of_reach():
    with pytest.raises(BucketUnreachableError, match=r"s3://bucket/store/store\.json: the bucket cannot be reached"):
        behind("http://127.0.0.1:9", "s3://bucket/store", patience=0.2).read("store.json")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ftp://host/folder", "names no kind of store that there is; it is s3://bucket/prefix, gs://"),
        ("/some/folder", "names no kind of store"),
        ("s3:///prefix", "names no bucket"),
        ("s3://AKIAX:hunter2@bucket/prefix", "holds more than a place"),
        ("az://container/prefix?sig=hunter2", "holds more than a place"),
    ],
)
def test_an_address_that_is_none_is_refused_without_showing_a_secret(address, said):
    with pytest.raises(BucketError, match=said) as refused:
        open_objects.__wrapped__(address)
    assert "hunter2" not in str(refused.value)


def test_a_secret_is_in_no_message_and_no_log(s3, monkeypatch, caplog):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    caplog.set_level(logging.DEBUG)
    with pytest.raises(BucketError) as refused:
        behind(s3, "s3://no-such-bucket/store").read("x")
    assert "hunter2" not in f"{refused.value!r} {caplog.text}"


def test_requests_and_bytes_are_counted(tmp_path):
    objects: Objects = open_objects.__wrapped__((tmp_path / "bucket").as_uri())
    objects.write("a", b"12345")
    objects.read("a")
    objects.read("b")
    assert objects.traffic.requests == {"put": 1, "get": 2}
    assert (objects.traffic.sent, objects.traffic.received) == (5, 5)
