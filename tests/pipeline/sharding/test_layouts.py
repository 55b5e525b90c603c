"""What shards can be besides globally shuffled windows: shuffled within, sorted by grade, packed, held out, planned."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import ShardError
from pipeline.base.executor import InProcess, Processes
from pipeline.sharding.epoch import build_epoch
from pipeline.sharding.output.packing import pack
from pipeline.sharding.schedule.amounts import Part
from pipeline.sharding.schedule.build import build_schedule
from pipeline.sharding.schedule.forecast import Holding, estimated_holdings, forecast, holdings_of
from pipeline.sharding.schedule.schedule import Schedule
from pipeline.sharding.settings import PackingSettings, ScheduleSettings, ShardSettings
from pipeline.sharding.validation import build_validation
from trainer.config import ValidationData
from trainer.data.reader import SequenceReader
from trainer.data.shards import read_manifest
from trainer.errors import DataError
from trainer.scoring.validation import read_heldout

SMALL = ShardSettings(tokens_per_shard=2000, tokens_per_batch=500, workers=1)
ALL = {"web": {"repeats": 1}, "kids": {"repeats": 2}, "world": {"repeats": 1}}


def schedule(tokens: dict[str, Path], out: Path, stages: Any, **more: Any) -> Schedule:
    out.mkdir(exist_ok=True)
    build_schedule(ScheduleSettings.model_validate({"epochs": 2, "stages": stages} | more), tokens, out)
    return Schedule.read(out)


def test_within_shard_keeps_membership_and_permutes_shards_and_documents(
    stores: dict[str, Path], tmp_path: Path, read_epoch: Any, corpora: Any
) -> None:
    plan = schedule(stores, tmp_path / "s", [{"name": "all", "mixture": ALL}])
    shards, orders = [], []
    for epoch in (1, 2):
        out = tmp_path / f"e{epoch}"
        build_epoch(plan.epoch(epoch), stores, SMALL.model_copy(update={"mode": "within_shard"}), out, InProcess())
        rows = [row[0] for row in read_epoch(out)[0]]
        sizes = [shard.documents for shard in read_manifest(out).stages[0].shards]
        cuts = np.cumsum([0, *sizes])
        shards.append([frozenset(rows[a:b]) for a, b in itertools.pairwise(cuts)])
        orders.append(rows)
    assert set(shards[0]) == set(shards[1])
    assert shards[0] != shards[1]
    assert (
        Counter(orders[0])
        == Counter(orders[1])
        == Counter([d[0] for n, ds in corpora.items() for d in ds for _ in range(1 + (n == "kids"))])
    )
    assert orders[0] != orders[1]
    assert SequenceReader([tmp_path / "e1", tmp_path / "e2"], 16, verify_hashes=True).sequences > 500


def test_within_shard_bytes_do_not_depend_on_workers(stores: dict[str, Path], tmp_path: Path, tree: Any) -> None:
    part = schedule(stores, tmp_path / "s", [{"name": "all", "mixture": ALL}]).epoch(1)
    within = SMALL.model_copy(update={"mode": "within_shard"})
    for workers in (1, 2):
        with Processes(workers) as executor:
            build_epoch(part, stores, within, tmp_path / f"w{workers}", executor)
    assert tree(tmp_path / "w1") == tree(tmp_path / "w2")


def test_simple_to_hard_rises_in_steps_and_spreads_what_has_no_grade(
    tmp_path: Path, make_documents: Any, make_store: Any, read_epoch: Any
) -> None:
    docs = make_documents("web", 800, mean=5)
    grades = {doc[0]: float(i % 200) / 10 if i % 4 else None for i, doc in enumerate(docs)}
    tokens = {"web": make_store(tmp_path / "web", "web", docs, grades=grades)}
    stage = {"name": "c", "order": "simple_to_hard", "grade_steps": 8, "mixture": {"web": {"repeats": 1}}}
    plan = schedule(tokens, tmp_path / "s", [stage])
    build_epoch(plan.epoch(1), tokens, SMALL, tmp_path / "e", InProcess())
    order = [grades[row[0]] for row in read_epoch(tmp_path / "e")[0]]
    graded = np.array([grade for grade in order if grade is not None], dtype=np.float32)
    steps = np.searchsorted(plan.epochs[0].stages[0].order.grade_edges, graded, side="right")
    assert (np.diff(steps) >= 0).all()
    assert np.bincount(steps, minlength=8).min() > 50  # 600 documents in 8 steps of about 75
    assert (np.diff(graded) < 0).any()  # shuffled inside a step
    without = np.flatnonzero([grade is None for grade in order])
    assert abs(without.mean() / 800 - 0.5) < 0.07


@pytest.mark.parametrize(
    ("order", "edges", "value"),
    [
        ("short_to_long", "length_edges", lambda tokens, size: np.log2(tokens)),
        ("common_to_rare", "rarity_edges", lambda tokens, size: (tokens - 1) / max(size, 1)),
    ],
)
def test_an_order_rises_in_steps_that_are_shuffled_inside(
    tmp_path: Path, make_documents: Any, make_store: Any, read_epoch: Any, order: str, edges: str, value: Any
) -> None:
    docs = make_documents("web", 800, mean=60)
    sizes = {doc[0]: len(doc[2]) * (2 + place % 97 // 20) for place, doc in enumerate(docs)}
    by_id = {doc[0]: value(len(doc[2]), sizes[doc[0]]) for doc in docs}
    tokens = {"web": make_store(tmp_path / "web", "web", docs, sizes=sizes)}
    stage = {"name": "c", "order": order, "grade_steps": 8, "mixture": {"web": {"repeats": 1}}}
    plan = schedule(tokens, tmp_path / "s", [stage])
    build_epoch(plan.epoch(1), tokens, SMALL, tmp_path / "e", InProcess())
    values = np.array([by_id[row[0]] for row in read_epoch(tmp_path / "e")[0]])
    steps = np.searchsorted(getattr(plan.epochs[0].stages[0].order, edges), values, side="right")
    assert (np.diff(steps) >= 0).all()
    assert np.bincount(steps, minlength=8).min() > 30, "800 documents in 8 steps"
    assert (np.diff(values) < 0).any()


def test_simple_to_hard_without_any_grade_is_refused(stores: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="stage 'c' goes from simple to hard, but none"):
        schedule(stores, tmp_path / "s", [{"name": "c", "order": "simple_to_hard", "mixture": {"web": 1}}])


@settings(max_examples=200)
@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 20))
def test_packed_rows_hold_every_token_once_within_capacity(lengths: list[int], capacity: int) -> None:
    rows = pack(lengths, capacity)
    assert all(sum(length for _, length in row) <= capacity for row in rows)
    covered = sorted(token for row in rows for start, length in row for token in range(start, start + length))
    assert covered == list(range(sum(lengths)))
    firsts = [row[0][0] for row in rows]
    assert firsts == sorted(firsts)
    whole = [length for length in lengths if length <= capacity]
    ends = np.cumsum(lengths)
    pieces = {piece for row in rows for piece in row}
    assert all((int(e) - n, n) in pieces for e, n in zip(ends, lengths, strict=True) if n <= capacity)
    # best fit never opens a row that an earlier one could have taken: two rows are never both half empty
    fills = [sum(length for _, length in row) for row in rows if len(whole)]
    assert sum(2 * fill <= capacity for fill in fills) <= 1


def test_a_packed_epoch_reads_back_as_whole_documents_and_padding(
    stores: dict[str, Path], tmp_path: Path, read_epoch: Any
) -> None:
    part = schedule(stores, tmp_path / "s", [{"name": "all", "mixture": ALL}]).epoch(1)
    packed = SMALL.model_copy(update={"packing": PackingSettings(context=47)})
    build_epoch(part, stores, packed, tmp_path / "e", InProcess())
    reader = SequenceReader([tmp_path / "e"], 47, packed=True, verify_hashes=True)
    windows = reader.read(np.arange(reader.sequences))
    wanted = sorted(tuple(row[3]) for row in read_epoch(tmp_path / "e")[0])
    found = []
    for window in windows:
        text = window[window != -100]
        assert text[-1] == 0 or len(text) == 48
        found += [(*piece, 0) for piece in " ".join(map(str, text)).split(" 0")]
    assert sum(len(row) for row in wanted) == (windows != -100).sum()
    entry = read_manifest(tmp_path / "e").stages[0].packing
    assert entry is not None
    assert entry.tokens_padded == (windows == -100).sum() < 0.1 * windows.size  # rows of 48 tokens, batches of 500
    assert entry.tokens_lost == 0
    x, y = reader.tensors([len(windows) - 1])
    assert (int(x.min()), int(y.min())) == (0, -100)  # padding reads as end of text, and is no target
    with pytest.raises(DataError, match="rows packed for context 47, the model's context is 32"):
        SequenceReader([tmp_path / "e"], 32, packed=True)


def test_a_validation_set_per_corpus_and_language_in_the_same_format(
    stores: dict[str, Path], corpora: Any, tmp_path: Path, read_epoch: Any
) -> None:
    for folder in stores.values():
        index = json.loads((folder / "tokens.json").read_text())
        index["heldout"], index["train"] = index["train"], index["heldout"]
        (folder / "tokens.json").write_text(json.dumps(index))
    summary = build_validation(stores, SMALL, tmp_path / "v", InProcess())
    manifest = read_manifest(tmp_path / "v")
    assert [stage.name for stage in manifest.stages] == ["kids/en", "web/en", "world/fr", "world/hi", "world/sw"]
    assert (manifest.epoch, manifest.mode, summary.documents) == (0, "none", 460)
    by_lang = Counter((name, doc[1]) for name, docs in corpora.items() for doc in docs)
    for stage, rows in zip(manifest.stages, read_epoch(tmp_path / "v"), strict=True):
        corpus, lang = stage.name.split("/")
        assert len(rows) == by_lang[corpus, lang]
    assert SequenceReader([tmp_path / "v"], 16, verify_hashes=True).sequences > 400
    data = [ValidationData(name, str(tmp_path / "v" / "shards.json")) for name in ("web", "world")]
    web, world = read_heldout(data, manifest.tokenizer)
    assert (web.name, len(web.documents)) == ("web", 300)
    assert world.documents == [doc[2][:-1] for doc in sorted(corpora["world"])]  # all languages, by id
    with pytest.raises(DataError, match="holds no documents of 'moon'"):
        read_heldout([ValidationData("moon", data[0].path)], manifest.tokenizer)
    with pytest.raises(ShardError, match="holds documents out"):
        build_validation({"none": _empty(tmp_path, stores["web"])}, SMALL, tmp_path / "w", InProcess())


@pytest.mark.parametrize("mode", ["global", "within_shard"])
def test_a_vocabulary_beyond_uint16_is_shuffled_as_uint32(
    tmp_path: Path, make_documents: Any, make_store: Any, read_epoch: Any, mode: str
) -> None:
    docs = [(i, lang, [*(3 * token for token in tokens[:-1]), 0]) for i, lang, tokens in make_documents("web", 150)]
    tokens = {"web": make_store(tmp_path / "web", "web", docs, dtype="uint32", batch=20)}
    part = schedule(tokens, tmp_path / "s", [{"name": "all", "mixture": {"web": {"repeats": 1}}}]).epoch(1)
    settings = SMALL.model_copy(update={"mode": mode, "packing": PackingSettings(context=15)})
    build_epoch(part, tokens, settings, tmp_path / "e", InProcess())
    manifest = read_manifest(tmp_path / "e")
    assert (manifest.tokenizer.dtype, manifest.tokenizer.vocab_size) == ("uint32", 200_000)
    (rows,) = read_epoch(tmp_path / "e")
    assert sorted(tuple(row[3]) for row in rows) == sorted(tuple(doc[2]) for doc in docs)
    assert max(max(row[3]) for row in rows) > 65_535
    flat = [token for row in rows for token in row[3]]
    reader = SequenceReader([tmp_path / "e"], 15, verify_hashes=True)
    windows = reader.read(np.arange(reader.sequences))
    np.testing.assert_array_equal(windows[:, :-1].ravel(), flat[: 15 * reader.sequences])
    packed = SequenceReader([tmp_path / "e"], 15, packed=True, verify_hashes=True)
    assert (packed.read(np.arange(packed.sequences)) >= 0).sum() == len(flat)


def _empty(tmp_path: Path, store: Path) -> Path:
    index = json.loads((store / "tokens.json").read_text())
    index["heldout"] = {"documents": 0, "tokens": 0, "bytes": 0, "files": []}
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "tokens.json").write_text(json.dumps(index))
    return tmp_path / "none"


def test_the_plan_agrees_with_the_schedule_it_announces(stores: dict[str, Path], tmp_path: Path) -> None:
    stages = [
        {"name": "first", "share": 0.1, "epochs": [1], "mixture": {"kids": 1}},
        {"name": "rest", "mixture": {"web": 1, "world": 1}},
    ]
    described = ScheduleSettings.model_validate(
        {"epochs": 2, "stages": stages, "tokens_per_epoch": 4000, "language_temperature": {"world": 2}}
    )
    rows = forecast(described, SMALL, holdings_of(described, stores))
    plan = schedule(stores, tmp_path / "s", stages, tokens_per_epoch=4000, language_temperature={"world": 2})
    asked = [part.asked for epoch in plan.epochs for stage in epoch.stages for part in stage.parts]
    assert [row.tokens for row in rows if not row.is_total] == asked
    totals = [row for row in rows if row.is_total]
    assert [total.tokens for total in totals] == [4000, 4000]
    assert [total.shards for total in totals] == [3, 2]
    assert totals[0].disk_bytes == 2 * 4000 + 26 * totals[0].documents
    web = [row for row in rows if row.source == "web"]
    assert web[1].repeats_so_far == pytest.approx(web[0].repeats + web[1].repeats)


def test_a_plan_can_be_made_from_sizes_of_text_alone() -> None:
    described = ScheduleSettings.model_validate({"stages": [{"name": "a", "mixture": {"web": {"repeats": 2}}}]})
    holdings = estimated_holdings({"web": 40_000_000})
    assert holdings == {Part("web", None): Holding(10_000, 10_000_000)}
    assert forecast(described, ShardSettings(), holdings)[0].tokens == 20_000_000
