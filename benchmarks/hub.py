"""Reading hub data sets from the imitated hub (tests/hub): speed by processes, kills, and memory for books.

    python benchmarks/hub.py speed FOLDER [--megabytes 2000] [--rate 50] [--processes 1 2]
    python benchmarks/hub.py kills FOLDER [--megabytes 2000] [--rate 50] [--kills 20]
    python benchmarks/hub.py memory FOLDER [--groups 2] [--codec snappy]

`speed`: one Parquet file, its row groups fetched and decoded by so many processes that are there already; `--rate` is
what a connection gives, in MB/s, so that the network is the bound and not this machine's cores. `kills`: a process that
fetches the file is killed at random moments of it, begun again, and the servers' notes are looked through for a row
group that was fetched again after it was kept, and the cache for one that is missing or differs. `memory`: the largest
resident set of a process that reads row groups of a thousand books of 380 kB, each group one page.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.hub.repository import COMMIT  # noqa: E402
from tests.hub.server import Hub  # noqa: E402

FILE = "data/train-00000-of-00001.parquet"
ID = "some/books"
LETTERS = np.frombuffer(b"etaoinshrdlu    ", dtype=np.uint8)


def main() -> None:
    """Run the part that was asked for and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["speed", "kills", "memory", "child"])
    parser.add_argument("folder", type=Path, help="for the made file, which stays there, and the cache")
    parser.add_argument("--megabytes", type=int, default=2000, help="text in the file")
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--groups", type=int, default=2)
    parser.add_argument("--codec", default="snappy")
    parser.add_argument("--unit-bytes", type=int, default=64 << 20, help="text in a unit, for files that are small")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "child":
        child(options.cache, options.processes[0], options.unit_bytes)
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    with Hub(options.folder) as hub:
        {"speed": speed, "kills": kills, "memory": memory}[options.part](hub, options)


def made(hub: Hub, folder: Path, groups: int, rows: int, size: int, codec: str) -> Path:
    """A data set of one file with row groups of so many texts of so many bytes, on the hub."""
    path = folder / f"{groups}x{rows}x{size}-{codec}.parquet"
    if not path.exists():
        schema = pa.schema({"text": pa.string(), "url": pa.string()})
        with pq.ParquetWriter(path, schema, compression=codec) as writer:
            for group in range(groups):
                letters = np.random.default_rng(group).choice(LETTERS, size=size * 2).tobytes().decode()
                starts = random.Random(group).sample(range(size), rows)
                texts = [f"{group} {row} {letters[start : start + size]}" for row, start in enumerate(starts)]
                writer.write_table(pa.table({"text": texts, "url": [f"u{r}" for r in range(rows)]}), rows)
    hub.add(ID, {FILE: path})
    return path


def started(hub: Hub, options: argparse.Namespace, cache: Path, processes: int) -> subprocess.Popen[str]:
    folder, unit = options.folder, str(options.unit_bytes)
    command = [sys.executable, __file__, "child", str(folder), "--cache", str(cache), "--unit-bytes", unit]
    command += ["--processes", str(processes)]
    environment = os.environ | hub.environment(folder / "hf") | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def child(cache: Path, processes: int, unit_bytes: int) -> None:
    """Fetch and decode everything, in so many processes; prints what it took."""
    from benchmarks.hub import read, ready  # as workers import them, who know nothing of the program
    from pipeline.base.executor import Processes
    from pipeline.curation.sources import unit_listing
    from pipeline.curation.sources.settings import Source

    unit_listing._HUB_UNIT_BYTES = min(64 << 20, unit_bytes)  # type: ignore[misc]
    source = Source.model_validate({"hub": {"id": ID, "revision": COMMIT}, "lang": "en"})
    units = unit_listing.list_units([source], cache).units
    with Processes(processes) as executor:
        there: set[int] = set()
        if processes == 1:
            ready()
        else:
            while len(there) < processes:
                there |= set(executor.map(ready, [() for _ in range(4 * processes)]))
        print("ready", flush=True)
        begun = time.monotonic()
        text = sum(executor.map(read, [(unit,) for unit in units], ordered=False))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures = {"seconds": time.monotonic() - begun, "text": text, "units": len(units), "peak": usage.ru_maxrss * 1024}
    print(json.dumps(figures), flush=True)


