"""The benchmark's text: every document of a folder, and as much more of it as wanted without repeating its words.

A repeat of real text would favour whoever remembers words, so in a repeat one long word in VARIED gets three letters of
its own: as many new words as text of that size has by Heaps' law.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.curation.corpus import CuratedCorpus

SCHEMA = pa.schema([("doc_id", pa.binary(16)), ("text", pa.string()), ("bytes", pa.uint32()), ("lang", pa.string())])
BATCH = 2_000
LONG_WORD = re.compile(r"\w{9,}")
VARIED = 3  # then four times the text has 1.16M different words, where Heaps' law says 1.08M (one in four: 0.98M)
SUFFIXES = ["".join(letters) for letters in itertools.product("aeiourstlnmdkpbgvz", repeat=3)]


def documents(data: Path) -> Iterator[tuple[str, str]]:
    """Text and language of every document."""
    for path in sorted(data.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                yield row["text"], row.get("lang") or ""


def varied(texts: list[tuple[str, str]], copy: int) -> Iterator[tuple[str, str]]:
    """The documents with one long word in VARIED made new; the first copy is the text itself."""
    count = itertools.count()

    def change(word: re.Match[str]) -> str:
        number = next(count)
        return f"{word[0]}{SUFFIXES[(number + 101 * copy) % len(SUFFIXES)]}" if number % VARIED == 0 else word[0]

    for text, lang in texts:
        yield (LONG_WORD.sub(change, text) if copy else text), lang


def corpus_in(folder: Path) -> CuratedCorpus:
    """The folders of a corpus that `write_corpus` wrote."""
    return CuratedCorpus(folder / "documents", folder / "selection", folder / "heldout")


def write_corpus(folder: Path, data: Path, size: int = 0) -> CuratedCorpus:
    """A curated corpus of all the text, repeated with variation until there are `size` bytes."""
    corpus = corpus_in(folder)
    if folder.exists():
        return corpus
    for path in (corpus.documents, corpus.selection, corpus.heldout):
        path.mkdir(parents=True)
    texts = list(documents(data))
    count = total = 0
    rows: list[dict[str, Any]] = []
    part = corpus.documents / "part-00000.parquet"
    with pq.ParquetWriter(part, SCHEMA, compression="zstd") as writer:
        for copy in itertools.count():
            for text, lang in varied(texts, copy):
                encoded = text.encode()
                key = hashlib.blake2b(encoded, digest_size=16).digest()
                rows.append({"doc_id": key, "text": text, "bytes": len(encoded), "lang": lang})
                count, total = count + 1, total + len(encoded)
                if len(rows) == BATCH:
                    writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                    rows = []
            if total >= size:
                break
        writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
    ids = pq.read_table(part, columns=["doc_id"])["doc_id"]
    pq.write_table(pa.table({"row": range(count), "doc_id": ids}), corpus.selection / "selection.parquet")
    pq.write_table(pa.Table.from_pylist([], SCHEMA), corpus.heldout / "heldout.parquet")
    return corpus
