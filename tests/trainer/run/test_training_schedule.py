"""Learning rate and momentum over a run."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.config import OptimizerConfig, ScheduleConfig
from trainer.optim.muon import muon_momentum
from trainer.optim.schedule import learning_rate_factor

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
