"""A look at sources before they are built: what it says is what the build does, and it reads beginnings alone."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.base.executor import InProcess
from pipeline.curation.documents import build_documents
from pipeline.curation.preview import BEGINNING, CLEANED, Preview, preview
from pipeline.curation.settings import DocumentsSettings
from pipeline.curation.sources.formats.reason import Reason

TALE = "On day {} the baker of the harbour sold his loaves to the sailors."
FRENCH = "Où est déjà la forêt, près d'ici ? Les élèves écoutaient la maîtresse, qui parlait d'été.\n"


def look(*files: Path, documents: int = 3, most: int = 20, **source: object) -> Preview:
    settings = DocumentsSettings.model_validate({"sources": [{"files": list(map(str, files)), **source}]})
    return preview(settings, files[0].parent, files=most, documents=documents)


def rows(count: int) -> bytes:
    return "".join(
        json.dumps({"text": TALE.format(number), "page": number // 2}) + "\n" for number in range(count)
    ).encode()


def test_what_is_said_is_what_the_build_does(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(rows(6) + b"{\n" + json.dumps({"text": " "}).encode())
    (folder / "b.csv").write_text("text,page\nA short tale of bread.,1\nragged\n")
    (folder / "c.pdf").write_bytes(b"%PDF-1.7")
    (folder / ".d.txt").write_text("hidden")
    source = {"group_field": "page"}
    found = look(folder / "*", folder / ".*", **source)
    sources = [{"files": [f"{folder}/*", f"{folder}/.*"], **source}]
    settings = DocumentsSettings.model_validate({"sources": sources, "most_lost_share": 1.0})
    built = build_documents("web", settings, tmp_path / "out", cache=tmp_path, executor=InProcess())
    assert sum(file.documents for file in found.files) == built.documents == 8
    assert sum(file.groups for file in found.files) - 1 == built.groups
    quarantined = sum((file.quarantined for file in found.files), Counter[str]())
    assert quarantined + Counter(item.reason for item in found.left_out) == built.quarantined


def test_a_document_is_shown_before_and_after_cleaning(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Bread &amp; salt.\r\nMail a.b@example.org.")
    (sample,) = look(tmp_path / "a.txt").files[0].samples
    assert (sample.before, sample.after) == (
        "Bread &amp; salt.\r\nMail a.b@example.org.",
        "Bread & salt.\nMail email@example.com.",
    )


@pytest.mark.parametrize("packed", [False, True])
def test_of_a_large_file_the_beginning_is_read_and_that_is_said(tmp_path: Path, packed: bool) -> None:
    data = rows(60_000)
    assert len(data) > 2 * BEGINNING
    path = tmp_path / ("a.jsonl.gz" if packed else "a.jsonl")
    path.write_bytes(gzip.compress(data) if packed else data)
    (file,) = look(path).files
    assert not file.whole
    assert file.quarantined == {}, "the line at which it was cut is whole"
    assert CLEANED < file.records < 60_000
    assert file.documents == CLEANED
    assert file.estimated == (None if packed else pytest.approx(60_000, rel=0.02))


def test_a_book_of_which_the_beginning_is_read_is_as_long_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text((TALE * 20 + "\n") * 10_000)
    (file,) = look(tmp_path / "a.txt", format="whole").files
    assert (file.records, file.whole, file.quarantined) == (1, False, {Reason.TOO_LONG: 1})


@pytest.mark.parametrize("form", ["separator", "wiki_dump", "titled"])
def test_what_is_cut_in_its_middle_is_not_told_of(tmp_path: Path, form: str) -> None:
    document = {
        "separator": TALE + "\n<|endoftext|>",
        "wiki_dump": '<doc id="1" title="Oak">\nOak\n</doc>\n',
        "titled": "THE BAKER\n\n" + TALE + "\n\n",
    }[form]
    (tmp_path / "a").write_text(document * (2 * BEGINNING // len(document)))
    (file,) = look(tmp_path / "a", format=form).files
    assert not file.whole
    assert file.quarantined == {}


def test_of_tables_and_archives_the_beginning_is_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [TALE.format(number) for number in range(5000)]}), tmp_path / "a.parquet")
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        for number in range(200):
            member = tarfile.TarInfo(f"{number}.jsonl")
            member.size = len(rows(3))
            archive.addfile(member, io.BytesIO(rows(3)))
    table, archived = look(tmp_path / "a.parquet", tmp_path / "b.tar").files
    assert (table.records, table.whole, table.readers) == (1000, False, {"a.parquet": "Parquet"})
    assert 0 < archived.records < 600
    assert not archived.whole


def test_files_of_every_ending_are_looked_at_before_the_second_of_any(tmp_path: Path) -> None:
    for name in ["a1.txt", "a2.txt", "a3.txt", "b.csv", "c.jsonl"]:
        (tmp_path / name).write_text('{"text": "A tale."}\n' if name != "b.csv" else "text,page\nA tale.,1\n")
    found = look(tmp_path / "*", most=3, documents=2)
    assert {file.entry for file in found.files} == {"a1.txt", "b.csv", "c.jsonl"}
    assert found.not_looked_at == 2
    assert sum(len(file.samples) for file in found.files) == 2


def test_an_encoding_that_would_read_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(FRENCH.encode("cp1252") * 3)
    (file,) = look(tmp_path / "a.txt").files
    assert (file.encoding, file.quarantined) == ("cp1252", {Reason.BAD_BYTES: 1})
    assert file.advice == "it reads as French text in cp1252 (likely): set `encoding: cp1252`"
    (file,) = look(tmp_path / "a.txt", encoding="cp1252").files
    assert (file.documents, file.quarantined, file.advice) == (1, {}, "")
