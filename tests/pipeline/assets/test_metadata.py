"""What an asset's page shows without a click."""

import json

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.assets.live import last_values, live_metadata
from pipeline.assets.metadata import chart, table
from pipeline.assets.stored_rows import documents_preview, rows_metadata

INLINE = 1000  # characters of markdown that the UI renders without a click


def test_a_chart_has_a_bar_for_each_amount_and_is_shown_inline():
    text = chart({"documents": 251, "held out": 235, "near duplicate": 0}, "documents").value
    assert "251" in text
    assert text.count("█") > 16
    assert len(text) < INLINE


def test_a_table_has_a_column_for_every_key_of_any_row_and_an_empty_cell_where_a_row_lacks_it():
    shown = table([{"text": "books", "gzip": "3.1"}, {"text": "tales", "primed": "2.2", "gzip": None}])
    assert [column.name for column in shown.schema.columns] == ["text", "gzip", "primed"]
    assert [record.data for record in shown.records] == [
        {"text": "books", "gzip": "3.1", "primed": ""},
        {"text": "tales", "gzip": "", "primed": "2.2"},
    ]
    assert table([]).value == "none"


def test_a_table_shows_the_numbers_of_a_run_that_diverged_as_words():
    (record,) = table([{"loss": float("nan"), "most": float("inf"), "tokens": 12345.6}]).records
    assert record.data == {"loss": "nan", "most": "inf", "tokens": 12346}


def test_a_table_too_wide_for_a_page_stands_with_its_rows_beside_each_other():
    names = [f"a heading of some length {number}" for number in range(6)]
    rows = [{"tokenizer": name} | dict.fromkeys(names, 1) for name in ("bpe", "unigram")]
    shown = table(rows)
    assert [column.name for column in shown.schema.columns] == ["tokenizer", "bpe", "unigram"]
    assert [record.data["tokenizer"] for record in shown.records] == names
    same = table([row | {"tokenizer": "bpe"} for row in rows])  # what does not tell them apart cannot be a heading
    assert [column.name for column in same.schema.columns] == ["tokenizer", *names]


def test_what_a_chart_measures_pushes_its_bars_off_no_page():
    text = chart({"this model": 1.2}, "bits per byte of all English held-out documents").value
    assert text.startswith("bits per byte of all English held-out documents\n\n|")


def test_rows_show_their_number_their_columns_and_how_documents_begin(tmp_path):
    columns = {"text": ["a\n" * 500, "![x](http://127.0.0.1:9/x.png)"], "lang": ["en", "fr"], "bytes": [1000, 30]}
    pq.write_table(pa.table(columns), tmp_path / "part-00000.parquet")
    shown = rows_metadata(2, tmp_path)
    assert shown["dagster/row_count"] == 2
    schema = shown["dagster/column_schema"].value
    assert [(column.name, column.type) for column in schema.columns][:2] == [("text", "string"), ("lang", "string")]
    long, hostile = (record.data for record in documents_preview(tmp_path)["preview"].records)
    assert len(long["begins with"]) <= 101
    assert hostile["begins with"] == columns["text"][1]  # a cell of a table is no markdown: tests/browser looks
    assert documents_preview(tmp_path / "none") == {}


def test_live_values_are_numbers_to_plot_a_line_and_the_time_left(tmp_path):
    file = tmp_path / "metrics.jsonl"
    rows = [
        {"step": n, "loss": 7.0 - n / 100, "tokens_per_second": 9727.123456, "eta_seconds": 371.4} for n in range(300)
    ]
    file.write_text("\n".join(map(json.dumps, rows)) + '\n{"step": 300, "lo')
    values = last_values(file)
    assert values["step"] == 299
    shown = live_metadata(file, values)
    assert shown["time_left"] == "6:11"
    assert (shown["step"], shown["loss"], shown["tokens_per_second"]) == (299, 4.01, 9727.1)
    assert shown["loss_so_far"].value.startswith("![training loss](data:image/svg+xml")
    assert len(shown["loss_so_far"].value) < INLINE


def test_there_are_no_values_before_the_first_line(tmp_path):
    assert last_values(tmp_path / "metrics.jsonl") is None
