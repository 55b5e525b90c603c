"""A run's settings: strict where they enter, runtime apart from what decides the result, presets underneath."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from trainer.config import RunConfig, TrainingConfig, read_run
from trainer.errors import ConfigError
from trainer.presets import PRESETS

DATA = {"epochs": ["shards.json"]}


def test_an_unknown_setting_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match=r"training\.learning_rat: unknown key; did you mean 'learning_rate'"):
        TrainingConfig.from_dict({"learning_rat": 1e-3})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("learning_rate", "fast", "expected a number, found 'fast'"),
        ("learning_rate", True, "expected a number, found True"),
        ("batch_tokens", 8192.5, "expected a whole number, found 8192.5"),
        ("batch_tokens", 0, "batch_tokens: must be above 0, found 0"),
        ("optimizer", "sgd", "must be 'adamw' or 'muon', found 'sgd'"),
        ("betas", [0.9], "betas.1: a value is missing, found [0.9]"),
        ("betas", [0.9, 1.0], "betas.1: must be below 1, found 1.0"),
        ("final_share", 1.5, "final_share: must be at most 1, found 1.5"),
        ("jump_factor", 0.5, "jump_factor: must be above 1, found 0.5"),
        ("weight_decay", -0.1, "weight_decay: must be at least 0, found -0.1"),
        ("max_steps", 0, "max_steps: must be above 0, found 0"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_found(key: str, value: object, said: str) -> None:
    with pytest.raises(ConfigError, match="training") as error:
        TrainingConfig.from_dict({key: value})
    assert said in str(error.value)


def test_a_whole_number_written_as_a_float_is_an_integer() -> None:
    assert TrainingConfig.from_dict({"batch_tokens": 8192.0, "learning_rate": 1}).learning_rate == 1.0


def test_a_batch_must_hold_whole_sequences() -> None:
    assert TrainingConfig(batch_tokens=8192).sequences_per_batch(256) == 32
    with pytest.raises(ConfigError, match=r"batch_tokens 8192 must be a multiple of model\.context 300"):
        TrainingConfig(batch_tokens=8192).sequences_per_batch(300)


def test_runtime_settings_stay_out_of_the_identity() -> None:
    plain = TrainingConfig()
    elsewhere = dataclasses.replace(plain, device="cpu", micro_batch=3, compile="on", checkpoint_every=7, log_every=1)
    assert elsewhere.identity() == plain.identity()
    assert dataclasses.replace(plain, learning_rate=1e-4).identity() != plain.identity()


@pytest.mark.parametrize("name", PRESETS)
def test_a_run_survives_json(name: str) -> None:
    run = RunConfig.from_dict({"preset": name, "data": DATA, "out": "here"})
    assert RunConfig.from_dict(json.loads(json.dumps(run.to_dict()))) == run


def test_a_run_s_own_settings_win_over_its_preset() -> None:
    run = RunConfig.from_dict(
        {"preset": "s", "model": {"layers": 2}, "training": {"seed": 5}, "data": DATA, "out": "o"}
    )
    assert (run.model.layers, run.model.width, run.training.seed, run.training.learning_rate) == (2, 96, 5, 0.04)


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ConfigError, match="'xl' is not one of s, m, l, gpt2, gpt2_3x"):
        RunConfig.from_dict({"preset": "xl", "data": DATA, "out": "o"})


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
    assert faster["training"]["learning_rate"] == pytest.approx(3 * plain["training"]["learning_rate"])


def test_paths_are_relative_to_the_settings_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"preset": "s", "data": DATA, "out": "out"}))
    run = read_run(path)
    assert (run.out, run.data.epochs) == (str(tmp_path / "out"), (str(tmp_path / "shards.json"),))


@pytest.mark.parametrize(("text", "said"), [(None, "no such file"), ("{", "not JSON"), ("[]", "expected a mapping")])
def test_a_settings_file_that_cannot_be_used_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "run.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=said) as error:
        read_run(path)
    assert "run.json" in str(error.value)


def test_pydantic_embeds_the_settings_and_refuses_unknown_keys() -> None:
    adapter = TypeAdapter(TrainingConfig)
    assert adapter.validate_python({"learning_rate": 1e-3}).learning_rate == 1e-3
    with pytest.raises(ValidationError, match="learning_rat"):
        adapter.validate_python({"learning_rat": 1e-3})
    with pytest.raises(ValidationError, match="batch_tokens"):
        adapter.validate_python({"batch_tokens": 0})
