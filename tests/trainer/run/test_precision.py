"""The precision that is left to the machine: the faster one of both, found once, and kept by a run to its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from in_process import ONE, StopAfter, go  # noqa: E402

from trainer.config import read_run  # noqa: E402
from trainer.errors import CheckpointError  # noqa: E402
from trainer.process.ranks import Ranks  # noqa: E402
from trainer.run import precision  # noqa: E402
from trainer.run.precision import Precision, choose_precision  # noqa: E402


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What trying finds on this machine; `times` counts how often it was tried."""
    found = {"bf16": 0.3, "float32": 0.1, "times": 0.0}

    def try_both(*_: Any) -> dict[str, float]:
        found["times"] += 1
        return {name: found[name] for name in precision.NAMES}

    monkeypatch.setattr(precision, "_try_both", try_both)
    return found


def test_what_is_asked_for_is_taken_without_trying(make_run: Any, tried: dict[str, float]) -> None:
    assert choose_precision(read_run(make_run("run", precision="bf16")), ONE) == Precision("bf16")
    assert tried["times"] == 0


def test_the_faster_one_is_taken_and_tried_once_a_machine(make_run: Any, tried: dict[str, float], cache: Path) -> None:
    run = read_run(make_run("run", precision="auto"))
    found = choose_precision(run, ONE)
    assert found == Precision("float32", {"bf16": 0.3, "float32": 0.1})
    assert found.words == "float32 (3.00 times as fast here as the other)"
    tried["float32"] = 0.9
    assert choose_precision(run, ONE) == found  # a busy moment later changes nothing
    assert tried["times"] == 1
    other = read_run(make_run("other", {"width": 64}, precision="auto"))
    assert choose_precision(other, ONE).name == "bf16"  # another shape
    (kept, _) = sorted((cache / "squeeze" / "precision").iterdir(), key=lambda file: file.stat().st_mtime)
    for damaged in ("{", json.dumps({"bf16": 1.0}), json.dumps({"bf16": -1.0, "float32": 1.0})):
        kept.write_text(damaged)
        assert choose_precision(run, ONE).name == "bf16"


def test_without_a_folder_to_write_to_it_is_tried_again(make_run: Any, tried: dict[str, float], cache: Path) -> None:
    cache.write_text("a file")
    run = read_run(make_run("run", precision="auto"))
    assert [choose_precision(run, ONE).name for _ in range(2)] == ["float32"] * 2
    assert tried["times"] == 2


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"position": "learned", "norm": "layernorm", "mlp": "gelu", "bias": True, "context": 600},
        {"mlp": "moe", "moe": {"experts": 4, "top_k": 2}},
        {"dropout": 0.1, "repeats": 2, "embedding_width": 16, "attention_input": "4n"},
        {"vocab_size": 50_000},
    ],
)
def test_any_shape_can_be_tried_and_leaves_the_random_numbers_alone(make_run: Any, model: dict[str, Any]) -> None:
    run = read_run(make_run("run", model, precision="auto"))
    before = torch.get_rng_state()
    found = precision._try_both(run.model, ONE)
    assert set(found) == {"bf16", "float32"}
    assert all(0 < seconds < 60 for seconds in found.values())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_gpu_is_asked_and_not_tried(make_run: Any, tried: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    run = read_run(make_run("run", precision="auto"))
    for capability, name in (((7, 5), "float32"), ((8, 0), "bf16"), ((9, 0), "bf16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, capability=capability: capability)
        assert choose_precision(run, Ranks(0, 1, torch.device("cuda", 0))) == Precision(name)
    assert tried["times"] == 0


def test_a_run_goes_on_in_the_precision_it_began_in_on_whatever_machine(
    make_run: Any, tried: dict[str, float], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, parts = (make_run(name, precision="auto", max_steps=8) for name in ("whole", "parts"))
    caplog.set_level("INFO")
    summary = go(whole)
    assert (summary.precision, summary.precision_seconds) == ("float32", {"bf16": 0.3, "float32": 0.1})
    assert "micro-batch 8, float32 (3.00 times as fast here as the other)" in caplog.text
    go(parts, StopAfter(4))
    for file in (cache / "squeeze" / "precision").iterdir():
        file.unlink()
    tried["float32"] = 0.9  # the machine it goes on on is better at bf16
    again = go(parts)
    assert (again.resumed_from, again.precision) == ([4], "float32")
    weights = [path.with_suffix("") / "model.safetensors" for path in (whole, parts)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_naming_what_was_chosen_goes_on_and_naming_the_other_is_another_run(
    make_run: Any, tried: dict[str, float]
) -> None:
    path = make_run("run", precision="auto", max_steps=8)
    go(path, StopAfter(4))
    before = path.read_text()
    path.write_text(before.replace('"precision": "auto"', '"precision": "bf16"'))
    with pytest.raises(CheckpointError, match=r"training\.precision is 'auto' there, 'bf16' here"):
        go(path)
    path.write_text(before.replace('"precision": "auto"', '"precision": "float32"'))
    assert go(path).resumed_from == [4]


def test_a_run_of_before_it_could_be_chosen_goes_on_where_it_is_left_to_the_machine(
    make_run: Any, tried: dict[str, float]
) -> None:
    path = make_run("run", precision="bf16", max_steps=8)
    go(path, StopAfter(4))
    path.write_text(path.read_text().replace('"precision": "bf16"', '"precision": "auto"'))
    found = go(path)
    assert (found.resumed_from, found.precision, tried["times"]) == ([4], "bf16", 0)
