"""What counts as a bad loss."""

from __future__ import annotations

import math

import pytest

from trainer.run.loss_guard import LEAST_HISTORY, WINDOW, LossGuard


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_bad(loss: float) -> None:
    assert "the loss is" in str(LossGuard(None, []).complaint(loss, 1.0))


def test_a_gradient_that_is_not_finite_is_bad() -> None:
    assert "gradient" in str(LossGuard(None, []).complaint(1.0, math.inf))


def test_a_jump_is_measured_against_the_recent_mean_and_not_remembered() -> None:
    guard = LossGuard(2.0, [1.0] * LEAST_HISTORY)
    assert "jumped to 2.1000" in str(guard.complaint(2.1, 1.0))
    assert guard.recent == [1.0] * LEAST_HISTORY
    assert guard.complaint(1.9, 1.0) is None
    assert guard.recent[-1] == 1.9


def test_no_jump_before_there_is_a_history_and_none_when_not_asked_for() -> None:
    assert LossGuard(2.0, [1.0] * (LEAST_HISTORY - 1)).complaint(9.0, 1.0) is None
    assert LossGuard(None, [1.0] * WINDOW).complaint(9.0, 1.0) is None


def test_the_history_is_bounded() -> None:
    guard = LossGuard(2.0, [])
    for _ in range(3 * WINDOW):
        guard.complaint(1.0, 1.0)
    assert len(guard.recent) == WINDOW
