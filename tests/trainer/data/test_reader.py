"""The reader's laws. The tokens of a run are consecutive integers, so a batch can be checked by eye and by equality."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.reader import SequenceReader
from trainer.data.shards import (
    MANIFEST_NAME,
    Counts,
    ShardEntry,
    ShardsManifest,
    StageEntry,
    TokenizerRef,
    content_hash,
    read_manifest,
    shard_schema,
)
from trainer.data.streams import stage_documents
from trainer.errors import DataError
from trainer.files import sha256_of

TOKENIZER = TokenizerRef("a" * 64, 65_000, 0, "uint16")


def write_epoch(folder: Path, stages: list[list[list[int]]], *, epoch: int = 1, first: int = 0) -> Path:
    """Tokens that count up; `stages[s][shard]` lists record batches by token count, documents of 5 tokens."""
    entries = []
    token = first
    for index, shards in enumerate(stages):
        listed, offset = [], 0
        for number, batches in enumerate(shards):
            path = folder / f"stage_{index}" / f"shard_{number:05d}.arrow"
            path.parent.mkdir(parents=True, exist_ok=True)
            documents = 0
            schema = shard_schema("uint16")
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
                for size in batches:
                    values = np.arange(token, token + size, dtype=np.uint16)
                    rows = [values[i : i + 5] for i in range(0, size, 5)]
                    columns = [[bytes(16)] * len(rows), [0] * len(rows), [4] * len(rows), rows]
                    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
                    writer.write(pa.record_batch(arrays, schema=schema))
                    token, documents = token + size, documents + len(rows)
            tokens = sum(batches)
            name = str(path.relative_to(folder))
            listed.append(ShardEntry(name, documents, tokens, offset, sha256_of(path), "c" * 64))
            offset += tokens
        documents = sum(shard.documents for shard in listed)
        counts = {"web": Counts(documents, offset, 4 * documents)}
        entries.append(StageEntry(index, f"stage{index}", {"web": 1.0}, documents, offset, counts, tuple(listed)))
    manifest = ShardsManifest(
        epoch=epoch,
        seed=1,
        mode="global",
        tokenizer=TOKENIZER,
        sources=("web",),
        stages=tuple(entries),
        documents=sum(stage.documents for stage in entries),
        tokens=sum(stage.tokens for stage in entries),
        content_hash="",
    )
    manifest = dataclasses.replace(manifest, content_hash=content_hash(manifest))
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest.to_json()))
    return folder / MANIFEST_NAME


@pytest.fixture
def run(tmp_path: Path) -> list[Path]:
    """Two epochs: 101 + 57 tokens in two stages, then 83 tokens; shard and batch borders fall inside sequences."""
    first = write_epoch(tmp_path / "one", [[[30, 21], [50]], [[7, 50]]])
    second = write_epoch(tmp_path / "two", [[[40], [43]]], epoch=2, first=1000)
    return [first, second]


def test_a_sequence_is_t_tokens_and_the_next_one_within_its_stage(run: list[Path]) -> None:
    reader = SequenceReader(run, 10)
    windows = reader.read(np.arange(reader.sequences))
    starts = [10 * i for i in range(10)] + [101 + 10 * i for i in range(5)] + [1000 + 10 * i for i in range(8)]
    assert reader.sequences == 10 + 5 + 8
    assert windows.dtype == np.int64
    np.testing.assert_array_equal(windows, np.array(starts)[:, None] + np.arange(11))


def test_a_stage_of_less_than_a_sequence_is_named(run: list[Path]) -> None:
    assert SequenceReader(run, 56).empty_stages == []
    (sentence,) = SequenceReader(run, 57).empty_stages
    assert sentence.startswith("epoch 1, stage 'stage1': 57 tokens hold no sequence of context 57, so none")


def test_targets_are_inputs_moved_by_one(run: list[Path]) -> None:
    reader = SequenceReader(run, 10)
    windows = reader.read(reader.batch_ids(4))
    x, y = reader.tensors(reader.batch_ids(4))
    np.testing.assert_array_equal(x.numpy(), windows[:, :-1])
    np.testing.assert_array_equal(y.numpy(), windows[:, 1:])
    np.testing.assert_array_equal(y.numpy(), x.numpy() + 1)
    assert str(x.dtype) == "torch.int64"


def test_the_ranks_shares_interleave_to_the_global_batch_even_when_unequal(run: list[Path]) -> None:
    reader = SequenceReader(run, 10)
    shares = [reader.batch_ids(7, rank, 3).tolist() for rank in range(3)]
    assert shares == [[0, 3, 6], [1, 4], [2, 5]]


def all_batches(reader: SequenceReader, size: int) -> list[np.ndarray]:
    """Every batch's windows, as one rank reads them."""
    batches = []
    for _ in range(reader.steps(size)):
        batches.append(reader.read(reader.batch_ids(size)))
        reader.advance(size)
    return batches


