"""Learning rate and momentum over a run."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.config import OptimizerConfig, ScheduleConfig
from trainer.optim.muon import muon_momentum
from trainer.optim.schedule import learning_rate_factor, weight_decay_factor

COSINE = ScheduleConfig(kind="cosine", warmup_steps=10, final_share=0.1)
WSD = ScheduleConfig(kind="wsd", warmup_steps=10, cooldown_share=0.5, final_share=0.05)


def test_cosine_is_torch_s_own_after_the_warm_up() -> None:
    torch = pytest.importorskip("torch")
    steps = 60
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    annealing = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps - 1 - 10, eta_min=0.1)
    for step in range(10, steps):
        assert learning_rate_factor(step, steps, COSINE) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        annealing.step()


def test_wsd_warms_up_stays_and_goes_down_in_a_line() -> None:
    factors = [learning_rate_factor(step, 100, WSD) for step in range(100)]
    assert factors[0] == pytest.approx(1 / 11)
    assert factors[10:50] == [1.0] * 40
    drops = [a - b for a, b in itertools.pairwise(factors[50:])]
    assert drops == pytest.approx([drops[0]] * 49)
    assert factors[-1] == pytest.approx(0.05)


@given(
    st.sampled_from([COSINE, WSD]),
    st.integers(1, 500),
    st.data(),
)
def test_a_factor_is_above_zero_and_at_most_one(schedule: ScheduleConfig, steps: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(0, steps - 1))
    assert 0 < learning_rate_factor(step, steps, schedule) <= 1


def test_muon_s_momentum_rises_over_300_steps() -> None:
    muon = OptimizerConfig(muon_momentum=0.95)
    assert [muon_momentum(step, muon) for step in (0, 150, 300, 900)] == pytest.approx([0.85, 0.9, 0.95, 0.95])


@given(
    st.sampled_from(["cosine", "wsd"]),
    st.integers(0, 60),
    st.sampled_from([0.3, 0.5, 0.7, 1.0]),
    st.integers(3, 120),
)
def test_a_run_shorter_than_its_warm_up_and_its_way_down_turns_without_a_fall(
    kind: Literal["cosine", "wsd"], warmup: int, cooldown: float, steps: int
) -> None:
    schedule = ScheduleConfig(kind=kind, warmup_steps=warmup, cooldown_share=cooldown, final_share=0.05)
    factors = [learning_rate_factor(step, steps, schedule) for step in range(steps)]
    slope = 1 / max(1, round(steps * cooldown)) if kind == "wsd" else math.pi / 2 / max(1, steps - 1 - steps // 2)
    steepest = max(a - b for a, b in itertools.pairwise([*factors, factors[-1]]))
    assert steepest <= 0.95 * slope + 1e-9
    assert factors[-1] <= max(0.05, 1 / (warmup + 1)) + 1e-9
    turn = factors.index(max(factors))
    assert factors[: turn + 1] == sorted(factors[: turn + 1])


def test_without_a_cooldown_the_rate_stays_at_its_peak() -> None:
    schedule = ScheduleConfig(kind="wsd", warmup_steps=2, cooldown_share=0.0, final_share=0.0)
    assert [learning_rate_factor(step, 10, schedule) for step in range(2, 10)] == [1.0] * 8


def test_weight_decay_stays_or_goes_to_zero_or_follows_the_rate() -> None:
    def decays(kind: Literal["constant", "to_zero", "with_rate"]) -> list[float]:
        schedule = dataclasses.replace(WSD, decay=kind)
        rates = [learning_rate_factor(step, 100, schedule) for step in range(100)]
        return [weight_decay_factor(step, 100, rate, schedule) for step, rate in enumerate(rates)]

    assert set(decays("constant")) == {1.0}
    assert decays("to_zero") == pytest.approx([1 - step / 100 for step in range(100)])
    assert decays("with_rate") == [learning_rate_factor(step, 100, WSD) for step in range(100)]


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_the_schedule_reaches_the_groups_that_decay(kind: Literal["adamw", "muon"]) -> None:
    pytest.importorskip("torch")
    from trainer.model import GPT, ModelConfig
    from trainer.optim import build_optimizer

    settings = OptimizerConfig(kind=kind, weight_decay=0.5)
    model = GPT(ModelConfig(vocab_size=31, context=8, width=16, layers=1, heads=2, ff_width=24))
    optimizer = build_optimizer(model, settings)
    found = []
    for decay in (1.0, 0.25, 0.0):
        optimizer.schedule(0, 0.5, settings, decay)
        found.append(max(group["weight_decay"] for group in optimizer.param_groups))
    assert found == [0.5, 0.125, 0.0]
