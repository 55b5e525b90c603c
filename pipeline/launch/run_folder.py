"""What a launcher, its supervisor and the nodes tell one another: small files in the folder of the run.

    <out>/launch/  lock  stands_on.json  job.json  state.json  attended  stop  exit.json  trainer.log  node_1.log
    <out>/launch/attempt_<n>/  beat  stop  placed.json  node_0.json  node_1.json

It needs nothing but a folder that all see, so the same words are understood over ssh, Slurm, Kubernetes and Ray, and by
whoever attaches later. Nobody compares clocks: that another is alive shows in what it writes changing. None of it is
part of the artifact; the model asset takes the folder away.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.base.errors import LaunchError
from pipeline.base.files import whole_path
from pipeline.base.held import LAUNCH, is_held, lock_of
from pipeline.launch.settings import LaunchSettings
from trainer.records import read_record

JOB: Final = "job.json"
CURE: Final = "stop the run and materialize the model again: it goes on from its newest checkpoint"
NODE_LOG: Final = "node_{}.log"
_ATTEMPT: Final = "attempt_"


@dataclass(frozen=True)
class Job:
    """What is to run, where, and for how long alone: all that a supervisor and its nodes are told."""

    module: str
    arguments: list[str]
    environment: dict[str, str]
    launch: LaunchSettings
    sequences: int
    tokens: int
    """Of a batch, over all ranks."""
    device: str


@dataclass(frozen=True)
class NodeState:
    """What a node says of itself."""

    beat: str
    """Changes as long as it lives."""
    host: str
    address: str = ""
    port: int = 0
    """Where the nodes meet; the first node's."""
    status: int | None = None
    """The exit status of its part; none while it runs."""
    said: str = ""
    """Why it ended, where the trainer cannot say so itself."""


@dataclass(frozen=True)
class Exit:
    """How a run came to its end."""

    status: int
    said: str = ""


class Attempt:
    """One start of a run's nodes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.folder.parents[1])

    def ask_to_stop(self) -> None:
        """Have every node end its part, after a checkpoint."""
        _write(self.folder / "stop", "")

    def asked_to_stop(self) -> bool:
        """Whether it is over for every node: so where nobody waits for this attempt any more, and it was removed."""
        return (self.folder / "stop").exists() or not self.folder.exists()

    def beat(self) -> None:
        """Show the nodes that the supervisor lives."""
        _write(self.folder / "beat", secrets.token_hex(8))

    def last_beat(self) -> str:
        return _read(self.folder / "beat")

    def write_node(self, node: int, state: NodeState) -> None:
        """Say what a node has to say, if the attempt is still there."""
        if not self.folder.exists():
            return
        _write(self.folder / f"node_{node}.json", json.dumps(dataclasses.asdict(state)))

    def node(self, node: int) -> NodeState | None:
        """What a node said last; none where it has said nothing yet."""
        with contextlib.suppress(ValueError, TypeError):
            return NodeState(**json.loads(_read(self.folder / f"node_{node}.json")))
        return None

    def write_placed(self, facts: dict[str, str]) -> None:
        """Leave how whoever comes after a killed supervisor finds what was placed."""
        _write(self.folder / "placed.json", json.dumps(facts))

    def placed(self) -> dict[str, str]:
        with contextlib.suppress(ValueError):
            return dict(json.loads(_read(self.folder / "placed.json")))
        return {}


class RunFolder:
    """The launcher's folder in the folder of a run."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.path = out / LAUNCH
        self.lock = lock_of(out)
        self.log = self.path / "trainer.log"

    def is_held(self) -> bool:
        """Whether a supervisor lives."""
        return is_held(self.out)

    def write_job(self, job: Job) -> None:
        """Leave what is to run, and forget how an earlier run was stopped and ended."""
        for name in ("stop", "exit.json", "state.json", "attended"):
            (self.path / name).unlink(missing_ok=True)
        launch = json.loads(job.launch.model_dump_json())
        _write(self.path / JOB, json.dumps(vars(job) | {"launch": launch}))

    def job(self) -> Job:
        """What is to run. Raises LaunchError where it cannot be read, or as other code has written it."""
        return read_record(self.path / JOB, Job, LaunchError, what="a job of this version of Squeeze", cure=CURE)

    def ask_to_stop(self) -> None:
        _write(self.path / "stop", "")

    def asked_to_stop(self) -> bool:
        return (self.path / "stop").exists()

    def attend(self) -> None:
        """Show the supervisor that a model asset is attached."""
        _write(self.path / "attended", secrets.token_hex(8))

    def attended(self) -> str:
        return _read(self.path / "attended")

    def write_supervisor(self, pid: int) -> None:
        _write(self.path / "state.json", json.dumps({"host": socket.gethostname(), "pid": pid}))

    def supervisor_here(self) -> int | None:
        """The supervisor's process id where it is, or was, of this machine."""
        with contextlib.suppress(ValueError, KeyError):
            state = json.loads(_read(self.path / "state.json"))
            return int(state["pid"]) if state["host"] == socket.gethostname() else None
        return None

    def write_exit(self, end: Exit) -> None:
        _write(self.path / "exit.json", json.dumps(dataclasses.asdict(end)))

    def exit(self) -> Exit | None:
        """How the run ended; none where its supervisor could not say."""
        with contextlib.suppress(ValueError, TypeError):
            return Exit(**json.loads(_read(self.path / "exit.json")))
        return None

    def attempts(self) -> list[Attempt]:
        """Every start of which anything is left, the last one last."""
        found = [item for item in self.path.glob(f"{_ATTEMPT}*") if item.name.removeprefix(_ATTEMPT).isdigit()]
        return [Attempt(item) for item in sorted(found, key=lambda item: int(item.name.removeprefix(_ATTEMPT)))]

    def new_attempt(self) -> Attempt:
        """A start under a name that no earlier one had, whose nodes may live and look for it."""
        attempt = Attempt(self.path / f"{_ATTEMPT}{time.time_ns()}")
        attempt.folder.mkdir(parents=True)
        return attempt

    def node_log(self, node: int) -> Path:
        """What a node's part prints: the first rank is on the first node, so that one's is the trainer's log."""
        return self.log if node == 0 else self.path / NODE_LOG.format(node)


def _write(path: Path, text: str) -> None:
    with whole_path(path, sync=False) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
