"""Faults in the trainer: one rank in a forked process, or two under torchrun, started as the pipeline starts them.

A trial begins with a new run or with one that was killed in its middle, has something happen to it, and is started
again. It is survived when that start ends in order, with the weights and the losses of every step of an undisturbed run
on as many ranks, to the bit, and no process is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import SqueezeError
from tests.end_to_end.tiny_project import ROOT
from tests.faults.injection import IN_THE_RUN
from tests.faults.mutations import mutated
from tests.faults.outcome import Outcome
from tests.faults.processes import MOST_SECONDS, beside, by_signal, forked, left_of, living
from tests.faults.stages import build

MODEL: Final = {"vocab_size": 512, "context": 32, "width": 32, "layers": 1, "heads": 2, "ff_width": 64}
TRAINING: Final = {"batch_tokens": 512, "checkpoint_every": 5, "log_every": 1, "device": "cpu"}
HALF: Final = 40
"""Steps after which the run of which the half is wanted is killed; the whole has about ninety."""
FILE = "a file of the run"
SECOND = "a second run"
OF_TWO_RANKS = {
    "kill of a rank": (False, signal.SIGKILL),
    "kill of torchrun": (True, signal.SIGKILL),
    "kill of all": (None, signal.SIGKILL),
    "stop of torchrun": (True, signal.SIGTERM),
}
"""Whether torchrun is struck or a rank (none: everything), and by what."""
KINDS = (*OF_TWO_RANKS, *(*IN_THE_RUN, FILE, SECOND) * 2)


class Training:
    """A tiny model on the shards of the tiny project."""

    name = "training"
    share = 4

    def __init__(self, profile: Path, folder: Path, outcome: Outcome) -> None:
        """Build the shards, train once on one rank, undisturbed, and once half the way. Raises SqueezeError where that
        fails."""
        import trainer.run.loop  # noqa: F401 # once for all that are forked off

        self.folder = folder
        ended = forked(lambda: build(profile, folder / "store", "shards"))
        if ended != "end":
            raise SqueezeError(f"the undisturbed build ended by {ended}")
        self.wanted = {1: self._undisturbed(1)}
        self.half = self._run("half")
        forked(lambda: _train(self.half), lambda: _kill_at_step(HALF, self.half))

    def _run(self, name: str) -> Path:
        """The file of a run in a new folder."""
        shards = [next((self.folder / "store/shards").glob(f"epoch_{number:03d}/*/shards.json")) for number in (1, 2)]
        run = self.folder / name / "run.json"
        run.parent.mkdir()
        data = {"epochs": list(map(str, shards))}
        run.write_text(json.dumps({"model": MODEL, "training": TRAINING, "data": data, "out": "out"}))
        return run

    def _undisturbed(self, ranks: int) -> Any:
        run = self._run(f"undisturbed-{ranks}")
        ended = _on_ranks(run, ranks)
        if ended != "end":
            raise SqueezeError(f"the undisturbed run on {ranks} ranks ended by {ended}")
        return _result(run)

    def trial(self, seed: int, outcome: Outcome) -> None:
        draw, kind = random.Random(seed), KINDS[seed % len(KINDS)]
        ranks = 2 if kind in OF_TWO_RANKS else 1
        if ranks not in self.wanted:
            self.wanted[ranks] = self._undisturbed(ranks)
        run, mark = self._run(f"trial-{seed}"), self.folder / f"struck-{seed}"
        if ranks == 1 and (kind == FILE or draw.random() < 0.5):
            shutil.copytree(self.half.parent / "out", run.parent / "out")
        ended = self._disturb(kind, run, draw, mark)
        problems = [f"ended by {ended}"] if ended.startswith("foreign") else []
        peace = _on_ranks(run, ranks)
        if kind == FILE and peace in ("exit 1", "exit 2"):  # as somebody does who reads which file is damaged
            said = _complaint(run)
            named = next((file for file in (run.parent / "out").rglob("*") if str(file) in said), None)
            if named is None:
                problems.append(f"names no file: {said}")
            else:
                shutil.rmtree(named) if named.is_dir() else named.unlink()
                peace = _on_ranks(run, ranks)
        problems += [f"the next start ended by {peace}: {_complaint(run)[:300]}"] if peace != "end" else []
        problems += left_of(str(run))
        if peace == "end":
            problems += [f"{name} differ" for name, value in _result(run).items() if value != self.wanted[ranks][name]]
        outcome.note(self.name, kind, seed, struck=int(mark.exists()), ended=[ended], problems=problems)
        shutil.rmtree(run.parent)
        mark.unlink(missing_ok=True)

    def _disturb(self, kind: str, run: Path, draw: random.Random, mark: Path) -> str:
        out = run.parent / "out"
        if kind in IN_THE_RUN:
            return forked(lambda: _train(run), lambda: IN_THE_RUN[kind](draw, run.parent, mark))
        if kind in OF_TWO_RANKS:
            return self._strike_ranks(kind, run, draw, mark)
        mark.touch()
        if kind == FILE:
            file = draw.choice(sorted(file for file in out.rglob("*") if file.is_file() and file.stat().st_size))
            file.write_bytes(mutated(file.read_bytes(), draw))
            return forked(lambda: _train(run))
        ended_well = beside(lambda: _train(run))
        ended = forked(lambda: _train(run))
        return ended if ended_well() else "foreign end of the second run"

    def _strike_ranks(self, kind: str, run: Path, draw: random.Random, mark: Path) -> str:
        torchrun, number = OF_TWO_RANKS[kind]
        started = _start(run, 2)

        def there() -> list[int]:
            found = living(str(run)).items()
            return [pid for pid, words in found if torchrun is None or ("trainer.launch" in words) == torchrun]

        step = draw.randrange(-20, 80)
        _wait_for(lambda: started.poll() is not None or (bool(there()) if step < 0 else _steps(run) >= step))
        time.sleep(draw.uniform(0, 3) if step < 0 else 0)  # a moment of the start
        for pid in there() if torchrun is None else there()[-1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                mark.touch()
        return _ended(started)


def _train(run: Path) -> str:
    from trainer.__main__ import main

    status = main(["train", "--config", str(run)])
    if "a fault of the trainer" in _complaint(run):
        return f"foreign {_complaint(run)}"
    return f"exit {status}" if status else "end"


def _complaint(run: Path) -> str:
    file = run.with_name("run.json.error")
    return file.read_text(errors="replace").strip() if file.exists() else ""


def _kill_at_step(step: int, run: Path) -> None:
    def wait() -> None:
        _wait_for((run.parent / f"out/checkpoints/step_{step:08d}").exists)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def _on_ranks(run: Path, ranks: int) -> str:
    return forked(lambda: _train(run)) if ranks == 1 else _ended(_start(run, ranks))


def _start(run: Path, ranks: int) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "trainer.launch", "--standalone", f"--nproc-per-node={ranks}"]
    return subprocess.Popen(
        [*words, "-m", "trainer", "train", "--config", str(run)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _ended(started: subprocess.Popen[bytes]) -> str:
    try:
        status = started.wait(MOST_SECONDS)
    except subprocess.TimeoutExpired:
        started.kill()
        return "foreign hang"
    return by_signal(-status) if status < 0 else f"exit {status}" if status else "end"


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + MOST_SECONDS
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)


def _steps(run: Path) -> int:
    metrics = run.parent / "out/metrics.jsonl"
    return metrics.read_bytes().count(b"\n") if metrics.exists() else 0


def _result(run: Path) -> dict[str, Any]:
    """Weights as bytes, and the loss of each step."""
    out = run.parent / "out"
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    losses = [(row["step"], row.get("loss")) for row in rows]
    return {"weights": (out / "model.safetensors").read_bytes(), "losses": losses}
