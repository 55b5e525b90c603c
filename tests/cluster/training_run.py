"""A run that a launcher starts on nodes of this machine: its folder, its processes, and what it has come to."""

import json
import os
import time
from pathlib import Path

import psutil

from tests.trainer.run.tiny_shards import MODEL, TRAINING

PATIENCE = 400.0


def wait_for(condition, what, seconds=PATIENCE):
    """What a condition comes to, once it holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen in {seconds:.0f} s")


def processes(folder):
    """{pid: words} of every living process that has the folder in its command line, but this one."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if any(str(folder) in word for word in words) and state not in "ZX" and int(entry.name) != os.getpid():
            found[int(entry.name)] = words
    return found


def part(words):
    """Which part of a run a process is, by its command line."""
    for name in ("pipeline.launch.supervisor", "pipeline.launch.node", "trainer.launch"):
        if name in words:
            return name.rpartition(".")[2] if name != "trainer.launch" else "agent"
    return "rank" if "--config" in words else "other"


class Run:
    """The folder of a run whose trainer a launcher starts."""

    def __init__(self, out, shards, **training):
        self.out, self.config = out, out / "run.json"
        out.mkdir()
        epochs = [os.path.relpath(shards / f"epoch_{epoch:03d}" / "shards.json", out) for epoch in (1, 2)] * 40
        settings = TRAINING | {"max_steps": 80, "checkpoint_every": 10, "batch_tokens": 64} | training
        run = {"model": MODEL, "training": settings, "data": {"epochs": epochs}, "out": "."}
        self.config.write_text(json.dumps(run))

    @classmethod
    def there(cls, out):
        """A run whose folder another process has made."""
        run = cls.__new__(cls)
        run.out, run.config = out, out / "run.json"
        return run

    @property
    def step(self):
        file = self.out / "metrics.jsonl"
        return file.read_text().count("\n") if file.exists() else 0

    @property
    def summary(self):
        return json.loads((self.out / "summary.json").read_text())

    @property
    def weights(self):
        return (self.out / "model.safetensors").read_bytes()

    def parts(self, kind):
        """Process ids of the living parts of a kind: supervisor, node, agent, rank."""
        return [pid for pid, words in processes(self.out).items() if part(words) == kind]

    def node(self, number):
        """Process ids of all that a node consists of."""
        (node,) = [
            pid for pid, words in processes(self.out).items() if part(words) == "node" and words[-2] == str(number)
        ]
        return [node, *(child.pid for child in psutil.Process(node).children(recursive=True))]

    def said(self):
        files = sorted((self.out / "launch").glob("*.log"))
        return "\n".join(f"--- {file.name}\n{file.read_text()}" for file in files)

    def reach(self, step):
        wait_for(lambda: self.step >= step, f"step {step}; {self.said()}")

    def assert_gone(self):
        wait_for(lambda: not processes(self.out), f"the end of {processes(self.out)}", 60)
