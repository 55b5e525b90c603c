"""Small token stores in the format of `tokens/<corpus>`, made without a tokenizer."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.tokenization.corpus_tokens.index import FileCounts, SplitCounts, TokenStoreIndex
from trainer.data.shards import TokenizerRef

Document = tuple[bytes, str, list[int]]


def documents(
    corpus: str, count: int, *, seed: int = 0, mean: int = 20, langs: Sequence[str] = ("en",)
) -> list[Document]:
    """Random documents: id, language, tokens (1 to 64,999, closed by 0)."""
    rng = np.random.default_rng([seed, *corpus.encode()])
    result = []
    for number in range(count):
        tokens = [*rng.integers(1, 65_000, rng.integers(0, 2 * mean)).tolist(), 0]
        doc_id = hashlib.blake2b(f"{corpus}-{seed}-{number}".encode(), digest_size=16).digest()
        result.append((doc_id, langs[number % len(langs)], tokens))
    return result


def write_store(
    folder: Path,
    corpus: str,
    docs: list[Document],
    *,
    files: int = 1,
    batch: int = 50,
    large: bool = False,
    dtype: str = "uint16",
    **extra: Any,
) -> Path:
    """A token store of `docs`, in `files` files of batches of `batch` documents; a text is 3 bytes a token, or `sizes`
    says how many it is, by id."""
    size = extra.get("sizes") or {d[0]: 3 * len(d[2]) - 3 for d in docs}
    folder.mkdir(parents=True, exist_ok=True)
    listed: list[FileCounts] = []
    item = getattr(pa, dtype)()
    tokens_type = pa.large_list(item) if large else pa.list_(item)
    bounds = np.linspace(0, len(docs), files + 1).astype(int)
    for number, (first, last) in enumerate(itertools.pairwise(bounds)):
        part = docs[first:last]
        path = folder / f"train-{number:05d}.arrow"
        schema = pa.schema(
            {"doc_id": pa.binary(16), "bytes": pa.uint32(), "lang": pa.string(), "tokens": tokens_type}
            | ({"grade": pa.float32()} if "grades" in extra else {})
        )
        with pa.ipc.new_file(str(path), schema) as writer:
            for start in range(0, len(part), batch):
                rows = part[start : start + batch]
                columns = [
                    [d[0] for d in rows],
                    [size[d[0]] for d in rows],
                    [d[1] for d in rows],
                    [d[2] for d in rows],
                ]
                if "grades" in extra:
                    columns.append([extra["grades"][d[0]] for d in rows])
                arrays = [pa.array(c, field.type) for c, field in zip(columns, schema, strict=True)]
                writer.write(pa.record_batch(arrays, schema=schema))
        tokens = sum(len(d[2]) for d in part)
        listed.append(FileCounts(path.name, len(part), tokens, sum(size[d[0]] for d in part)))
    index = TokenStoreIndex(
        corpus=corpus,
        tokenizer=TokenizerRef("f" * 64, 65_000 if dtype == "uint16" else 200_000, 0, dtype),
        encoder="none",
        train=SplitCounts.of(tuple(listed)),
        heldout=SplitCounts.of(()),
        content_hash=hashlib.sha256(repr(sorted(docs)).encode()).hexdigest(),
    )
    index.write(folder)
    return folder


@pytest.fixture(scope="session")
def make_documents() -> Callable[..., list[Document]]:
    return documents


@pytest.fixture(scope="session")
def make_store() -> Callable[..., Path]:
    return write_store


@pytest.fixture
def corpora() -> dict[str, list[Document]]:
    """Three corpora: web 300 documents, kids 40 short ones, world 120 in three languages of unequal size."""
    languages = ["fr"] * 8 + ["sw"] + ["hi"] * 3
    return {
        "web": documents("web", 300),
        "kids": documents("kids", 40, mean=10),
        "world": documents("world", 120, langs=languages),
    }


@pytest.fixture
def stores(tmp_path: Path, corpora: dict[str, list[Document]]) -> dict[str, Path]:
    """The three corpora as token stores of two files each."""
    return {name: write_store(tmp_path / "tokens" / name, name, docs, files=2) for name, docs in corpora.items()}


Read = tuple[bytes, int, int, list[int]]


@pytest.fixture(scope="session")
def read_epoch() -> Callable[[Path], list[list[Read]]]:
    """Every document of every stage of an epoch: (id, source, bytes, tokens), in reading order."""

    def read(out: Path) -> list[list[Read]]:
        manifest = json.loads((out / "shards.json").read_text())
        stages = []
        for stage in manifest["stages"]:
            rows: list[Read] = []
            for shard in stage["shards"]:
                table = pa.ipc.open_file(str(out / shard["path"])).read_all()
                rows += list(zip(*(column.to_pylist() for column in table.columns), strict=True))
            stages.append(rows)
        return stages

    return read


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], dict[str, bytes]]:
    """All files under a folder, by relative path."""
    return lambda folder: {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
