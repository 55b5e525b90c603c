"""Documents: every source and format, bad input that is counted and never fatal, and restarts that change nothing."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipeline.base.errors import CurationError, SourceError
from pipeline.base.executor import Executor, InProcess, Processes
from pipeline.base.finished import is_finished
from pipeline.curation.documents import DocumentsSummary, build_documents
from pipeline.curation.settings import CorpusSettings
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.sources.settings import Source
from pipeline.curation.sources.unit_listing import local_files
from pipeline.curation.tables import iter_parts
from tests.pipeline.base.twice import Twice

LINES = [f"Sentence number {number} says something of its own about the number {number * 7}." for number in range(40)]


def local(path: Path, **settings: object) -> CorpusSettings:
    """A corpus of one local file."""
    source = {"files": [str(path)], "lang": "en", **settings.pop("source", {})}  # type: ignore[dict-item]
    return CorpusSettings.model_validate({"sources": [source], "most_lost_share": 1.0, **settings})


def build(settings: CorpusSettings, out: Path, executor: Executor | None = None) -> DocumentsSummary:
    return build_documents("web", settings.documents, out, cache=out, executor=executor or InProcess())


def rows(out: Path, *columns: str) -> list[tuple[object, ...]]:
    return [
        row
        for batch in iter_parts(out, columns)
        for row in zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
    ]


def texts(out: Path) -> list[object]:
    return [text for (text,) in rows(out, "text")]


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("ending", ["txt", "txt.gz", "txt.zst"])
def test_lines_of_a_text_file_are_documents_also_compressed(tmp_path: Path, ending: str) -> None:
    data = "\n".join(LINES).encode()
    packed = {"txt": data, "txt.gz": gzip.compress(data), "txt.zst": zstandard.compress(data)}[ending]
    (tmp_path / f"a.{ending}").write_bytes(packed)
    summary = build(local(tmp_path / f"a.{ending}", source={"format": "lines"}), tmp_path / "out")
    assert texts(tmp_path / "out") == LINES
    assert (summary.documents, summary.bytes) == (40, sum(map(len, LINES)))


def test_parquet_gives_the_same_documents_as_json_lines(tmp_path: Path, write_lines) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": LINES, "page": [f"page {n}" for n in range(40)], "score": [1.0] * 40}), path)
    grouped = {"source": {"group_field": "page"}}
    first = build(local(write_lines("rows.jsonl", LINES), **grouped), tmp_path / "json")
    second = build(local(path, **grouped), tmp_path / "parquet")
    columns = ("doc_id", "text", "group", "position", "lang")
    assert rows(tmp_path / "json", *columns) == rows(tmp_path / "parquet", *columns)
    assert first.groups == second.groups == 40


def test_rows_say_their_language_in_any_form_and_where_it_is_none_it_is_counted_and_detected(tmp_path: Path) -> None:
    french = "Le petit chat est assis sur la table et il regarde les oiseaux du jardin."
    said = ["fra", "FR-ca", "fr", None, "", "und", "french", "french", 7, "x" * 300]
    lines = [json.dumps({"text": f"{french} {number}", "language": lang}) for number, lang in enumerate(said)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    source = {"files": [str(tmp_path / "a.jsonl")], "lang_field": "language"}
    summary = build(CorpusSettings.model_validate({"sources": [source]}), tmp_path / "out")
    assert summary.languages == {"fr": len(said)}
    assert summary.unknown_languages == {"french": 2, "7": 1, "x" * 40: 1}
    declared = build(CorpusSettings.model_validate({"sources": [source | {"lang": "fra"}]}), tmp_path / "declared")
    assert (declared.languages, declared.unknown_languages) == ({"fr": len(said)}, {})


def test_values_that_are_no_language_are_counted_in_bounded_space(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"A tale with the number {n}.", "lang": f"tongue {n}"}) for n in range(1000)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    source = {"files": [str(tmp_path / "a.jsonl")], "lang_field": "lang"}
    summary = build(CorpusSettings.model_validate({"sources": [source]}), tmp_path / "out")
    assert len(summary.unknown_languages) <= 20
    assert summary.unknown_languages[""] == 800, "those past the first two hundred, together"


def test_a_book_is_cut_into_parts_that_keep_book_and_position(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("\n\n".join(LINES))
    build(local(tmp_path / "book.txt", source={"format": "whole"}, split_bytes=500), tmp_path / "out")
    found = rows(tmp_path / "out", "group", "position", "bytes")
    assert {group for group, _, _ in found} == {"book.txt"}
    assert [position for _, position, _ in found] == list(range(len(found)))
    assert all(size <= 500 for _, _, size in found)


def test_titles_in_capital_letters_start_documents(tmp_path: Path) -> None:
    (tmp_path / "tales.txt").write_text("\nTHE BELL\n\nIt rang.\n\nTHE DAISY\n\nIt grew. HOW IT GREW\n")
    build(local(tmp_path / "tales.txt", source={"format": "titled"}), tmp_path / "out")
    assert [group for (group,) in rows(tmp_path / "out", "group")] == ["tales.txt/THE BELL", "tales.txt/THE DAISY"]


def test_articles_of_a_wiki_dump_are_grouped_by_title(tmp_path: Path) -> None:
    (tmp_path / "wiki.xml").write_text(
        '<doc id="1" title="Cat">\nCat\n\nA cat.\n</doc>\n<doc id="2" title="Dog">\nDog\n</doc>'
    )
    build(local(tmp_path / "wiki.xml", source={"format": "wiki_dump"}), tmp_path / "out")
    assert rows(tmp_path / "out", "group", "text") == [("Cat", "Cat\n\nA cat."), ("Dog", "Dog")]


def test_bad_documents_are_counted_and_quarantined_and_never_fatal(tmp_path: Path) -> None:
    lines = [
        b"A good line of text.",
        b"invalid \xff\xfe utf-8",
        b"nul \x00 inside",
        b"x" * 2_000_000,
        "שלום עולם, זה טקסט מימין לשמאל".encode(),
        "ไม่มีช่องว่างระหว่างคำ".encode(),
        b"\x00\x00",
        b"aaaa " * 3000,
    ]
    (tmp_path / "bad.txt").write_bytes(b"\n".join(lines))
    summary = build(local(tmp_path / "bad.txt", source={"format": "lines"}, refuse_bytes=1_000_000), tmp_path / "out")
    assert summary.documents == 5
    assert summary.quarantined == {Reason.BAD_BYTES: 1, Reason.TOO_LONG: 1, Reason.EMPTY: 1}
    assert {(item["entry"], item["row"]) for item in summary.quarantine_examples} == {("bad.txt", n) for n in (1, 3, 6)}
    assert "nul  inside" in texts(tmp_path / "out") or "nul inside" in texts(tmp_path / "out")


@pytest.mark.slow
def test_a_line_of_50_mb_is_cut_where_documents_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_bytes(b"word " * 10_000_000)
    summary = build(local(tmp_path / "long.txt", source={"format": "lines"}, split_bytes=1_000_000), tmp_path / "out")
    assert summary.documents >= 50


def test_lone_surrogates_in_json_do_not_stop_a_build(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "half \\ud83d of a pair"}\n{"text": "fine"}\n{"text": 3}\nnot json\n')
    summary = build(local(tmp_path / "a.jsonl"), tmp_path / "out")
    assert texts(tmp_path / "out") == ["half \ufffd of a pair", "fine"]
    assert sum(summary.quarantined.values()) == 2


def test_a_missing_column_names_those_there_are(tmp_path: Path, write_lines) -> None:
    with pytest.raises(
        CurationError, match=r"no field 'body' in its first 40 rows; it has text, page\. Set .*text_field"
    ):
        build(local(write_lines("a.jsonl", LINES), source={"text_field": "body"}), tmp_path / "out")
    pq.write_table(pa.table({"text": LINES}), tmp_path / "a.parquet")
    with pytest.raises(CurationError, match=r"no field 'body' in its columns; it has text\. Set .*text_field"):
        build(local(tmp_path / "a.parquet", source={"text_field": "body"}), tmp_path / "parquet")


def test_an_empty_file_alone_is_a_corpus_without_documents(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(CurationError, match="corpus 'web' has no documents"):
        build(local(tmp_path / "empty.txt", source={"format": "lines"}), tmp_path / "out")


def test_files_that_are_missing_damaged_or_of_no_parquet_are_named_where_nothing_else_is_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.txt does not exist"):
        build(local(tmp_path / "nowhere.txt"), tmp_path / "out")
    text = bytes(random.Random(1).choices(range(32, 127), k=50_000))
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(text)[:20_000])
    with pytest.raises(CurationError, match=r"cut\.txt\.gz: damaged: Compressed file ended .*; fetch it again"):
        build(local(tmp_path / "cut.txt.gz", source={"format": "whole", "encoding": "latin-1"}), tmp_path / "out")
    (tmp_path / "no.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(CurationError, match=r"no\.parquet: damaged: Parquet magic bytes not found"):
        build(local(tmp_path / "no.parquet"), tmp_path / "parquet")


def test_a_source_is_exactly_one_place() -> None:
    with pytest.raises(ValueError, match="exactly one of `archive`, `files` and `hub`, found none"):
        Source()
    with pytest.raises(ValueError, match="must be records"):
        Source.model_validate({"hub": {"id": "a/b", "revision": "1"}, "format": "lines"})


def test_a_format_is_one_of_the_table_and_the_error_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'line' is no format of documents; did you mean 'lines'\?"):
        Source.model_validate({"files": "a.txt", "format": "line"})
    with pytest.raises(ValueError, match="known: csv, json_field, lines, records, separator, titled, whole, wiki_dump"):
        Source.model_validate({"files": "a.txt", "format": "xml"})


def test_json_values_and_separated_documents_are_groups_by_their_keys_or_places(tmp_path: Path) -> None:
    (tmp_path / "books.json").write_text(json.dumps({"Emma": {"text": "Emma Woodhouse."}, "Ivanhoe": "In that."}))
    build(local(tmp_path / "books.json", source={"format": "json_field"}), tmp_path / "json")
    assert rows(tmp_path / "json", "group", "text") == [("Emma", "Emma Woodhouse."), ("Ivanhoe", "In that.")]
    (tmp_path / "a.txt").write_text("One.<|endoftext|>Two.")
    build(local(tmp_path / "a.txt", source={"format": "separator"}), tmp_path / "separated")
    assert rows(tmp_path / "separated", "group", "text") == [("a.txt#0", "One."), ("a.txt#1", "Two.")]


def many_files(tmp_path: Path) -> CorpusSettings:
    for number in range(6):
        (tmp_path / f"in{number}.txt").write_text("\n".join(f"{number} {line}" for line in LINES * 40))
    return local(tmp_path / "in*.txt", source={"format": "lines"})


@pytest.mark.parametrize("executor", [Processes(2), Twice()])
def test_neither_the_number_of_processes_nor_a_second_attempt_changes_a_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executor: Executor
) -> None:
    settings = many_files(tmp_path)
    alone = build(settings, tmp_path / "one")
    monkeypatch.setattr("pipeline.curation.documents._worth_workers", lambda units: True)
    with executor:
        assert build(settings, tmp_path / "two", executor) == alone
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")


def test_a_killed_build_goes_on_from_its_parts_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    settings = many_files(tmp_path)
    build(settings, tmp_path / "whole")
    code = f"""
        import json
        from pathlib import Path
        from pipeline.base.executor import InProcess
        from pipeline.curation.documents import build_documents
        from pipeline.curation.settings import CorpusSettings
        settings = CorpusSettings.model_validate_json({json.dumps(settings.model_dump_json())})
        out = Path({str(tmp_path / "out")!r})
        build_documents("web", settings.documents, out, cache=Path("."), executor=InProcess())
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env={**os.environ, "PYTHONPATH": "."})
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").glob(".part-*.finished")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = [path for path in (tmp_path / "out").glob("part-*.parquet") if is_finished(path)]
    kept = {path.name: path.stat().st_mtime_ns for path in finished}
    assert kept
    build(settings, tmp_path / "out")
    assert all((tmp_path / "out" / name).stat().st_mtime_ns == when for name, when in kept.items()), "not done twice"
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")


