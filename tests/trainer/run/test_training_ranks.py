"""Several ranks under torchrun: bit for bit with themselves, within float tolerance of any other number of ranks."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

ROOT = Path(__file__).parents[3]
TWO_RUNS = Path(__file__).with_name("two_runs.py")


def torchrun(ranks: int, *words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trainer.launch", "--standalone", f"--nproc-per-node={ranks}", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    if check:
        assert done.returncode == 0, done.stderr
    return done


def losses(run: Path) -> dict[int, float]:
    lines = (run.with_suffix("") / "metrics.jsonl").read_text().splitlines()
    return {line["step"]: line["loss"] for line in map(json.loads, lines)}


def assert_same(left: Path, right: Path) -> None:
    """Bit for bit: every logged loss and every weight."""
    assert losses(left) == losses(right)
    first, second = (load_file(run.with_suffix("") / "model.safetensors") for run in (left, right))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def twice(make_run: Any, ranks: int, stops: Sequence[int], **settings: Any) -> Path:
    whole, parts = make_run("whole", **settings), make_run("parts", **settings)
    torchrun(ranks, TWO_RUNS, whole, parts, *stops)
    assert_same(parts, whole)
    return whole


def test_two_ranks_resume_to_the_bit_in_bf16(make_run: Any) -> None:
    twice(make_run, 2, [5, 9], max_steps=14, micro_batch=2)


def test_three_ranks_of_unequal_shares_resume_to_the_bit_and_agree_with_one(make_run: Any) -> None:
    settings = {"max_steps": 14, "precision": "float32", "optimizer": {"kind": "muon"}, "ema_horizon": 4}
    three = losses(twice(make_run, 3, [6], **settings))
    alone = make_run("alone", **settings)
    torchrun(1, "-m", "trainer", "train", "--config", alone)
    assert three == pytest.approx(losses(alone), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_200_steps_in_bf16_equal_the_run_stopped_at_random_steps(make_run: Any, ranks: int) -> None:
    stops = sorted(random.sample(range(2, 199), 3))
    twice(make_run, ranks, stops, max_steps=200, batch_tokens=64)


@pytest.mark.slow
def test_a_run_goes_on_with_any_number_of_ranks_along_the_same_curve(make_run: Any) -> None:
    settings = {"max_steps": 60, "precision": "float32", "checkpoint_every": 10}
    alone, moving = make_run("alone", **settings), make_run("moving", **settings)
    torchrun(1, "-m", "trainer", "train", "--config", alone)
    for ranks, until in ((4, 20), (3, 40), (2, 60)):
        text = json.loads(moving.read_text())
        torchrun(ranks, TWO_RUNS.with_name("until.py"), moving, until)
        assert json.loads(moving.read_text()) == text
    assert losses(moving) == pytest.approx(losses(alone), rel=1e-3)


def test_more_ranks_than_sequences_end_with_the_setting_named(make_run: Any) -> None:
    path = make_run("run", batch_tokens=16)
    done = torchrun(2, "-m", "trainer", "train", "--config", path, check=False)
    assert done.returncode != 0
    said = path.with_name("run.json.error").read_text()
    assert "2 ranks, but a batch holds 1 sequences (training.batch_tokens 16 / model.context 16)" in said


def test_a_port_in_use_is_refused_before_any_rank_starts(make_run: Any) -> None:
    import socket

    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "trainer.launch", f"--master-port={port}", "-m", "trainer", "train"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"--master-port {port}: port {port} cannot be used here" in done.stderr
