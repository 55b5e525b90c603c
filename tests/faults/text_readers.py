"""Readers of what is made of text: documents, tokenizers, tokens and shards."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.faults.reader import Reader, artifact, newest, of


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


def read_spec(folder: Path) -> Any:
    from pipeline.tokenization.specs import load_spec

    return load_spec(folder, newest(folder, "*.yaml").stem)


def read_for_export(folder: Path) -> Any:
    from trainer.export.tokenizer import export_tokenizer

    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        export_tokenizer(folder, 32, Path(out))


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


READERS: Final[dict[str, Reader]] = {
    "documents": of("documents/web", "*.parquet", read_documents),
    "heldout": of("heldout/web", "*.parquet", read_heldout),
    "mixture": of("mixture", "mixture.json", read_mixture),
    "tokenizer": of("tokenizer", "*.json ranks.tiktoken", read_tokenizer),
    "tokenizer_json": Reader(make_hugging_face, ("*.json",), read_tokenizer),
    "tokenizer for export": of("tokenizer", "*.json", read_for_export),
    "sentencepiece": Reader(make_sentence_piece, ("*.json", "tokenizer.model"), read_tokenizer),
    "specification": Reader(make_spec, ("*.yaml",), read_spec),
    "comparison": of("tokenizer_comparison", "comparison.json", read_comparison),
    "tokens": of("tokens/web", "tokens.json *.arrow", read_tokens),
    "schedule": of("schedule", "schedule.json", read_schedule, seal_content_hash),
    "shards": of("shards/epoch_001", "shards.json */*.arrow", read_shards, seal_shards),
    "statistics": of("shards/epoch_001", "statistics.json", read_statistics),
}