def ready() -> int:
    """Have this process import what reading takes; its number."""
    from huggingface_hub.utils import get_session

    import pipeline.curation.sources.unit_reading  # noqa: F401

    get_session()
    time.sleep(0.2)
    return os.getpid()


def read(unit: object) -> int:
    """Bytes of text in a unit."""
    tables: Iterator[tuple[int, pa.Table]] = unit.hub.tables(unit.source, unit.first, unit.last)  # type: ignore[attr-defined]
    return sum(table.column("text").nbytes for _, table in tables)


def speed(hub: Hub, options: argparse.Namespace) -> None:
    made(hub, options.folder, options.megabytes // 4, 1000, 4000, options.codec)
    hub.state.bytes_per_second = options.rate * 1e6
    alone = None
    for count in options.processes:
        cache = options.folder / f"cache-{time.time_ns()}"
        figures = json.loads(started(hub, options, cache, count).communicate()[0].splitlines()[-1])
        rate = figures["text"] / figures["seconds"] / 1e6
        alone = alone or rate
        took = f"{figures['seconds']:.1f} s, {rate:.1f} MB/s of text"
        print(f"{count} processes: {figures['units']} units in {took}, {rate / alone:.2f} times as fast", flush=True)


def kills(hub: Hub, options: argparse.Namespace) -> None:
    path = made(hub, options.folder, options.megabytes // 4, 1000, 4000, options.codec)
    hub.state.bytes_per_second = options.rate * 1e6
    seconds = path.stat().st_size / hub.state.bytes_per_second
    cache, chance = options.folder / f"cache-{time.time_ns()}", random.Random(1)
    kept: dict[str, float] = {}
    for _ in range(options.kills):
        process = started(hub, options, cache, 1)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0, 2 * seconds / options.kills))
        process.kill()
        process.wait()
        at = time.monotonic()
        for place in cache.rglob("*.range"):
            kept.setdefault(place.stem, at)
    hub.state.bytes_per_second = None
    before = len(kept)
    figures = json.loads(started(hub, options, cache, 1).communicate()[0].splitlines()[-1])
    twice = 0
    asked = [request for request in hub.ranges(FILE) if request.range is not None]
    for name, at in kept.items():
        first, stop = map(int, name.split("-"))
        for request in asked:
            start, end = request.range or (0, 0)
            twice += request.at > at and start <= first and stop <= end
    data = path.read_bytes()
    ranges = list(cache.rglob("*.range"))
    wrong = sum(place.read_bytes() != data[slice(*map(int, place.stem.split("-")))] for place in ranges)
    groups = pq.read_metadata(path).num_row_groups
    lost = max(0, groups + 1 - len(ranges))  # the footer is one range, or two where it is long
    sent = sum(request.sent for request in asked) / len(data)
    print(
        f"{options.kills} kills of a process that fetches {groups} row groups ({len(data) / 1e6:.0f} MB): {before} "
        f"ranges were kept when the last one came; {twice} of them fetched again, {lost} lost, "
        f"{wrong} differ; {sent:.3f} of the file's bytes were sent in all, {figures['text'] / 1e6:.0f} MB of text read",
        flush=True,
    )


def memory(hub: Hub, options: argparse.Namespace) -> None:
    path = made(hub, options.folder, options.groups, 1000, 380_000, options.codec)
    cache = options.folder / f"cache-{time.time_ns()}"
    figures = json.loads(started(hub, options, cache, 1).communicate()[0].splitlines()[-1])
    page = pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size
    print(
        f"{options.groups} row groups of 1,000 books, {page / 1e6:.0f} MB of text each, {options.codec}: "
        f"{figures['seconds']:.0f} s, largest resident set {figures['peak'] / 1e6:.0f} MB",
        flush=True,
    )


if __name__ == "__main__":
    main()
