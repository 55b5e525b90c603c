"""What counts as a bad loss."""

from __future__ import annotations

import math

import pytest

from trainer.run.loss_guard import LEAST_HISTORY, WINDOW, BadLoss, LossGuard


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_bad(loss: float) -> None:
    assert LossGuard(None, []).judge(loss, 1.0) == BadLoss(f"the loss is {loss}", diverged=True)


def test_a_gradient_that_is_not_finite_is_bad() -> None:
    assert LossGuard(None, []).judge(1.0, math.inf) == BadLoss("the gradient's norm is inf", diverged=True)


def test_a_jump_is_measured_against_the_recent_mean_and_not_remembered() -> None:
    guard = LossGuard(2.0, [1.0] * LEAST_HISTORY)
    bad = guard.judge(2.1, 1.0)
    assert bad is not None
    assert "jumped to 2.1000" in bad.complaint
    assert not bad.diverged
    assert guard.recent == [1.0] * LEAST_HISTORY
    assert guard.judge(1.9, 1.0) is None
    assert guard.recent[-1] == 1.9


def test_no_jump_before_there_is_a_history_and_none_when_not_asked_for() -> None:
    assert LossGuard(2.0, [1.0] * (LEAST_HISTORY - 1)).judge(9.0, 1.0) is None
    assert LossGuard(None, [1.0] * WINDOW).judge(9.0, 1.0) is None


def test_the_history_is_bounded() -> None:
    guard = LossGuard(2.0, [])
    for _ in range(3 * WINDOW):
        guard.judge(1.0, 1.0)
    assert len(guard.recent) == WINDOW
