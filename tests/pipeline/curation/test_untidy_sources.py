"""Untidy sources: no record and no file stops a build, and each ends as a document or in the quarantine, by name."""

from __future__ import annotations

import io
import json
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline.base.errors import SourceError, SqueezeError
from pipeline.base.executor import InProcess
from pipeline.curation.documents import DocumentsSummary, build_documents
from pipeline.curation.settings import CorpusSettings
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.sources.settings import Source
from pipeline.curation.sources.unit_listing import local_files
from pipeline.curation.tables import ROW_GROUP_ROWS, iter_parts, parts

TALES = [f"On day {number} the baker of the harbour sold {number + 3} loaves to the sailors." for number in range(6)]


def build(out: Path, *files: Path | str, **source: object) -> tuple[DocumentsSummary, list[tuple[str, str]]]:
    """The summary, and the group and text of every document."""
    sources = [{"files": list(map(str, files)), "lang": "en", **source}]
    settings = CorpusSettings.model_validate({"sources": sources, "most_lost_share": 1.0})
    summary = build_documents("web", settings.documents, out, cache=out, executor=InProcess())
    rows = [row for batch in iter_parts(out, ("group", "text")) for row in batch.to_pylist()]
    return summary, [(row["group"], row["text"]) for row in rows]


def write(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def json_line(text: object, **more: object) -> str:
    return json.dumps({"text": text, **more}) + "\n"


# one record or one file never stops all


def test_a_bad_row_is_set_aside_with_its_place_and_the_rest_is_kept(tmp_path: Path) -> None:
    deep = '{"text": "x", "inside": ' + "[" * 60_000 + "]" * 60_000 + "}\n"
    rows = [json_line(TALES[0]), '{"title": "none"}\n', deep, "[1]\n", json_line(None), "{\n", json_line(TALES[1])]
    summary, documents = build(tmp_path / "out", write(tmp_path / "a.jsonl", "".join(rows)))
    assert [text for _, text in documents] == TALES[:2]
    assert summary.quarantined == dict.fromkeys(
        [Reason.NO_FIELD, Reason.NESTED, Reason.NO_OBJECT, Reason.NO_TEXT, Reason.NO_JSON], 1
    )
    assert {item["row"] for item in summary.quarantine_examples} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cut.jsonl.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\3cut"),
        ("none.jsonl.xz", b"\1\2\3 no xz"),
        ("none.zip", b"no zip"),
        ("none.tar", b"no tar" * 200),
        ("none.parquet", b"no parquet"),
        ("none.jsonl.zst", b"\1\2\3 no zst"),
        ("book.epub.jsonl", b"PK\3\4 and then nothing"),
    ],
)
def test_a_damaged_file_is_set_aside_by_its_name_and_the_others_are_read(
    tmp_path: Path, name: str, data: bytes
) -> None:
    write(tmp_path / "in" / name, data)
    write(tmp_path / "in" / "good.jsonl", json_line(TALES[0]))
    summary, documents = build(tmp_path / "out", tmp_path / "in" / "*")
    assert documents == [("good.jsonl#0", TALES[0])]
    assert [item["entry"] for item in summary.quarantine_examples] == [name]
    assert summary.quarantined == {Reason.UNREADABLE: 1}


def test_text_in_a_parquet_file_that_is_no_utf8_costs_its_row(tmp_path: Path) -> None:
    data = pa.array([TALES[0].encode(), b"bad \xff", TALES[1].encode()])
    text = pa.StringArray.from_buffers(3, *data.buffers()[1:])
    pq.write_table(pa.table({"text": text}), tmp_path / "a.parquet")
    summary, documents = build(tmp_path / "out", tmp_path / "a.parquet")
    assert [text for _, text in documents] == TALES[:2]
    assert summary.quarantined == {Reason.NO_VALUE: 1}


def test_an_arrow_file_that_points_outside_of_itself_is_damaged_and_crashes_nothing(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, pa.schema([("text", pa.string())])) as file:
        file.write_table(pa.table({"text": TALES}))
    offsets = struct.pack("<2i", 0, len(TALES[0]))
    assert buffer.getvalue().count(offsets) == 1
    damaged = buffer.getvalue().replace(offsets, struct.pack("<2i", 0, 2_000_000_000))
    write(tmp_path / "in" / "a.arrow", damaged)
    write(tmp_path / "in" / "b.jsonl", json_line(TALES[1]))
    summary, documents = build(tmp_path / "out", tmp_path / "in" / "*")
    assert documents == [("b.jsonl#0", TALES[1])]
    assert summary.quarantined == {Reason.UNREADABLE: 1}