@pytest.mark.parametrize("ending", [".parquet", ".quarantine.jsonl", ".unknown_languages.json"])
def test_a_part_that_a_power_cut_emptied_is_made_again(tmp_path: Path, ending: str) -> None:
    rows = [{"text": line, "lang": "no language" if i % 2 else "en"} for i, line in enumerate(LINES)] + [{"text": 1}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = local(tmp_path / "rows.jsonl", source={"lang_field": "lang", "lang": None})
    build(settings, tmp_path / "out")
    whole = hashes(tmp_path / "out")
    for damage in (b"", bytes(100)):
        (tmp_path / "out" / f"part-00000{ending}").write_bytes(damage)
        build(settings, tmp_path / "out")
        assert hashes(tmp_path / "out") == whole


def test_local_files_are_known_by_their_names_and_content(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("two")
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "notes.txt").write_text("left out")
    source = Source(files=(str(tmp_path / "*.txt"),), exclude=("notes*",), format="whole")
    before = local_files([source])
    assert [name for name, _ in before] == ["a.txt", "b.txt"]
    os.utime(tmp_path / "a.txt", (0, 0))
    assert local_files([source]) == before
    (tmp_path / "a.txt").write_text("ONE")
    changed = local_files([source])
    assert (changed[0] == before[0], changed[1] == before[1]) == (False, True)
    (tmp_path / "c.txt").write_text("three")
    assert len(local_files([source])) == 3
    assert local_files([Source(files=("https://example.org/a.txt",), format="whole")]) == []


def test_a_compressed_stream_that_ends_too_early_is_named(tmp_path: Path) -> None:
    packed = zstandard.compress("\n".join(LINES * 2000).encode())
    (tmp_path / "a.txt.zst").write_bytes(packed[: len(packed) // 2])
    summary = build(local(tmp_path / "a.txt.zst", source={"format": "lines"}), tmp_path / "out")
    assert summary.quarantined == {Reason.UNREADABLE: 1}, "what was read before stays"
    assert (summary.quarantine_examples[0]["entry"], summary.quarantine_examples[0]["row"]) == (
        "a.txt.zst",
        summary.documents,
    )


def test_a_damaged_page_of_a_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": LINES * 50}), path, use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[40:400] = bytes(360)
    path.write_bytes(data)
    with pytest.raises(CurationError, match=r"rows\.parquet: damaged"):
        build(local(path), tmp_path / "out")


@pytest.mark.parametrize("field", ["text", "page"])
def test_half_a_character_is_refused_and_counted(tmp_path: Path, field: str) -> None:
    records = [{"text": line, "page": str(number)} for number, line in enumerate(LINES)]
    records[3][field] += "\ud83d"
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, records)))
    settings = local(
        tmp_path / "rows.jsonl", source={"group_field": "page"}, normalizing={"fix_encoding": field == "page"}
    )
    summary = build(settings, tmp_path / "out")
    assert summary.documents == len(LINES) - 1
    (line,) = (tmp_path / "out" / "part-00000.quarantine.jsonl").read_text().splitlines()
    assert "lone surrogate" in json.loads(line)["reason"]
