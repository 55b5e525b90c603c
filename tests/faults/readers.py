"""Every reader of the project's own files: where a sound one comes from, what of it is damaged, and how it is read.

A new reader is a line of `READERS`. Sound files are those of a finished tiny project; what no project of that size has
(a checkpoint, a sentencepiece tokenizer, items) is made on the spot.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

STORE_VARIABLE: Final = "SQUEEZE_FAULTS_STORE"
"""Names the finished tiny project's store."""


@dataclass(frozen=True)
class Reader:
    """How the damaged copy of a folder is read."""

    make: Callable[[Path], None]
    """Fills an empty folder with sound files."""
    files: tuple[str, ...]
    """What is damaged, one at a time."""
    read: Callable[[Path], Any]
    seal: Callable[[str, bytes], bytes] | None = None
    """Puts the right hash into damaged content, so that what is read after the hash is tried too."""


def store() -> Path:
    return Path(os.environ[STORE_VARIABLE])


def artifact(key: str) -> Path:
    """The folder of the one artifact of that key in the tiny project's store."""
    return next(file.parent for file in (store() / key).glob("*/manifest.json"))


def of(
    key: str,
    files: str,
    read: Callable[[Path], Any],
    seal: Callable[[str, bytes], bytes] | None = None,
) -> Reader:
    """A reader of an artifact's folder. files: patterns, with blanks between."""

    def make(folder: Path) -> None:
        shutil.copytree(artifact(key), folder, dirs_exist_ok=True)

    return Reader(make, tuple(files.split()), read, seal)


# -- the store ----------------------------------------------------------------------------------------------------


def make_store(folder: Path) -> None:
    """Two artifacts, one made of the other, and their pointers."""
    for name in ("store.json", "tokens/web", "documents/web", "mixture"):
        if (store() / name).is_dir():
            shutil.copytree(store() / name, folder / name)
        else:
            shutil.copy(store() / name, folder / name)


def read_store(folder: Path) -> Any:
    from pipeline.store import Store
    from pipeline.store.collection import garbage
    from pipeline.store.maintenance import damaged_in

    opened = Store(folder, "tiny").open()
    artifacts = list(opened.artifacts(unreadable=[]))
    return [
        list(damaged_in(opened)),
        [opened.ancestry(item) for item in artifacts],
        [list(opened.pointers()), opened.find_current("mixture")],
        garbage(opened, unfinished=True),
        [item.summary for item in artifacts],
    ]


def seal_manifest(name: str, data: bytes) -> bytes:
    from pipeline.store.manifest import SEAL, _seal

    value = json.loads(data) if name == "manifest.json" and data.startswith(b"{") else None
    if not isinstance(value, dict) or SEAL not in value:
        return data
    value.pop(SEAL)
    return json.dumps(value | {SEAL: _seal(value)}).encode()


def make_part(folder: Path) -> None:
    from pipeline.base.finished import finish

    (folder / "part").write_text("text")
    finish(folder / "part")


def read_part(folder: Path) -> Any:
    from pipeline.base.finished import is_finished

    return is_finished(folder / "part")


def make_finding(folder: Path) -> None:
    shutil.copytree(store() / ".cache/findings", folder, dirs_exist_ok=True)


def read_finding(folder: Path) -> Any:
    from pipeline.assets.remembered_checks import read_finding as read

    return [read(file) for file in folder.glob("*.json")]


# -- tokenizers ---------------------------------------------------------------------------------------------------


def read_tokenizer(folder: Path) -> Any:
    from pipeline.tokenization.folder import load_tokenizer

    tokenizer = load_tokenizer(folder)
    tokenizer.token_bytes()
    return tokenizer.decode_bytes(tokenizer.encode("The old king sang 12 songs."))


def make_hugging_face(folder: Path) -> None:
    """The tiny project's tokenizer.json, as one of somebody else's."""
    from pipeline.tokenization.encoders.hugging_face import HuggingFaceTokenizer
    from pipeline.tokenization.folder import write_tokenizer

    text = (artifact("tokenizer") / "tokenizer.json").read_text()
    write_tokenizer(folder, HuggingFaceTokenizer(text, "<|endoftext|>"), {"kind": "tokenizer_json"})


def make_sentence_piece(folder: Path) -> None:
    import io

    import sentencepiece

    from pipeline.tokenization.encoders.sentence_piece import SentencePieceTokenizer
    from pipeline.tokenization.folder import write_tokenizer

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the old king sang a song by the river of stone"] * 50),
        model_writer=model,
        vocab_size=48,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    write_tokenizer(folder, SentencePieceTokenizer(model.getvalue(), "</s>"), {"kind": "sentencepiece"})


def make_spec(folder: Path) -> None:
    for file in (Path(__file__).parents[2] / "tokenizers").glob("*.yaml"):
        shutil.copy(file, folder)


def read_specs(folder: Path) -> Any:
    from pipeline.tokenization.specs import load_spec

    return [load_spec(folder, file.stem) for file in folder.glob("*.yaml")]


# -- texts, tokens and shards -------------------------------------------------------------------------------------


