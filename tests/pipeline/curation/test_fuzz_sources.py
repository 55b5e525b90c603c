"""Random files of every format in every container: a build ends, its counts add up, and no other file is lost."""

from __future__ import annotations

import io
import tempfile
import time
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.base.executor import InProcess
from pipeline.curation.documents import build_documents
from pipeline.curation.settings import CorpusSettings
from tests.pipeline.curation.test_byte_counts import CASES, CONTAINERS, TALES, tar

SECONDS = 20.0
"""Processor time of a build of some kilobytes, which takes a fiftieth of a second."""
ENDINGS = ["", ".txt", ".jsonl", ".csv", ".json", ".parquet", ".arrow", ".gz", ".zip", ".tar", ".dat", ".html"]
ENCODINGS = ["utf-8", "utf-8", "utf-8", "utf-16", "utf-32-be", "gb18030", "iso-2022-jp", "utf-7", "latin-1"]
ODD_BYTES = [b"\0", b"\xff", b"\n", b"\r\n", b'"', b"{", b"[" * 99, b"\\ud83d", b"</doc>", b"\xc2\x85", b" " * 999]


def several(data: bytes) -> bytes:
    """A zip of files as they are found in the wild."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.jsonl", "b.txt", "._a", "c.tar", "d.pdf", "e.gz", "f/g"):
            archive.writestr(name, tar(data) if name.endswith("tar") else data)
    return buffer.getvalue()


def table(kind: str) -> bytes:
    rows = pa.table({"text": [*TALES, None], "n": [1, 2, 3, 4]})
    buffer = io.BytesIO()
    if kind == "parquet":
        pq.write_table(rows, buffer, row_group_size=2, use_dictionary=False)
    else:
        new = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
        with new(buffer, rows.schema) as file:
            file.write_table(rows)
    return buffer.getvalue()


PACKED = CONTAINERS | {"several.zip": several}
TABLES = {kind: table(kind) for kind in ("parquet", "stream", "arrow")}


@st.composite
def edited(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes with a few flips, cuts, insertions, repetitions and swaps."""
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(len(data), start + 200)))
        how = draw(st.sampled_from(["flip", "cut", "insert", "repeat", "swap", "end"]))
        piece = data[start:stop]
        if how == "flip":
            changed = bytes(byte ^ draw(st.integers(1, 255)) for byte in piece[:3]) + piece[3:]
        elif how == "insert":
            changed = draw(st.sampled_from(ODD_BYTES) | st.binary(max_size=40)) + piece
        else:
            changed = {"cut": b"", "repeat": piece * draw(st.integers(2, 5)), "swap": piece[::-1], "end": piece}[how]
        data = data[:start] + changed + (b"" if how == "end" else data[stop:])
    return data


@st.composite
def sources(draw: st.DrawFn) -> tuple[str, bytes, dict[str, object], dict[str, object]]:
    """A file's name and bytes, and settings of its source and its corpus."""
    form, encoding = draw(st.sampled_from(sorted(CASES))), draw(st.sampled_from(ENCODINGS))
    kind = draw(st.sampled_from(["text", "text", "text", *TABLES, "random"]))
    if kind == "random":
        data = draw(st.binary(max_size=600))
    elif kind == "text":
        data = draw(edited(CASES[form].encode(encoding, errors="replace")))
    else:
        form, data = "records", draw(edited(TABLES[kind]))
    container = draw(st.sampled_from(sorted(PACKED)))
    data = PACKED[container](data)
    if draw(st.booleans()):
        data = draw(edited(data))
    name = container.replace("a", "a" + draw(st.sampled_from(ENDINGS)), 1)
    source = {"format": form, "encoding": encoding, "exclude": draw(st.sampled_from([[], ["b*"]]))}
    corpus = {
        "split_bytes": draw(st.sampled_from([None, 256])),
        "refuse_bytes": draw(st.sampled_from([1000, 10_000_000])),
        "normalizing": {"html": draw(st.booleans()), "gutenberg": draw(st.booleans())},
    }
    return name, data, source, corpus


def check(source: tuple[str, bytes, dict[str, object], dict[str, object]]) -> None:
    name, data, of_source, of_corpus = source
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in").mkdir()
        (Path(folder) / "in" / name).write_bytes(data)
        (Path(folder) / "good").write_text(CASES["lines"])
        good = {"files": f"{folder}/good", "format": "lines"}
        sources = [{"files": f"{folder}/in/*", **of_source}, good]
        corpus = CorpusSettings.model_validate({"sources": sources, "most_lost_share": 1.0, **of_corpus})
        start = time.process_time()
        out = Path(folder) / "out"
        summary = build_documents("web", corpus.documents, out, cache=out, executor=InProcess())
        assert time.process_time() - start < SECONDS
        assert summary.documents >= len(TALES)
        assert summary.byte_counts is not None, "which is made of counts that add up alone"
        assert min(summary.byte_counts.quarantined.values(), default=0) >= 0


QUICK = settings(
    max_examples=150, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None
)


@QUICK
@given(sources())
def test_a_build_of_random_files_ends_and_its_counts_add_up(source) -> None:
    check(source)


@pytest.mark.fault
@settings(QUICK, max_examples=20_000, phases=[Phase.generate, Phase.shrink])
@given(sources())
def test_a_build_of_very_many_random_files_ends_and_its_counts_add_up(source) -> None:
    check(source)
