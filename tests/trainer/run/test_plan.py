"""A plan's figures follow from the settings, before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from trainer.__main__ import main
from trainer.config import RunConfig, read_run
from trainer.errors import ConfigError, DataError
from trainer.plan import plan
from trainer.run.figures.hardware import hardware_named


def gpt2(**training: Any) -> RunConfig:
    settings = {"max_steps": 19_073, **training}
    return RunConfig.from_dict({"preset": "gpt2", "training": settings, "data": {"epochs": ["none"]}, "out": "none"})


def test_gpt2_s_figures_are_the_published_ones() -> None:
    figures = plan(gpt2(), devices=8, mfu=0.5)
    assert figures.parameters.total == 124_439_808
    assert figures.tokens == 19_073 * 524_288
    # nanoGPT's own rule: 6 * (parameters without positions) + 12 * layers * width * context
    nanogpt = 6 * (124_439_808 - 1024 * 768) + 12 * 12 * 768 * 1024
    assert figures.flops_per_token == pytest.approx(nanogpt, rel=1e-3)


def test_hours_and_cost_follow_from_flops_devices_and_price() -> None:
    figures = plan(gpt2(price_per_device_hour=2.0), devices=4, mfu=0.5)
    h100 = next(item for item in figures.hardware if item.name == "H100")
    assert h100.hours == pytest.approx(figures.flops / (4 * 0.5 * 989.4e12) / 3600)
    assert h100.cost == pytest.approx(4 * 2.0 * h100.hours)


def test_a_plan_reads_the_run_s_length_from_its_shards(make_run: Any) -> None:
    run = read_run(make_run("run"))
    sequences = sum((json.loads(Path(epoch).read_text())["tokens"] - 1) // 16 for epoch in run.data.epochs)
    assert plan(run).steps == sequences // 8


def test_without_shards_and_steps_there_is_no_plan() -> None:
    with pytest.raises(DataError, match=r"or set training\.max_steps"):
        plan(gpt2(max_steps=None))


@pytest.mark.parametrize(("devices", "mfu", "said"), [(0, 0.5, "--devices"), (513, 0.5, "512"), (1, 0.0, "--mfu")])
def test_devices_and_mfu_must_make_sense(devices: int, mfu: float, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(gpt2(), devices=devices, mfu=mfu)


def test_the_table_and_the_json_say_the_same(make_run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(make_run("run"))
    assert main(["plan", "--config", path, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert main(["plan", "--config", path]) == 0
    table = capsys.readouterr().out
    assert f"{figures['parameters']['total']:,} total" in table
    assert all(item["name"] in table for item in figures["hardware"])


def test_a_driver_s_name_is_recognised() -> None:
    names = ["NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB", "NVIDIA GeForce RTX 4090", "NVIDIA L40S", "cpu"]
    others = ["NVIDIA L40", "NVIDIA RTX A1000", "NVIDIA GH200 480GB"]
    found = [hardware_named(name) for name in names]
    assert [item and item.name for item in found] == ["H100", "A100", "RTX 4090", "L40S", None]
    assert [hardware_named(name) for name in others] == [None, None, None]


def test_a_plan_that_cannot_be_made_says_why_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.json"
    assert main(["plan", "--config", str(path)]) == 2
    assert f"trainer: {path}: no such file; --config names the run's JSON settings" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