@settings(max_examples=60, deadline=None)
@given(
    worlds=st.lists(st.sampled_from([1, 2, 3, 4, 7]), min_size=1, max_size=6),
    stops=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    context=st.integers(1, 12),
)
def test_stopped_and_resumed_on_other_ranks_the_batches_are_those_of_a_run_that_never_stopped(
    tmp_path_factory: pytest.TempPathFactory, worlds: list[int], stops: list[int], context: int
) -> None:
    folder = tmp_path_factory.mktemp("epochs")
    paths = [
        write_epoch(folder / "one", [[[30, 21], [50]], [[7, 50]]]),
        write_epoch(folder / "two", [[[40], [43]]], epoch=2, first=1000),
    ]
    expected = all_batches(SequenceReader(paths, context), 7)
    found = []
    state = None
    for world, steps in zip([*worlds, 1], [*stops[: len(worlds)], 10_000], strict=True):
        ranks = [SequenceReader(paths, context) for _ in range(world)]
        for reader in ranks:
            if state:
                reader.load_state_dict(json.loads(json.dumps(state)))
        for _ in range(steps):
            if ranks[0].next_sequence + 7 > ranks[0].sequences:
                break
            batch = np.empty((7, context + 1), dtype=np.int64)
            for rank, reader in enumerate(ranks):
                batch[rank::world] = reader.read(reader.batch_ids(7, rank, world))
                reader.advance(7)
            found.append(batch)
        state = ranks[0].state_dict()
        assert all(reader.state_dict() == state for reader in ranks)
    np.testing.assert_array_equal(np.array(found), np.array(expected))


def test_reading_ahead_does_not_move_the_state(run: list[Path]) -> None:
    reader = SequenceReader(run, 10)
    before = reader.state_dict()
    reader.read(np.arange(20))
    reader.batch_ids(8)
    assert reader.state_dict() == before
    assert set(before) == {"manifest_hash", "epoch", "next_sequence"}


def test_the_state_counts_within_the_epoch_and_batches_may_span_epochs(run: list[Path]) -> None:
    reader = SequenceReader(run, 10)
    reader.advance(14)
    assert reader.state_dict()["epoch"] == 1
    np.testing.assert_array_equal(reader.read(reader.batch_ids(3))[:, 0], [141, 1000, 1010])
    reader.advance(3)
    assert (reader.state_dict()["epoch"], reader.state_dict()["next_sequence"]) == (2, 2)
    assert reader.locate(16) == (2, 0, "stage0", 1)


def test_the_end_of_the_run_is_a_state_like_any_other(run: list[Path]) -> None:
    reader = SequenceReader(run, 10)
    reader.advance(reader.sequences)
    again = SequenceReader(run, 10)
    again.load_state_dict(reader.state_dict())
    assert again.next_sequence == reader.sequences
    with pytest.raises(DataError, match="the run is over"):
        again.batch_ids(1)


def test_the_last_incomplete_batch_is_dropped(run: list[Path]) -> None:
    reader = SequenceReader(run, 10)
    assert (reader.steps(7), reader.sequences % 7) == (3, 2)
    assert len(all_batches(reader, 7)) == 3


