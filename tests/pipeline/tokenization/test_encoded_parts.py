"""Encoding by parts, as other machines do it, gives the token store that one stream over the corpus gives."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.base.arrow import from_rows
from pipeline.base.executor import InProcess
from pipeline.curation.corpus import CuratedCorpus
from pipeline.tokenization.corpus_tokens import encode as encode_module
from pipeline.tokenization.corpus_tokens import encoded_parts, encoding
from pipeline.tokenization.corpus_tokens.encode import encode_corpus
from pipeline.tokenization.corpus_tokens.encoded_parts import WORK_NAME
from pipeline.tokenization.corpus_tokens.index import Split
from pipeline.tokenization.corpus_tokens.writer import TokenWriter
from tests.pipeline.base.twice import Twice
from tests.pipeline.engine import elsewhere as carried_elsewhere

Build = Callable[..., Path]


class Elsewhere(InProcess):
    """Another machine, as far as whoever asks can tell."""

    machines = 2


class TwiceElsewhere(Twice):
    machines = 2


def small_files(out: Path, split: Split, dtype: str, *, graded: bool) -> TokenWriter:
    return TokenWriter(out, split, dtype, graded=graded, batch_tokens=100, file_tokens=300)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode_module, "WORTH_BYTES", 0)
    monkeypatch.setattr(encode_module, "TokenWriter", small_files)
    monkeypatch.setattr(encoding, "CHUNK_BYTES", 400)


@pytest.fixture
def corpus(corpora: dict[str, CuratedCorpus], tmp_path: Path) -> CuratedCorpus:
    """A corpus with its documents in four files, the last of which holds none that were kept."""
    whole = corpora["mixed"]
    documents = pq.read_table(next(whole.documents.glob("part-*.parquet")))
    last = int(pq.read_table(whole.selection / "selection.parquet")["row"][-1].as_py()) + 1
    (tmp_path / "parts").mkdir()
    for number, (start, stop) in enumerate(itertools.pairwise([0, 7, last // 2, last, documents.num_rows + 1])):
        pq.write_table(documents.slice(start, stop - start), tmp_path / "parts" / f"part-{number:05d}.parquet")
    return replace(whole, documents=tmp_path / "parts")


def files_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_every_file_is_that_of_one_stream(tmp_path: Path, corpus: CuratedCorpus, build: Build) -> None:
    folder = build("small")
    for out in ("here", "there"):
        (tmp_path / out).mkdir()
    expected = encode_corpus("c", corpus, folder, tmp_path / "here", executor=InProcess())
    with TwiceElsewhere() as executor:
        summary = encode_corpus("c", corpus, folder, tmp_path / "there", executor=executor)
    assert executor.tasks == ["encode_part"] * 3
    assert len(expected.train.files) > 2
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")
    assert summary.content_hash == expected.content_hash


def test_a_part_needs_no_file_that_its_arguments_do_not_name(
    tmp_path: Path, corpus: CuratedCorpus, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("obstore", reason="obstore is missing: pip install '.[s3]'")
    home = tmp_path / "home"
    folder = shutil.copytree(build("small"), home / "tokenizer")
    for out in ("here", "there"):
        (home / out).mkdir()
    expected = encode_corpus("c", corpus, folder, home / "here", executor=InProcess())
    executor = carried_elsewhere.Elsewhere(tmp_path, home, home, monkeypatch)
    summary = encode_corpus("c", corpus, folder, home / "there", executor=executor)
    assert executor.parts == {"encode_part"}
    assert files_of(home / "there") == files_of(home / "here")
    assert summary.content_hash == expected.content_hash


def test_a_fast_path_that_differs_in_one_part_gives_way_to_the_reference_in_all(
    tmp_path: Path, corpora: dict[str, CuratedCorpus], build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build("small")
    for out in ("here", "there"):
        (tmp_path / out).mkdir()
    honest = encode_corpus("mixed", corpora["mixed"], folder, tmp_path / "here", executor=InProcess())

    def wrong(self: object) -> Callable[[pa.Array], pa.Array]:
        return lambda texts: from_rows([np.zeros(3, dtype=np.uint16)] * len(texts), "uint16")

    monkeypatch.setattr("pipeline.tokenization.encoders.byte_level.ByteLevelTokenizer._make_bulk", wrong)
    summary = encode_corpus("mixed", corpora["mixed"], folder, tmp_path / "there", executor=Elsewhere())
    assert summary.encoder.startswith("reference (tokenizers ")
    assert "gave other ids" in summary.encoder
    assert summary.content_hash == honest.content_hash
    assert not (tmp_path / "there" / WORK_NAME).exists()


def test_a_killed_run_goes_on_after_its_finished_parts_and_files(
    tmp_path: Path, corpus: CuratedCorpus, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build("small")
    for out in ("here", "there"):
        (tmp_path / out).mkdir()
    encode_corpus("c", corpus, folder, tmp_path / "here", executor=InProcess())
    parts = [part.path.stem for part in corpus.selected_parts() if len(part.rows)]
    encoded: list[str] = []
    real = encoded_parts.encoded_chunks

    def counted(name, batches, *rest):
        encoded.append(name)
        if len(encoded) == len(parts):
            raise KeyboardInterrupt
        return real(name, batches, *rest)

    assert len(parts) > 1
    monkeypatch.setattr(encoded_parts, "encoded_chunks", counted)
    with pytest.raises(KeyboardInterrupt):
        encode_corpus("c", corpus, folder, tmp_path / "there", executor=Elsewhere())
    encode_corpus("c", corpus, folder, tmp_path / "there", executor=Elsewhere())
    assert len(encoded) == len(parts) + 1, "one part alone is encoded again"
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")
