"""One rank of several threads is told of where it would be clearly faster, and never taken by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from in_process import ONE  # noqa: E402

from trainer.config import read_run  # noqa: E402
from trainer.model import GPT  # noqa: E402
from trainer.process.ranks import Ranks  # noqa: E402
from trainer.run import rank_advice  # noqa: E402
from trainer.run.precision import Precision  # noqa: E402
from trainer.run.rank_advice import advice, step_seconds  # noqa: E402
from trainer.run.ways import Ways  # noqa: E402

PLAINLY = Ways(Precision("bf16"))


class Pair(Ranks):
    """The first of two ranks, whose numbers the other one has as well."""

    def _reduced(self, values: Sequence[Any], operation: Any) -> list[float]:
        return [float(value) * self.world_size for value in values]

    def broadcast(self, value: float) -> float:
        return value


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(rank_advice.dist, "all_reduce", lambda tensor: None)
    return Pair(0, 2, torch.device("cpu"))


def test_both_ways_are_measured_once_and_the_threads_are_left_as_they_were(make_run: Any, pair: Pair) -> None:
    run = read_run(make_run("run", precision="auto"))
    found = step_seconds(run, pair, PLAINLY, GPT(run.model))
    assert list(found) == ["2 ranks of 1 thread", "1 rank of 2 threads"]
    assert all(0 < seconds < 60 for seconds in found.values())
    assert step_seconds(run, pair, PLAINLY, GPT(run.model)) == found
    assert torch.get_num_threads() == 1


def test_a_step_is_as_many_passes_as_it_takes_and_one_exchange(
    make_run: Any, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a model of the tried layer alone, and a batch that is tried whole, an estimate is what was measured."""
    monkeypatch.setattr(rank_advice, "_fastest", lambda *_: (3.0, 0.5, 5.0))
    for layers, batch, passes in ((1, 128, 1), (1, 256, 1)):
        run = read_run(make_run(f"run_{batch}", {"layers": layers}, precision="auto", batch_tokens=batch))
        together, alone = step_seconds(run, pair, PLAINLY, GPT(run.model)).values()
        assert (together, alone) == (pytest.approx(3 * passes + 0.5), pytest.approx(5 * passes))
    monkeypatch.setattr(rank_advice, "PASS_FLOPS", 1.0)  # one sequence a rank, of four
    run = read_run(make_run("parts", {"layers": 1}, precision="auto", batch_tokens=128))
    assert list(step_seconds(run, pair, Ways(Precision("float32")), GPT(run.model)).values()) == [12.5, 20.0]


def test_nothing_is_tried_for_one_rank_or_where_the_precision_is_named(make_run: Any, pair: Pair) -> None:
    for ranks, precision in ((ONE, "auto"), (pair, "bf16")):
        run = read_run(make_run("run", precision=precision))
        assert step_seconds(run, ranks, PLAINLY, GPT(run.model)) == {}
    assert advice({}, 1) is None


def test_it_is_said_only_where_it_is_clear() -> None:
    names = ("2 ranks of 1 thread", "1 rank of 2 threads")
    assert advice(dict(zip(names, (0.100, 0.095), strict=True)), 2) is None
    assert advice(dict(zip(names, (0.120, 0.080), strict=True)), 2) == (
        "1 rank of 2 threads would train 1.50 times as fast here as 2 ranks of 1 thread (80 ms a step where it is "
        "120): set launch.ranks to 1"
    )


@pytest.mark.slow
def test_two_ranks_try_it_and_keep_what_they_found(make_run: Any) -> None:
    from test_training_ranks import torchrun

    run = make_run("run", precision="auto", max_steps=2)
    torchrun(2, "-m", "trainer", "train", "--config", run)
    summary = json.loads((run.with_suffix("") / "summary.json").read_text())
    found = summary["way_seconds"]
    assert {"bf16", "float32", "2 ranks of 1 thread", "1 rank of 2 threads"} <= found.keys()
    assert min(found.values()) > 0