def test_a_field_that_no_row_has_is_named_with_its_setting(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", "".join(map(json_line, TALES)))
    for setting in ("text_field", "group_field", "lang_field"):
        more = {"lang": None} if setting == "lang_field" else {}
        with pytest.raises(SqueezeError, match=rf"no field 'nope' in .*; it has text\. Set the source's `{setting}`"):
            build(tmp_path / setting, path, **{setting: "nope"}, **more)


def test_an_unknown_encoding_is_a_mistake_of_the_settings_that_names_the_nearest() -> None:
    with pytest.raises(ValidationError, match=r"'utf-9' is no encoding of text; did you mean 'utf-8'\?"):
        Source.model_validate({"files": "a.txt", "encoding": "utf-9"})
    with pytest.raises(ValidationError, match="'base64' is no encoding of text"):
        Source.model_validate({"files": "a.txt", "encoding": "base64"})


# encodings


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-be", "utf-32", "utf-8-sig", "cp037", "utf8"])
@pytest.mark.parametrize("form", ["records", "json_field", "lines", "whole"])
def test_every_format_reads_the_encoding_it_is_told(tmp_path: Path, encoding: str, form: str) -> None:
    words = ["Où est déjà la forêt, près d'ici ?", "Ein Ä, ein Ö, ein Ü: àĊ".replace("Ċ", "")]
    if form == "records":
        text = "".join(json.dumps({"text": word}, ensure_ascii=False) + "\n" for word in words)
    elif form == "json_field":
        text = json.dumps([{"text": word} for word in words], ensure_ascii=False)
    else:
        text = "\n".join(words)
    path = write(tmp_path / "in.txt", text.encode(encoding))
    _, documents = build(tmp_path / "out", path, format=form, encoding=encoding)
    assert "\n".join(text for _, text in documents) == "\n".join(words)


@pytest.mark.parametrize(
    ("encoding", "bad"),
    [
        ("UTF8", b"\xff"),
        ("utf_8_sig", b"\xff"),
        ("gbk", b"\xff\xff"),
        ("windows-1252", b"\x81"),
        ("shift_jis", b"\x81"),
        ("ascii", b"\xe9"),
    ],
)
@pytest.mark.parametrize("form", ["lines", "records"])
def test_bytes_that_are_not_in_the_encoding_cost_their_line_only(
    tmp_path: Path, encoding: str, bad: bytes, form: str
) -> None:
    lines = [json_line(tale).encode() if form == "records" else tale.encode() + b"\n" for tale in TALES[:3]]
    lines[1] = lines[1].replace(b"baker", bad)
    summary, documents = build(
        tmp_path / "out", write(tmp_path / "a.txt", b"".join(lines)), format=form, encoding=encoding
    )
    assert [text for _, text in documents] == [TALES[0], TALES[2]]
    assert summary.quarantined == {Reason.BAD_BYTES: 1}


def test_a_bad_character_of_utf_16_costs_its_line_also_where_half_a_character_looks_like_a_line_end(
    tmp_path: Path,
) -> None:
    data = "one Ċ one\n".encode("utf-16-le") + b"\x00\xdc\n\0" + "three \u0a0a\n".encode("utf-16-le")
    summary, documents = build(tmp_path / "out", write(tmp_path / "a.txt", data), format="lines", encoding="utf-16-le")
    assert [text for _, text in documents] == ["one Ċ one", "three \u0a0a"]
    assert summary.quarantined == {Reason.BAD_BYTES: 1}


# names


def test_a_group_is_the_path_below_the_fixed_part_of_the_pattern(tmp_path: Path) -> None:
    for folder, tale in zip("abc", TALES, strict=False):
        write(tmp_path / "books" / folder / "deep" / "book.txt", tale)
    for pattern in ("books/*/deep/book.txt", "books/**/book.txt"):
        _, documents = build(tmp_path / pattern.count("*").__str__(), tmp_path / pattern, format="whole")
        assert documents == [(f"{folder}/deep/book.txt", TALES["abc".index(folder)]) for folder in "abc"]


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    paths = [write(tmp_path / folder / "book.txt", TALES["ab".index(folder)]) for folder in "ab"]
    _, documents = build(tmp_path / "out", *paths, format="whole")
    assert documents == [("a/book.txt", TALES[0]), ("b/book.txt", TALES[1])]


def test_a_file_that_several_patterns_or_links_match_is_read_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", "".join(map(json_line, TALES)))
    (tmp_path / "b.jsonl").symlink_to(path)
    patterns = [tmp_path / "*.jsonl", path, tmp_path / "." / "a*", tmp_path / ".." / tmp_path.name / "a.jsonl"]
    summary, _ = build(tmp_path / "out", *patterns)
    assert (summary.files, summary.documents) == (1, 6)
    assert len(local_files([Source(files=tuple(map(str, patterns)))])) == 1


def test_hidden_files_are_left_out_and_counted_unless_they_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.txt", TALES[0])
    hidden = ["._a.txt", ".ipynb_checkpoints/a-checkpoint.txt", "__MACOSX/a.txt"]
    for name in hidden:
        write(tmp_path / "in" / name, TALES[1])
    summary, documents = build(tmp_path / "out", tmp_path / "in" / "**" / "*.txt", format="whole")
    assert documents == [("a.txt", TALES[0])]
    assert summary.quarantined == {Reason.HIDDEN: 3}
    assert {item["entry"] for item in summary.quarantine_examples} == set(hidden)
    _, documents = build(tmp_path / "asked", tmp_path / "in" / ".ipynb_checkpoints" / "*.txt", format="whole")
    assert len(documents) == 1


@pytest.mark.parametrize("name", ["d [1]/a.txt", "a::b.txt", "x[y].txt", "d?/[z]/a.txt"])
def test_characters_of_patterns_in_names_are_themselves_where_such_a_name_is_there(tmp_path: Path, name: str) -> None:
    write(tmp_path / "in" / name, TALES[0])
    write(tmp_path / "in" / "d 1" / "a.txt", TALES[1])
    for number, pattern in enumerate([name, name.replace("a", "*", 1) if "a" in name else "x[y]*"]):
        _, documents = build(tmp_path / f"out{number}", tmp_path / "in" / pattern, format="whole")
        assert [text for _, text in documents] == [TALES[0]]


def test_a_name_that_is_no_utf8_is_read_and_spelled_out(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/tall\xe9.txt"
    Path(os.fsdecode(path)).write_text(TALES[0])
    _, documents = build(tmp_path / "out", tmp_path / "*.txt", format="whole")
    assert documents == [("tall\\xe9.txt", TALES[0])]
    assert local_files([Source(files=(str(tmp_path / "*.txt"),))])[0][0] == "tall\\xe9.txt"


def test_a_folder_is_a_mistake_that_is_told_with_what_to_write(tmp_path: Path) -> None:
    write(tmp_path / "in" / "sub" / "a.txt", TALES[0])
    with pytest.raises(SourceError, match=r"in is a folder: write which of its files to read, such as .*in/\*"):
        build(tmp_path / "out", tmp_path / "in")
    with pytest.raises(SourceError, match=r"matches folders only: .* write .*in/\*/\*"):
        build(tmp_path / "out", tmp_path / "in" / "*")


# archives


def packed(kind: str, members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as tar:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "name"),
    [("zip", "a.zip"), ("", "a.tar"), ("gz", "a.tar.gz"), ("gz", "a.TGZ"), ("bz2", "a.tbz2"), ("xz", "a.tar.xz")],
)
def test_an_archive_is_read_member_by_member_and_what_is_not_read_is_named(
    tmp_path: Path, kind: str, name: str
) -> None:
    table = io.BytesIO()
    pq.write_table(pa.table({"text": [TALES[1]]}), table)
    members = {
        "one/a.jsonl": json_line(TALES[0]).encode(),
        "two/b.parquet": table.getvalue(),
        "README.md": b"what this is",
        "__MACOSX/one/._a.jsonl": b"\0\5\x16\7",
        "inner.tar": packed("", {"c.jsonl": b"{}"}),
        "empty.jsonl": b"",
    }
    summary, documents = build(tmp_path / "out", write(tmp_path / name, packed(kind, members)))
    assert documents == [(f"{name}/one/a.jsonl#0", TALES[0]), (f"{name}/two/b.parquet#0", TALES[1])]
    assert summary.files == 2
    named = {item["entry"]: item["reason"] for item in summary.quarantine_examples}
    assert named == {
        f"{name}/README.md": Reason.OTHER_KIND,
        f"{name}/__MACOSX/one/._a.jsonl": Reason.HIDDEN,
        f"{name}/inner.tar": Reason.OTHER_KIND,
        f"{name}/empty.jsonl": Reason.NO_RECORD,
    }


def test_what_a_file_is_packed_in_is_seen_where_its_name_does_not_say_it(tmp_path: Path) -> None:
    write(tmp_path / "download", packed("gz", {"a.txt": TALES[0].encode(), "b.txt": TALES[1].encode()}))
    _, documents = build(tmp_path / "out", tmp_path / "download", format="whole")
    assert documents == [("download/a.txt", TALES[0]), ("download/b.txt", TALES[1])]


@pytest.mark.parametrize(("lost", "whole"), [(1024, 6), (1100, 6), (1600, 5), (2048, 5), (2500, 4)])
def test_an_archive_that_is_cut_off_keeps_what_was_whole_and_says_so(tmp_path: Path, lost: int, whole: int) -> None:
    data = packed("", {f"{number}.txt": tale.encode() for number, tale in enumerate(TALES)})[: 6 * 1024 + 1024]
    summary, documents = build(tmp_path / "out", write(tmp_path / "a.tar", data[: len(data) - lost]), format="whole")
    assert documents == [(f"a.tar/{number}.txt", TALES[number]) for number in range(whole)]
    assert summary.quarantined.keys() == {Reason.UNREADABLE}


def test_archives_one_behind_the_other_are_read_to_the_last(tmp_path: Path) -> None:
    parts = [packed("", {f"{number}.txt": TALES[number].encode()}) for number in range(3)]
    for name, data in {"a.tar": b"".join(parts), "b.tar": parts[0][:1536] + parts[1]}.items():
        summary, documents = build(tmp_path / f"out-{name}", write(tmp_path / name, data), format="whole")
        assert [text for _, text in documents] == TALES[: 3 if name == "a.tar" else 2]
        assert summary.quarantined == {}
    summary, documents = build(tmp_path / "out", write(tmp_path / "c.tar", parts[0] + b"no tar " * 100), format="whole")
    assert [text for _, text in documents] == TALES[:1]
    assert summary.quarantined == {Reason.UNREADABLE: 1}


def test_a_zip_whose_directory_points_before_the_file_is_damaged_and_stops_nothing(tmp_path: Path) -> None:
    data = packed("zip", {"a.jsonl": json_line(TALES[0]).encode()})
    write(tmp_path / "in" / "a.zip", data[:4] + data[40:])
    write(tmp_path / "in" / "b.jsonl", json_line(TALES[1]))
    summary, documents = build(tmp_path / "out", tmp_path / "in" / "*")
    assert documents == [("b.jsonl#0", TALES[1])]
    assert summary.quarantined == {Reason.UNREADABLE: 1}


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("a.7z", "unpack it"),
        ("a.rar", "unpack it"),
        ("a.pdf", "convert it to text"),
        ("a.docx", "convert it to text"),
        ("a.xlsx", "save it as CSV"),
        ("a.sqlite", "write its text as JSON lines"),
        ("a.png", "it holds no text"),
    ],
)
def test_files_of_other_kinds_are_refused_by_name_with_what_to_do(tmp_path: Path, name: str, cure: str) -> None:
    write(tmp_path / "in" / name, b"whatever it holds")
    with pytest.raises(SqueezeError, match=rf"{name}: a \.\w+ file: {cure}"):
        build(tmp_path / "out", tmp_path / "in" / "*", format="whole")


