"""What a run says: each step once in metrics.jsonl, and lines that people can read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainer.run.figures.metrics import MetricsLog, StepLine, cut_metrics, duration, progress_line

LINE = StepLine(
    step=120,
    tokens=983_040,
    loss=4.1234,
    lr=0.01,
    grad_norm=0.5,
    bits_per_byte=2.3456,
    tokens_per_second=28_600.4,
    mfu=0.4567,
    memory_bytes=3 * 2**29,
    seconds=34.4,
    eta_seconds=83.0,
    epoch=1,
    stage="mixture",
)


def test_a_line_says_loss_speed_memory_and_time_left() -> None:
    expected = "step 120/488 · loss 4.1234 · 2.346 bits/byte · 28,600 tokens/s · MFU 45.7% · 1.5 GiB · 1:23 left"
    assert progress_line(LINE, 488) == expected


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (83, "1:23"), (3723, "1:02:03")])
def test_durations_read_like_a_clock(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_lines_a_resumed_run_does_again_are_cut_with_one_that_was_torn(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in (1, 2, 3, 4)) + '{"step": 5, "lo')
    cut_metrics(path, 3)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_a_line_can_be_read_as_soon_as_it_is_written(tmp_path: Path) -> None:
    metrics = MetricsLog(tmp_path, 0)
    metrics.write(LINE, 488)
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == LINE.to_json()
    metrics.close()


def test_a_terminal_gets_a_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    metrics = MetricsLog(tmp_path, 0)
    metrics.write(LINE, 488)
    metrics.close()
    assert "step 120/488" in capsys.readouterr().err.replace("\n", "")
