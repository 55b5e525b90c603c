"""`squeeze doctor`: the machine, the versions, the disk and the store's health, and what to do about each thing found.

In: a profile's name. Out: facts, and findings with the command that puts each right. It looks at names and sizes, never
at contents, so that it ends in seconds on a large store; what hashing found last is kept in the store by `verified`.
Torch is asked in a process of its own with a time limit: a driver that hangs shall not hang this.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import SqueezeError, StoreError
from pipeline.base.files import write_json
from pipeline.base.memory import available_memory
from pipeline.base.numbers import age, counted, size
from pipeline.preflight.finding import Finding
from pipeline.store import Store
from pipeline.store.provenance import libraries
from pipeline.store.running import marks
from trainer.process.allocator import HUGE_PAGES, huge_page_mode
from trainer.process.cores import core_count
from trainer.process.processor import processor_name
from trainer.records import read_record

VERIFIED: Final = "verified.json"
TORCH_SECONDS: Final = 30.0
LEAST_FREE: Final = 2 << 30
"""Bytes below which a disk is soon full: the sample takes about a gigabyte."""
_ASK_TORCH: Final = """
import json, torch
gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
mps = torch.backends.mps.is_available()
print(json.dumps({"gpus": gpus, "mps": mps, "bf16": bool(gpus) and torch.cuda.is_bf16_supported()}))
"""


@dataclass(frozen=True)
class Verified:
    """What the last `squeeze verify` of a store found."""

    at: str
    """UTC time, ISO 8601."""
    artifacts: int
    faults: int
    quick: bool = False


@dataclass(frozen=True)
class Examination:
    """All that was looked at."""

    facts: dict[str, Any]
    """By what they are about, for people and programs."""
    findings: list[Finding]

    @property
    def healthy(self) -> bool:
        return all(finding.verdict != "refused" for finding in self.findings)


def verified(store: Store, found: Verified) -> None:
    """Keep the end of a `squeeze verify` beside the store; a disk that cannot be written keeps nothing."""
    try:
        write_json(store.cache / VERIFIED, found.__dict__)
    except OSError:
        return


def examine(profile: str | None) -> Examination:
    """Look at everything. Raises nothing that is wrong with what it looks at: that is a finding."""
    from pipeline.store.home import squeeze_home

    root = squeeze_home()
    facts = {"machine": _machine(), "versions": _versions()}
    findings = [_accelerator(facts), *_pages(facts), _disk(root, facts)]
    findings += _bucket(root, facts)
    findings += _store(root, profile, facts)
    findings += [_history(facts), _profile(root, profile)]
    return Examination(facts, findings)


def _machine() -> dict[str, Any]:
    import psutil

    memory = psutil.virtual_memory().total
    return {
        "processor": processor_name(),
        "cores": core_count(),
        "memory": memory,
        "memory_available": available_memory(),
        "system": platform.platform(),
    }


def _versions() -> dict[str, str]:
    from importlib import metadata

    return {"python": platform.python_version(), "dagster": metadata.version("dagster")} | libraries()


def _accelerator(facts: dict[str, Any]) -> Finding:
    words = [sys.executable, "-c", _ASK_TORCH]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=TORCH_SECONDS, check=False)
        said = json.loads(done.stdout) if done.returncode == 0 else None
    except subprocess.TimeoutExpired:
        text = f"torch did not answer in {TORCH_SECONDS:.0f} s: look at `nvidia-smi` and the driver"
        return Finding("accelerator", "refused", text)
    if said is None:
        last = done.stderr.strip().rpartition("\n")[2]
        return Finding("accelerator", "refused", f"torch cannot be used ({last}): `pip install torch`")
    facts["accelerator"] = said
    if said["gpus"]:
        bf16 = "" if said["bf16"] else ", without bf16: training.precision bf16 is slow there"
        return Finding("accelerator", "ok", f"{counted(len(said['gpus']), 'GPU')}: {', '.join(said['gpus'])}{bf16}")
    return Finding("accelerator", "ok", "Apple's GPU" if said["mps"] else "none: training runs on the processor")


def _pages(facts: dict[str, Any]) -> Iterator[Finding]:
    """Of Linux: much of a training step on a processor goes into looking up small pages, in a virtual machine most."""
    mode = facts["machine"]["huge_pages"] = huge_page_mode()
    if mode == "never":
        text = (
            "the kernel gives no huge pages, without which training and evaluation on this processor may take twice as "
            f"long: `echo madvise | sudo tee {HUGE_PAGES}`"
        )
        yield Finding("memory", "note", text)
    elif mode is not None:
        yield Finding("memory", "ok", f"huge pages: {mode}, which is used")


def _disk(root: Path, facts: dict[str, Any]) -> Finding:
    place = next(folder for folder in (root, *root.parents) if folder.exists())
    usage = shutil.disk_usage(place)
    facts["disk"] = {"place": str(place), "free": usage.free, "total": usage.total}
    text = f"{size(usage.free)} of {size(usage.total)} are free in {place}"
    if not os.access(place, os.W_OK):
        return Finding("disk", "note", f"{text}, which cannot be written: point SQUEEZE_HOME at a folder that can")
    if usage.free < LEAST_FREE:
        return Finding("disk", "refused", f"{text}: `squeeze gc` makes room, or point SQUEEZE_HOME at a larger disk")
    return Finding("disk", "ok", text)


def _bucket(root: Path, facts: dict[str, Any]) -> Iterator[Finding]:
    from pipeline.store.marker import require_store
    from pipeline.store.remote.shared import shared_backend

    try:
        backend = shared_backend(root)
        if backend is not None:
            require_store(backend, root)
            facts["bucket"] = backend.objects.address
            yield Finding("bucket", "ok", f"{backend.objects.address} answers: what any machine made is used here")
    except StoreError as error:
        yield Finding("bucket", "refused", str(error))


def _store(root: Path, profile: str | None, facts: dict[str, Any]) -> Iterator[Finding]:
    from pipeline.profile.yaml import profile_name
    from pipeline.store.maintenance import damaged_in

    if not (root / "store.json").is_file():
        text = f"there is none yet at {root}: `dagster job execute -j full_train` makes it, or set SQUEEZE_HOME"
        yield Finding("store", "note", text)
        return
    try:
        name = profile_name(profile)
    except SqueezeError:
        name = "-"  # the finding about the profile says why
    try:
        store = Store(root, name).open()
        looked = list(damaged_in(store, quick=True))
        unfinished = list(store.backend.abandoned(unfinished=True))
    except (StoreError, OSError) as error:
        yield Finding("store", "refused", str(error))
        return
    damaged = [item for item in looked if item.faults]
    whole = sum(item.bytes or 0 for item in looked)
    left = sum(item.bytes for item in unfinished)
    facts["store"] = {
        "root": str(root),
        "artifacts": len(looked),
        "bytes": whole,
        "damaged": [f"{item.key}/{item.fingerprint}" for item in damaged],
        "unfinished": len(unfinished),
        "unfinished_bytes": left,
    }
    yield Finding("store", "ok", f"{counted(len(looked), 'artifact')}, {size(whole)}, in {root}")
    if damaged:
        some = "; ".join(item.faults[0] for item in damaged[:3])
        text = f"{len(damaged)} of {len(looked)} are damaged ({some})"
        yield Finding("artifacts", "refused", f"{text}: `squeeze verify --repair`, then run the job again")
    if unfinished:
        text = f"{counted(len(unfinished), 'build')} left unfinished or damaged, {size(left)}"
        yield Finding(
            "builds", "note", f"{text}: the next run goes on from them, `squeeze gc --unfinished` removes them"
        )
    yield from _runs(store, facts)
    yield _last_verify(store, facts)


def _runs(store: Store, facts: dict[str, Any]) -> Iterator[Finding]:
    """Runs that are at work, and what those left whose processes are gone."""
    runs = dict(marks(store.backend))
    facts["store"]["runs_at_work"] = [run_id for run_id, alive in runs.items() if alive]
    facts["store"]["runs_ended"] = ended = [run_id for run_id, alive in runs.items() if not alive]
    if at_work := len(runs) - len(ended):
        yield Finding("runs", "ok", f"{counted(at_work, 'run')} at work: what they stand on is kept")
    if ended:
        text = f"{counted(len(ended), 'run')} failed or killed ({', '.join(run_id[:8] for run_id in ended[:3])})"
        yield Finding(
            "runs",
            "note",
            f"{text}: the same command again goes on from their finished parts; they hold nothing back, and "
            "`squeeze gc` forgets them",
        )


def _last_verify(store: Store, facts: dict[str, Any]) -> Finding:
    path = store.cache / VERIFIED
    if not path.is_file():
        return Finding("verify", "note", "contents were never hashed since they were built: `squeeze verify`")
    try:
        found = read_record(path, Verified, StoreError, what="the end of a verify", cure="run `squeeze verify`")
        when = age(found.at)
    except (StoreError, ValueError) as error:
        return Finding("verify", "note", str(error))
    facts["verified"] = found.__dict__
    how = "names and sizes" if found.quick else "contents"
    text = f"{how} of {counted(found.artifacts, 'artifact')} were looked at {when} ago"
    if found.faults:
        faults = counted(found.faults, "file")
        return Finding("verify", "note", f"{text}, with {faults} damaged then: `squeeze verify --repair`")
    return Finding("verify", "ok", f"{text}, all whole")


def _history(facts: dict[str, Any]) -> Finding:
    place = Path(os.environ.get("DAGSTER_HOME") or ".dagster").absolute()
    facts["dagster_home"] = str(place)
    return Finding("history", "ok", f"Dagster's is in {place}{'' if place.is_dir() else ', which it will make'}")


def _profile(root: Path, profile: str | None) -> Finding:
    from pipeline.profile.profile import load_profile

    try:
        settings = load_profile(profile)
        Store(root, settings.name, origin=settings.origin).own()
        return Finding("profile", "ok", f"{settings.name} loads; `squeeze plan` says what it takes")
    except SqueezeError as error:
        return Finding("profile", "refused", str(error))


def now() -> str:
    """The time as `Verified` keeps it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
