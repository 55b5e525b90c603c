"""A run's settings: strict where they enter, runtime apart from what decides the result, presets underneath."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from trainer.config import GROUPS, MOVED, OptimizerConfig, RunConfig, TrainingConfig, read_run
from trainer.errors import ConfigError
from trainer.presets import PRESETS

DATA = {"epochs": ["shards.json"]}


def test_an_unknown_setting_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(
        ConfigError, match=r"training\.optimizer\.learning_rat: unknown key; did you mean 'learning_rate'"
    ):
        TrainingConfig.from_dict({"optimizer": {"learning_rat": 1e-3}})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizer": {"learning_rate": "fast"}}, "optimizer.learning_rate: expected a number, found 'fast'"),
        ({"optimizer": {"learning_rate": True}}, "optimizer.learning_rate: expected a number, found True"),
        (
            {"optimizer": {"kind": "sgd"}},
            "optimizer.kind: must be 'adamw', 'muon', 'normuon' or 'soap_muon', found 'sgd'",
        ),
        ({"optimizer": {"betas": [0.9]}}, "optimizer.betas.1: a value is missing, found [0.9]"),
        ({"optimizer": {"betas": [0.9, 1.0]}}, "optimizer.betas.1: must be below 1, found 1.0"),
        ({"optimizer": {"weight_decay": -0.1}}, "optimizer.weight_decay: must be at least 0, found -0.1"),
        ({"optimizer": 3}, "training.optimizer: expected a mapping of settings, found 3"),
        ({"schedule": {"final_share": 1.5}}, "schedule.final_share: must be at most 1, found 1.5"),
        ({"schedule": None}, "training.schedule: expected a mapping of settings, found None"),
        ({"batch_tokens": 8192.5}, "training.batch_tokens: expected a whole number, found 8192.5"),
        ({"batch_tokens": 0}, "training.batch_tokens: must be above 0, found 0"),
        ({"jump_factor": 0.5}, "training.jump_factor: must be above 1, found 0.5"),
        ({"max_steps": 0}, "training.max_steps: must be above 0, found 0"),
        ({"max_minutes": float("inf")}, "training.max_minutes: expected a finite number, found inf"),
        ({"tensorboard": "perhaps"}, "training.tensorboard: expected true or false, found 'perhaps'"),
        (
            {"evaluate_every": {"steps": 3}},
            "training.evaluate_every: expected a whole number, found a mapping of steps",
        ),
    ],
)
def test_a_wrong_value_is_named_with_what_was_found(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        TrainingConfig.from_dict(settings)
    assert said in str(error.value)


def test_all_mistakes_are_reported_together() -> None:
    with pytest.raises(ConfigError) as error:
        RunConfig.from_dict({"model": {"vocab_size": 8, "heads": 5}, "training": {"seed": -1}, "out": "o"}, "run.json:")
    assert str(error.value).split("\n  ") == [
        "run.json: model: heads (5) must divide width (768)",
        "run.json: data: missing, must be given",
        "run.json: training.seed: must be at least 0, found -1",
    ]


def test_a_whole_number_written_as_a_float_is_an_integer() -> None:
    settings = TrainingConfig.from_dict({"batch_tokens": 8192.0, "optimizer": {"learning_rate": 1}})
    assert (repr(settings.batch_tokens), repr(settings.optimizer.learning_rate)) == ("8192", "1.0")


def test_a_key_that_moved_into_a_group_is_told_where_to(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    flat = {"learning_rate": 0.01, "optimizer": "muon", "warmup_steps": 3}
    path.write_text(json.dumps({"preset": "s", "data": DATA, "out": "out", "training": flat}))
    with pytest.raises(ConfigError) as error:
        read_run(path)
    assert sorted(str(error.value).split("\n  ")) == [
        "run.json: training.learning_rate: this key has moved: write training.optimizer.learning_rate",
        "run.json: training.optimizer: this key has moved: write training.optimizer.kind",
        "run.json: training.warmup_steps: this key has moved: write training.schedule.warmup_steps",
    ]


def test_a_run_the_trainer_wrote_before_there_were_groups_is_read(tmp_path: Path) -> None:
    run = RunConfig.from_dict({"preset": "s", "data": DATA, "out": str(tmp_path)}).with_paths(lambda given: given)
    written = run.to_dict()
    groups = {group: written["training"].pop(group) for group in GROUPS}
    for flat, place in MOVED.items():
        _, group, key = place.split(".")
        written["training"][flat] = groups[group][key]
    path = tmp_path / "run.json"
    path.write_text(json.dumps(written))
    assert read_run(path).training == run.training


def test_a_batch_must_hold_whole_sequences() -> None:
    assert TrainingConfig(batch_tokens=8192).sequences_per_batch(256) == 32
    with pytest.raises(ConfigError, match=r"batch_tokens 8192 must be a multiple of model\.context 300"):
        TrainingConfig(batch_tokens=8192).sequences_per_batch(300)


@pytest.mark.parametrize("idle", [{"recurrence_from": 0.5}, {"optimizer": {"head_learning_rate": 0.01}}])
def test_a_setting_that_would_do_nothing_to_the_model_is_refused(idle: dict[str, Any]) -> None:
    run = {"preset": "s", "data": DATA, "out": "o", "training": idle}
    with pytest.raises(
        ConfigError, match=r"training\.(recurrence_from: no layers run again|optimizer\.head_learning_rate)"
    ):
        RunConfig.from_dict(run)
    acts = {"recurrence": {"first": 1, "last": 2}, "tied": False}
    assert RunConfig.from_dict(run | {"model": acts}).model.tied is False


def test_runtime_settings_stay_out_of_the_identity() -> None:
    plain = TrainingConfig()
    elsewhere = dataclasses.replace(plain, device="cpu", micro_batch=3, compile="on", checkpoint_every=7, log_every=1)
    assert elsewhere.identity() == plain.identity()
    assert dataclasses.replace(plain, optimizer=OptimizerConfig(learning_rate=1e-4)).identity() != plain.identity()


def test_a_setting_that_came_later_is_part_of_the_identity_only_where_it_is_used() -> None:
    plain, changed = TrainingConfig(), TrainingConfig(optimizer=OptimizerConfig(head_learning_rate=0.01))
    assert "head_learning_rate" not in plain.identity()
    assert changed.identity() == plain.identity() | {"head_learning_rate": 0.01}


@pytest.mark.parametrize("name", PRESETS)
def test_a_run_survives_json(name: str) -> None:
    run = RunConfig.from_dict({"preset": name, "data": DATA, "out": "here"})
    assert RunConfig.from_dict(json.loads(json.dumps(run.to_dict()))) == run


def test_a_run_s_own_settings_win_over_its_preset() -> None:
    own = {"seed": 5, "optimizer": {"learning_rate": 0.01}}
    run = RunConfig.from_dict({"preset": "s", "model": {"layers": 2}, "training": own, "data": DATA, "out": "o"})
    assert (run.model.layers, run.model.width, run.training.seed) == (2, 96, 5)
    assert run.training.optimizer == OptimizerConfig("muon", learning_rate=0.01, adam_learning_rate=0.024)


@pytest.mark.parametrize("preset", ["xl", ["s"]])
def test_an_unknown_preset_is_refused(preset: Any) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{preset!r} is not one of s, m, l, gpt2, gpt2_3x")):
        RunConfig.from_dict({"preset": preset, "data": DATA, "out": "o"})


def test_presets_have_the_sizes_they_are_named_for() -> None:
    torch = pytest.importorskip("torch")
    from trainer.model import GPT

    def millions(name: str) -> float:
        run = RunConfig.from_dict({"preset": name, "data": DATA, "out": "o"})
        with torch.device("meta"):
            return round(GPT(run.model).parameter_counts()["total"] / 1e6, 1)

    assert {name: millions(name) for name in PRESETS} == {
        "s": 0.6,
        "m": 21.6,
        "l": 117.2,
        "gpt2": 124.4,
        "gpt2_3x": 124.4,
    }


def test_gpt2_3x_is_gpt2_at_three_times_the_learning_rate() -> None:
    plain, faster = PRESETS["gpt2"], PRESETS["gpt2_3x"]
    assert faster["model"] == plain["model"]
    rates = [preset["training"]["optimizer"]["learning_rate"] for preset in (plain, faster)]
    assert rates[1] == pytest.approx(3 * rates[0])


def test_paths_are_relative_to_the_settings_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"preset": "s", "data": DATA, "out": "out"}))
    run = read_run(path)
    assert (run.out, run.data.epochs) == (str(tmp_path / "out"), (str(tmp_path / "shards.json"),))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        ("folder", "cannot be read"),
        (b"{", "not JSON"),
        (b"\xff{}", "byte 0 is not UTF-8"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "expected a mapping"),
    ],
)
def test_a_settings_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | str | None, said: str) -> None:
    path = tmp_path / "run.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    with pytest.raises(ConfigError, match=said) as error:
        read_run(path)
    assert "run.json" in str(error.value)
