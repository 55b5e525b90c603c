"""Batches and contexts that begin smaller: the same text under the same rates, and resumable anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from in_process import ONE, StopAfter, go  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from trainer.config import (  # noqa: E402
    ScheduleConfig,
    TrainingConfig,
    read_run,
)
from trainer.errors import ConfigError  # noqa: E402
from trainer.process.ranks import Ranks  # noqa: E402
from trainer.process.signals import StopRequest  # noqa: E402
from trainer.run.learner import cut  # noqa: E402
from trainer.run.loop import train  # noqa: E402
from trainer.run.pace import Pace  # noqa: E402
from trainer.run.trained_model import load_model  # noqa: E402


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path.with_suffix("") / "metrics.jsonl").read_text().splitlines()]


def batches(pace: Pace) -> list[int]:
    """Sizes of a run's batches, one after the other."""
    sizes, done = [], 0
    while done < pace.sequences:
        sizes.append(pace.next_batch(done, pace.batches))
        done += sizes[-1]
    return sizes


def test_batches_grow_over_the_share_of_the_run_that_is_said() -> None:
    pace = Pace(ScheduleConfig(batch_divisors=(4, 2), batch_rise=0.5), batch=8, batches=8)
    assert batches(pace) == [2] * 8 + [4] * 4 + [8] * 4
    assert pace.steps(8) == 16


@given(st.lists(st.sampled_from([1, 2, 3, 4, 6]), max_size=3), st.sampled_from([0.1, 0.5, 1.0]), st.integers(1, 40))
def test_a_run_is_as_long_as_its_whole_batches(divisors: list[int], rise: float, count: int) -> None:
    pace = Pace(ScheduleConfig(batch_divisors=tuple(divisors), batch_rise=rise), batch=12, batches=count)
    sizes = batches(pace)
    assert sum(sizes) == 12 * count
    assert len(sizes) == pace.steps(count)


@given(st.data(), st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=3))
def test_an_estimate_that_changes_leaves_no_crumbs(data: st.DataObject, divisors: list[int]) -> None:
    """With a time limit the run's length is thought anew at every step: a whole batch comes out even all the same."""
    pace = Pace(ScheduleConfig(batch_divisors=tuple(divisors), batch_rise=1.0), batch=12, batches=6)
    done = 0
    while done < pace.sequences:
        size = pace.next_batch(done, data.draw(st.floats(1, 6)))
        assert 12 // max(divisors) <= size <= 12 - done % 12
        done += size
    assert done == pace.sequences


def test_a_sequence_is_cut_into_shorter_ones_of_the_same_targets() -> None:
    windows, numbers = torch.arange(18).view(2, 9), np.array([5, 7])
    pieces, named = cut(windows, numbers, 4)
    assert pieces.tolist()[:5] == [[0, 1, 2], [2, 3, 4], [4, 5, 6], [6, 7, 8], [9, 10, 11]]
    assert named.tolist() == [20, 21, 22, 23, 28, 29, 30, 31]
    assert cut(windows, numbers, 1)[0] is windows


GROWING = {"kind": "wsd", "batch_divisors": [4, 2], "batch_rise": 0.6, "context_divisors": [4], "context_rise": 0.4}


def test_a_run_with_small_first_batches_counts_tokens_and_follows_them(make_run: Any) -> None:
    path = make_run("run", max_steps=10, schedule=GROWING)
    summary = go(path)
    written = lines(path)
    tokens = [line["tokens"] for line in written]
    assert [after - before for before, after in zip([0, *tokens], tokens, strict=False)] == [32] * 12 + [64] * 6 + [
        128
    ] * 4
    assert (summary.steps, summary.tokens, summary.sequences) == (22, 10 * 128, 80)
    plain = make_run("plain", max_steps=10, schedule={"kind": "wsd"})
    go(plain)
    rates = {line["tokens"] - 128: line["lr"] for line in lines(plain)}
    before = dict(zip([0, *tokens], (line["lr"] for line in written), strict=False))
    assert all(before[start] == rate for start, rate in rates.items())
    model = load_model(path.with_suffix(""))
    early, late = model.flops_per_token(4), model.flops_per_token(16)
    assert summary.flops == 4 * 128 * early + 6 * 128 * late
    assert summary.flops_per_token == late


