"""Two machines and a bucket: what one built the other has, when it asks for it, checked, and once."""

import json
import shutil
import threading
import time

import pytest
from buckets import behind, proxy
from machines import Machine, never, writes

from pipeline.base.errors import BucketError, BucketUnreachableError, NotReproducedError, StoreError
from pipeline.base.held import lock_of, write_stands_on
from pipeline.base.lock import exclusive
from pipeline.store import Built, Store
from pipeline.store.local import LocalBackend
from pipeline.store.remote.address import open_objects
from pipeline.store.remote.blobs import blob_name
from pipeline.store.remote.objects import Objects
from pipeline.store.remote.shared import SharedBackend, backend_of


@pytest.fixture
def bucket() -> Objects:
    return open_objects.__wrapped__("memory:///")


@pytest.fixture
def cluster(tmp_path, bucket) -> Machine:
    return Machine(tmp_path / "cluster", bucket)


@pytest.fixture
def laptop(tmp_path, bucket) -> Machine:
    return Machine(tmp_path / "laptop", bucket)


def test_a_laptop_reads_what_a_cluster_wrote(objects, tmp_path):
    made = Machine(tmp_path / "cluster", objects).ensure("corpus/wiki", writes("text")).artifact
    laptop = Machine(tmp_path / "laptop", objects)
    assert laptop.read("corpus/wiki") == "text"
    assert laptop.store.current("corpus/wiki").manifest == made.manifest
    assert laptop.ensure("corpus/wiki", never).reused


def test_only_what_is_read_is_fetched(cluster, laptop):
    cluster.ensure("corpus/wiki", writes("text"))
    cluster.ensure("tokens/wiki", writes("1 2 3"), inputs=("corpus/wiki",))
    corpus = laptop.ensure("corpus/wiki", never).artifact
    tokens = laptop.ensure("tokens/wiki", never, inputs=("corpus/wiki",)).artifact
    assert not laptop.has(corpus)
    assert not laptop.has(tokens)
    assert tokens.summary == {"characters": 5}
    assert laptop.read("tokens/wiki") == "1 2 3"
    assert laptop.has(tokens)
    assert not laptop.has(corpus)


def test_a_page_is_shown_from_small_files_of_its_kinds_alone(cluster, laptop, monkeypatch):
    monkeypatch.setattr("pipeline.store.remote.fetching.GLIMPSE_BYTES", 5)

    def build(out):
        for name, text in (("small.png", "small"), ("large.png", "larger"), ("shard.arrow", "rows")):
            (out / name).write_text(text)
        return Built("content")

    cluster.ensure("corpus/wiki", build)
    artifact = laptop.ensure("corpus/wiki", never).artifact
    assert [(file.name, file.read_text()) for file in artifact.glimpse.iterdir()] == [("small.png", "small")]
    assert not laptop.has(artifact)
    assert artifact.place == laptop.root / "corpus/wiki" / artifact.fingerprint


def test_a_new_profile_moves_no_pointer_of_another(cluster, tmp_path, bucket):
    first = cluster.ensure("corpus/wiki", writes("one")).artifact
    other = Machine(tmp_path / "other", bucket, profile="larger")
    second = other.ensure("corpus/wiki", writes("two"), words=2).artifact
    assert cluster.store.current("corpus/wiki").fingerprint == first.fingerprint
    assert other.store.current("corpus/wiki").fingerprint == second.fingerprint


def test_what_is_current_is_what_any_machine_made_last(cluster, laptop):
    cluster.ensure("corpus/wiki", writes("one"))
    second = laptop.ensure("corpus/wiki", writes("two"), words=2)
    assert second.reason == "rebuilt because: config.words: 1 -> 2"
    assert cluster.store.current("corpus/wiki").fingerprint == second.artifact.fingerprint


