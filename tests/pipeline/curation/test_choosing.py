"""How a file is read is seen by its content where its name does not say it, and said where people look."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import logging
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import zstandard

from pipeline.base.executor import InProcess
from pipeline.curation.documents import DocumentsSummary, build_documents
from pipeline.curation.settings import CorpusSettings
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.tables import iter_parts

TALES = [f"On day {number} the baker of the harbour sold {number + 3} loaves to the sailors." for number in range(3)]
LINES = "".join(json.dumps({"text": tale}) + "\n" for tale in TALES).encode()


def table_file(write: Callable[[pa.Table, io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(pa.table({"text": TALES}), buffer)
    return buffer.getvalue()


def arrow(table: pa.Table, buffer: io.BytesIO, make: Callable[..., pa.RecordBatchWriter]) -> None:
    with make(buffer, table.schema) as writer:
        writer.write_table(table)


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("rows", data)
    return buffer.getvalue()


def tarred(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("rows.jsonl")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


CONTENT = {
    "JSON lines": LINES,
    "gz, JSON lines": gzip.compress(LINES),
    "gz, gz, JSON lines": gzip.compress(gzip.compress(LINES)),
    "zst, JSON lines": zstandard.compress(LINES),
    "xz, JSON lines": lzma.compress(LINES),
    "bz2, JSON lines": bz2.compress(LINES),
    "Parquet": table_file(pq.write_table),
    "gz, Parquet": gzip.compress(table_file(pq.write_table)),
    "Arrow": table_file(lambda table, buffer: arrow(table, buffer, pa.ipc.new_file)),
    "Arrow stream": table_file(lambda table, buffer: arrow(table, buffer, pa.ipc.new_stream)),
    "Arrow, Feather": table_file(feather.write_feather),
    "CSV": ("title,text\n" + "".join(f'x,"{tale}"\n' for tale in TALES)).encode(),
    "CSV, tabs": ("text\ttitle\n" + "".join(f"{tale}\tx\n" for tale in TALES)).encode(),
    "one JSON value": json.dumps([{"text": tale} for tale in TALES]).encode(),
    "one JSON value, in lines": json.dumps([{"text": tale} for tale in TALES], indent=2).encode(),
}


def build(out: Path, *files: Path | str, **source: object) -> tuple[DocumentsSummary, list[str]]:
    sources = [{"files": list(map(str, files)), "lang": "en", **source}]
    settings = CorpusSettings.model_validate({"sources": sources, "most_lost_share": 1.0})
    summary = build_documents("web", settings.documents, out, cache=out, executor=InProcess())
    return summary, [text for batch in iter_parts(out, ("text",)) for text in batch.column("text").to_pylist()]


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["download", "a.dat", "a.bin", "a.txt"])
@pytest.mark.parametrize("content", CONTENT)
def test_rows_are_read_whatever_they_are_in_where_the_name_says_nothing(
    tmp_path: Path, name: str, content: str
) -> None:
    summary, texts = build(tmp_path / "out", write(tmp_path / name, CONTENT[content]))
    assert texts == TALES
    assert content.startswith(summary.readers[name].split(", text")[0])


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.parquet", "a.arrow", "a.zip.gz"])
@pytest.mark.parametrize("content", ["gz, JSON lines", "zst, JSON lines", "Parquet", "Arrow", "CSV", "one JSON value"])
def test_a_name_that_says_something_else_is_not_believed(tmp_path: Path, name: str, content: str) -> None:
    promises = name in ("a.parquet", "a.arrow", "a.zip.gz")
    write(tmp_path / "in" / name, CONTENT[content])
    write(tmp_path / "in" / "good.jsonl", LINES)
    summary, texts = build(tmp_path / "out", tmp_path / "in" / "*")
    if promises and content not in ("Parquet", "Arrow"):
        assert texts == TALES
        assert summary.quarantined == {Reason.UNREADABLE: 1}
        details = str(summary.quarantine_examples[0]["details"])
        assert "and holds text (it begins with" in details
        assert "give it the name of what it is" in details
    else:
        assert texts == TALES * 2
        assert summary.quarantined == {}


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.txt.xz", "a.zst"])
def test_a_packed_name_of_a_plain_file_is_read_as_it_is(tmp_path: Path, name: str) -> None:
    summary, texts = build(tmp_path / "out", write(tmp_path / name, LINES))
    assert texts == TALES
    assert summary.readers == {name: "JSON lines"}


def test_a_servers_error_in_place_of_a_packed_file_is_no_text(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.txt.gz", b"<!DOCTYPE html><html><title>404 Not Found</title></html>")
    write(tmp_path / "in" / "b.txt", TALES[0].encode())
    summary, texts = build(tmp_path / "out", tmp_path / "in" / "*", format="whole")
    assert texts == [TALES[0]]
    assert "holds an HTML page, perhaps a server's error" in str(summary.quarantine_examples[0]["details"])


def test_a_text_without_rows_is_a_document_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "book.txt", "\n".join(TALES).encode())
    with caplog.at_level(logging.INFO):
        summary, texts = build(tmp_path / "out", tmp_path / "book.txt")
    assert texts == ["\n".join(TALES)]
    assert summary.readers == {"book.txt": "text, a document a file"}
    assert "book.txt (text, a document a file)" in caplog.text


@pytest.mark.parametrize("name", ["README.md", "page.html", "in.zip"])
def test_a_text_without_rows_among_rows_is_none_of_them(tmp_path: Path, name: str) -> None:
    text = b"What this is.\n\nNothing in particular."
    write(tmp_path / "in" / name, zipped(text) if name == "in.zip" else text)
    write(tmp_path / "in" / "good.jsonl", LINES)
    summary, texts = build(tmp_path / "out", tmp_path / "in" / "*")
    assert texts == TALES
    assert summary.quarantined == {Reason.OTHER_KIND: 1}
    assert "set the source's `format` to `whole`" in str(summary.quarantine_examples[0]["details"])


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_rows_without_a_telling_name_are_read_in_archives_too(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    assert build(tmp_path / "out", write(tmp_path / "download", pack(LINES)))[1] == TALES


OFFICE = zipfile.ZipInfo("[Content_Types].xml"), zipfile.ZipInfo("word/document.xml")


def office() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for info in OFFICE:
            archive.writestr(info, "<xml/>")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"%PDF-1.7\n%\xe2\xe3\n", "pdf"),
        (office(), "docx"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "doc"),
        (b"\x89PNG\r\n\x1a\n\0\0", "png"),
        (b"SQLite format 3\0", "sqlite"),
    ],
)
@pytest.mark.parametrize("name", ["letter", "letter.txt", "letter.jsonl"])
def test_papers_and_pictures_are_known_under_any_name(tmp_path: Path, data: bytes, kind: str, name: str) -> None:
    write(tmp_path / "in" / name, data)
    write(tmp_path / "in" / "good.txt", TALES[0].encode())
    summary, texts = build(tmp_path / "out", tmp_path / "in" / "*", format="whole")
    assert texts == [TALES[0]]
    assert str(summary.quarantine_examples[0]["details"]).startswith(f"a .{kind} file: ")


def test_bytes_of_no_kind_that_is_known_are_no_text(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.bin", bytes(range(256)) * 20)
    write(tmp_path / "in" / "b.bin", TALES[0].encode("utf-16"))
    summary, texts = build(tmp_path / "out", tmp_path / "in" / "*", format="whole", encoding="utf-16")
    assert texts == [TALES[0]]
    assert summary.quarantined == {Reason.OTHER_KIND: 1}


def test_text_in_an_arrow_file_that_is_no_utf8_costs_its_row(tmp_path: Path) -> None:
    data = pa.array([TALES[0].encode(), b"bad \xff", TALES[1].encode()])
    text = pa.StringArray.from_buffers(3, *data.buffers()[1:])
    with pa.ipc.new_file(tmp_path / "a.arrow", pa.schema([("text", pa.string())])) as writer:
        writer.write_table(pa.table({"text": text}))
    summary, texts = build(tmp_path / "out", tmp_path / "a.arrow")
    assert texts == TALES[:2]
    assert summary.quarantined == {Reason.NO_VALUE: 1}
