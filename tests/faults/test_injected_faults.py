"""A few faults of every kind are survived; `python -m tests.faults run --hours N` injects as many as time allows."""

import pytest

from tests.end_to_end.tiny_project import Project
from tests.faults.trials import KINDS, session


@pytest.mark.fault
def test_faults_lose_nothing_and_change_no_result(tmp_path):
    outcome = session(Project(tmp_path).profile, seconds=240, seed=0, most=3 * len(KINDS))
    assert not outcome.wrong, str(outcome)
    assert not outcome.bytes_lost
