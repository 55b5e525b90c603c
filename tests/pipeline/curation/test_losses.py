"""What could not be read of a corpus is said with its share and what to do, and too much of it stops the build."""

from __future__ import annotations

import io
import json
import logging
import zipfile
from pathlib import Path

import pytest

from pipeline.base.errors import CurationError
from pipeline.base.executor import InProcess
from pipeline.base.settings import identity_of
from pipeline.curation.documents import DocumentsSummary, build_documents
from pipeline.curation.settings import CorpusSettings
from pipeline.curation.sources.formats.reason import Reason

ENGLISH = "The baker of the harbour sold six loaves to the sailors, who ate them on the wall by the sea.\n"
FRENCH = "Où est déjà la forêt, près d'ici ? Les élèves écoutaient la maîtresse, qui parlait d'été et de neige.\n"
RUSSIAN = "Старый пекарь вставал рано, пёк свежий хлеб, и дети с песнями приходили к нему через мост.\n"
JAPANESE = "年老いたパン屋は朝早く起きて、新しいパンを焼き、子供たちは歌いながら橋を渡ってやって来ました。\n"


def build(folder: Path, pattern: str = "*", share: float = 0.1, **source: object) -> DocumentsSummary:
    sources = [{"files": f"{folder}/{pattern}", "format": "whole", **source}]
    settings = CorpusSettings.model_validate({"sources": sources, "most_lost_share": share})
    out = folder.parent / f"out-{share}-{len(source)}"
    return build_documents("mine", settings.documents, out, cache=folder, executor=InProcess())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two small good texts, to which a test adds a bad one."""
    (tmp_path / "in").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "in" / name).write_text(ENGLISH * 3)
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("encoding", "text", "language"),
    [
        ("cp1252", FRENCH, "French"),
        ("shift_jis", JAPANESE, "Japanese"),
        ("utf-16-le", FRENCH, "French"),
        ("utf-16-le", RUSSIAN, "Russian"),
        ("utf-16-be", RUSSIAN, "Russian"),
        ("cp1251", RUSSIAN, "Russian"),
    ],
)
def test_a_file_of_another_encoding_stops_the_build_and_the_encoding_that_is_named_reads_it(
    folder: Path, encoding: str, text: str, language: str
) -> None:
    (folder / "c.txt").write_bytes((text * 3).encode(encoding))
    with pytest.raises(CurationError) as told:
        build(folder)
    assert f"it reads as {language} text in {encoding} (likely): give it a source of its own" in str(told.value)
    assert "c.txt" in str(told.value)
    assert "of the text could not be read" in str(told.value)
    summary = build(folder, "c.txt", encoding=encoding)
    assert (summary.documents, summary.quarantined, summary.bytes) == (1, {}, len((text * 3).strip().encode()))


def test_where_all_files_are_of_another_encoding_the_source_is_to_say_so(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "in" / name).write_bytes((FRENCH * 3).encode("cp1252"))
    with pytest.raises(CurationError, match=r"it reads as French text in cp1252 \(likely\): set `encoding: cp1252`"):
        build(tmp_path / "in")
    assert build(tmp_path / "in", encoding="cp1252").documents == 2


def office() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("[Content_Types].xml", "word/document.xml"):
            archive.writestr(name, "<xml/>")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "cure"),
    [
        ("c.pdf", b"%PDF-1.7" + bytes(500), "a .pdf file: convert it to text first"),
        ("c", b"%PDF-1.7" + bytes(500), "a .pdf file: convert it to text first"),
        ("c.docx", office(), "a .docx file: convert it to text first"),
        ("c.txt", office(), "a .docx file: convert it to text first"),
    ],
)
def test_papers_stop_the_build_until_they_are_converted_or_left_out(
    folder: Path, name: str, data: bytes, cure: str
) -> None:
    (folder / name).write_bytes(data)
    with pytest.raises(CurationError) as told:
        build(folder)
    assert cure in str(told.value)
    assert build(folder, exclude=[name]).documents == 2


def test_pictures_are_no_loss_however_large_they_are(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100_000))
    assert build(folder).quarantined == {Reason.MEDIA: 1}
    assert "c.png" in caplog.text


def test_up_to_its_share_a_loss_is_a_warning_with_names_and_cures(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "a.txt").write_text(ENGLISH * 100)
    (folder / "c.txt").write_bytes(FRENCH.encode("cp1252"))
    with caplog.at_level(logging.WARNING):
        assert build(folder).quarantined == {Reason.BAD_BYTES: 1}
    assert "mine: 1.0% of the text could not be read" in caplog.text
    assert "(c.txt): it reads as French text in cp1252" in caplog.text


def test_a_build_that_was_stopped_goes_on_with_the_share_that_it_names(folder: Path) -> None:
    (folder / "c.pdf").write_bytes(b"%PDF-1.7" + bytes(500))
    with pytest.raises(CurationError, match=r"set most_lost_share: 0\.\d+ on the corpus") as told:
        build(folder)
    share = float(str(told.value).rsplit("most_lost_share: ", 1)[1].split()[0])
    assert build(folder, share=share).documents == 2


def test_rows_without_the_text_are_a_loss_that_is_said_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    rows = [{"text": ENGLISH}, *({"body": ENGLISH} for _ in range(3))]
    (tmp_path / "in" / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert build(tmp_path / "in", format="records").quarantined == {Reason.NO_FIELD: 3}
    assert "3 no field of the text (a.jsonl): set the source's `text_field`" in caplog.text


@pytest.mark.parametrize("bad", [b"bad \xff\n", b'{"text": ' + b"[" * 9999 + b"\n"])
@pytest.mark.parametrize("number", [1, 500])
def test_records_never_stop_a_build_however_many_are_bad(tmp_path: Path, bad: bytes, number: int) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(json.dumps({"text": ENGLISH}).encode() + b"\n" + bad * number)
    summary = build(tmp_path / "in", format="records")
    assert (summary.documents, sum(summary.quarantined.values())) == (1, number)


def test_the_share_enters_no_fingerprint() -> None:
    shares = [CorpusSettings.model_validate({"sources": [{"files": "a"}], "most_lost_share": n}) for n in (0.1, 0.5)]
    assert identity_of(shares[0].documents) == identity_of(shares[1].documents)
