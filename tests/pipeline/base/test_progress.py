"""Progress says how much of how much, how fast and how long yet; its last line is no progress."""

import pytest

from pipeline.base import progress as module
from pipeline.base.progress import PROGRESS, Progress, longest_silence


@pytest.fixture
def said(monkeypatch, caplog):
    """What was logged, as (line, whether the next one replaces it), a line for every step of the work."""
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    caplog.set_level("INFO")
    return lambda: [(record.getMessage(), getattr(record, PROGRESS, False)) for record in caplog.records]


def test_of_a_known_size_it_says_how_long_yet(said):
    progress = Progress(module.logging.getLogger("pipeline"), "fetched", size=4_000_000)
    progress.add(0, 1_000_000)
    ((line, replaced),) = said()
    assert line.startswith("fetched · 1.0 of 4.0 MB · ")
    assert line.endswith(" MB/s · 1:00 left")
    assert replaced


def test_of_a_known_number_too_and_the_last_line_stays(said):
    progress = Progress(module.logging.getLogger("pipeline"), "shards written", total=2, unit="Mtok")
    progress.add(1, 1_000_000)
    progress.add(1, 1_000_000)
    (first, replaced), (last, stays) = said()
    assert first.startswith("shards written 1 of 2 · 1.0 Mtok · ")
    assert first.endswith(" left")
    assert replaced
    assert last.startswith("shards written 2 of 2 · 2.0 Mtok · ")
    assert "left" not in last
    assert not stays


def test_of_what_nobody_knows_the_size_it_says_how_fast(said):
    progress = Progress(module.logging.getLogger("pipeline"), "books: encoded", "documents", unit="kB")
    progress.add(3, 12_000)
    ((line, _),) = said()
    assert line.startswith("books: encoded 3 documents · 12.0 kB · ")
    assert "left" not in line


def test_work_of_days_logs_no_line_every_two_seconds():
    assert longest_silence(2.0, 60.0) == 2.0
    assert longest_silence(2.0, 86_400.0) > 1000