def test_another_manifest_another_order_or_another_context_refuses_the_state(run: list[Path], tmp_path: Path) -> None:
    state = SequenceReader(run, 10).state_dict()
    other = write_epoch(tmp_path / "other", [[[40], [44]]], epoch=2, first=1000)
    for reader in (SequenceReader([run[0], other], 10), SequenceReader(run[::-1], 10), SequenceReader(run, 9)):
        with pytest.raises(DataError, match="resume with the shards"):
            reader.load_state_dict(state)


def test_more_ranks_than_sequences_and_an_epoch_shorter_than_a_batch_are_refused(run: list[Path]) -> None:
    reader = SequenceReader(run, 10)
    with pytest.raises(DataError, match="use fewer ranks"):
        reader.batch_ids(4, 0, 5)
    with pytest.raises(DataError, match="use a smaller batch"):
        reader.steps(24)
    with pytest.raises(DataError, match="shorter context"):
        SequenceReader(run, 500)


def test_shards_of_another_tokenizer_are_refused(run: list[Path]) -> None:
    with pytest.raises(DataError, match="materialize the shards again with this run's tokenizer"):
        SequenceReader(run, 10, tokenizer_hash="b" * 64)
    assert SequenceReader(run, 10, tokenizer_hash="a" * 64).tokenizer.vocab_size == 65_000


def test_a_missing_or_truncated_shard_is_named(run: list[Path]) -> None:
    shard = run[0].parent / "stage_0" / "shard_00001.arrow"
    data = shard.read_bytes()
    for length in (len(data) - 1, len(data) // 2, 10, 0):
        shard.write_bytes(data[:length])
        with pytest.raises(DataError, match=r"shard_00001.arrow.*squeeze verify"):
            SequenceReader(run, 10)
    shard.unlink()
    with pytest.raises(DataError, match=r"shard_00001.arrow.*missing"):
        SequenceReader(run, 10)


def test_a_flipped_byte_is_found_by_the_file_hash(run: list[Path]) -> None:
    shard = run[0].parent / "stage_1" / "shard_00000.arrow"
    data = bytearray(shard.read_bytes())
    place = data.find(np.arange(110, 120, dtype=np.uint16).tobytes())
    data[place] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DataError, match=r"shard_00000.arrow: SHA-256"):
        SequenceReader(run, 10, verify_hashes=True)


def test_shards_swapped_for_those_of_another_epoch_are_refused(run: list[Path]) -> None:
    (run[0].parent / "stage_0" / "shard_00001.arrow").write_bytes(
        (run[1].parent / "stage_0" / "shard_00000.arrow").read_bytes()
    )
    with pytest.raises(DataError, match="the manifest says"):
        SequenceReader(run, 10)


def test_the_documents_of_a_stage_come_one_by_one(run: list[Path]) -> None:
    manifest = read_manifest(run[0])
    found = [(d.bytes, d.tokens.tolist()) for d in stage_documents(run[0].parent, manifest.stages[1], TOKENIZER)]
    assert found[:3] == [(4, [*range(101, 106)]), (4, [106, 107]), (4, [*range(108, 113)])]
    assert sum(len(tokens) for _, tokens in found) == manifest.stages[1].tokens
    (run[0].parent / "stage_1" / "shard_00000.arrow").unlink()
    with pytest.raises(DataError, match=r"stage_1/shard_00000\.arrow: the shard is missing"):
        list(stage_documents(run[0].parent, manifest.stages[1], TOKENIZER))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 22), max_size=12))
def test_any_sequences_in_any_order_are_read_as_asked(tmp_path_factory: pytest.TempPathFactory, ids: list[int]) -> None:
    folder = tmp_path_factory.mktemp("epochs")
    first = write_epoch(folder / "one", [[[30, 21], [50]], [[7, 50]]])
    reader = SequenceReader([first, write_epoch(folder / "two", [[[40], [43]]], epoch=2, first=1000)], 10)
    starts = [10 * i for i in range(10)] + [101 + 10 * i for i in range(5)] + [1000 + 10 * i for i in range(8)]
    expected = np.array([starts[i] for i in ids], dtype=np.int64)[:, None] + np.arange(11)
    np.testing.assert_array_equal(reader.read(ids), expected)
