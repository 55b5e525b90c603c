"""A real allocation failure, by a limit on the address space, halves the micro-batch; the run is the same run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS and /proc are Linux's"),
]

ROOT = Path(__file__).parents[3]
MODEL = {"width": 128, "layers": 2, "heads": 2, "ff_width": 256}
SETTINGS = {"max_steps": 1, "batch_tokens": 8192, "micro_batch": 512, "precision": "float32"}
LIMITED = """
import logging, pathlib, resource, sys
import safetensors.torch  # before the limit: a library loaded later finds no room
import torch
from trainer.config import read_run
from trainer.run.learner import Learner
from trainer.run.loop import train
from trainer.process.ranks import Ranks
from trainer.process.signals import StopRequest

torch.set_num_threads(1)
logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(message)s")
room = int(sys.argv[2])
make = Learner.__init__

def make_and_limit(self, *arguments):
    make(self, *arguments)
    self._fits(1)  # one sequence: what the model and torch's own threads need is there, the rest is for activations
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + room
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

if room:
    Learner.__init__ = make_and_limit
train(read_run(pathlib.Path(sys.argv[1])), Ranks(0, 1, torch.device("cpu")), StopRequest())
"""


def run_with_room(path: Path, room: int) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", LIMITED, str(path), str(room)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_the_batch_is_computed_in_the_pieces_that_fit(make_run: Any) -> None:
    tight = make_run("tight", model=MODEL, **SETTINGS)
    done = run_with_room(tight, 120 << 20)
    assert done.returncode == 0, done.stderr
    fits = int(done.stdout.strip().splitlines()[-1].split("computing ")[1].split()[0])
    assert fits < 512
    plain = make_run("plain", model=MODEL, **{**SETTINGS, "micro_batch": fits})
    assert run_with_room(plain, 0).returncode == 0
    found, expected = (load_file(path.with_suffix("") / "model.safetensors") for path in (tight, plain))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert json.loads((tight.with_suffix("") / "summary.json").read_text())["sequences"] == 512
