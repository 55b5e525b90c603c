"""Readers of models and of what is made from them: checkpoints, weights, runs, scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tests.faults.reader import Reader, artifact, of


def make_checkpoint(folder: Path) -> None:
    import torch

    from trainer.model import GPT, ModelConfig
    from trainer.run.checkpoints.checkpoint import RunState, save_checkpoint

    config = ModelConfig.from_dict(json.loads((artifact("model") / "config.json").read_text()))
    model = GPT(config)
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    state = RunState(
        reader={"manifest_hash": "x", "epoch": 1, "next_sequence": 0}, training={"seed": 1}, steps=5, step=1
    )
    save_checkpoint(folder, state, model, config, optimizer, None)


def read_checkpoint(folder: Path) -> Any:
    import torch

    from trainer.model import GPT
    from trainer.run.checkpoints.checkpoint import load_checkpoint, newest_checkpoint, read_state

    place = newest_checkpoint(folder)
    if place is None:
        return None
    _, config = read_state(place)
    model = GPT(config)
    load_checkpoint(place, model, torch.optim.AdamW(model.parameters()), None)
    return model


def read_tensors(folder: Path) -> Any:
    """The tensors of a checkpoint, whatever its hashes say."""
    import torch

    from trainer.model import GPT, ModelConfig
    from trainer.run.checkpoints.checkpoint import load_checkpoint

    (place,) = (item for item in folder.iterdir() if item.is_dir())
    model = GPT(ModelConfig.from_dict(json.loads((artifact("model") / "config.json").read_text())))
    load_checkpoint(place, model, torch.optim.AdamW(model.parameters()), None)


def read_model(folder: Path) -> Any:
    from trainer.run.trained_model import load_model

    return load_model(folder)


def read_scorer(folder: Path) -> Any:
    from pipeline.evaluation.loading import load_scorer

    return load_scorer(folder, artifact("tokenizer"))


def read_run(folder: Path) -> Any:
    from trainer.config import read_run as read

    return read(folder / "run.json")


def read_summary(folder: Path) -> Any:
    from trainer.run.figures.summary import read_summary as read

    return read(folder)


def read_metrics(folder: Path) -> Any:
    from pipeline.reporting.facts import metrics_rows
    from trainer.run.figures.metrics import cut_metrics

    rows = metrics_rows(folder / "metrics.jsonl")
    cut_metrics(folder / "metrics.jsonl", 10)
    return rows


def read_suite(folder: Path) -> Any:
    from pipeline.evaluation.scores.paired import Scored
    from pipeline.evaluation.suites.table import read_result

    result = read_result(folder)
    scored = Scored(result, folder)
    return [
        [result.details.table(), result.details.markdown(), list(result.details.remarks())],
        [(scored.values(score), result.details.yardsticks(score.task)) for score in result.scores],
    ]


def make_samples(folder: Path) -> None:
    from pipeline.evaluation.results import Score, finish
    from pipeline.evaluation.suites.samples import Sample, SamplesDetails

    details = SamplesDetails(samples=(Sample("en", "The", " king", 1),), temperature=0.8, top_p=0.9)
    finish(folder, "samples", [Score("a", "acc", 0.5)], details, seconds=1.0)


def read_card(folder: Path) -> Any:
    from pipeline.evaluation.scores.scorecard import read_scorecard
    from pipeline.reporting.scores import numbers_of, rows_beside, score_rows

    card = read_scorecard(folder)
    return score_rows(card.rows), rows_beside(card.rows), numbers_of(card)


def make_choices(folder: Path) -> None:
    from trainer.scoring.choices import SCHEMA

    items = [{"prompt": [1, 2], "choices": [[3], [4, 5]], "lengths": [3, 4], "bytes": [4, 5], "answer": 1}] * 3
    (folder / "items.json").write_text(json.dumps({"schema": SCHEMA, "tokenizer": "f" * 64, "items": items}))


def read_choices(folder: Path) -> Any:
    from trainer.config import ChoiceData
    from trainer.data.shards import TokenizerRef
    from trainer.scoring.choices import read_choices as read

    return read([ChoiceData("items", str(folder / "items.json"))], TokenizerRef("f" * 64, 512, 0, "uint16"), 32)


def make_run_result(folder: Path) -> None:
    from pipeline.study.results.run_result import RunResult

    result = RunResult(
        parameters={"total": 10, "embedding": 5, "active": 10},
        flops_per_token=60.0,
        bytes_per_token=3.5,
        vocab_size=512,
        steps=5,
        tokens=100,
        state="finished",
        curve=[{"tokens": 50, "web": 2.5}],
        bits_per_byte={"web": 2.0, "all": 2.0},
    )
    (folder / "result.json").write_text(json.dumps(result.to_json()))


def read_run_result(folder: Path) -> Any:
    from pipeline.study.results.run_result import RunResult

    return RunResult.of(folder / "result.json").content_hash()


READERS: Final[dict[str, Reader]] = {
    "checkpoint": Reader(make_checkpoint, ("*/*",), read_checkpoint),
    "tensors": Reader(make_checkpoint, ("*/*.safetensors",), read_tensors),
    "model": of("model", "config.json model.safetensors", read_model),
    "scorer": of("model", "config.json", read_scorer),
    "run": of("model", "run.json", read_run),
    "summary": of("model", "summary.json", read_summary),
    "metrics": of("model", "metrics.jsonl", read_metrics),
    "suite": of("eval/bits_per_byte", "scores.json *.parquet", read_suite),
    "samples": Reader(make_samples, ("scores.json",), read_suite),
    "scorecard": of("scorecard", "scorecard.json", read_card),
    "choices": Reader(make_choices, ("items.json",), read_choices),
    "run_result": Reader(make_run_result, ("result.json",), read_run_result),
}
