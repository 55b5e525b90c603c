"""The law of counts: what was read of a source is in documents, taken by a named step or in the quarantine."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipeline.base.errors import CurationError
from pipeline.base.executor import InProcess
from pipeline.curation.byte_counts import ByteCounts
from pipeline.curation.documents import build_documents
from pipeline.curation.settings import CorpusSettings
from pipeline.curation.sources.formats.formats import FORMATS
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.sources.formats.removal import Removal
from pipeline.curation.summary import DocumentsSummary
from pipeline.curation.waterfall import WaterfallStep, check_adds_up

TALES = [
    f"On day {number} the baker of Orléans sold {number + 3} loaves – no more – to the sailors." for number in range(3)
]
CASES = {
    "records": "".join(json.dumps({"text": tale, "n": 1}, ensure_ascii=False) + "\n" for tale in TALES),
    "lines": "\n".join(TALES),
    "separator": "<|endoftext|>".join(TALES),
    "wiki_dump": "".join(f'<doc id="1" title="{tale[:8]}">\n{tale}\n</doc>\n' for tale in TALES),
    "json_field": json.dumps({tale[:8]: {"text": tale} for tale in TALES}, ensure_ascii=False, indent=1),
    "titled": "".join(f"\n\nTALE THE {len(tale)}\n\n{tale}\n" for tale in TALES),
    "whole": "\n\n".join(TALES),
    "csv": "text,n\n" + "".join(f'"{tale}",1\n' for tale in TALES),
}
ODD = {
    "bad bytes": lambda text: text.encode() + b"\n\xff\xfe\n" + text.encode(),
    "cut in the middle": lambda text: text.encode()[: len(text) * 2 // 3],
    "empty lines": lambda text: b"\n\r\n \n" + text.encode() + b"\n\n\n",
    "Windows's line ends": lambda text: text.replace("\n", "\r\n").encode(),
    "a byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "blanks to clean": lambda text: text.replace(" ", "  \t").encode(),
    "escapes and addresses": lambda text: (text + "\na@b.example.org &amp; caf\u00c3\u00a9\n").encode(),
    "a second one after it": lambda text: (text + "\n" + text).encode(),
}


def tar(data: bytes, kind: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as archive:
        info = tarfile.TarInfo("in/a")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


CONTAINERS = {
    "a": lambda data: data,
    "a.gz": gzip.compress,
    "a.bz2": bz2.compress,
    "a.xz": lzma.compress,
    "a.zst": zstandard.compress,
    "a.zip": lambda data: zipped(a=data),
    "a.tar": tar,
    "a.tar.gz": lambda data: tar(data, "gz"),
}


def build(out: Path, *files: Path, normalizing: dict[str, bool] | None = None, **source: object) -> DocumentsSummary:
    source = {"files": list(map(str, files)), "lang": "en", **source}
    settings = CorpusSettings.model_validate(
        {"sources": [source], "normalizing": normalizing or {}, "most_lost_share": 1.0}
    )
    return build_documents("web", settings.documents, out, cache=out, executor=InProcess())


def counts(summary: DocumentsSummary) -> ByteCounts:
    assert summary.byte_counts is not None
    return summary.byte_counts


def test_every_format_has_a_case() -> None:
    assert CASES.keys() == FORMATS.keys()


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("form", CASES)
def test_bytes_add_up_in_every_format_and_container(tmp_path: Path, form: str, container: str) -> None:
    data = CASES[form].encode()
    (tmp_path / container).write_bytes(CONTAINERS[container](data))
    found = counts(build(tmp_path / "out", tmp_path / container, format=form))
    assert found.read == len(data)
    assert found.kept >= sum(len(tale.encode()) for tale in TALES)
    assert found.quarantined == {}
    assert sum(found.removed.values()) == found.read - found.kept
    assert found.removed[Removal.AROUND] + found.removed[Removal.CLEANING] == found.read - found.kept


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("form", CASES)
def test_bytes_of_odd_files_add_up_too(tmp_path: Path, form: str, odd: str) -> None:
    data = ODD[odd](CASES[form])
    (tmp_path / "odd").write_bytes(data)
    (tmp_path / "good").write_text(CASES[form])
    found = counts(build(tmp_path / "out", tmp_path / "odd", tmp_path / "good", format=form))
    assert found.read == len(data) + len(CASES[form].encode())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-be", "utf-8-sig", "gb18030", "utf-7"])
@pytest.mark.parametrize("form", [form for form in CASES if form != "csv"])
def test_what_an_encoding_takes_more_than_utf_8_is_counted(tmp_path: Path, form: str, encoding: str) -> None:
    data = CASES[form].encode(encoding)
    (tmp_path / "a.txt").write_bytes(data)
    found = counts(build(tmp_path / "out", tmp_path / "a.txt", format=form, encoding=encoding))
    assert found.read == len(data)
    assert found.removed[Removal.ENCODING] == len(data) - len(CASES[form].encode())


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_of_a_table_the_text_counts(tmp_path: Path, kind: pa.DataType) -> None:
    text = pa.array([*TALES, None, ""]).cast(kind)
    pq.write_table(pa.table({"text": text, "n": [TALES[0]] * 5}), tmp_path / "a.parquet", row_group_size=2)
    found = counts(build(tmp_path / "out", tmp_path / "a.parquet"))
    assert found.read == found.kept == sum(len(tale.encode()) for tale in TALES)
    assert found.quarantined == {Reason.NO_TEXT: 0, Reason.EMPTY: 0}


def test_what_settings_leave_out_is_counted_as_it_lies(tmp_path: Path) -> None:
    data = CASES["lines"].encode()
    for name in ("a.txt", "b.txt", "c.txt", "notes.txt", ".hidden.txt"):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "same.txt").symlink_to(tmp_path / "a.txt")
    files = [tmp_path / "*.txt", tmp_path / "a*"]
    found = counts(build(tmp_path / "out", *files, format="lines", exclude="notes*", maximum_bytes=len(data) + 1))
    assert found.read == 5 * len(data), "a file that two patterns and a link match is one"
    assert found.removed[Removal.EXCLUDED] == found.removed[Removal.UNREAD] == len(data)
    assert found.quarantined == {Reason.HIDDEN: len(data)}
    assert found.unmeasured == 0


def test_members_that_are_left_out_or_not_read_are_counted_as_they_lie(tmp_path: Path) -> None:
    data = CASES["lines"].encode()
    names = {"a.txt": "a.txt", "left": "left.txt", "other": "b.md", "hidden": "._a.txt", "pdf": "a.pdf"}
    (tmp_path / "a.zip").write_bytes(zipped(**dict.fromkeys(names.values(), data)))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        lies = archive.getinfo("a.pdf").compress_size
    chosen = {"members": ["*.txt", "*.pdf"], "exclude": "left*", "format": "lines"}
    found = counts(build(tmp_path / "out", tmp_path / "a.zip", **chosen))
    assert found.read == len(data) + 4 * lies
    assert found.removed[Removal.NOT_CHOSEN] == found.removed[Removal.EXCLUDED] == lies
    assert found.quarantined == {Reason.HIDDEN: lies, Reason.OTHER_KIND: lies}


@pytest.mark.parametrize("ending", ["", ".gz", ".zip", ".tar", ".tar.gz", ".parquet"])
def test_a_file_of_which_nothing_can_be_read_counts_as_it_lies(tmp_path: Path, ending: str) -> None:
    (tmp_path / "good").write_text(CASES["whole"])
    (tmp_path / f"bad{ending}").write_bytes(b"\xff" * 3000)
    found = counts(build(tmp_path / "out", tmp_path / "good", tmp_path / f"bad{ending}", format="whole"))
    assert sum(found.quarantined.values()) == 3000
    assert found.read == 3000 + len(CASES["whole"].encode())


def test_a_damaged_file_counts_by_what_was_read_and_what_was_not(tmp_path: Path) -> None:
    data = "".join(f"{number} {tale}\n" for number in range(5000) for tale in TALES).encode()
    packed = bytearray(gzip.compress(data))
    packed[-4:] = b"\0\0\0\0"
    (tmp_path / "a.gz").write_bytes(packed)
    found = counts(build(tmp_path / "out", tmp_path / "a.gz", format="lines"))
    assert len(data) <= found.read <= len(data) + len(packed)
    assert found.quarantined.keys() == {Reason.UNREADABLE}


def test_a_file_without_the_field_counts_as_a_whole(tmp_path: Path) -> None:
    bad = "".join(json.dumps({"body": tale}) + "\n" for tale in TALES * 5000)
    (tmp_path / "bad.jsonl").write_text(bad)
    (tmp_path / "good.jsonl").write_text(CASES["records"])
    found = counts(build(tmp_path / "out", tmp_path / "good.jsonl", tmp_path / "bad.jsonl"))
    assert found.quarantined == {Reason.FILE_WITHOUT_FIELD: len(bad)}


def test_counts_that_do_not_add_up_are_an_error_wherever_they_come_from() -> None:
    ByteCounts(read=10, removed={"cleaning": 3, "encoding": -1}, quarantined={"empty": 1}, kept=7)
    with pytest.raises(CurationError, match=r"10 bytes were read, but 6 are in documents, .* leaves 3: a fault"):
        ByteCounts(read=10, removed={"cleaning": 0}, quarantined={"empty": 1}, kept=6)
    steps = [WaterfallStep("documents", 0, 0, 5, 50), WaterfallStep("held out", 1, 10, 4, 40)]
    check_adds_up(steps, 4, 40)
    with pytest.raises(CurationError, match="4 documents of 40 bytes are left by the last step, but 4 of 39 are kept"):
        check_adds_up(steps, 4, 39)
    with pytest.raises(CurationError, match="'held out' removed 1 documents of 9 bytes, but 1 of 10 are gone"):
        check_adds_up([steps[0], WaterfallStep("held out", 1, 9, 4, 40)], 4, 40)


def test_the_table_of_the_counts_begins_with_what_was_read_and_ends_with_what_is_kept() -> None:
    found = ByteCounts(read=10, removed={"cleaning": 3, "splitting": 0}, quarantined={"empty": 1}, kept=6)
    assert [tuple(row.values()) for row in found.rows] == [
        ("read", 10),
        ("cleaning", -3),
        ("quarantined: empty", -1),
        ("in documents", 6),
    ]
