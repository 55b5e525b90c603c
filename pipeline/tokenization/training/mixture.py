"""What the curated corpora hold, and the language-balanced sample of them that trains tokenizers.

In: every curated corpus (its documents and its selection). Out: `mixture.json` (documents and bytes per corpus and
language; what the sample took of each language) and `sample.parquet` (text, lang, corpus, bytes). Held-out text is in
no selection, so no tokenizer sees it. Two passes over the text; memory does not grow with it. The rule of the sample,
which depends on no order and no random state, is in `pipeline.tokenization.training.balance`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base.canonical import text_hash
from pipeline.base.errors import TokenizerError
from pipeline.base.files import whole_path, write_text
from pipeline.base.progress import Progress
from pipeline.curation.corpus import CuratedCorpus
from pipeline.tokenization.settings import SampleSettings
from pipeline.tokenization.training.balance import is_taken, language_targets, pieces_of
from trainer.records import check, read_json, reason

log = logging.getLogger(__name__)

MIXTURE_VERSION: Final = "1"
MIXTURE_FILE: Final = "mixture.json"
SAMPLE_FILE: Final = "sample.parquet"
FORMAT: Final = "squeeze-mixture"
VERSION: Final = 1
ROWS_PER_GROUP: Final = 4_000
SCHEMA: Final = pa.schema(
    [("text", pa.string()), ("lang", pa.string()), ("corpus", pa.string()), ("bytes", pa.uint32())]
)


@dataclass(frozen=True)
class TextCounts:
    """Text of one corpus and language."""

    documents: int
    bytes: int


@dataclass(frozen=True)
class CorpusCounts:
    """Text of one corpus."""

    documents: int
    bytes: int
    languages: dict[str, TextCounts]


@dataclass(frozen=True)
class LanguageSample:
    """One language over all corpora, and what the sample took of it."""

    bytes: int
    """Available."""
    share: float
    """Of all text."""
    target_bytes: int
    """Aimed for."""
    sample_bytes: int
    """Taken."""
    sample_share: float
    """Of the sample."""


@dataclass(frozen=True)
class Mixture:
    """Everything `mixture.json` says."""

    content_hash: str
    corpora: dict[str, CorpusCounts]
    temperature: float
    pieces: int
    bytes: int
    """Of the sample."""
    languages: dict[str, LanguageSample]

    def write(self, folder: Path) -> None:
        """Write `mixture.json` into the mixture's folder."""
        facts = asdict(self)
        sample = {name: facts.pop(name) for name in ("temperature", "pieces", "bytes", "languages")}
        record = {"format": FORMAT, "version": VERSION, **facts, "sample": sample}
        write_text(folder / MIXTURE_FILE, json.dumps(record, indent=2, ensure_ascii=False, sort_keys=True) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The mixture in a folder. Raises TokenizerError where its `mixture.json` is missing or malformed."""
        path = folder / MIXTURE_FILE
        again = "build `mixture` again"
        record = read_json(path, TokenizerError, what="a mixture", cure=again)
        try:
            return check(cls, {**record, **record["sample"]})
        except (ValueError, KeyError, TypeError) as error:
            raise TokenizerError(f"{path}: not a mixture ({reason(error)}); {again}") from None


@dataclass(frozen=True)
class MixtureSummary:
    """What there is, and what the sample took of it. `corpora` and `languages` are tables for the UI."""

    content_hash: str
    documents: int
    bytes: int
    sample_pieces: int
    sample_bytes: int
    corpora: dict[str, CorpusCounts]
    languages: dict[str, LanguageSample]


def build_mixture(settings: SampleSettings, corpora: Mapping[str, CuratedCorpus], out: Path) -> MixtureSummary:
    """Count the curated corpora and write the balanced sample. Two passes; memory does not grow with the text.

    Raises TokenizerError where there is no text at all.
    """
    counted = {name: _count(corpus) for name, corpus in sorted(corpora.items())}
    available: dict[str, int] = {}
    for corpus in counted.values():
        for lang, text in corpus.languages.items():
            available[lang] = available.get(lang, 0) + text.bytes
    total = sum(available.values())
    if not total:
        raise TokenizerError(f"the corpora {', '.join(counted) or '(none)'} hold no text to train a tokenizer on")
    targets = language_targets(available, settings.bytes, settings.temperature)
    rates = {lang: min(1.0, targets[lang] / available[lang]) if available[lang] else 0.0 for lang in available}
    pieces, sizes, digest = _write_sample(_sample(corpora, rates), out / SAMPLE_FILE)
    sample_bytes = sum(sizes.values())
    languages = {
        lang: LanguageSample(
            bytes=available[lang],
            share=available[lang] / total,
            target_bytes=round(targets[lang]),
            sample_bytes=sizes[lang],
            sample_share=sizes[lang] / sample_bytes if sample_bytes else 0.0,
        )
        for lang in sorted(available, key=lambda lang: (-available[lang], lang))
    }
    basis = [{name: asdict(corpus) for name, corpus in counted.items()}, digest]
    content_hash = text_hash(json.dumps(basis, sort_keys=True, separators=(",", ":")))
    Mixture(content_hash, counted, settings.temperature, pieces, sample_bytes, languages).write(out)
    return MixtureSummary(
        content_hash=content_hash,
        documents=sum(corpus.documents for corpus in counted.values()),
        bytes=total,
        sample_pieces=pieces,
        sample_bytes=sample_bytes,
        corpora=counted,
        languages=languages,
    )


def _write_sample(rows: Iterator[dict[str, Any]], path: Path) -> tuple[int, Counter[str], str]:
    """Write the sample's pieces: how many, bytes by language, and a hash over them in order."""
    digest = hashlib.sha256()
    sizes: Counter[str] = Counter()
    pieces = 0
    progress = Progress(log, "sampled", "pieces")
    with whole_path(path) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
        while group := list(islice(rows, ROWS_PER_GROUP)):
            for row in group:
                for value in (row["corpus"], row["lang"], row["text"]):
                    digest.update(hashlib.sha256(value.encode()).digest())
                sizes[row["lang"]] += row["bytes"]
                progress.add(1, row["bytes"])
            pieces += len(group)
            writer.write_table(pa.Table.from_pylist(group, SCHEMA))
    progress.finish()
    return pieces, sizes, digest.hexdigest()


def _count(corpus: CuratedCorpus) -> CorpusCounts:
    documents: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for batch in corpus.iter_selected(columns=("lang", "bytes")):
        table = pa.Table.from_batches([batch]).group_by("lang").aggregate([("bytes", "sum"), ("bytes", "count")])
        for row in table.to_pylist():
            documents[row["lang"] or ""] += row["bytes_count"]
            sizes[row["lang"] or ""] += row["bytes_sum"]
    languages = {lang: TextCounts(documents[lang], sizes[lang]) for lang in sorted(documents)}
    return CorpusCounts(documents.total(), sizes.total(), languages)


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
