"""One rank, in this process: what a run leaves behind, and that resuming is the same as never having stopped."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from in_process import StopAfter, go  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from trainer.config import read_run  # noqa: E402
from trainer.data.shards import content_hash, read_manifest  # noqa: E402
from trainer.errors import CheckpointError, ConfigError, DataError, DivergedError, TrainerError  # noqa: E402
from trainer.plan import plan  # noqa: E402
from trainer.process.ranks import Ranks  # noqa: E402
from trainer.process.signals import StopRequest  # noqa: E402
from trainer.run import loop  # noqa: E402
from trainer.run.folder import sorted_checkpoints, step_of  # noqa: E402
from trainer.run.learner import Learner  # noqa: E402
from trainer.run.loop import train  # noqa: E402
from trainer.run.loss_guard import BadLoss, LossGuard  # noqa: E402
from trainer.run.trained_model import load_model  # noqa: E402


def losses(path: Path) -> dict[int, float]:
    lines = (path.with_suffix("") / "metrics.jsonl").read_text().splitlines()
    return {line["step"]: line["loss"] for line in map(json.loads, lines)}


def weights(path: Path, file: str = "model.safetensors") -> dict[str, Any]:
    return load_file(path.with_suffix("") / file)


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_a_run_learns_and_leaves_what_the_contract_names(make_run: Any) -> None:
    path = make_run("run", validate=True, max_steps=60, price_per_device_hour=2.0, peak_tflops=1.0)
    summary = go(path)
    out = path.with_suffix("")
    assert summary.state == "finished"
    assert {file.name for file in out.iterdir()} == {
        "config.json", "run.json", "summary.json", "metrics.jsonl", "model.safetensors", "checkpoints",
    }  # fmt: skip
    assert json.loads((out / "summary.json").read_text()) == summary.to_json()
    curve = losses(path)
    assert list(curve) == list(range(1, 61))
    assert curve[60] < 0.6 * curve[1]
    assert summary.validation["numbers"].loss == pytest.approx(curve[60], rel=0.3)
    assert summary.tokens == 60 * 128
    assert summary.flops == summary.flops_per_token * 60 * 128
    assert summary.cost == pytest.approx(2.0 * summary.device_hours)
    assert summary.mfu == pytest.approx(summary.tokens_per_second * summary.flops_per_token / 1e12)
    model = load_model(out)
    assert model(torch.zeros(1, 4, dtype=torch.long)).shape == (1, 4, 64)


@pytest.mark.parametrize(
    ("model", "training"),
    [
        ({}, {"precision": "bf16"}),
        ({}, {"precision": "float32", "ema_horizon": 5, "document_mask": True}),
        ({"dropout": 0.1}, {"optimizer": {"kind": "muon"}, "schedule": {"kind": "wsd"}}),
        ({"mlp": "moe", "moe": {"experts": 4, "top_k": 2, "balance": "bias"}}, {"ema_horizon": 5}),
    ],
    ids=["bf16", "float32-ema-documents", "muon-dropout", "moe"],
)
def test_resuming_equals_no_interruption(make_run: Any, model: dict[str, Any], training: dict[str, Any]) -> None:
    whole = make_run("whole", model, max_steps=14, **training)
    parts = make_run("parts", model, max_steps=14, **training)
    go(whole)
    assert go(parts, StopAfter(4)).state == "interrupted"
    assert not (parts.with_suffix("") / "model.safetensors").exists()
    assert go(parts, StopAfter(5)).resumed_from == [4]
    assert go(parts).resumed_from == [4, 9]
    assert losses(parts) == losses(whole)
    assert same(weights(parts), weights(whole))
    if training.get("ema_horizon"):
        assert same(weights(parts, "ema.safetensors"), weights(whole, "ema.safetensors"))


def test_gradient_accumulation_equals_the_large_batch(make_run: Any) -> None:
    model = {"dropout": 0.1}
    large = make_run("large", model, max_steps=6, micro_batch=8, precision="float32")
    small = make_run("small", model, max_steps=6, micro_batch=3, precision="float32")
    go(large)
    go(small)
    assert losses(small) == pytest.approx(losses(large), rel=1e-5)


def test_a_batch_uses_the_sequences_in_order_and_the_end_is_dropped(make_run: Any) -> None:
    path = make_run("run")
    summary = go(path)
    run = read_run(path)
    manifests = [json.loads(Path(epoch).read_text()) for epoch in run.data.epochs]
    sequences = sum((manifest["tokens"] - 1) // 16 for manifest in manifests)
    assert summary.steps == sequences // 8
    epochs = [json.loads(line)["epoch"] for line in (Path(run.out) / "metrics.jsonl").read_text().splitlines()]
    assert epochs == sorted(epochs)
    assert set(epochs) == {1, 2}


def test_the_last_checkpoints_and_the_best_are_kept(make_run: Any) -> None:
    path = make_run("run", validate=True, max_steps=40, evaluate_every=8, keep_checkpoints=2, checkpoint_every=3)
    summary = go(path)
    steps = [step_of(place) for place in sorted_checkpoints(path.with_suffix("") / "checkpoints")]
    assert steps[-2:] == [39, 40]
    assert set(steps) == {39, 40, summary.best.step}
    best = load_model(path.with_suffix(""), weights="lowest_loss")
    assert best(torch.zeros(1, 2, dtype=torch.long)).isfinite().all()


def test_a_damaged_checkpoint_is_passed_over_and_named(make_run: Any, caplog: pytest.LogCaptureFixture) -> None:
    whole, path = make_run("whole", max_steps=14), make_run("run", max_steps=14)
    go(whole)
    go(path, StopAfter(12))
    newest = sorted_checkpoints(path.with_suffix("") / "checkpoints")[-1]
    file = newest / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert go(path).resumed_from == [10]
    assert f"{file}: damaged" in caplog.text
    assert same(weights(path), weights(whole))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": {"width": 64}}, r"of another architecture: model\.width is 32 there, 64 here"),
        (
            {"optimizer": {"vector_learning_rate": 0.02}},
            r"training\.optimizer\.vector_learning_rate is None there, 0\.02 here",
        ),
        ({"optimizer": {"learning_rate": 0.02}}, r"training\.optimizer\.learning_rate is 0\.01 there, 0\.02 here"),
        ({"max_steps": 15}, "of a run of 14 steps, this one has 15"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(make_run: Any, change: dict[str, Any], said: str) -> None:
    go(make_run("run", max_steps=14), StopAfter(3))
    with pytest.raises(CheckpointError, match=said):
        go(make_run("run", **{"max_steps": 14, **change}))


def test_a_checkpoint_of_other_shards_is_refused(make_run: Any) -> None:
    path = make_run("run", max_steps=14)
    go(path, StopAfter(3))
    settings = json.loads(path.read_text())
    settings["data"]["epochs"].reverse()
    path.write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match="trained on other shards"):
        go(path)


@pytest.mark.parametrize("rows", [32, 65, 128])
def test_a_vocabulary_that_is_not_the_shards_own_is_neither_planned_nor_trained(make_run: Any, rows: int) -> None:
    path = make_run("run", {"vocab_size": rows})
    said = rf"model\.vocab_size is {rows}, but the shards' tokenizer has 64 tokens; set model\.vocab_size to 64"
    with pytest.raises(ConfigError, match=said):
        plan(read_run(path))
    with pytest.raises(ConfigError, match=said):
        go(path)


def test_more_ranks_than_sequences_are_refused(make_run: Any) -> None:
    with pytest.raises(ConfigError, match="9 ranks, but a batch holds 8 sequences"):
        train(read_run(make_run("run")), Ranks(0, 9, torch.device("cpu")), StopRequest())


def test_missing_shards_are_named(make_run: Any) -> None:
    path = make_run("run")
    path.write_text(path.read_text().replace("epoch_002", "epoch_009"))
    with pytest.raises(DataError, match="epoch_009"):
        go(path)


def test_held_out_documents_of_another_tokenizer_are_refused(make_run: Any, shards: Path, tmp_path: Path) -> None:
    path = make_run("run", validate=True)
    shutil.copytree(shards / "validation", tmp_path / "validation")
    made = read_manifest(shards / "validation")
    other = dataclasses.replace(made, tokenizer=dataclasses.replace(made.tokenizer, content_hash="another"))
    other = dataclasses.replace(other, content_hash=content_hash(other))
    (tmp_path / "validation" / "shards.json").write_text(json.dumps(other.to_json()))
    path.write_text(path.read_text().replace(str(shards / "validation"), str(tmp_path / "validation")))
    with pytest.raises(DataError, match="made with tokenizer another"):
        go(path)


def test_a_second_run_in_the_same_folder_is_refused(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr("trainer.run.lock.LOCK_WAIT_SECONDS", 0.0)
    path = make_run("run", max_steps=1)
    lock = path.with_suffix("") / "checkpoints" / ".lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another run is writing here"):
            go(path)
    go(path)
    assert lock.exists()  # removed, it would let a run that waits for it and a later one both hold a lock


def test_a_time_limit_ends_the_run_with_its_weights(make_run: Any) -> None:
    path = make_run("run", validate=True, max_minutes=1e-6)
    summary = go(path)
    assert (summary.state, summary.steps) == ("time_limit", 1)
    assert summary.validation["numbers"].documents == 30
    assert load_model(path.with_suffix("")) is not None


@pytest.fixture
def bad_step(monkeypatch: pytest.MonkeyPatch) -> int:
    """The gradients of the batch of the 9th step are not finite, each time it is computed."""
    clip = Learner.clip

    def poisoned(self: Learner) -> float:
        return float("nan") if poisoned.sequences.min() == 8 * 8 else clip(self)  # type: ignore[attr-defined]

    gradients = Learner.gradients

    def remembering(self: Learner, windows: Any, ids: Any, *rest: int) -> float:
        poisoned.sequences = ids  # type: ignore[attr-defined]
        return gradients(self, windows, ids, *rest)

    monkeypatch.setattr(Learner, "clip", poisoned)
    monkeypatch.setattr(Learner, "gradients", remembering)
    return 9


def test_a_bad_loss_stops_the_run_and_names_the_sequences(make_run: Any, bad_step: int) -> None:
    path = make_run("run", max_steps=14)
    with pytest.raises(
        TrainerError, match=rf"step {bad_step}, sequences 64 to 71 of the run \(epoch 1, stage mixture\)"
    ):
        go(path)
    assert sorted_checkpoints(path.with_suffix("") / "checkpoints")[-1].name == "step_00000005"


def test_rolling_back_skips_the_batch_and_survives_a_stop(make_run: Any, bad_step: int) -> None:
    whole = make_run("whole", max_steps=14, on_bad_loss="roll_back")
    parts = make_run("parts", max_steps=14, on_bad_loss="roll_back")
    summary = go(whole)
    assert (summary.state, summary.skipped_steps, summary.tokens) == ("finished", [bad_step - 1], 13 * 128)
    lines = (whole.with_suffix("") / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [step for step in range(1, 15) if step != bad_step]
    go(parts, StopAfter(12))
    assert go(parts).skipped_steps == [bad_step - 1]
    assert same(weights(parts), weights(whole))


def test_a_batch_that_was_left_out_counts_for_no_expert(
    make_run: Any, bad_step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {"mlp": "moe", "moe": {"experts": 8, "top_k": 2, "balance": "bias", "bias_rate": 0.05}}
    settings = {"max_steps": 14, "on_bad_loss": "roll_back", "precision": "float32"}
    rolled_back, known = make_run("rolled_back", model, **settings), make_run("known", model, **settings)
    assert go(rolled_back).skipped_steps == [bad_step - 1]
    begin = loop.begin

    def told(*arguments: Any) -> Any:
        learner, state = begin(*arguments)
        state.skipped_steps.append(bad_step - 1)
        return learner, state

    monkeypatch.setattr(loop, "begin", told)
    go(known)
    assert same(weights(rolled_back), weights(known))


def test_a_run_takes_its_lock_again_where_somebody_removed_it(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_run("run", max_steps=14)
    lock = path.with_suffix("") / "checkpoints" / ".lock"
    clip = Learner.clip

    def removing(self: Learner) -> float:
        lock.unlink(missing_ok=True)
        return clip(self)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "clip", removing)
        assert go(path).state == "finished"
    assert lock.exists()


def test_a_run_whose_lock_another_one_has_by_now_ends(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    path = make_run("run", max_steps=14)
    lock = path.with_suffix("") / "checkpoints" / ".lock"
    clip = Learner.clip
    others: list[Any] = []

    def taking(self: Learner) -> float:
        if not others:
            lock.unlink()
            others.append(lock.open("w"))
            fcntl.flock(others[0], fcntl.LOCK_EX)
        return clip(self)

    monkeypatch.setattr(Learner, "clip", taking)
    with pytest.raises(ConfigError, match="another run is writing here"):
        go(path)
    others[0].close()
    assert sorted_checkpoints(path.with_suffix("") / "checkpoints") == []


def test_settings_that_keep_going_bad_end_in_an_error(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LossGuard, "judge", lambda *_: BadLoss("the loss is nan", diverged=True))
    with pytest.raises(DivergedError, match="Rolled back 10 times"):
        go(make_run("run", on_bad_loss="roll_back"))


def test_out_of_memory_halves_the_micro_batch_and_keeps_the_batch(
    make_run: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    computed = Learner._pass

    def small_memory(self: Learner, windows: Any, ids: Any, batch: int, *, sync: bool) -> Any:
        if len(windows) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return computed(self, windows, ids, batch, sync=sync)

    plain = make_run("plain", max_steps=4, micro_batch=2)
    go(plain)
    monkeypatch.setattr(Learner, "_pass", small_memory)
    tight = make_run("tight", max_steps=4)
    go(tight)
    assert "computing 2 sequences at once" in caplog.text
    assert same(weights(tight), weights(plain))


def test_a_sequence_that_never_fits_is_an_error(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Learner, "_pass", no_memory)
    with pytest.raises(TrainerError, match="out of memory with a single sequence"):
        go(make_run("run"))


def test_tensorboard_holds_the_same_curve(make_run: Any) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    path = make_run("run", max_steps=5, tensorboard=True)
    go(path)
    accumulator = events.EventAccumulator(str(path.with_suffix("") / "tensorboard"))
    accumulator.Reload()
    shown = {event.step: event.value for event in accumulator.Scalars("loss")}
    assert shown == pytest.approx(losses(path), rel=1e-6)


def test_weights_and_biases_that_is_not_installed_is_named(make_run: Any) -> None:
    import importlib.util

    if importlib.util.find_spec("wandb"):
        pytest.skip("wandb is installed")
    with pytest.raises(ConfigError, match=r"training\.wandb is set, but wandb is not installed"):
        go(make_run("run", wandb=True))


def test_a_run_removes_what_a_killed_one_left_half_written_and_nothing_of_others(make_run: Any) -> None:
    path = make_run("run", max_steps=1)
    out = path.with_suffix("")
    ours = [out / "model.safetensors.host-7-0a1b2c3d.tmp", out / "checkpoints" / "step_00000005.tmp" / "state.json"]
    theirs = [out / "notes.tmp", out / "shards" / "shard_00000.arrow.host-8-4e5f6a7b.tmp"]
    for file in (*ours, *theirs):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    go(path)
    assert [file.exists() for file in (*ours, *theirs)] == [False, False, True, True]
