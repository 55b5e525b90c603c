"""Nothing is lost to an evaluation: what it scores is saved before it, and a signal ends it at once."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from in_process import ONE, StopAfter, go  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from trainer.process.signals import StopRequest  # noqa: E402
from trainer.run import evaluator  # noqa: E402
from trainer.run.folder import sorted_checkpoints, step_of  # noqa: E402
from trainer.scoring.interruption import EvaluationStoppedError, Interruption  # noqa: E402

Score = Callable[..., Any]


def steps_saved(path: Path) -> list[int]:
    return [step_of(place) for place in sorted_checkpoints(path.with_suffix("") / "checkpoints")]


def contents(path: Path) -> dict[Path, tuple[bytes, int]]:
    files = [file for file in path.with_suffix("").rglob("*") if file.is_file() and file.name != ".lock"]
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


@pytest.fixture
def signal_while_scoring(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], StopRequest]:
    """A request to stop that comes in the evaluation of that number, counted from 1."""

    def arrange(number: int) -> StopRequest:
        stop = StopRequest()
        score: Score = evaluator.score
        begun: list[int] = []

        def scoring(*arguments: Any, **words: Any) -> Any:
            begun.append(1)
            if len(begun) == number:
                stop.signal_name = "SIGTERM"
            return score(*arguments, **words)

        monkeypatch.setattr(evaluator, "score", scoring)
        return stop

    return arrange


def test_a_signal_in_the_final_evaluation_loses_no_step(make_run: Any, signal_while_scoring: Any) -> None:
    whole, path = (make_run(name, validate=True, max_steps=12) for name in ("whole", "run"))
    expected = go(whole)
    summary = go(path, signal_while_scoring(1))
    assert (summary.state, summary.steps, steps_saved(path)) == ("interrupted", 12, [10, 12])
    assert not (path.with_suffix("") / "model.safetensors").exists()
    again = go(path)
    assert (again.state, again.resumed_from, again.content_hash) == ("finished", [12], expected.content_hash)
    assert again.validation == expected.validation


def test_a_crash_in_the_final_evaluation_loses_no_step(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_run("run", validate=True, max_steps=12)
    with monkeypatch.context() as patch:
        patch.setattr(evaluator, "score", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            go(path)
    assert steps_saved(path) == [10, 12]
    assert go(path).resumed_from == [12]


def test_a_signal_at_the_time_limit_s_evaluation_does_not_add_steps(make_run: Any, signal_while_scoring: Any) -> None:
    path = make_run("run", validate=True, max_minutes=1e-6)
    assert go(path, signal_while_scoring(1)).state == "interrupted"
    summary = go(path)
    assert (summary.state, summary.steps) == ("time_limit", 1)


def test_an_evaluation_on_the_way_that_a_signal_ended_is_done_at_the_next_start(
    make_run: Any, signal_while_scoring: Any
) -> None:
    settings = {"validate": True, "max_steps": 12, "evaluate_every": 4, "checkpoint_every": 20}
    whole, path = make_run("whole", **settings), make_run("run", **settings)
    expected = go(whole)
    assert go(path, signal_while_scoring(2)).state == "interrupted"
    assert steps_saved(path) == [4, 8]
    summary = go(path)
    assert (summary.best, summary.content_hash) == (expected.best, expected.content_hash)
    lines = [(run.with_suffix("") / "evaluations.jsonl").read_text() for run in (path, whole)]
    assert lines[0] == lines[1]


def test_the_best_survives_a_stop_and_damage_to_its_checkpoint_is_no_result(make_run: Any, caplog: Any) -> None:
    path = make_run("run", validate=True, max_steps=30, evaluate_every=4)
    go(path, StopAfter(10))
    place = path.with_suffix("") / "checkpoints" / "step_00000028"
    assert go(path).best.step == 28
    weights = load_file(path.with_suffix("") / "best.safetensors")
    assert all(torch.equal(weights[name], tensor) for name, tensor in load_file(place / "model.safetensors").items())
    (path.with_suffix("") / "best.safetensors").unlink()
    (path.with_suffix("") / "summary.json").unlink()
    content = bytearray((place / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (place / "model.safetensors").write_bytes(content)
    assert go(path).best is None
    assert "step_00000028 evaluated best, but cannot be used" in caplog.text
    assert not (path.with_suffix("") / "best.safetensors").exists()


def test_a_finished_run_that_is_started_again_stays_as_it_is(make_run: Any, caplog: Any) -> None:
    path = make_run("run", validate=True, max_steps=6)
    summary = go(path)
    for place in sorted_checkpoints(path.with_suffix("") / "checkpoints"):
        for file in place.iterdir():
            file.unlink()
        place.rmdir()  # the weights are there: a run does not need its checkpoints any more
    before = contents(path)
    caplog.set_level(logging.INFO, "trainer")
    assert go(path).to_json() == json.loads(json.dumps(summary.to_json()))
    assert contents(path) == before
    assert "this run is done (finished after 6 steps)" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        lambda out: (out / "model.safetensors").write_bytes(b"cut"),
        lambda out: (out / "model.safetensors").unlink(),
        lambda out: (out / "summary.json").write_text("{"),
        lambda out: (out / "run.json").write_text("{"),
    ],
    ids=["weights cut", "no weights", "summary cut", "settings cut"],
)
def test_a_finished_run_that_was_damaged_is_finished_again_from_its_last_checkpoint(make_run: Any, change: Any) -> None:
    path = make_run("run", validate=True, max_steps=6)
    summary = go(path)
    change(path.with_suffix(""))
    again = go(path)
    assert (again.resumed_from, again.content_hash) == ([6], summary.content_hash)
    assert json.loads((path.with_suffix("") / "summary.json").read_text()) == again.to_json()


def test_a_finished_run_that_is_to_be_scored_on_more_is_scored_again_only(make_run: Any) -> None:
    summary = go(make_run("run", validate=True, max_steps=6, final_evaluate_tokens=100))
    again = go(make_run("run", validate=True, max_steps=6))
    assert (again.resumed_from, again.content_hash) == ([6], summary.content_hash)
    assert again.validation["numbers"].documents > summary.validation["numbers"].documents


def test_parts_are_done_in_order_until_somebody_asks_to_stop() -> None:
    done: list[int] = []
    interruption = Interruption(ONE, lambda: len(done) >= 70)
    interruption.each(range(60), done.append)
    assert done == list(range(60))
    with pytest.raises(EvaluationStoppedError):
        interruption.each(range(1000), done.append)
    assert len(done) < 200


def test_a_module_of_the_model_looks_for_a_request_by_itself_and_no_longer_afterwards() -> None:
    asked = [False]
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[0].register_forward_hook(lambda *_: asked.__setitem__(0, True))
    with Interruption(ONE, lambda: asked[0]).within(model), pytest.raises(EvaluationStoppedError):
        model(torch.zeros(2))
    assert model(torch.zeros(2)).shape == (2,)
