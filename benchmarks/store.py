"""How the commands about a store, and a run that builds nothing, grow with what is in it.

    python benchmarks/store.py [--artifacts 1000 5000 20000] [--shards 5000] [--times 5]

A tiny project (that of the tests) is built once: its store, of some thirty artifacts, is the small one. To a copy of it
are added chains of five artifacts (documents, tokens, shards, model, scores) of 200 other profiles, among whose files
are the shards. Each command is run on the small store and on the large one in turns. Seconds are of CPU, of whole
processes with their start, medians; `first` is the first look after the artifacts came, which reads each manifest once.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.store import Store
from pipeline.store.backend import MANIFEST
from pipeline.store.local import CLOCK_NS
from pipeline.store.manifest import FileRecord, Input, Manifest, Provenance
from pipeline.store.store import LINEAGE

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "end_to_end"))
from tiny_project import Project

CHAIN = ("documents/web", "tokens/web", "shards/epoch_001", "model", "eval/text")
PROFILES = 200
COMMANDS = {
    "squeeze ls": ("squeeze", "ls"),
    "squeeze verify --quick": ("squeeze", "verify", "--quick"),
    "squeeze gc, nothing removed": ("squeeze", "gc"),
    "full_train, all reused": ("dagster", "job", "execute", "-j", "full_train"),
}


def grow(root: Path, have: int, wanted: int, shards: int) -> None:
    """Add whole chains until there are as many artifacts as wanted; `shards` files lie in those of shards."""
    made = wanted // len(CHAIN)
    for family in range(have // len(CHAIN), made):
        before: Manifest | None = None
        for key in CHAIN:
            files = shards * (family + 1) // made - shards * family // made if key.startswith("shards") else 1
            before = put(root, key, family, before, files)
            (root / key / f"CURRENT.p{family % PROFILES}").write_text(before.fingerprint + "\n")


def put(root: Path, key: str, family: int, before: Manifest | None, files: int) -> Manifest:
    """An artifact in its place, as a build leaves it, without waiting for the disk."""
    fingerprint = hashlib.sha256(f"{key} {family}".encode()).hexdigest()[:32]
    inputs = {before.key: Input(before.key, before.fingerprint, before.content_hash)} if before else {}
    data = f"{key} {family}".encode() * 20
    texts = {f"data_{number:05d}.bin": data for number in range(files)} | ({LINEAGE: b"{}"} if before else {})
    manifest = Manifest(
        key=key,
        fingerprint=fingerprint,
        code_version="1",
        identity={"family": family, "settings": {f"setting_{number}": number for number in range(40)}},
        inputs=inputs,
        content_hash=fingerprint,
        files={name: FileRecord(len(text), hashlib.sha256(text).hexdigest()) for name, text in texts.items()},
        summary={"losses": [1.0] * 50},
        built=Provenance("2026-01-01T00:00:00+00:00", 1.0, f"p{family % PROFILES}", None, "first build", None, {}, {}),
    )
    folder = root / key / fingerprint
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / name).write_bytes(text)
    (folder / MANIFEST).write_text(manifest.to_json())
    return manifest


def seconds(project: Project, root: Path, words: Sequence[str]) -> float:
    """CPU seconds of a command about a store, with all the processes that it started and waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [str(Path(sys.executable).parent / words[0]), *words[1:]],
        cwd=project.folder,
        env=project.environment(SQUEEZE_HOME=str(root)),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if "Traceback" in done.stderr:
        raise SystemExit(done.stderr)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(project: Project, small: Path, large: Path, times: int) -> None:
    """Print each command's medians on both stores."""
    had, has = (sum(1 for _ in Store(root, "tiny").backend.manifests()) for root in (small, large))
    print(f"{'':<28} {had:>9,} {has:>9,} artifacts  {'ratio':>5}  first")
    for name, words in COMMANDS.items():
        first = seconds(project, large, words)
        pairs = [(seconds(project, small, words), seconds(project, large, words)) for _ in range(times)]
        before, after = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"{name:<28} {before:7.2f} s {after:7.2f} s            {after / before:5.2f}  {first:.2f} s", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=int, nargs="+", default=[1000, 5000, 20_000])
    parser.add_argument("--shards", type=int, default=5000, help="files in the shards among them, at the largest size")
    parser.add_argument("--times", type=int, default=5, help="runs of each command on each store, after a first one")
    asked = parser.parse_args(arguments)
    largest = max(asked.artifacts)
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        project.full_train()
        small, large = project.folder / ".squeeze", project.folder / "large"
        shutil.copytree(small, large)
        have = 0
        for size in sorted(asked.artifacts):
            grow(large, have, size, asked.shards * size // largest)
            have = size
            time.sleep(2 * CLOCK_NS / 1e9)
            measure(project, small, large, asked.times)


if __name__ == "__main__":
    main()
