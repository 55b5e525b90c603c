"""From the command to the first training step: `dagster job execute -j full_train` of the sample, in a new home.

    python -m benchmarks.first_step --archives .squeeze/.cache               # this checkout
    python -m benchmarks.first_step --archives .squeeze/.cache --beside OLD  # and another one, in turns
    python -m benchmarks.first_step --archives .squeeze/.cache --beside OLD --profile OLD/pipeline/profiles/sample.yaml

The package archives are in the cache, so that no network is timed. Every run begins with an empty store, caches of
processors and compiled files as they are, and is ended when the trainer says that it begins. Seconds are the wall
clock's and those of the processor, of every process of the run together, which do not mind what else the machine does;
the table says what each asset took of both, in the order in which they were built.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent.parent
LOOK_EVERY: Final = 0.2
HEADLINE: Final = re.compile(r"[\d,]+ steps of [\d,]+ tokens, \d+ rank")
"""What the trainer says before its first step."""
TICKS: Final = os.sysconf("SC_CLK_TCK")
LONGEST: Final = 900.0


@dataclass
class Run:
    """One run up to its first step."""

    wall: float = 0.0
    processor: float = 0.0
    assets: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Wall and processor seconds by the asset that was finished at their end."""


def descendants(pid: int) -> dict[int, list[str]]:
    """Of a process and all that it started, by number: the fields of /proc/<pid>/stat after the name."""
    stats: dict[int, list[str]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                stats[int(folder.name)] = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # ended meanwhile
                continue
    family = {pid}
    for number in sorted(stats):  # parents come before their children, but for numbers that began anew
        if int(stats[number][1]) in family:
            family.add(number)
    return {number: stats[number] for number in family & stats.keys()}


def processor_seconds(pid: int) -> float:
    """Of a process, all that it started and all that has ended of them."""
    return sum(sum(map(int, fields[11:15])) for fields in descendants(pid).values()) / TICKS


def end(process: subprocess.Popen[bytes]) -> None:
    """End a run with all that it started: ranks and workers have sessions of their own, so one signal misses them."""
    family: set[int] = set()
    while new := descendants(process.pid).keys() - family:  # stopped first, so that nothing is started meanwhile
        _signal(new, signal.SIGSTOP)
        family |= new
    _signal(family, signal.SIGKILL)
    process.wait()
    while any(map(_runs, family)):
        time.sleep(LOOK_EVERY)


def _signal(numbers: set[int], what: signal.Signals) -> None:
    for number in numbers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, what)


def _runs(number: int) -> bool:
    try:
        return (Path("/proc") / str(number) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def first_step(checkout: Path, archives: Path, profile: str = "sample") -> Run:
    """Run a profile of a checkout until its trainer has taken a step."""
    with tempfile.TemporaryDirectory(prefix="squeeze-first-step-") as folder:
        home, dagster = Path(folder) / "home", Path(folder) / "dagster"
        (home / ".cache").mkdir(parents=True)
        dagster.mkdir()
        shutil.copy(checkout / "dagster.yaml", dagster)
        for archive in archives.glob("*.whl"):
            (home / ".cache" / archive.name).symlink_to(archive.resolve())
        surroundings = {
            **os.environ,
            "SQUEEZE_HOME": str(home),
            "DAGSTER_HOME": str(dagster),
            "PYTHONPATH": str(checkout),
            "SQUEEZE_PROFILE": profile,
            "SQUEEZE_LOG_LEVEL": "DEBUG",
        }
        command = [sys.executable, "-m", "dagster", "job", "execute", "-m", "pipeline.definitions", "-j", "full_train"]
        log = (Path(folder) / "log").open("w+")
        began = time.monotonic()
        process = subprocess.Popen(
            command, cwd=folder, env=surroundings, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            return _watched(process, home, began, Path(folder) / "log")
        finally:
            end(process)
            log.close()


def _watched(process: subprocess.Popen[bytes], home: Path, began: float, log: Path) -> Run:
    run, before = Run(), (0.0, 0.0)
    seen: set[str] = set()
    while True:
        now = (time.monotonic() - began, processor_seconds(process.pid))
        for manifest in home.glob("*/**/manifest.json"):
            name = "/".join(manifest.relative_to(home).parts[:-2])
            if name not in seen:
                seen.add(name)
                run.assets[name] = (now[0] - before[0], now[1] - before[1])
                before = now
        if HEADLINE.search(log.read_text(errors="replace")):
            run.assets["model, to its first step"] = (now[0] - before[0], now[1] - before[1])
            run.wall, run.processor = now
            return run
        if process.poll() is not None or now[0] > LONGEST:
            sys.exit(f"the run ended before its first step, or took too long:\n{log.read_text()[-3000:]}")
        time.sleep(LOOK_EVERY)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archives", type=Path, required=True, help="folder of the sample's package archives")
    parser.add_argument("--beside", type=Path, help="another checkout, which takes turns with this one")
    parser.add_argument("--profile", type=Path, help="a profile's file that both run, in place of their sample")
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # what was started is ended on the way out
    profile = str(options.profile.resolve()) if options.profile else "sample"
    checkouts = {"this": HERE} | ({"other": options.beside.resolve()} if options.beside else {})
    runs: dict[str, list[Run]] = {name: [] for name in checkouts}
    for _ in range(options.repeat):
        for name, checkout in checkouts.items():
            runs[name].append(first_step(checkout, options.archives, profile))
            last = runs[name][-1]
            print(f"{name}: {last.wall:.1f} s, {last.processor:.1f} s of the processor", flush=True)
    for name, taken in runs.items():
        print(f"\n{name}")
        for asset, (wall, processor) in min(taken, key=lambda run: run.processor).assets.items():
            print(f"  {wall:6.1f} s {processor:6.1f} s  {asset}")
    if options.beside:
        for number, what in enumerate(("wall clock", "processor")):
            pairs = [
                ((mine.wall, mine.processor)[number], (other.wall, other.processor)[number])
                for mine, other in zip(runs["this"], runs["other"], strict=True)
            ]
            print(f"{what}: {statistics.median(mine / other for mine, other in pairs):.2f} of the other's")


if __name__ == "__main__":
    main()