# formats


def test_articles_without_their_end_and_text_between_articles_are_named(tmp_path: Path) -> None:
    dump = (
        'stray words\n<doc id="1" url="x" title="Oak">\nOak\n\nA tree.\n</doc>\n'
        '<doc id="2" title="Elm">\nElm\n\nCut off.\n<doc id="3" title=""Ash" (song)">\nAsh\n\nA song.\n</doc>\n'
        '<doc id="4" title="Fir">\nFir\n'
    )
    summary, documents = build(tmp_path / "out", write(tmp_path / "wiki", dump), format="wiki_dump")
    assert documents == [("Oak", "Oak\n\nA tree."), ('"Ash" (song)', "Ash\n\nA song.")]
    assert summary.quarantined == {Reason.CUT_ARTICLE: 2, Reason.BETWEEN: 1}


def test_a_separator_with_line_ends_is_found_whatever_the_file_ends_its_lines_with(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\r\n====\r\n".join(TALES[:3]))
    for number, separator in enumerate(["\n====\n", "\r\n====\r\n"]):
        _, documents = build(tmp_path / f"{number}", path, format="separator", separator=separator)
        assert [text for _, text in documents] == TALES[:3]


def test_reasons_are_few_however_many_rows_are_bad(tmp_path: Path) -> None:
    bad = [b"\xff" * number + b"{" + b"x" * number + b"\n" for number in range(500)]
    path = write(tmp_path / "a.jsonl", json_line(TALES[0]).encode() + b"".join(bad))
    summary, _ = build(tmp_path / "out", path)
    assert summary.quarantined == {Reason.BAD_BYTES: 499, Reason.NO_JSON: 1}
    assert len(summary.quarantine_examples) == 4
    assert len((tmp_path / "out" / "part-00000.quarantine.jsonl").read_text().splitlines()) == 500


def test_a_row_group_holds_so_many_documents_at_most_however_short_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "".join(f"note {number}\n" for number in range(ROW_GROUP_ROWS + 10)))
    build(tmp_path / "out", path, format="lines")
    with pq.ParquetFile(parts(tmp_path / "out")[0]) as file:
        assert [file.metadata.row_group(group).num_rows for group in range(2)] == [ROW_GROUP_ROWS, 10]


def test_a_parquet_file_without_rows_is_said_to_be_empty(tmp_path: Path) -> None:
    pq.ParquetWriter(tmp_path / "a.parquet", pa.schema([("text", pa.string())])).close()
    with pytest.raises(SqueezeError, match=r"file without a record, such as a\.parquet"):
        build(tmp_path / "out", tmp_path / "a.parquet")