def test_small_batches_in_a_row_are_what_a_run_of_that_batch_is(make_run: Any) -> None:
    """A batch that is a fourth all along trains as one of a fourth of `batch_tokens`, but for the schedule's steps."""
    flat = {"kind": "wsd", "cooldown_share": 0.0, "warmup_steps": 0}
    small = make_run("small", max_steps=12, batch_tokens=32, schedule=flat)
    parts = make_run("parts", max_steps=3, schedule=flat | {"batch_divisors": [4], "batch_rise": 1.0})
    go(small)
    go(parts)
    one, other = (load_file(run.with_suffix("") / "model.safetensors") for run in (small, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_average_of_the_run_s_end_is_the_plain_mean_of_its_weights(make_run: Any) -> None:
    path = make_run("run", validate=True, max_steps=10, average_share=0.3, checkpoint_every=1, keep_checkpoints=10)
    summary = go(path)
    out = path.with_suffix("")
    last = [load_file(out / "checkpoints" / f"step_{step:08d}" / "model.safetensors") for step in (8, 9, 10)]
    averaged = load_file(out / "ema.safetensors")
    for name, found in averaged.items():
        torch.testing.assert_close(found, sum(weights[name] for weights in last) / 3)
    assert not (out / "checkpoints" / "step_00000007" / "ema.safetensors").exists()
    from trainer.data.shards import read_manifest
    from trainer.scoring.validation import read_heldout, score

    run = read_run(path)
    tokenizer = read_manifest(Path(run.data.epochs[0])).tokenizer
    heldout = read_heldout(run.data.validation, tokenizer)
    scores = score(load_model(out), heldout, eot_id=tokenizer.eot_id, context=16, ranks=ONE)
    assert summary.validation["numbers"].loss == pytest.approx(scores["numbers"].loss)


@pytest.mark.parametrize("stop", [3, 14, 19])
def test_a_growing_run_resumes_to_the_bit(make_run: Any, stop: int) -> None:
    settings = {"schedule": GROWING | {"decay": "to_zero"}, "average_share": 0.35, "max_steps": 10}
    settings["optimizer"] = {"kind": "normuon", "vector_learning_rate": 0.02}
    whole, parts = make_run("whole", {"dropout": 0.1}, **settings), make_run("parts", {"dropout": 0.1}, **settings)
    expected = go(whole)
    assert go(parts, StopAfter(stop)).steps == stop
    found = go(parts)
    assert (found.steps, found.tokens, found.flops) == (expected.steps, expected.tokens, expected.flops)
    for file in ("model.safetensors", "ema.safetensors"):
        one, other = (load_file(run.with_suffix("") / file) for run in (whole, parts))
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_does_not_come_out_even_is_refused() -> None:
    def smallest(**schedule: Any) -> int:
        return TrainingConfig(batch_tokens=128, schedule=ScheduleConfig(**schedule)).smallest_batch(16)

    assert smallest(batch_divisors=(4, 2)) == 2
    with pytest.raises(ConfigError, match=r"schedule\.batch_divisors: 8 sequences cannot be cut into 3 equal parts"):
        smallest(batch_divisors=(4, 3))
    with pytest.raises(ConfigError, match=r"schedule\.context_divisors: 16 tokens cannot be cut into 5 equal parts"):
        smallest(context_divisors=(5,))


def test_more_ranks_than_a_first_batch_holds_are_refused(make_run: Any) -> None:
    path = make_run("run", schedule={"batch_divisors": [4]})
    with pytest.raises(ConfigError, match=r"a batch holds 2 sequences at first \(training\.schedule\.batch_divisors\)"):
        train(read_run(path), Ranks(0, 4, torch.device("cpu")), StopRequest())
