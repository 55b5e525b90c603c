"""A whole store into a bucket and out of it: resumable, idempotent, and nothing worse than what was there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from buckets import ENVIRONMENT, behind, proxy
from machines import Machine, never, writes

from pipeline.base.errors import BucketUnreachableError, StoreError
from pipeline.store import Store
from pipeline.store.local import LocalBackend
from pipeline.store.remote.address import open_objects
from pipeline.store.remote.names import manifest_name, pointer_name
from pipeline.store.remote.transfer import forget, listed, pull, push


def quiet(line: str) -> None:
    pass


class Alone:
    """A store on one machine, without a bucket."""

    def __init__(self, root: Path, profile: str = "tiny") -> None:
        self.local = LocalBackend(root)
        self.store = Store(root, profile, backend=self.local).open()

    def ensure(self, key: str, text: str, *, words: int = 1, inputs: tuple[str, ...] = ()):
        parents = {name: self.store.current(name) for name in inputs}
        asked = {"code_version": "1", "identity": {"words": words}, "inputs": parents}
        return self.store.ensure(key, build=writes(text), **asked).artifact


@pytest.fixture
def bucket():
    return open_objects.__wrapped__("memory:///")


@pytest.fixture
def old(tmp_path) -> Alone:
    """A store that was there before anybody thought of a bucket."""
    made = Alone(tmp_path / "old")
    made.ensure("corpus/wiki", "text")
    made.ensure("tokens/wiki", "1 2 3", inputs=("corpus/wiki",))
    return made


def test_an_existing_store_is_sent_whole_and_once(old, objects, tmp_path):
    first = push(old.local, objects, say=quiet)
    assert (first.sent, first.there, first.pointers, first.left, first.faults) == (2, 0, 2, [], [])
    sent = objects.traffic.sent
    again = push(old.local, objects, say=quiet)
    assert (again.sent, again.there, again.pointers) == (0, 2, 0)
    assert objects.traffic.sent == sent
    laptop = Machine(tmp_path / "laptop", objects)
    assert laptop.ensure("tokens/wiki", never, inputs=("corpus/wiki",)).reused
    assert laptop.read("tokens/wiki") == "1 2 3"


def test_some_keys_alone_can_be_sent_and_fetched(old, bucket, tmp_path):
    assert push(old.local, bucket, ["corpus/*"], say=quiet).sent == 1
    push(old.local, bucket, say=quiet)
    laptop = Machine(tmp_path / "laptop", bucket)
    assert [item.key for item in pull(laptop.backend, "tiny", ["tokens/wiki"], say=quiet)] == ["tokens/wiki"]
    assert laptop.has(laptop.store.current("tokens/wiki"))
    assert not laptop.has(laptop.store.current("corpus/wiki"))


def test_what_was_pulled_is_used_without_the_bucket(old, bucket, tmp_path):
    push(old.local, bucket, say=quiet)
    pull(Machine(tmp_path / "laptop", bucket).backend, "tiny", say=quiet)
    alone = Alone(tmp_path / "laptop")
    assert alone.store.current("tokens/wiki").damage() is None
    assert (alone.store.current("corpus/wiki").path / "part" / "data.bin").read_text() == "text"


def test_the_pointer_of_a_later_build_stays(old, bucket, tmp_path):
    push(old.local, bucket, say=quiet)
    time.sleep(1.1)  # a manifest's time has whole seconds
    newer = Machine(tmp_path / "cluster", bucket).ensure("corpus/wiki", writes("newer"), words=2).artifact
    done = push(old.local, bucket, say=quiet)
    assert done.left == ["corpus/wiki of tiny"]
    assert bucket.read(pointer_name("corpus/wiki", "tiny")).decode().strip() == newer.fingerprint


def test_a_later_build_here_becomes_current_there(old, bucket):
    push(old.local, bucket, say=quiet)
    time.sleep(1.1)
    newer = old.ensure("corpus/wiki", "newer", words=2)
    assert push(old.local, bucket, say=quiet).pointers == 1
    assert bucket.read(pointer_name("corpus/wiki", "tiny")).decode().strip() == newer.fingerprint


def test_a_damaged_file_is_named_and_never_sent(old, bucket):
    corpus = old.store.current("corpus/wiki")
    (corpus.path / "part" / "data.bin").write_text("tixt")
    done = push(old.local, bucket, say=quiet)
    assert done.sent == 1
    (fault,) = done.faults
    assert f"the file {corpus.path / 'part' / 'data.bin'} is damaged" in fault
    assert bucket.read(manifest_name(corpus.key, corpus.fingerprint)) is None


def test_unequal_content_is_said_and_the_others_are_sent(old, bucket, tmp_path):
    Machine(tmp_path / "cluster", bucket).ensure("corpus/wiki", writes("other text"))
    done = push(old.local, bucket, say=quiet)
    assert done.sent == 1
    (fault,) = done.faults
    assert "was built twice, and the contents differ" in fault
    assert "part/data.bin" in fault


def test_a_line_that_fails_ends_sending_and_the_next_goes_on(old, s3, s3_address):
    fails = proxy(s3, lambda method, path, count: 500 if method == "PUT" and count >= 3 else None)
    with fails as endpoint, pytest.raises(BucketUnreachableError):
        push(old.local, behind(endpoint, s3_address, patience=0.5), say=quiet)
    done = push(old.local, behind(s3, s3_address), say=quiet)
    assert (done.sent + done.there, done.faults) == (2, [])


PUSH = """
import sys
from pathlib import Path
from pipeline.store.local import LocalBackend
from pipeline.store.remote.address import open_objects
from pipeline.store.remote.transfer import push
push(LocalBackend(Path(sys.argv[1])), open_objects(sys.argv[2]), say=lambda line: print(line, flush=True))
"""


def test_a_push_that_is_killed_goes_on_where_it_was(s3, s3_address, tmp_path):
    many = Alone(tmp_path / "old")
    for number in range(12):
        many.ensure(f"corpus/{number}", "x" * 200_000 + str(number))
    environment = os.environ | ENVIRONMENT | {"AWS_ENDPOINT_URL": s3}
    command = [sys.executable, "-c", PUSH, str(tmp_path / "old"), s3_address]
    for lines in (2, 5):
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
            for _ in range(lines):
                assert running.stdout.readline()
            running.send_signal(signal.SIGKILL)
    objects = behind(s3, s3_address)
    there = listed(objects, None)
    done = push(many.local, objects, say=quiet)
    assert done.there == len(there) >= 2
    assert done.sent == 12 - len(there)
    laptop = Machine(tmp_path / "laptop", objects)
    assert [laptop.read(f"corpus/{number}")[-2:].strip("x") for number in range(12)] == [str(n) for n in range(12)]


def test_a_bucket_is_listed_with_the_profiles_that_use_what(old, bucket):
    push(old.local, bucket, say=quiet)
    old.ensure("corpus/wiki", "newer", words=2)
    push(old.local, bucket, say=quiet)
    current = {manifest.key: (manifest.identity["words"], owners) for manifest, owners in listed(bucket, "tiny")}
    assert current == {"corpus/wiki": (2, ["tiny"]), "tokens/wiki": (1, ["tiny"])}
    every = [owners for manifest, owners in listed(bucket, None) if manifest.key == "corpus/wiki"]
    assert sorted(every) == [[], ["tiny"]]
    assert listed(bucket, "other") == []


def test_a_profile_is_forgotten_by_its_pointers(old, bucket):
    push(old.local, bucket, say=quiet)
    with pytest.raises(StoreError, match="--forget large: memory: has no such profile; there are: tiny"):
        forget(bucket, "large")
    assert forget(bucket, "tiny") == 2
    assert listed(bucket, "tiny") == []
