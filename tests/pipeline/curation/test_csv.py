"""CSV and TSV: rows as their writer meant them, and those that are none set aside with their place."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.executor import InProcess
from pipeline.base.settings import identity_of
from pipeline.curation.documents import build_documents
from pipeline.curation.settings import CorpusSettings
from pipeline.curation.sources.formats.csv_table import CsvTable
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.sources.formats.record import Record, Refused
from pipeline.curation.sources.settings import Source
from pipeline.curation.tables import iter_parts

Row = list[str]


def read(data: bytes, **settings: object) -> tuple[list[str], dict[int, Reason]]:
    """The texts, and the row and reason of what was refused."""
    source = Source.model_validate({"files": "a.csv", "format": "csv", **settings})
    items = list(CsvTable().read(io.BytesIO(data), "a.csv", source))
    texts = [item.text for item in items if isinstance(item, Record)]
    return texts, {item.row: item.reason for item in items if isinstance(item, Refused)}


def written(rows: list[Row], **how: object) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, **how).writerows(rows)  # type: ignore[arg-type]
    return buffer.getvalue().encode("utf-8", errors="surrogatepass")


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\ufdd0\ufeff"), min_size=1)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1), st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]))
def test_every_text_comes_back_as_it_was_written(rows: list[tuple[str, str]], delimiter: str, end: str) -> None:
    table = [["title", "text"], *map(list, rows)]
    data = written(table, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    assert read(data, delimiter=delimiter, quotes=True) == ([text for _, text in rows], {})


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_what_parts_the_names(delimiter: str) -> None:
    rows = [["title", "text"], ["a, b; c", "one"], ["d", "two, three; four"]]
    assert read(written(rows, delimiter=delimiter)) == (["one", "two, three; four"], {})


def test_names_are_those_of_the_first_row_or_of_the_settings() -> None:
    assert read(b"\xef\xbb\xbftext, page \nx,1\n", group_field="page") == (["x"], {})
    assert read(b"x,1\ny,2\n", column_names=["text", "page"]) == (["x", "y"], {})
    assert read(b"x;1\ny;2\n", column_names=["text", "page"]) == (["x", "y"], {})
    assert read(b"sep=;\r\ntext;page\r\nx;1\r\n") == (["x"], {})
    assert read(b"") == read(b"\r\n") == read(b"text\n") == ([], {})


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    source = Source.model_validate({"files": "a.csv", "format": "csv", "text_field": "body"})
    (refused,) = CsvTable().read(io.BytesIO(b"text,page\nx,1\n"), "a.csv", source)
    assert isinstance(refused, Refused)
    assert refused.details == "no field 'body' in its first row; it has text, page. Set the source's `text_field`."


def test_rows_of_other_lengths_are_set_aside_by_their_place_and_the_others_keep_theirs() -> None:
    data = b"text,page\nx,1\nshort\n\nlong,2,3\ny,4\n"
    assert read(data) == (["x", "y"], {1: Reason.RAGGED, 2: Reason.RAGGED})
    items = list(CsvTable().read(io.BytesIO(data), "a.csv", Source.model_validate({"files": "a", "format": "csv"})))
    assert [item.row for item in items] == [0, 1, 2, 3]


def test_bytes_that_are_no_text_cost_their_row_also_one_that_is_ragged() -> None:
    data = "text,page\nété,1\nx,2\né\ny,3\n".encode("latin-1")
    assert read(data) == (["x", "y"], {0: Reason.BAD_BYTES, 2: Reason.RAGGED})
    assert read(data, encoding="latin-1") == (["été", "x", "y"], {2: Reason.RAGGED})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "shift_jis", "iso-2022-jp", "gb18030", "cp037"])
def test_an_encoding_whose_bytes_look_like_marks_is_read_all_the_same(encoding: str) -> None:
    word = "ab" if encoding == "cp037" else "表ソ"
    data = f'text,page\n"{word},\n"" x",1\n'.encode(encoding)
    assert read(data, encoding=encoding) == ([f'{word},\n" x'], {})


def test_a_mark_that_nothing_closes_swallows_no_row_without_a_word() -> None:
    assert read(b'page\ttext\n1\t"So it goes\n2\tb\n3\t"c"\n') == (['"So it goes', "b", '"c"'], {})
    assert read(b'page,text\n1,x\n2,"open\n3,y\n', quotes=True) == (["x"], {1: Reason.UNREADABLE})
    assert read(b'text,page\nx,1\n"open,2\ny,3\n', quotes=True) == (["x"], {1: Reason.RAGGED})


def test_a_wide_table_costs_what_its_text_does() -> None:
    names = [f"column {number}" for number in range(20_000)]
    assert read(written([[*names, "text"], [*names, "x"]])) == (["x"], {})


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv.zst"])
def test_a_packed_table_is_a_corpus(tmp_path: Path, ending: str) -> None:
    texts = ["The baker sold six loaves,\nand kept one.", "The sailors ate them on the harbour wall."]
    data = written([["text", "page"], *([text, str(page)] for page, text in enumerate(texts))])
    packed = {"csv": data, "csv.gz": gzip.compress(data), "tsv.zst": zstandard.compress(data)}[ending]
    (tmp_path / f"a.{ending}").write_bytes(packed)
    source = {"files": str(tmp_path / "a.*"), "format": "csv", "group_field": "page"}
    settings = CorpusSettings.model_validate({"sources": [source]})
    build_documents("web", settings.documents, tmp_path / "out", cache=tmp_path, executor=InProcess())
    rows = [row for batch in iter_parts(tmp_path / "out", ("group", "text")) for row in batch.to_pylist()]
    assert rows == [{"group": str(page), "text": text} for page, text in enumerate(texts)]


def test_settings_of_csv_leave_the_fingerprints_of_other_sources_as_they_are() -> None:
    before, after = Source(files=("a.txt",)), Source(files=("a.csv",), format="csv", delimiter=";")
    assert not {"delimiter", "column_names", "quotes"} & set(identity_of(before))
    assert identity_of(after)["delimiter"] == ";"
