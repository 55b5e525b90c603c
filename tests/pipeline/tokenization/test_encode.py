"""Encoding a corpus: the token store's contract, its gate, and going on after a kill."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pyarrow as pa
import pytest

from pipeline.base.arrow import from_rows
from pipeline.base.errors import TokenizerError
from pipeline.base.executor import InProcess
from pipeline.curation.corpus import CuratedCorpus
from pipeline.tokenization import load_tokenizer
from pipeline.tokenization.corpus_tokens import encode as encode_module
from pipeline.tokenization.corpus_tokens import encoding
from pipeline.tokenization.corpus_tokens.encode import encode_corpus
from pipeline.tokenization.corpus_tokens.index import Split
from pipeline.tokenization.corpus_tokens.writer import TokenWriter
from pipeline.tokenization.encoders.tokenizer import Tokenizer, sample_rows
from pipeline.tokenization.specs import parse_spec
from pipeline.tokenization.training.build import build_tokenizer

Document = tuple[str, str]
Build = Callable[..., Path]
TEXT_TO_SHARDS = """
import sys
from pathlib import Path
from pipeline.base.executor import InProcess
from pipeline.curation.corpus import CuratedCorpus
from pipeline.sharding.epoch import build_epoch
from pipeline.sharding.schedule.build import build_schedule
from pipeline.sharding.schedule.schedule import Schedule
from pipeline.sharding.settings import ScheduleSettings, ShardSettings
from pipeline.tokenization.corpus_tokens.encode import encode_corpus