def test_two_machines_that_build_one_fingerprint_at_once_build_it_once(tmp_path, objects):
    built = []

    def slowly(out):
        built.append(out)
        time.sleep(0.5)
        return writes("text")(out)

    machines = [Machine(tmp_path / name, objects) for name in ("a", "b")]
    outcomes = {}
    threads = [
        threading.Thread(target=lambda item=item: outcomes.update({item.root: item.ensure("corpus/wiki", slowly)}))
        for item in machines
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(built) == 1
    assert sorted(outcome.reused for outcome in outcomes.values()) == [False, True]
    assert len({outcome.artifact.manifest.to_json() for outcome in outcomes.values()}) == 1


def apart(cluster: Machine, laptop: Machine, first, second) -> None:
    """Both build the same, the second while it cannot reach the bucket."""
    cluster.ensure("corpus/wiki", first)
    laptop.backend._away_until = float("inf")
    laptop.ensure("corpus/wiki", second)
    laptop.backend._away_until = 0.0


def test_of_two_builds_with_equal_content_the_first_is_everybodys(cluster, laptop):
    apart(cluster, laptop, writes("text", log="monday"), writes("text", log="tuesday"))
    assert laptop.ensure("corpus/wiki", never).reused
    again = Machine(laptop.root.with_name("third"), laptop.objects)
    assert (again.store.current("corpus/wiki").path / "build.log").read_text() == "monday"


def test_a_build_that_was_overtaken_takes_the_others_artifact_for_its_own(cluster, laptop, caplog):
    def overtaken(out):
        cluster_again = writes("text", log="first")
        cluster.backend._lease_seconds = 0.01
        cluster.ensure("corpus/wiki", cluster_again)
        return writes("text", log="second")(out)

    laptop.backend._lease_seconds = 30.0
    made = laptop.ensure("corpus/wiki", overtaken).artifact
    assert made.manifest.to_json() == cluster.store.current("corpus/wiki").manifest.to_json()
    assert (laptop.root / "corpus/wiki" / made.fingerprint / "build.log").read_text() == "first"
    assert "another machine was first with the same content" in caplog.text


def test_unequal_content_of_one_fingerprint_is_a_fault_with_files_and_surroundings(cluster, laptop):
    apart(cluster, laptop, writes("text", log="same"), writes("test", log="same"))
    with pytest.raises(NotReproducedError) as fault:
        laptop.ensure("corpus/wiki", never)
    said = str(fault.value)
    assert said.startswith("corpus/wiki ")
    assert "Differing: part/data.bin. In the bucket: content content " in said
    assert said.count("for tiny by run (no run), on ") == 2
    assert "this machine's now lies in" in said
    assert laptop.read("corpus/wiki") == "text", "the next look finds the bucket's"


def test_a_second_build_with_another_content_is_a_fault_at_its_commit(cluster, laptop):
    def overtaken(out):
        cluster.backend._lease_seconds = 0.01
        cluster.ensure("corpus/wiki", writes("text"))
        return writes("test")(out)

    laptop.backend._lease_seconds = 30.0
    with pytest.raises(NotReproducedError, match="was built twice, and the contents differ"):
        laptop.ensure("corpus/wiki", overtaken)
    assert laptop.ensure("corpus/wiki", never).reused
    assert laptop.read("corpus/wiki") == "text"


def test_a_store_from_before_the_bucket_is_shared_as_it_is_reused(tmp_path, bucket, laptop):
    local = Store(tmp_path / "old", "tiny", backend=LocalBackend(tmp_path / "old")).open()
    local.ensure("corpus/wiki", code_version="1", identity={"words": 1}, inputs={}, build=writes("text"))
    Machine(tmp_path / "old", bucket).ensure("corpus/wiki", never)
    assert laptop.read("corpus/wiki") == "text"


def test_a_missing_blob_is_named_and_the_artifact_is_built_anew(cluster, laptop, bucket):
    made = cluster.ensure("corpus/wiki", writes("text")).artifact
    bucket.delete(blob_name(made.manifest.files["part/data.bin"].sha256))
    artifact = laptop.ensure("corpus/wiki", never).artifact
    with pytest.raises(StoreError, match=r"cannot be fetched: a blob of it is missing \(part/data.bin\)"):
        _ = artifact.path
    assert not laptop.ensure("corpus/wiki", writes("text")).reused
    assert laptop.read("corpus/wiki") == "text"


def test_a_damaged_blob_is_named_and_the_machine_that_has_it_puts_it_again(cluster, laptop, bucket):
    made = cluster.ensure("corpus/wiki", writes("text")).artifact
    name = blob_name(made.manifest.files["part/data.bin"].sha256)
    bucket.write(name, b"tixt")
    artifact = laptop.ensure("corpus/wiki", never).artifact
    with pytest.raises(StoreError, match=f"{name}: this blob is damaged"):
        _ = artifact.path
    Machine(cluster.root, bucket).ensure("corpus/wiki", never)
    assert laptop.read("corpus/wiki") == "text"


def test_what_is_damaged_here_is_fetched_again_and_not_built(cluster, caplog):
    made = cluster.ensure("corpus/wiki", writes("text")).artifact
    (made.path / "part" / "data.bin").write_text("cut")
    assert cluster.ensure("corpus/wiki", never).reused
    assert cluster.read("corpus/wiki") == "text"
    assert "is damaged here and is fetched again" in caplog.text


def test_a_fetch_that_was_stopped_goes_on_from_the_files_that_arrived(cluster, laptop, bucket):
    made = cluster.ensure("corpus/wiki", writes("text", log="log")).artifact
    record = made.manifest.files["part/data.bin"]
    left = laptop.root / "corpus/wiki" / f".fetching-{made.fingerprint}"
    (left / "part").mkdir(parents=True)
    (left / "part" / "data.bin").write_text("text")
    (left / "build.log").write_text("la")
    received = bucket.traffic.received
    assert laptop.read("corpus/wiki") == "text"
    assert bucket.traffic.received - received < record.bytes + 3 + 2_000, "a manifest, a pointer and the other file"
    assert not left.exists()
    assert (laptop.store.current("corpus/wiki").path / "build.log").read_text() == "log"


class Cut(Objects):
    """A bucket whose line can be cut."""

    cut = False

    def asking(self, kind, name):
        if self.cut:
            raise BucketUnreachableError("the bucket cannot be reached")
        return super().asking(kind, name)


@pytest.fixture
def cut(bucket) -> Cut:
    return Cut(bucket.store, bucket.address)


def test_a_line_that_fails_after_a_commit_loses_nothing(tmp_path, cut, bucket, caplog):
    machine = Machine(tmp_path / "a", cut)

    def build(out):
        cut.cut = True
        return writes("text")(out)

    made = machine.ensure("corpus/wiki", build).artifact
    assert "the bucket cannot be reached. This goes on with what is in" in caplog.text
    assert "`squeeze push` sends it" in caplog.text
    assert machine.has(made)
    assert machine.ensure("tokens/wiki", writes("1 2 3"), inputs=("corpus/wiki",)).artifact
    assert bucket.read(f"manifests/corpus/wiki/{made.fingerprint}.json") is None
    cut.cut = False
    again = Machine(tmp_path / "a", bucket)
    assert again.ensure("corpus/wiki", never).reused
    assert bucket.read(f"manifests/corpus/wiki/{made.fingerprint}.json"), "reuse shares it, once the line is back"


def test_a_bucket_that_cannot_be_reached_at_the_start_ends_the_run_with_a_sentence(tmp_path, cut):
    cut.cut = True
    with pytest.raises(BucketUnreachableError, match=r"without SQUEEZE_STORE, what is in .* is used alone"):
        Machine(tmp_path / "a", cut)


def test_pointers_of_two_machines_end_with_one_of_them(cluster, laptop):
    def both(machine: Machine, words: int) -> None:
        machine.ensure("corpus/wiki", writes(f"text {words}"), words=words)

    threads = [threading.Thread(target=both, args=(item, number)) for number, item in enumerate((cluster, laptop))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert cluster.store.pointed_at("corpus/wiki", "tiny") == laptop.store.pointed_at("corpus/wiki", "tiny")


def test_a_run_and_a_build_are_known_to_the_bucket_while_they_last(cluster, bucket):
    store = cluster.store.for_run("run-1")
    store.ensure("corpus/wiki", code_version="1", identity={}, inputs={}, build=writes("text"))
    (entry,) = bucket.entries("runs")
    assert json.loads(bucket.read(entry.name))["artifacts"] == {"corpus/wiki": store.current("corpus/wiki").fingerprint}
    assert not json.loads(bucket.read("leases/.runs/run-1"))["free"]
    store.footing.end()
    assert list(bucket.entries("runs")) == []
    assert json.loads(bucket.read("leases/.runs/run-1"))["free"]


def test_a_server_that_fails_now_and_then_is_nobodys_concern(s3, s3_address, tmp_path):
    def trouble(method, path, count):
        return {0: 500, 3: "lose", 5: 503, 8: "lose"}.get(count)

    with proxy(s3, trouble) as endpoint:
        Machine(tmp_path / "a", behind(endpoint, s3_address)).ensure("corpus/wiki", writes("text"))
        laptop = Machine(tmp_path / "b", behind(endpoint, s3_address))
        assert laptop.ensure("corpus/wiki", never).reused
        assert laptop.read("corpus/wiki") == "text"


def test_a_server_that_ignores_conditions_is_refused(bucket, tmp_path, monkeypatch):
    put = Objects._put
    monkeypatch.setattr(Objects, "_put", lambda self, name, data, mode: put(self, name, data, "overwrite"))
    with pytest.raises(BucketError, match="memory:: this server does not keep to conditional writes"):
        Machine(tmp_path / "a", bucket)
    assert json.loads(bucket.read("store.json"))["format"] == 1


def test_a_store_of_a_newer_version_is_refused(bucket, tmp_path):
    bucket.write("store.json", b'{"format": 99}')
    with pytest.raises(StoreError, match="written by a newer version of squeeze"):
        Machine(tmp_path / "a", bucket)


def test_the_environment_says_whether_there_is_a_bucket(tmp_path, monkeypatch):
    monkeypatch.delenv("SQUEEZE_STORE", raising=False)
    assert type(backend_of(tmp_path)) is LocalBackend
    monkeypatch.setenv("SQUEEZE_STORE", (tmp_path / "bucket").as_uri())
    shared = backend_of(tmp_path / "home")
    assert isinstance(shared, SharedBackend)
    assert backend_of(tmp_path / "home") is shared, "what a process knows of a bucket it knows once"
    monkeypatch.setenv("SQUEEZE_HOME_LIMIT", "much")
    with pytest.raises(StoreError, match="SQUEEZE_HOME_LIMIT=much: is no number of bytes; such as 200GB"):
        backend_of(tmp_path / "home")


def test_a_missing_bucket_ends_the_run_with_a_sentence(s3, tmp_path):
    with pytest.raises(BucketError, match="there is no such bucket; make it"):
        Machine(tmp_path / "a", behind(s3, "s3://no-such-bucket/store"))


def test_a_full_local_store_makes_room_for_what_comes_and_keeps_what_is_in_use(cluster, tmp_path, bucket):
    for number in range(4):
        cluster.ensure(f"corpus/{number}", writes("x" * 1000))
    small = Machine(tmp_path / "small", bucket, limit=2_500)
    artifacts = [small.store.current(f"corpus/{number}") for number in range(4)]
    assert all((item.path / "part" / "data.bin").exists() for item in artifacts), "all are in use by this process"
    after = Machine(tmp_path / "small", bucket, limit=2_500)  # the first one's uses end with its process
    shutil.rmtree(tmp_path / "small" / ".uses")
    time.sleep(0.01)
    assert after.read("corpus/3")
    kept = after.ensure("corpus/new", writes("y" * 1000)).artifact
    assert after.has(kept)
    assert after.has(artifacts[3]), "it is in use"
    assert [after.has(item) for item in artifacts[:3]] == [False, False, False]
    assert after.read("corpus/0") == "x" * 1000, "it comes back when it is asked for"


def test_what_a_trainer_reads_that_has_outlived_its_run_is_never_cleared_away(tmp_path, bucket):
    machine = Machine(tmp_path / "a", bucket, limit=100)
    shards = machine.ensure("shards/epoch_001", writes("x" * 1000)).artifact
    workspace = machine.backend.workspace("model", "e" * 32)
    write_stands_on(workspace, {shards.key: shards.fingerprint})
    shutil.rmtree(tmp_path / "a" / ".uses")
    with exclusive(lock_of(workspace), "training"):
        machine.backend._make_room()
        assert machine.has(shards)
    machine.backend._make_room()
    assert not machine.has(shards)


def test_what_the_bucket_has_not_is_never_cleared_away(tmp_path, cut, caplog):
    machine = Machine(tmp_path / "a", cut, limit=100)
    cut.cut = True
    made = machine.ensure("corpus/wiki", writes("x" * 1000)).artifact
    shutil.rmtree(tmp_path / "a" / ".uses")
    cut.cut = False
    again = Machine(tmp_path / "a", cut, limit=100)
    again.backend._make_room()
    assert again.has(made)
    assert "in use, or not in the bucket yet (`squeeze push`)" in caplog.text
