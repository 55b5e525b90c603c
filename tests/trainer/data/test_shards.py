"""The manifest: written and read back, and refused when it was damaged, edited, or is of another version."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from trainer.data.shards import (
    Counts,
    Packing,
    ShardEntry,
    ShardsManifest,
    StageEntry,
    TokenizerRef,
    content_hash,
    read_manifest,
    shard_schema,
)
from trainer.errors import DataError


def manifest(**changes: Any) -> ShardsManifest:
    shards = (
        ShardEntry("stage_0/shard_00000.arrow", 3, 30, 0, "1" * 64, "2" * 64),
        ShardEntry("stage_0/shard_00001.arrow", 2, 12, 30, "3" * 64, "4" * 64),
    )
    counts = {"kids": Counts(1, 10, 30), "web": Counts(4, 32, 90)}
    stage = StageEntry(0, "mixture", {"kids": 0.25, "web": 0.75}, 5, 42, counts, shards)
    tokenizer = TokenizerRef("a" * 64, 2048, 0, "uint16")
    made = ShardsManifest(1, 7, "global", tokenizer, ("kids", "web"), (stage,), 5, 42, "", {"tokens/web": "b" * 64})
    made = dataclasses.replace(made, **changes)
    return dataclasses.replace(made, content_hash=content_hash(made))


def write(folder: Path, data: dict[str, Any]) -> Path:
    (folder / "shards.json").write_text(json.dumps(data))
    return folder


def test_a_manifest_reads_back_as_it_was_written(tmp_path: Path) -> None:
    made = manifest()
    assert read_manifest(write(tmp_path, made.to_json())) == made
    packed = Packing("stage_0/rows.arrow", 16, 3, 2, "5" * 64)
    stage = dataclasses.replace(made.stages[0], packing=packed)
    with_rows = manifest(stages=(stage,))
    assert read_manifest(write(tmp_path, with_rows.to_json())) == with_rows
    assert made.bytes == 120


def test_the_content_hash_is_over_content_not_over_files_or_parents() -> None:
    made = manifest()
    other_file = dataclasses.replace(made.stages[0].shards[0], sha256="9" * 64)
    stage = dataclasses.replace(made.stages[0], shards=(other_file, made.stages[0].shards[1]))
    assert manifest(stages=(stage,), parents={}).content_hash == made.content_hash
    assert manifest(seed=8).content_hash != made.content_hash


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("seed",), 8, "edited or damaged"),
        (("stages", 0, "shards", 0, "tokens"), 31, "edited or damaged"),
        (("stages", 0, "shards", 1, "path"), "stage_0/shard_00000.arrow", "edited or damaged"),
        (("tokenizer", "content_hash"), "c" * 64, "edited or damaged"),
        (("version",), 2, "version 2 of the shard format"),
        (("format",), "parquet", "not a manifest of shards"),
        (("mode",), "random", "unknown permutation"),
        (("tokenizer", "dtype"), "int8", "tokens of type 'int8'"),
        (("stages",), None, "stages: expected a list, found None"),
        (("surprise",), 1, "surprise: unknown key"),
    ],
)
def test_a_manifest_edited_by_hand_is_refused(
    tmp_path: Path, path: tuple[str | int, ...], value: Any, message: str
) -> None:
    data: Any = manifest().to_json()
    place = json.loads(json.dumps(data))
    edited = place
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(DataError, match=message):
        read_manifest(write(tmp_path, edited))


def test_counts_that_do_not_add_up_are_refused_even_with_a_matching_hash(tmp_path: Path) -> None:
    made = manifest()
    gap = dataclasses.replace(made.stages[0].shards[1], first_token=31)
    stage = dataclasses.replace(made.stages[0], shards=(made.stages[0].shards[0], gap))
    with pytest.raises(DataError, match="begins at token 31, expected 30"):
        read_manifest(write(tmp_path, manifest(stages=(stage,)).to_json()))
    with pytest.raises(DataError, match="do not match"):
        read_manifest(write(tmp_path, manifest(tokens=43).to_json()))


def test_a_missing_or_unreadable_manifest_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="materialize the epoch's shards first"):
        read_manifest(tmp_path / "shards.json")
    (tmp_path / "shards.json").write_text('{"format": ')
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read_manifest(tmp_path)


def test_the_schema_follows_the_token_type() -> None:
    assert str(shard_schema("uint32").field("tokens").type.value_type) == "uint32"
    assert shard_schema("uint16").names == ["doc_id", "source_id", "bytes", "tokens"]