def read_documents(folder: Path) -> Any:
    from pipeline.curation.tables import iter_parts

    return [batch.to_pydict() for batch in iter_parts(folder, ["doc_id", "text", "lang", "bytes"])]


def read_heldout(folder: Path) -> Any:
    from pipeline.curation.heldout import heldout_documents

    return list(heldout_documents(folder))


def read_tokens(folder: Path) -> Any:
    from pipeline.tokenization.corpus_tokens.store import open_store, scan

    return [documents.lengths.sum() for split in ("train", "heldout") for documents in scan(open_store(folder, split))]


def read_schedule(folder: Path) -> Any:
    from pipeline.sharding.schedule.schedule import Schedule

    schedule = Schedule.read(folder)
    return [
        (plan.tokens, plan.content_hash, plan.itemsize, [plan.source_id(part.corpus) for part in stage.parts])
        for plan in schedule.epochs
        for stage in plan.stages
    ]


def seal_content_hash(name: str, data: bytes) -> bytes:
    from pipeline.base.canonical import canonical_hash
    from pipeline.base.errors import SqueezeError

    try:
        value = json.loads(data)
        del value["content_hash"]
        return json.dumps(value | {"content_hash": canonical_hash(value)}).encode()
    except (ValueError, KeyError, TypeError, SqueezeError, RecursionError):
        return data


def read_shards(folder: Path) -> Any:
    import numpy as np

    from trainer.data.reader import SequenceReader
    from trainer.data.shards import read_manifest
    from trainer.data.streams import open_stage

    reader = SequenceReader([folder], 32)
    manifest = read_manifest(folder)
    streams = [open_stage(folder, stage, manifest.tokenizer) for stage in manifest.stages]
    rows = reader.read(np.arange(min(reader.sequences, 2000)))
    reader.load_state_dict(reader.state_dict())
    return rows.sum(), streams


def seal_shards(name: str, data: bytes) -> bytes:
    from trainer.data.shards import ShardsManifest, content_hash
    from trainer.errors import TrainerError
    from trainer.settings import from_mapping

    if name != "shards.json":
        return data
    try:
        value = json.loads(data)
        keys = {key: item for key, item in value.items() if key not in ("format", "version")}
        return json.dumps(value | {"content_hash": content_hash(from_mapping(ShardsManifest, keys, ""))}).encode()
    except (ValueError, TypeError, AttributeError, TrainerError, RecursionError):
        return data


def read_statistics(folder: Path) -> Any:
    from pipeline.sharding.output.statistics import Statistics

    return Statistics.read(folder)


def read_mixture(folder: Path) -> Any:
    from pipeline.tokenization.training.mixture import Mixture

    return Mixture.read(folder)


def read_comparison(folder: Path) -> Any:
    from pipeline.tokenization.choosing.candidates import Comparison

    return Comparison.read(folder)


# -- models and scores --------------------------------------------------------------------------------------------


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
    items = [{"prompt": [1, 2], "choices": [[3], [4, 5]], "lengths": [3, 4], "answer": 1}] * 3
    (folder / "items.json").write_text(json.dumps({"schema": 1, "tokenizer": "f" * 64, "items": items}))


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


# -- what people write --------------------------------------------------------------------------------------------


def make_profile(folder: Path) -> None:
    from pipeline.profile.yaml import BUILT_IN

    for name in ("sample", "study", "laptop"):
        shutil.copy(BUILT_IN / f"{name}.yaml", folder)


def read_profiles(folder: Path) -> Any:
    from pipeline.profile.profile import load_profile

    return [load_profile(str(file)) for file in sorted(folder.glob("*.yaml"))]


READERS: Final[dict[str, Reader]] = {
    "store": Reader(make_store, ("**/manifest.json", "store.json", "**/CURRENT.*", "**/lineage.json"), read_store),
    "manifest": Reader(make_store, ("**/manifest.json",), read_store, seal_manifest),
    "finished": Reader(make_part, (".part.finished",), read_part),
    "finding": Reader(make_finding, ("*.json",), read_finding),
    "documents": of("documents/web", "*.parquet", read_documents),
    "heldout": of("heldout/web", "*.parquet", read_heldout),
    "mixture": of("mixture", "mixture.json", read_mixture),
    "tokenizer": of("tokenizer", "*.json ranks.tiktoken", read_tokenizer),
    "tokenizer_json": Reader(make_hugging_face, ("*.json",), read_tokenizer),
    "sentencepiece": Reader(make_sentence_piece, ("*.json", "tokenizer.model"), read_tokenizer),
    "specification": Reader(make_spec, ("*.yaml",), read_specs),
    "comparison": of("tokenizer_comparison", "comparison.json", read_comparison),
    "tokens": of("tokens/web", "tokens.json *.arrow", read_tokens),
    "schedule": of("schedule", "schedule.json", read_schedule, seal_content_hash),
    "shards": of("shards/epoch_001", "shards.json */*.arrow", read_shards, seal_shards),
    "statistics": of("shards/epoch_001", "statistics.json", read_statistics),
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
    "profile": Reader(make_profile, ("*.yaml",), read_profiles),
}
