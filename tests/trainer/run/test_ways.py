"""What is left to the machine: the fastest precision, kernels and micro-batch, found once and kept by a run to its
end."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from in_process import ONE, StopAfter, go  # noqa: E402

from trainer.config import read_run  # noqa: E402
from trainer.errors import CheckpointError  # noqa: E402
from trainer.model import linear as products  # noqa: E402
from trainer.model.kernels import PLAIN, Kernels, kernels_in_use  # noqa: E402
from trainer.process.ranks import Ranks  # noqa: E402
from trainer.run import trial  # noqa: E402
from trainer.run.precision import Precision  # noqa: E402
from trainer.run.trial import Layer, layer_of  # noqa: E402
from trainer.run.ways import Ways, _ways_of_each, choose_ways  # noqa: E402

SLOW = {"bf16": 0.3, "bf16 fused": 0.3, "float32": 0.1, "float32 mkl": 0.1}
"""A machine that has no bf16 of its own."""
SEVERAL = {"batch_tokens": 2048, "max_steps": 2}
"""A batch of which parts may be computed, which a layer is tried for."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(products, "HAS_ONEDNN", True)
    return tmp_path / "cache"


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What trying finds on this machine, by way; `times` counts how often it was tried."""
    found = {**SLOW, "times": 0.0}

    def fastest_of(tries: dict[str, Callable[[], float]], most_seconds: float) -> dict[str, float]:
        found["times"] += 1
        return {name: found.get(name, 1.0) for name in tries}

    monkeypatch.setattr(trial, "fastest_of", fastest_of)
    return found


def test_what_is_asked_for_is_computed_the_plain_way_without_trying(make_run: Any, tried: dict[str, float]) -> None:
    assert choose_ways(read_run(make_run("run", precision="bf16", **SEVERAL)), ONE) == Ways(Precision("bf16"))
    assert tried["times"] == 0


def test_the_faster_one_is_taken_and_tried_once_a_machine(make_run: Any, tried: dict[str, float], cache: Path) -> None:
    run = read_run(make_run("run", precision="auto"))
    found = choose_ways(run, ONE)
    assert found == Ways(Precision("float32", {"bf16": 0.3, "float32": 0.1}), PLAIN, None, SLOW)
    assert found.words == "float32 (3.00 times as fast here as the other)"
    tried["float32"] = tried["float32 mkl"] = 0.9
    assert choose_ways(run, ONE) == found  # a busy moment later changes nothing
    assert tried["times"] == 1
    other = read_run(make_run("other", {"width": 64}, precision="auto"))
    assert choose_ways(other, ONE).precision.name == "bf16"  # another shape
    (kept, _) = sorted((cache / "squeeze" / "kernels").iterdir(), key=lambda file: file.stat().st_mtime)
    for damaged in ("{", json.dumps({"bf16": 1.0}), json.dumps({**SLOW, "float32": -1.0})):
        kept.write_text(damaged)
        assert choose_ways(run, ONE).precision.name == "bf16"


def test_without_a_folder_to_write_to_it_is_tried_again(make_run: Any, tried: dict[str, float], cache: Path) -> None:
    cache.write_text("a file")
    run = read_run(make_run("run", precision="auto"))
    assert [choose_ways(run, ONE).precision.name for _ in range(2)] == ["float32"] * 2
    assert tried["times"] == 2


@pytest.mark.parametrize(
    ("found", "chosen", "said"),
    [
        (
            {"float32 mkl": 0.05},
            Kernels(products="mkl"),
            "float32 (6.00 times as fast here as the other), products by ",
        ),
        ({"float32 mkl": 0.095}, PLAIN, "float32 (3.00 times"),  # no more than a busy moment makes
        (
            {"bf16": 0.08, "bf16 fused": 0.05},
            Kernels(attention="fused"),
            "bf16 (2.00 times as fast here as the other), fused",
        ),
        ({"bf16": 0.12, "bf16 fused": 0.05}, Kernels(attention="fused"), "bf16 (2.00 times"),  # each at its best
    ],
)
def test_kernels_other_than_the_plain_ones_are_taken_where_they_are_clearly_faster(
    make_run: Any, tried: dict[str, float], found: dict[str, float], chosen: Kernels, said: str
) -> None:
    tried |= found
    ways = choose_ways(read_run(make_run("run", precision="auto")), ONE)
    assert ways.kernels == chosen
    assert ways.words.startswith(said)


@pytest.mark.parametrize(
    ("model", "training", "ways"),
    [
        ({}, {}, {"bf16", "float32", "bf16 fused", "float32 mkl"}),
        ({"context": 1024}, {"batch_tokens": 1024}, {"bf16", "float32", "float32 mkl"}),  # too long for blocks
        ({"dropout": 0.1}, {}, {"bf16", "float32", "float32 mkl"}),  # attention is spelt out
        ({}, {"compile": "on"}, {"bf16", "float32"}),  # the compiler has its own
    ],
)
def test_only_what_a_run_could_compute_by_is_tried(
    make_run: Any, model: dict[str, Any], training: dict[str, Any], ways: set[str]
) -> None:
    assert set(_ways_of_each(read_run(make_run("run", model, **training)), ONE)) == ways


def test_where_torch_has_no_way_to_onednn_there_is_no_choice_of_products(
    make_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "HAS_ONEDNN", False)
    assert "float32 mkl" not in _ways_of_each(read_run(make_run("run")), ONE)


def test_fewer_sequences_at_once_are_taken_where_that_is_clearly_faster(make_run: Any, tried: dict[str, float]) -> None:
    tried |= {"128 at once": 1.0, "64 at once": 0.4, "32 at once": 0.2375}  # of one pass of as many
    path = make_run("run", precision="auto", **SEVERAL)
    assert choose_ways(read_run(path), ONE).micro_batch == 64
    assert go(path).way_seconds == {**SLOW, "128 at once": 1.0, "64 at once": 0.8, "32 at once": 0.95}
    state = json.loads((path.with_suffix("") / "checkpoints" / "step_00000002" / "state.json").read_text())
    assert state["run"]["micro_batch"] == 64
    tried["times"] = 0
    given = read_run(make_run("given", precision="auto", micro_batch=128, **SEVERAL))
    assert choose_ways(given, ONE).micro_batch is None  # what is set is not tried
    wide = read_run(make_run("wide", {"width": 512, "ff_width": 2048}, precision="auto", **SEVERAL))
    assert choose_ways(wide, ONE).micro_batch is None  # nor what would take long
    assert tried["times"] == 1


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
@pytest.mark.parametrize("documents", [False, True])
def test_any_shape_can_be_tried_and_leaves_the_random_numbers_and_kernels_alone(
    make_run: Any, model: dict[str, Any], documents: bool
) -> None:
    run = read_run(make_run("run", model, precision="auto"))
    before = torch.get_rng_state()
    attempt = Layer(layer_of(run.model), ONE.device, documents=documents).tries(4, 16)
    for name, kernels in _ways_of_each(run, ONE).values():
        assert all(0 < attempt(name, kernels, at_once) < 60 for at_once in (4, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert kernels_in_use() == PLAIN


def test_trying_takes_turns_and_counts_the_fastest() -> None:
    order: list[str] = []
    times = {"a": iter([9.0, 3.0, 1.0, 2.0]), "b": iter([9.0, 5.0, 6.0, 4.0])}

    def attempt(name: str) -> Callable[[], float]:
        return lambda: (order.append(name), next(times[name], 7.0))[1]

    assert trial.fastest_of({name: attempt(name) for name in "ab"}, 0.0) == {"a": 1.0, "b": 5.0}
    assert order == ["a", "b"] * 3  # the first try of each does not count


def test_the_time_of_one_thread_is_the_processors_and_of_several_the_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trial._clock(torch.device("cpu")) is trial.time.process_time  # what else runs there does not count
    assert trial._clock(torch.device("mps")) is trial.time.perf_counter
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert trial._clock(torch.device("cpu")) is trial.time.perf_counter


def test_a_gpu_is_asked_and_not_tried(make_run: Any, tried: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    run = read_run(make_run("run", precision="auto"))
    for capability, name in (((7, 5), "float32"), ((8, 0), "bf16"), ((9, 0), "bf16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, capability=capability: capability)
        assert choose_ways(run, Ranks(0, 1, torch.device("cuda", 0))) == Ways(Precision(name))
    assert tried["times"] == 0


@pytest.mark.parametrize(
    ("here", "there", "kernels"),
    [
        (SLOW, {"float32": 0.9, "float32 mkl": 0.9}, PLAIN),
        ({**SLOW, "float32 mkl": 0.01}, {"float32": 0.01, "float32 mkl": 0.1}, Kernels(products="mkl")),
    ],
)
def test_a_run_goes_on_as_it_began_on_whatever_machine(
    make_run: Any,
    tried: dict[str, float],
    cache: Path,
    caplog: pytest.LogCaptureFixture,
    here: dict[str, float],
    there: dict[str, float],
    kernels: Kernels,
) -> None:
    tried |= here
    whole, parts = (make_run(name, precision="auto", max_steps=8) for name in ("whole", "parts"))
    caplog.set_level("INFO")
    summary = go(whole)
    assert (summary.precision, summary.kernels, summary.way_seconds) == ("float32", kernels, here)
    assert "micro-batch 8, float32 (3" in caplog.text
    go(parts, StopAfter(4))
    for file in (cache / "squeeze" / "kernels").iterdir():
        file.unlink()
    tried |= there  # the machine it goes on on is better at something else
    again = go(parts)
    assert (again.resumed_from, again.precision, again.kernels) == ([4], "float32", kernels)
    weights = [path.with_suffix("") / "model.safetensors" for path in (whole, parts)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert kernels_in_use() == PLAIN  # whatever this process computes next


def test_kernels_differ_in_the_last_bits_alone(make_run: Any) -> None:
    run = read_run(make_run("run", {"width": 64, "context": 64}, batch_tokens=512))
    ids = torch.randint(64, (8, 65), generator=torch.Generator().manual_seed(0))

    def loss(name: str, kernels: Kernels) -> float:
        torch.manual_seed(0)
        with trial.computed_by(kernels), torch.autocast("cpu", torch.bfloat16, enabled=name == "bf16"):
            return float(trial.GPT(run.model).loss(ids[:, :-1].contiguous(), ids[:, 1:].contiguous()).total.detach())

    for name, other, near in (
        ("float32", Kernels(products="mkl"), 1e-6),
        ("bf16", Kernels(attention="fused"), 1e-3),
    ):
        assert loss(name, other) == pytest.approx(loss(name, PLAIN), rel=near)


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


def test_a_run_of_before_there_was_a_choice_goes_on_the_plain_way(make_run: Any, tried: dict[str, float]) -> None:
    path = make_run("run", precision="bf16", max_steps=8)
    go(path, StopAfter(4))
    state = path.with_suffix("") / "checkpoints" / "step_00000004" / "state.json"
    values = json.loads(state.read_text())
    del values["run"]["kernels"], values["run"]["way_seconds"]
    state.write_text(json.dumps(values))
    state.with_name("state.json.sha256").write_text(_seal(state))
    path.write_text(path.read_text().replace('"precision": "bf16"', '"precision": "auto"'))
    found = go(path)
    assert (found.resumed_from, found.precision, found.kernels, tried["times"]) == ([4], "bf16", PLAIN, 0)


def _seal(state: Path) -> str:
    from trainer.run.checkpoints.checkpoint import _seal as seal

    return seal(state.read_bytes()).decode()


def test_a_summary_of_before_says_that_it_was_the_plain_way(make_run: Any) -> None:
    from trainer.run.figures.summary import RunSummary

    summary = RunSummary(state="finished", precision="bf16", kernels=Kernels(attention="fused"))
    assert RunSummary.from_json(json.loads(json.dumps(summary.to_json()))) == summary
    older = {key: value for key, value in dataclasses.asdict(summary).items() if key not in ("kernels", "way_seconds")}
    assert RunSummary.from_json(older).kernels == PLAIN
