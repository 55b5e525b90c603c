"""The project's own JSON files are read strictly, and an error names the file, what is wrong in it and the cure."""

import json
from dataclasses import dataclass, field

import pytest

from trainer.errors import DataError
from trainer.records import MOST_DEEP, parse_json, read_record


@dataclass(frozen=True)
class Inner:
    count: int


@dataclass(frozen=True)
class Record:
    name: str
    inner: tuple[Inner, ...]
    more: dict[str, float] = field(default_factory=dict)


def read(path):
    return read_record(path, Record, DataError, what="a record", cure="write it again")


def test_a_file_becomes_its_class_with_all_that_is_in_it(tmp_path):
    path = tmp_path / "record.json"
    path.write_text('{"name": "é", "inner": [{"count": 3}], "more": {"a": 1}}')
    assert read(path) == Record("é", (Inner(3),), {"a": 1.0})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "Expecting value"),
        (b'{"name": "x"', "Expecting"),
        (b'{"name": "\xff"}', "utf-8"),
        (b'{"name": "x", "name": "y"}', "the key 'name' is there twice"),
        (b'{"name": "x", "inner": [], "more": {"a": NaN}}', "NaN is no finite number"),
        (b'{"name": "x", "inner": [], "more": {"a": 1e999}}', "1e999 is no finite number"),
        (b'{"name": "x", "inner": [{"count": 9223372036854775808}]}', "beyond 64 bits"),
        (b'{"name": "x", "inner": [{"count": ' + b"9" * 5000 + b"}]}", "integer"),
        (b'{"name": "\\ud800", "inner": []}', "surrogates not allowed"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * (MOST_DEEP + 1) + b"]" * (MOST_DEEP + 1), "nested more than 100 levels deep"),
        (b"[]", "all of it: "),
        (b'{"name": 3, "inner": []}', "name: Input should be a valid string, found 3"),
        (b'{"name": "x", "inner": [{"count": "many"}]}', "inner.0.count: "),
        (b'{"inner": 1}', "; and 1 more"),
    ],
)
def test_anything_else_is_one_sentence(tmp_path, data, says):
    path = tmp_path / "record.json"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        read(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: not a record (")
    assert said.endswith("; write it again")
    assert says in said
    assert "\n" not in said


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"record\.json: cannot be read \(No such file or directory\); write it again"):
        read(tmp_path / "record.json")


def test_scores_of_a_run_gone_wrong_may_be_no_numbers():
    text = '{"loss": NaN, "best": -Infinity}'
    assert json.dumps(parse_json(text, finite=False)) == text
