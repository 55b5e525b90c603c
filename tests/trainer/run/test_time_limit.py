"""A run with a time limit ends in time with its learning rate down, whatever the speed, also when it was stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from in_process import StopAfter, go  # noqa: E402

from trainer.optim.schedule import steps_in_time  # noqa: E402
from trainer.run.checkpoints.checkpoint import RunState  # noqa: E402
from trainer.run.figures.meter import RunMeter  # noqa: E402

SECONDS = {"first": 3.0, "then": 1.0}
LIMIT = {"max_minutes": 0.5, "schedule": {"kind": "wsd", "cooldown_share": 0.5, "final_share": 0.1}}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Seconds a step takes, in place of the real clock: 3 for each of the first five, then 1."""

    def tick(self: RunMeter, state: RunState) -> None:
        if state.step > state.__dict__.setdefault("ticked", 0):
            state.__dict__["ticked"] = state.step
            state.seconds += SECONDS["first"] if state.step <= 5 else SECONDS["then"]

    monkeypatch.setattr(RunMeter, "tick", tick)
    return SECONDS


def rates(path: Path) -> list[float]:
    lines = (path.with_suffix("") / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["lr"] for line in lines]


def test_the_number_of_steps_follows_from_the_speed_so_far() -> None:
    assert steps_in_time(10, 1000, 0.1) == 100
    assert steps_in_time(10, 50, 0.1) == 50  # the data end first
    assert steps_in_time(10, 1000, 0.0) == 1000  # no limit
    assert steps_in_time(0, 1000, 0.5) == 1000
    assert steps_in_time(7, 1000, 1.5) == 8


def test_the_learning_rate_comes_down_when_the_time_is_up(make_run: Any, clock: dict[str, float]) -> None:
    path = make_run("run", **LIMIT)
    summary = go(path)
    assert summary.state == "time_limit"
    assert summary.steps == 20  # five steps of 3 s and fifteen of 1 s
    found = rates(path)
    assert max(found) == pytest.approx(0.01)
    assert found[-1] == pytest.approx(0.001, rel=0.5)
    assert found[12:] == sorted(found[12:], reverse=True)


def test_a_stopped_run_goes_on_with_the_time_that_is_left(make_run: Any, clock: dict[str, float]) -> None:
    whole, stopped = make_run("whole", **LIMIT), make_run("stopped", **LIMIT)
    go(whole)
    assert go(stopped, StopAfter(12)).state == "interrupted"
    assert go(stopped).state == "time_limit"
    assert rates(stopped) == rates(whole)


def test_a_run_that_is_done_before_the_limit_is_the_run_without_one(make_run: Any) -> None:
    limited, free = make_run("limited", max_minutes=60.0, max_steps=8), make_run("free", max_steps=8)
    assert go(limited).content_hash == go(free).content_hash
    assert rates(limited) == rates(free)
