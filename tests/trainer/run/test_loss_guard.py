"""What counts as a bad loss."""

from __future__ import annotations

import math

import pytest

from trainer.run.loss_guard import FIRST_STAGE, LEAST_HISTORY, LEAST_IN_A_LATER_STAGE, WINDOW, BadLoss, LossGuard


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_bad(loss: float) -> None:
    assert LossGuard(None, []).judge(loss, 1.0, FIRST_STAGE) == BadLoss(f"the loss is {loss}", diverged=True)


def test_a_gradient_that_is_not_finite_is_bad() -> None:
    assert LossGuard(None, []).judge(1.0, math.inf, FIRST_STAGE) == BadLoss("the gradient's norm is inf", diverged=True)


def test_a_jump_is_measured_against_the_recent_mean_and_not_remembered() -> None:
    guard = LossGuard(2.0, [1.0] * LEAST_HISTORY)
    bad = guard.judge(2.1, 1.0, FIRST_STAGE)
    assert bad is not None
    assert "jumped to 2.1000" in bad.complaint
    assert not bad.diverged
    assert guard.recent == [1.0] * LEAST_HISTORY
    assert guard.judge(1.9, 1.0, FIRST_STAGE) is None
    assert guard.recent[-1] == 1.9


def test_no_jump_before_there_is_a_history_and_none_when_not_asked_for() -> None:
    assert LossGuard(2.0, [1.0] * (LEAST_HISTORY - 1)).judge(9.0, 1.0, FIRST_STAGE) is None
    assert LossGuard(None, [1.0] * WINDOW).judge(9.0, 1.0, FIRST_STAGE) is None


def test_the_history_is_bounded() -> None:
    guard = LossGuard(2.0, [])
    for _ in range(3 * WINDOW):
        guard.judge(1.0, 1.0, FIRST_STAGE)
    assert len(guard.recent) == WINDOW


def test_a_harder_stage_is_no_jump_and_is_measured_against_itself_from_then_on() -> None:
    guard = LossGuard(2.0, [0.1] * WINDOW, FIRST_STAGE)
    assert all(guard.judge(4.0, 1.0, (1, 1)) is None for _ in range(LEAST_IN_A_LATER_STAGE))
    assert guard.recent == [4.0] * LEAST_IN_A_LATER_STAGE
    assert guard.judge(8.1, 1.0, (1, 1)) is not None
    assert guard.judge(0.1, 1.0, (2, 0)) is None  # the next epoch begins with the easy one
    assert guard.recent == [0.1]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_bad_in_the_first_step_of_a_stage_too(loss: float) -> None:
    guard = LossGuard(2.0, [1.0] * WINDOW, FIRST_STAGE)
    assert guard.judge(loss, 1.0, (1, 1)) == BadLoss(f"the loss is {loss}", diverged=True)
    assert (guard.recent, guard.stage) == ([1.0] * WINDOW, FIRST_STAGE)


def test_losses_of_a_stage_that_is_not_known_are_of_the_one_at_hand() -> None:
    assert LossGuard(2.0, [1.0] * LEAST_HISTORY).judge(2.1, 1.0, (1, 1)) is not None
