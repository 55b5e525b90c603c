"""What the curated corpora hold, and the language-balanced sample of them that trains tokenizers.

In: every curated corpus (its documents and its selection). Out: `mixture.json` (documents and bytes per corpus and
language; what the sample took of each language) and `sample.parquet` (text, lang, corpus, bytes). Held-out text is in
no selection, so no tokenizer sees it.

A language's share of the sample is its bytes to the power of 1 / temperature, over all corpora together (Arivazhagan
et al. 2019); what a small language cannot fill goes to the others. Which pieces of text are taken is decided by a
hash of document and piece, so it depends on neither the order of the corpora nor anyone's random state. Long
documents are cut into pieces first: a book taken or left whole would decide a language's share by luck.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base.errors import TokenizerError
from pipeline.base.files import whole_path, write_text
from pipeline.base.progress import Progress
from pipeline.curation.corpus import CuratedCorpus
from pipeline.tokenization.settings import SampleSettings

log = logging.getLogger(__name__)

MIXTURE_VERSION: Final = "1"
PIECE_CHARACTERS: Final = 8_000
ROWS_PER_GROUP: Final = 4_000
SCHEMA: Final = pa.schema(
    [("text", pa.string()), ("lang", pa.string()), ("corpus", pa.string()), ("bytes", pa.uint32())]
)
KEY: Final = b"squeeze-tokenizer-sample"


@dataclass(frozen=True)
class MixtureSummary:
    """What there is, and what the sample took of it. `corpora` and `languages` are tables for the UI."""

    content_hash: str
    documents: int
    bytes: int
    sample_pieces: int
    sample_bytes: int
    corpora: dict[str, dict[str, Any]]
    """Per corpus: documents, bytes, languages {lang: {documents, bytes}}."""
    languages: dict[str, dict[str, Any]]
    """Per language: bytes available, bytes aimed for and taken, share of the text and of the sample."""


def build_mixture(settings: SampleSettings, corpora: Mapping[str, CuratedCorpus], out: Path) -> MixtureSummary:
    """Count the curated corpora and write the balanced sample. Two passes; memory does not grow with the text.

    Raises TokenizerError where there is no text at all.
    """
    counted = {name: _count(corpus) for name, corpus in sorted(corpora.items())}
    available: dict[str, int] = {}
    for corpus in counted.values():
        for lang, numbers in corpus["languages"].items():
            available[lang] = available.get(lang, 0) + numbers["bytes"]
    if not sum(available.values()):
        raise TokenizerError(f"the corpora {', '.join(counted) or '(none)'} hold no text to train a tokenizer on")
    targets = language_targets(available, settings.bytes, settings.temperature)
    rates = {lang: min(1.0, targets[lang] / available[lang]) if available[lang] else 0.0 for lang in available}

    digest = hashlib.sha256()
    taken: dict[str, int] = dict.fromkeys(available, 0)
    pieces = 0
    progress = Progress(log, "sampled", "pieces")
    with (
        whole_path(out / "sample.parquet") as path,
        pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer,
    ):
        rows: list[dict[str, Any]] = []
        for row in _sample(corpora, rates):
            for value in (row["corpus"], row["lang"], row["text"]):
                digest.update(hashlib.sha256(value.encode()).digest())
            taken[row["lang"]] += row["bytes"]
            pieces += 1
            progress.add(1, row["bytes"])
            rows.append(row)
            if len(rows) == ROWS_PER_GROUP:
                writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                rows = []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
    progress.finish()

    total, sampled = sum(available.values()), sum(taken.values())
    languages = {
        lang: {
            "bytes": available[lang],
            "share": available[lang] / total,
            "target_bytes": round(targets[lang]),
            "sample_bytes": taken[lang],
            "sample_share": taken[lang] / sampled if sampled else 0.0,
        }
        for lang in sorted(available, key=lambda lang: (-available[lang], lang))
    }
    content_hash = hashlib.sha256(
        json.dumps([counted, digest.hexdigest()], sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()
    summary = MixtureSummary(
        content_hash=content_hash,
        documents=sum(corpus["documents"] for corpus in counted.values()),
        bytes=total,
        sample_pieces=pieces,
        sample_bytes=sampled,
        corpora=counted,
        languages=languages,
    )
    record = {
        "format": "squeeze-mixture",
        "version": 1,
        "content_hash": content_hash,
        "corpora": counted,
        "sample": {
            "temperature": settings.temperature,
            "pieces": pieces,
            "bytes": sampled,
            "languages": languages,
        },
    }
    write_text(out / "mixture.json", json.dumps(record, indent=2, ensure_ascii=False, sort_keys=True) + "\n")
    return summary


def language_targets(
    available: Mapping[str, int], total: int, temperature: float, limits: Mapping[str, int] | None = None
) -> dict[str, float]:
    """Bytes to take of each language: shares ∝ bytes ** (1 / temperature), no more than its limit (or all it has).

    What a language cannot fill is shared out among the others in the same proportions, until `total` or everything
    is taken.
    """
    limits = available if limits is None else limits
    weights = {lang: available[lang] ** (1 / temperature) for lang, limit in limits.items() if limit}
    targets = dict.fromkeys(available, 0.0)
    left = float(min(total, sum(limits.values())))
    while weights:
        unit = left / sum(weights.values())
        full = [lang for lang, weight in weights.items() if weight * unit >= limits[lang]]
        if not full:
            targets.update({lang: weight * unit for lang, weight in weights.items()})
            break
        for lang in full:
            targets[lang] = float(limits[lang])
            left -= limits[lang]
            del weights[lang]
    return targets


def pieces_of(text: str, size: int = PIECE_CHARACTERS) -> Iterator[str]:
    """The text in pieces of about `size` characters, cut before white space so that no word is split."""
    start = 0
    while len(text) - start > size:
        cut = start + size
        while cut < len(text) and not text[cut].isspace():
            cut += 1
        yield text[start:cut]
        start = cut
    if start < len(text):
        yield text[start:]


def is_taken(identity: bytes, rate: float) -> bool:
    """Whether a piece is in a sample of the given rate: a hash of its identity against the rate."""
    digest = hashlib.blake2b(identity, digest_size=8, key=KEY).digest()
    return int.from_bytes(digest, "little") < rate * 2**64


def _count(corpus: CuratedCorpus) -> dict[str, Any]:
    languages: dict[str, dict[str, int]] = {}
    for batch in corpus.iter_selected(columns=("lang", "bytes")):
        table = pa.Table.from_batches([batch]).group_by("lang").aggregate([("bytes", "sum"), ("bytes", "count")])
        for row in table.to_pylist():
            numbers = languages.setdefault(row["lang"] or "", {"documents": 0, "bytes": 0})
            numbers["documents"] += row["bytes_count"]
            numbers["bytes"] += row["bytes_sum"]
    return {
        "documents": sum(numbers["documents"] for numbers in languages.values()),
        "bytes": sum(numbers["bytes"] for numbers in languages.values()),
        "languages": dict(sorted(languages.items())),
    }


def _sample(corpora: Mapping[str, CuratedCorpus], rates: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    for name, corpus in sorted(corpora.items()):
        for batch in corpus.iter_selected(columns=("doc_id", "text", "lang")):
            ids, texts, langs = (batch.column(column) for column in ("doc_id", "text", "lang"))
            for i in range(batch.num_rows):
                lang = langs[i].as_py() or ""
                identity = ids[i].as_py()
                for number, piece in enumerate(pieces_of(texts[i].as_py())):
                    if is_taken(identity + number.to_bytes(4, "little"), rates[lang]):
                        yield {"text": piece, "lang": lang, "corpus": name, "bytes": len(piece.encode())}