tokenizer, documents, selection, heldout, tokens, schedule, epoch = map(Path, sys.argv[1:])
encode_corpus("a", CuratedCorpus(documents, selection, heldout), tokenizer, tokens, executor=InProcess())
stages = [{"name": "all", "mixture": {"a": {"repeats": 1}}}]
build_schedule(ScheduleSettings.model_validate({"stages": stages}), {"a": tokens}, schedule)
build_epoch(Schedule.read(schedule).epoch(1), {"a": tokens}, ShardSettings(), epoch, InProcess())
print(*sys.modules)
"""


def read(folder: Path, part: str) -> pa.Table:
    tables = [pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in sorted(folder.glob(f"{part}-*.arrow"))]
    return pa.concat_tables(tables)


def test_a_corpus_becomes_tokens_that_decode_to_its_selected_text(
    tmp_path: Path, corpora: dict[str, CuratedCorpus], build: Build, english: list[Document], french: list[Document]
) -> None:
    out = tmp_path / "tokens"
    out.mkdir()
    folder = build("small")
    summary = encode_corpus("mixed", corpora["mixed"], folder, out, executor=InProcess())
    tokenizer = load_tokenizer(folder)
    for part, documents in (("train", [*french[:40], *english[60:90]]), ("heldout", french[40:])):
        table = read(out, part)
        assert table.column_names == ["doc_id", "bytes", "lang", "tokens"]
        assert table.schema.field("tokens").type.value_type == pa.uint16()
        rows = table["tokens"].to_pylist()
        assert [tokenizer.decode(ids[:-1]) for ids in rows] == [text for text, _ in documents]
        assert {ids[-1] for ids in rows} == {tokenizer.eot_id}
        assert table["bytes"].to_pylist() == [len(text.encode()) for text, _ in documents]
        assert table["lang"].to_pylist() == [lang for _, lang in documents]
    record = json.loads((out / "tokens.json").read_text())
    assert record["tokenizer"] == {
        "content_hash": tokenizer.content_hash,
        "vocab_size": 320,
        "eot_id": 319,
        "dtype": "uint16",
    }
    train = read(out, "train")
    expected = {
        "documents": 70,
        "tokens": sum(len(ids) for ids in train["tokens"].to_pylist()),
        "bytes": sum(train["bytes"].to_pylist()),
    }
    assert record["train"] == {**expected, "files": [{"path": "train-00000.arrow", **expected}]}
    assert record["heldout"]["documents"] == 20
    assert (record["format"], record["version"], record["corpus"]) == ("squeeze-tokens", 1, "mixed")
    assert record["content_hash"] == summary.content_hash
    assert summary.encoder.startswith("gigatoken ")
    assert summary.gate_documents >= 64
    assert sorted(path.name for path in out.glob("[!.]*")) == [
        "heldout-00000.arrow",
        "tokens.json",
        "train-00000.arrow",
    ]


def test_the_same_corpus_gives_the_same_bytes(tmp_path: Path, corpora: dict[str, CuratedCorpus], build: Build) -> None:
    folder = build("small")
    files = []
    for number in range(2):
        out = tmp_path / f"tokens{number}"
        out.mkdir()
        encode_corpus("mixed", corpora["mixed"], folder, out, executor=InProcess())
        files.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert files[0] == files[1]


def test_a_fast_path_that_differs_anywhere_gives_way_to_the_reference_for_the_whole_corpus(
    tmp_path: Path, corpora: dict[str, CuratedCorpus], build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build("small")
    right = tmp_path / "right"
    right.mkdir()
    honest = encode_corpus("mixed", corpora["mixed"], folder, right, executor=InProcess())

    def wrong(self: Tokenizer) -> Callable[[pa.Array], pa.Array]:
        return lambda texts: from_rows([np.zeros(3, dtype=np.uint16)] * len(texts), "uint16")

    monkeypatch.setattr("pipeline.tokenization.encoders.byte_level.ByteLevelTokenizer._make_bulk", wrong)
    out = tmp_path / "out"
    out.mkdir()
    summary = encode_corpus("mixed", corpora["mixed"], folder, out, executor=InProcess())
    assert summary.encoder.startswith("reference (tokenizers ")
    assert "gave other ids" in json.loads((out / "tokens.json").read_text())["encoder"]
    assert summary.content_hash == honest.content_hash
    assert read(out, "train").equals(read(right, "train"))
    assert not list(out.glob("*.tmp"))


def test_a_killed_run_goes_on_after_its_finished_files(
    tmp_path: Path, corpora: dict[str, CuratedCorpus], build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build("small")
    monkeypatch.setattr(encode_module, "TokenWriter", _small_files)
    monkeypatch.setattr(encoding, "CHUNK_BYTES", 400)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    expected = encode_corpus("stories", corpora["stories"], folder, whole, executor=InProcess())
    assert len(expected.train.files) > 5

    encoded: list[int] = []
    real = Tokenizer.bulk_encoder

    def counting(self: Tokenizer) -> Callable[[pa.Array], pa.Array]:
        bulk = real(self)
        assert bulk is not None

        def encode(texts: pa.Array) -> pa.Array:
            encoded.append(len(texts))
            if sum(encoded) > 50 and len(killed_once) == 0:
                killed_once.append(True)
                raise KeyboardInterrupt
            return bulk(texts)

        return encode

    killed_once: list[bool] = []
    monkeypatch.setattr(Tokenizer, "bulk_encoder", counting)
    with pytest.raises(KeyboardInterrupt):
        encode_corpus("stories", corpora["stories"], folder, killed, executor=InProcess())
    finished = len(list(killed.glob("train-*.arrow")))
    assert 0 < finished < len(expected.train.files)
    encoded.clear()
    again = encode_corpus("stories", corpora["stories"], folder, killed, executor=InProcess())
    assert again.content_hash == expected.content_hash
    assert sum(encoded) < expected.train.documents + expected.heldout.documents
    assert {path.name: path.read_bytes() for path in killed.iterdir()} == {
        path.name: path.read_bytes() for path in whole.iterdir()
    }


def _small_files(out: Path, split: Split, dtype: str, *, graded: bool) -> TokenWriter:
    return TokenWriter(out, split, dtype, graded=graded, batch_tokens=100, file_tokens=300)


def test_the_documents_reading_grade_goes_with_the_training_tokens(
    tmp_path: Path, corpora: dict[str, CuratedCorpus], build: Build
) -> None:
    import pyarrow.parquet as pq

    path = corpora["mixed"].documents / "part-00000.parquet"
    table = pq.read_table(path)
    grades = pa.array([float(number) for number in range(len(table))], pa.float32())
    pq.write_table(table.append_column(pa.field("grade", pa.float32(), nullable=False), grades), path)
    out = tmp_path / "out"
    out.mkdir()
    encode_corpus("mixed", corpora["mixed"], build("small"), out, executor=InProcess())
    train = read(out, "train")
    assert train.column_names == ["doc_id", "bytes", "lang", "grade", "tokens"]
    assert train["grade"].to_pylist() == [float(number) for number in range(1, len(table), 2)]
    assert "grade" not in read(out, "heldout").column_names


def test_a_corpus_without_training_documents_is_refused(
    tmp_path: Path, build: Build, write_corpus: Callable[..., CuratedCorpus]
) -> None:
    corpus = write_corpus(tmp_path / "empty", [], [("held out", "en")])
    with pytest.raises(TokenizerError, match="corpus empty has no training documents"):
        encode_corpus("empty", corpus, build("small"), tmp_path, executor=InProcess())


def test_bytes_that_are_not_the_text_s_are_refused(
    tmp_path: Path, build: Build, write_corpus: Callable[..., CuratedCorpus]
) -> None:
    import pyarrow.parquet as pq

    corpus = write_corpus(tmp_path / "wrong", [("four", "en")])
    path = corpus.documents / "part-00000.parquet"
    table = pq.read_table(path)
    index = table.column_names.index("bytes")
    pq.write_table(table.set_column(index, "bytes", pa.array([13, 5], pa.uint32())), path)
    with pytest.raises(TokenizerError, match="is said to have 5 bytes, its text has 4"):
        encode_corpus("wrong", corpus, build("small"), tmp_path, executor=InProcess())


def test_ids_beyond_uint16_reach_the_token_store_as_uint32(
    tmp_path: Path, write_corpus: Callable[..., CuratedCorpus]
) -> None:
    ranks = {bytes([i]): i for i in range(256)} | {b"th": 70_000}
    lines = b"".join(base64.b64encode(token) + f" {rank}\n".encode() for token, rank in ranks.items())
    (tmp_path / "wide.tiktoken").write_bytes(lines)
    file = {"path": str(tmp_path / "wide.tiktoken"), "sha256": hashlib.sha256(lines).hexdigest()}
    wide = {"kind": "tiktoken", "ranks": file, "pattern": "cl100k", "end_of_text_id": 70_001, "vocab_size": 70_002}
    folder, out = tmp_path / "wide", tmp_path / "tokens"
    folder.mkdir()
    out.mkdir()
    built = build_tokenizer("wide", parse_spec(wide, where="wide"), folder, cache=tmp_path, folder=tmp_path)
    assert built.notes == ("vocabulary of 70,002 is beyond uint16: ids are stored as uint32, 4 bytes each",)
    texts = ["the path", "spells <|endoftext|> out", "été"]
    corpus = write_corpus(tmp_path / "c", [(text, "en") for text in texts], [("moth", "en")])
    summary = encode_corpus("c", corpus, folder, out, executor=InProcess())
    assert summary.dtype == "uint32"
    assert summary.gate_documents == 4
    table = read(out, "train")
    assert table.schema.field("tokens").type == pa.list_(pa.field("item", pa.uint32(), nullable=False))
    rows = table["tokens"].to_pylist()
    assert [ids.count(70_000) for ids in rows] == [2, 0, 0]
    assert [ids.count(70_001) for ids in rows] == [1, 1, 1]
    assert [load_tokenizer(folder).decode(ids[:-1]) for ids in rows] == texts
    assert read(out, "heldout")["tokens"].to_pylist() == [[109, 111, 70_000, 70_001]]


def test_a_long_document_does_not_push_the_others_out_of_the_gate() -> None:
    texts = ["a" * 300_000, *(f"short {i}" for i in range(10)), "b" * 300_000]
    assert sample_rows(pa.array(texts, pa.large_string())).to_pylist() == list(range(1, 11))
    assert sample_rows(pa.array([texts[0], texts[0][:-1]], pa.large_string())).to_pylist() == [1]


def test_text_is_read_while_the_vocabulary_is_opened(
    corpora: dict[str, CuratedCorpus], build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, reading = load_tokenizer(build("small")), Event()
    opens = tokenizer.bulk_encoder

    def opens_last() -> object:
        assert reading.wait(timeout=30), "nothing was read while the vocabulary was opened"
        return opens()

    def read_first() -> Iterator[pa.RecordBatch]:
        reading.set()
        yield from corpora["mixed"].iter_selected(("doc_id", "text", "bytes", "lang"))

    monkeypatch.setattr(tokenizer, "bulk_encoder", opens_last)
    with ThreadPoolExecutor(1) as gate:
        chunks = list(encoding.encoded_chunks("mixed", read_first(), tokenizer, gate))
    assert sum(len(chunk.tokens) for chunk in chunks) == 70


def test_from_text_to_shards_nothing_heavy_is_loaded_that_does_no_work(
    tmp_path: Path, corpora: dict[str, CuratedCorpus], build: Build
) -> None:
    corpus, folders = corpora["mixed"], [tmp_path / name for name in ("tokens", "schedule", "epoch")]
    for folder in folders:
        folder.mkdir()
    paths = [build("small"), corpus.documents, corpus.selection, corpus.heldout, *folders]
    script = [sys.executable, "-c", TEXT_TO_SHARDS, *map(str, paths)]
    done = subprocess.run(script, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    loaded = set(done.stdout.splitlines()[-1].split())
    assert (folders[-1] / "shards.json").is_file()
    assert "pipeline.curation.selected" in loaded
    # a filter decides nothing here; Arrow loads the others for what it could do with their types
    assert not {"pipeline.curation.settings", "pipeline.curation.filters.filters", "pandas", "pyarrow.dataset"} & loaded
