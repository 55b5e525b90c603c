"""A few faults of every kind are survived; `python -m tests.faults run --hours N` injects as many as time allows."""

import pytest

from tests.faults import training
from tests.faults.trials import session


@pytest.mark.fault
@pytest.mark.parametrize(("of", "most"), [("building", 40), ("training", len(training.KINDS)), ("jobs", 2)])
def test_faults_lose_nothing_and_change_no_result(of, most):
    outcome = session(seconds=150, most=most, of=[of])
    assert not outcome.wrong, str(outcome)
    assert not outcome.bytes_lost
    assert outcome.injected, "no fault struck"
