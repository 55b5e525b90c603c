"""What a bucket behind the store costs: requests and bytes for each stage, against what the stage reads and makes.

    python benchmarks/bucket.py [--home FOLDER] [--profile NAME] [--blob-mb 256]

For every artifact that is current in a store (by default that of the tests' tiny project, built for it), two machines
with empty folders ask a bucket in memory: one that reuses the artifact, and one that builds it, from inputs that it has
to fetch (its function is replaced by copying what it made, so that only the bucket costs). Requests are counted where
they are made; a bucket's latency is theirs times its own. Then the constants that a plan is made of: CPU and memory for
a blob that is put and fetched, and for a manifest of many files.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.store import Artifact, Built, Store
from pipeline.store.local import LocalBackend
from pipeline.store.manifest import FileRecord, Manifest
from pipeline.store.remote.address import open_objects
from pipeline.store.remote.blobs import fetch_blob, put_blob
from pipeline.store.remote.objects import Objects, Traffic
from pipeline.store.remote.publishing import publish
from pipeline.store.remote.shared import SharedBackend

KINDS = ("get", "head", "put", "list", "copy", "delete")


@dataclass
class Cost:
    """What one machine asked of the bucket."""

    requests: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    received: int = 0

    def words(self) -> str:
        return " ".join(f"{kind} {self.requests[kind]}" for kind in KINDS if self.requests.get(kind))


def machine(root: Path, objects: Objects) -> Store:
    return Store(root, "bench", backend=SharedBackend(root, objects)).open()


def bucket() -> Objects:
    return open_objects.__wrapped__("memory:///")


def cost_of(objects: Objects, work: Callable[[], object]) -> Cost:
    """What the bucket was asked for by `work`."""
    objects.traffic = Traffic({})
    work()
    return Cost(objects.traffic.requests, objects.traffic.sent, objects.traffic.received)


def ensure(store: Store, artifact: Artifact, build: Callable[[Path], Built]) -> Artifact:
    """Ask for an artifact as its asset does, with its own inputs."""
    made = artifact.manifest
    inputs = {label: store.get(item.key, item.fingerprint) for label, item in made.inputs.items()}
    return store.ensure(
        made.key,
        code_version=made.code_version,
        identity=made.identity,
        inputs={label: item for label, item in inputs.items() if item is not None},
        slices={label: item.content_hash for label, item in made.inputs.items()},
        build=build,
    ).artifact


def never(out: Path) -> Built:
    raise AssertionError("this was to be reused")


def measure(local: Store, artifact: Artifact, scratch: Path) -> tuple[int, Cost, Cost]:
    """Bytes of the inputs of a stage, and what building and reusing it on an empty machine ask of the bucket."""
    objects = bucket()
    parents = [item for item in local.ancestry(artifact).values() if item.fingerprint != artifact.fingerprint]
    for parent in parents:
        publish(objects, parent.manifest, parent.path)
    inputs = {item.fingerprint for item in artifact.manifest.inputs.values()}
    builder = machine(scratch / "builder", objects)

    def build(out: Path) -> Built:
        for parent in parents:
            if parent.fingerprint in inputs:
                assert builder.get(parent.key, parent.fingerprint).path.is_dir()  # type: ignore[union-attr]
        for name in artifact.manifest.files:
            if name != "lineage.json":
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(artifact.path / name, out / name)
        return Built(artifact.content_hash, artifact.summary)

    built = cost_of(objects, lambda: ensure(builder, artifact, build))
    reader = machine(scratch / "reader", objects)
    reused = cost_of(objects, lambda: ensure(reader, artifact, never))
    shutil.rmtree(scratch)
    return sum(parent.manifest.size for parent in parents if parent.fingerprint in inputs), built, reused


def stages(home: Path, profile: str) -> None:
    local = Store(home, profile, backend=LocalBackend(home))
    current = [item for _, _, item in local.pointers(profile) if item is not None]
    current.sort(key=lambda item: item.manifest.built.at)
    print("| stage | files | reads MB | fetched MB | makes MB | sent MB | requests to build | requests to reuse |")
    print("|---|---:|---:|---:|---:|---:|---|---|")
    total = [0, 0, 0, 0]
    with tempfile.TemporaryDirectory() as scratch:
        for item in current:
            read, built, reused = measure(local, item, Path(scratch) / "machines")
            sizes = (read, built.received, item.manifest.size, built.sent)
            total = [one + more for one, more in zip(total, sizes, strict=True)]
            cells = " | ".join(f"{size / 1e6:.3f}" for size in sizes)
            print(f"| {item.key} | {len(item.manifest.files)} | {cells} | {built.words()} | {reused.words()} |")
    print(f"| all | | {' | '.join(f'{size / 1e6:.3f}' for size in total)} | | |")


@contextmanager
def timed(what: str, bytes_: int) -> Iterator[None]:
    before, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - before, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what}: {bytes_ / 1e6:.0f} MB, {wall:.2f} s, {cpu / bytes_ * 1e9:.2f} CPU s/GB, peak {peak:.0f} MiB")


def constants(blob_mb: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        objects = open_objects.__wrapped__((folder / "bucket").as_uri())
        file, count = folder / "blob", blob_mb << 20
        file.write_bytes(os.urandom(1 << 20) * blob_mb)
        with timed("put a blob, hashed", count):
            digest = put_blob(objects, file)
        with timed("fetch a blob, hashed", count):
            fetch_blob(objects, digest, count, folder / "copy")
    with tempfile.TemporaryDirectory() as home:
        store = Store(Path(home), "bench", backend=LocalBackend(Path(home)))
        manifest = store.ensure(
            "x", code_version="1", identity={}, inputs={}, build=lambda out: Built("x")
        ).artifact.manifest
    record = FileRecord(128_000_000, "0" * 64, "0" * 32)
    files = 20_000
    text = replace(manifest, files={f"stage_0/shard_{number:05d}.arrow": record for number in range(files)}).to_json()
    tracemalloc.start()
    before, cpu = tracemalloc.get_traced_memory()[0], time.process_time()
    kept = Manifest.parse(text, "a manifest of many files")
    held = (tracemalloc.get_traced_memory()[0] - before) / len(kept.files)
    print(
        f"a manifest: {len(text) / files:.0f} bytes and {held:.0f} bytes of memory a file, "
        f"{(time.process_time() - cpu) / files * 1e6:.1f} us a file to read"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="a store; the tests' tiny project is built where none is named")
    parser.add_argument("--profile", default="tiny", help="whose current artifacts are the stages")
    parser.add_argument("--blob-mb", type=int, default=256)
    asked = parser.parse_args()
    if asked.home is not None:
        stages(asked.home, asked.profile)
    else:
        import sys

        sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "end_to_end"))
        from tiny_project import Project

        with tempfile.TemporaryDirectory() as folder:
            Project(Path(folder)).full_train()
            stages(Path(folder) / ".squeeze", "tiny")
    constants(asked.blob_mb)


if __name__ == "__main__":
    main()
