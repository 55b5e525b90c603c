"""summary.json: what is written is what is read, by this version and another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainer.errors import DataError
from trainer.run.checkpoints.best import BestCheckpoint, better
from trainer.run.figures.summary import ParameterCounts, RunSummary, read_summary, write_summary
from trainer.run.folder import SUMMARY_FILE
from trainer.scoring.evaluation import ChoiceScore, HeldoutScore

SUMMARY = RunSummary(
    state="finished",
    steps=12,
    skipped_steps=[3],
    tokens=1000,
    final_train_loss=2.5,
    validation={"wiki": HeldoutScore(2.25, 1.5, 3, 40, 90)},
    choices={"arc_easy": ChoiceScore(0.5, 0.1, 0.25, 0.1, 20)},
    parameters=ParameterCounts(30, 10, 30),
    resumed_from=[5],
    best=BestCheckpoint(8, 2.0),
    content_hash="c" * 64,
)


def test_a_summary_reads_back_as_it_was_written(tmp_path: Path) -> None:
    write_summary(tmp_path, SUMMARY)
    assert read_summary(tmp_path) == SUMMARY


def test_before_the_end_there_is_none(tmp_path: Path) -> None:
    assert read_summary(tmp_path) is None


def test_an_interrupted_run_says_nothing_of_weights_it_has_not_left(tmp_path: Path) -> None:
    write_summary(tmp_path, RunSummary("interrupted", steps=4))
    written = json.loads((tmp_path / SUMMARY_FILE).read_text())
    assert {"best", "content_hash"}.isdisjoint(written)
    assert read_summary(tmp_path) == RunSummary("interrupted", steps=4)


def test_a_summary_of_another_version_is_read_as_far_as_it_goes() -> None:
    values = {**SUMMARY.to_json(), "of_tomorrow": 1, "parameters": {**SUMMARY.to_json()["parameters"], "frozen": 0}}
    del values["choices"]
    assert RunSummary.from_json(values).parameters == SUMMARY.parameters
    assert RunSummary.from_json(values).choices == {}


@pytest.mark.parametrize(
    "text", ['{"state": ', "[]", '{"steps": 3}', '{"state": "finished", "validation": 3}', "[" * 100_000]
)
def test_a_damaged_summary_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / SUMMARY_FILE).write_text(text)
    with pytest.raises(DataError, match=r"summary\.json: not a run's summary"):
        read_summary(tmp_path)


def test_the_lowest_loss_is_the_best_the_first_of_equals_and_nan_never() -> None:
    best = None
    for step, loss in ((1, float("nan")), (2, 3.0), (3, None), (4, 2.0), (5, 2.5), (6, 2.0)):
        best = better(best, step, loss)
    assert best == BestCheckpoint(4, 2.0)
