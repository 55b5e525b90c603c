"""Held-out documents and multiple-choice items scored while a run goes on."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from in_process import go  # noqa: E402

from trainer.scoring.choices import ChoiceItem, write_choices  # noqa: E402


def with_choices(path: Path, items: int) -> Path:
    """Have the run score items whose answer goes on as the training text does (conftest.documents)."""
    draw = random.Random(3)
    made = []
    for _ in range(items):
        prompt = [draw.randrange(63)]
        while len(prompt) < 6:
            prompt.append((3 * prompt[-1] + 1) % 63)
        answer = draw.randrange(4)
        choices = [(draw.randrange(63), draw.randrange(63)) for _ in range(4)]
        first = (3 * prompt[-1] + 1) % 63
        choices[answer] = (first, (3 * first + 1) % 63)
        made.append(ChoiceItem(tuple(prompt), tuple(choices), (2, 2, 2, 2), (2, 2, 2, 2), answer))
    file = path.with_name("numbers.json")
    write_choices(file, "numbers", made, "tokenizer-of-the-tests")
    run = json.loads(path.read_text())
    run["data"]["choices"] = [{"name": "numbers", "path": file.name}]
    path.write_text(json.dumps(run))
    return path


def evaluations(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path.with_suffix("") / "evaluations.jsonl").read_text().splitlines()]


def test_items_are_scored_at_the_interval_and_all_of_them_at_the_end(make_run: Any) -> None:
    path = with_choices(make_run("run", validate=True, max_steps=60, evaluate_every=20, evaluate_items=10), items=50)
    summary = go(path)
    lines = evaluations(path)
    assert [line["step"] for line in lines] == [20, 40]
    assert all(line["choices"]["numbers"]["items"] == 10 for line in lines)
    assert all(line["validation"]["numbers"]["bits_per_byte"] > 0 for line in lines)
    assert summary.choices["numbers"].items == 50
    assert summary.choices["numbers"].acc > 0.6  # chance is a quarter


def test_without_held_out_documents_no_checkpoint_is_the_best(make_run: Any) -> None:
    path = with_choices(make_run("run", max_steps=4, evaluate_every=2), items=8)
    summary = go(path)
    assert (summary.validation, summary.best) == ({}, None)
    assert len(evaluations(path)) == 1


def test_evaluations_that_a_resumed_run_does_again_stand_there_once(make_run: Any) -> None:
    path = with_choices(make_run("run", max_steps=12, evaluate_every=3, checkpoint_every=3), items=8)
    go(path)
    whole = evaluations(path)
    checkpoints = path.with_suffix("") / "checkpoints"
    last = sorted(place for place in checkpoints.iterdir() if place.name.startswith("step_"))[-1]
    for file in last.iterdir():
        file.unlink()
    last.rmdir()
    go(path)
    assert evaluations(path) == whole


def test_tensorboard_shows_them(make_run: Any) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    path = with_choices(make_run("run", validate=True, max_steps=4, evaluate_every=2, tensorboard=True), items=8)
    go(path)
    accumulator = events.EventAccumulator(str(path.with_suffix("") / "tensorboard"))
    accumulator.Reload()
    (line,) = evaluations(path)
    (shown,) = accumulator.Scalars("numbers/bits_per_byte")
    assert shown.value == pytest.approx(line["validation"]["numbers"]["bits_per_byte"], rel=1e-6)
    assert {"numbers/acc", "numbers/acc_norm", "numbers/loss"} <= set(accumulator.Tags()["scalars"])
