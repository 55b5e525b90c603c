"""The shuffle's laws: what an epoch holds, in what order, and what its bytes do not depend on."""

from __future__ import annotations

import itertools
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import ShardError
from pipeline.base.executor import InProcess, Processes
from pipeline.base.memory import available_memory
from pipeline.sharding.epoch import SHARDS_VERSION, build_epoch
from pipeline.sharding.schedule.build import SCHEDULE_VERSION, build_schedule
from pipeline.sharding.schedule.schedule import Schedule
from pipeline.sharding.settings import ScheduleSettings, ShardSettings
from pipeline.sharding.shuffle import maps, two_passes
from tests.pipeline.base.twice import Twice
from trainer.data.reader import SequenceReader

SMALL = ShardSettings(tokens_per_shard=2000, tokens_per_batch=500, workers=1)
SCHEDULE: dict[str, Any] = {
    "epochs": 3,
    "tokens_per_epoch": 6000,
    "stages": [
        {"name": "kids_first", "share": 0.05, "epochs": [1], "mixture": {"kids": 1}},
        {"name": "mixture", "mixture": {"web": 1, "kids": {"repeats": 1.5}, "world": 2}},
    ],
    "language_temperature": {"world": 3},
}


def schedule(tokens: dict[str, Path], out: Path, **changes: Any) -> Schedule:
    out.mkdir(exist_ok=True)
    build_schedule(ScheduleSettings.model_validate(SCHEDULE | changes), tokens, out)
    return Schedule.read(out)


def test_each_epoch_holds_the_documents_tokens_and_copies_the_schedule_says(
    stores: dict[str, Path], corpora: Any, tmp_path: Path, read_epoch: Callable[..., Any]
) -> None:
    plan = schedule(stores, tmp_path / "schedule")
    by_id = {doc[0]: (name, doc) for name, docs in corpora.items() for doc in docs}
    for epoch in (1, 2, 3):
        wanted = plan.epoch(epoch)
        summary = build_epoch(wanted, stores, SMALL, tmp_path / f"epoch{epoch}", InProcess())
        stages = read_epoch(tmp_path / f"epoch{epoch}")
        assert [len(rows) for rows in stages] == [stage.documents for stage in wanted.stages]
        assert summary.tokens == wanted.tokens == sum(stage.tokens for stage in wanted.stages)
        for rows, stage in zip(stages, wanted.stages, strict=True):
            found = Counter((by_id[row[0]][0], by_id[row[0]][1][1]) for row in rows)
            for plan_of_part in stage.parts:
                corpus, only = plan_of_part.part
                langs = [only] if only else {lang for _, lang in found}
                assert sum(found[corpus, lang] for lang in langs) == plan_of_part.documents
            for doc_id, source, size, tokens in rows:
                name, doc = by_id[doc_id]
                assert (tokens, size, list(wanted.corpora)[source]) == (doc[2], 3 * len(doc[2]) - 3, name)


def test_stages_never_mix(stores: dict[str, Path], corpora: Any, tmp_path: Path, read_epoch: Any) -> None:
    build_epoch(schedule(stores, tmp_path / "s").epoch(1), stores, SMALL, tmp_path / "e", InProcess())
    kids = {doc[0] for doc in corpora["kids"]}
    first, second = read_epoch(tmp_path / "e")
    assert {row[0] for row in first} <= kids
    assert {row[1] for row in second} == {0, 1, 2}


def test_epochs_of_the_same_documents_differ_in_order_throughout(
    stores: dict[str, Path], tmp_path: Path, read_epoch: Any
) -> None:
    stages = [{"name": "all", "mixture": {name: {"repeats": 1} for name in stores}}]
    plan = schedule(stores, tmp_path / "s", epochs=2, tokens_per_epoch=None, stages=stages, language_temperature={})
    orders = []
    for epoch in (1, 2):
        build_epoch(plan.epoch(epoch), stores, SMALL, tmp_path / f"e{epoch}", InProcess())
        orders.append([row[0] for row in read_epoch(tmp_path / f"e{epoch}")[0]])
    assert sorted(orders[0]) == sorted(orders[1])
    places = {doc_id: place for place, doc_id in enumerate(orders[1])}
    moved = np.corrcoef(np.arange(len(orders[0])), [places[doc_id] for doc_id in orders[0]])[0, 1]
    assert abs(moved) < 0.15  # 460 documents: standard error 0.047


def test_at_a_quarter_an_epoch_four_epochs_show_every_document_once(
    stores: dict[str, Path], tmp_path: Path, read_epoch: Any
) -> None:
    plan = schedule(stores, tmp_path / "s", epochs=4, stages=[{"name": "q", "mixture": {"web": {"repeats": 0.25}}}])
    seen: list[bytes] = []
    for epoch in (1, 2, 3, 4):
        build_epoch(plan.epoch(epoch), stores, SMALL, tmp_path / f"e{epoch}", InProcess())
        seen += [row[0] for row in read_epoch(tmp_path / f"e{epoch}")[0]]
    assert len(seen) == len(set(seen)) == 300


def test_copies_of_a_document_are_spread_by_keys_of_their_own(
    stores: dict[str, Path], tmp_path: Path, read_epoch: Any
) -> None:
    plan = schedule(stores, tmp_path / "s", epochs=1, stages=[{"name": "k", "mixture": {"kids": {"repeats": 7}}}])
    build_epoch(plan.epoch(1), stores, SMALL, tmp_path / "e", InProcess())
    order = [row[0] for row in read_epoch(tmp_path / "e")[0]]
    assert set(Counter(order).values()) == {7}
    assert sum(a == b for a, b in itertools.pairwise(order)) < 20  # 280 documents, 6.02 expected


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_the_bytes_do_not_depend_on_workers_memory_pieces_or_the_order_of_input(
    tmp_path_factory: pytest.TempPathFactory, make_documents: Any, make_store: Any, tree: Any, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("laws")
    corpora = {"web": make_documents("web", 80), "kids": make_documents("kids", 15, mean=5)}
    stages = [
        {"name": "first", "share": 0.1, "mixture": {"kids": 1}},
        {"name": "then", "mixture": {"web": 1, "kids": {"repeats": 2.5}}},
    ]
    trees = []
    for attempt in ("one", "two"):
        for docs in corpora.values():
            random.Random(data.draw(st.integers(0, 99))).shuffle(docs)
        layout = {
            "files": data.draw(st.integers(1, 4)),
            "batch": data.draw(st.integers(1, 40)),
            "large": data.draw(st.booleans()),
        }
        tokens = {n: make_store(folder / attempt / n, n, docs, **layout) for n, docs in corpora.items()}
        plan = schedule(
            tokens, folder / attempt / "s", epochs=1, tokens_per_epoch=3000, stages=stages, language_temperature={}
        )
        pieces, copying = data.draw(st.integers(1, 4000)), data.draw(st.booleans())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(two_passes, "_chunk_bytes", lambda *_, pieces=pieces: pieces)
            patch.setattr(two_passes, "_stay_in_page_cache", lambda *_, copying=copying: not copying)
            build_epoch(plan.epoch(1), tokens, SMALL, folder / attempt / "e", InProcess())
        trees.append(tree(folder / attempt / "e"))
    assert trees[0] == trees[1]


def test_two_workers_write_the_bytes_of_one(stores: dict[str, Path], tmp_path: Path, tree: Any) -> None:
    part = schedule(stores, tmp_path / "s").epoch(1)
    build_epoch(part, stores, SMALL, tmp_path / "one", InProcess())
    with Processes(2) as executor:
        build_epoch(part, stores, SMALL.model_copy(update={"memory_mb": 300}), tmp_path / "two", executor)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


@pytest.mark.parametrize(("mode", "parts"), [("global", {"scatter", "gather"}), ("within_shard", {"write_within"})])
def test_a_part_may_run_twice_even_at_once_and_changes_no_argument(
    stores: dict[str, Path], tmp_path: Path, tree: Any, monkeypatch: pytest.MonkeyPatch, mode: str, parts: set[str]
) -> None:
    monkeypatch.setattr(two_passes, "_stay_in_page_cache", lambda *_: False)  # so that the first pass copies tokens
    part, small = schedule(stores, tmp_path / "s").epoch(1), SMALL.model_copy(update={"mode": mode})
    build_epoch(part, stores, small, tmp_path / "once", InProcess())
    with Twice() as executor:
        build_epoch(part, stores, small, tmp_path / "twice", executor)
    assert set(executor.tasks) == parts
    assert tree(tmp_path / "twice") == tree(tmp_path / "once")


@pytest.mark.parametrize("mode", ["global", "within_shard"])
def test_a_shard_in_which_no_document_begins_is_no_file_however_often_it_is_tried(
    tmp_path: Path, make_documents: Callable[..., Any], make_store: Callable[..., Path], mode: str
) -> None:
    web = make_documents("web", 30)
    web[3] = (web[3][0], "en", [*range(1, 9000), 0])  # longer than several shards
    tokens = {"web": make_store(tmp_path / "web", "web", web)}
    stages = [{"name": "all", "mixture": {"web": {"repeats": 1}}}]
    plan = schedule(tokens, tmp_path / "s", epochs=1, tokens_per_epoch=None, stages=stages, language_temperature={})
    with Twice() as executor:
        summary = build_epoch(
            plan.epoch(1), tokens, SMALL.model_copy(update={"mode": mode}), tmp_path / "epoch", executor
        )
    assert summary.documents == 30
    assert len(list((tmp_path / "epoch").glob("stage_*/*.arrow"))) == summary.shards < -(-summary.tokens // 2000)


def test_tokens_are_copied_by_the_first_pass_only_where_memory_cannot_hold_the_stores(
    stores: dict[str, Path], tmp_path: Path, tree: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = schedule(stores, tmp_path / "s").epoch(1)
    copies = []
    real = two_passes.gather

    def looking(task: Any, work: Path, out: Path) -> Any:
        copies.append(len(list(work.glob("*.tokens"))))
        return real(task, work, out)

    monkeypatch.setattr(two_passes, "gather", looking)
    for name, memory in (("much", 10**9), ("little", 10_000)):
        monkeypatch.setattr(two_passes, "available_memory", lambda memory=memory: memory)
        build_epoch(part, stores, SMALL, tmp_path / name, InProcess())
    half = len(copies) // 2
    assert (min(copies[half:]) > 0, max(copies[:half])) == (True, 0)
    assert tree(tmp_path / "much") == tree(tmp_path / "little")
    assert available_memory() > 10**8


def test_workers_that_outlive_a_build_read_the_next_ones_files_at_the_same_paths(
    stores: dict[str, Path], tmp_path: Path, tree: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = schedule(stores, tmp_path / "s")
    monkeypatch.setattr(two_passes, "_stay_in_page_cache", lambda *_: False)  # tokens are copied to files of the build
    settings = SMALL.model_copy(update={"workers": 2, "memory_mb": 300})
    with Processes(2) as executor:
        for epoch in (1, 2, 1):
            fresh, shared = tmp_path / f"fresh{epoch}", tmp_path / "shared"
            build_epoch(plan.epoch(epoch), stores, SMALL, fresh, InProcess())
            shutil.rmtree(shared, ignore_errors=True)
            build_epoch(plan.epoch(epoch), stores, settings, shared, executor)
            assert tree(shared) == tree(fresh)


def test_a_map_is_kept_while_its_path_leads_to_the_same_file(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"first")
    two.write_bytes(b"")
    views = maps.mapped([one, two, one])
    assert [bytes(view) for view in views] == [b"first", b"", b"first"]
    assert maps.mapped([one])[0] is views[0]
    (tmp_path / "new").write_bytes(b"other")
    (tmp_path / "new").replace(one)
    assert bytes(maps.mapped([one])[0]) == b"other"
    with pytest.raises(ShardError, match=r"nowhere: cannot be read .* run again"):
        maps.mapped([tmp_path / "nowhere"])
    maps.release()


def test_adjacent_documents_are_those_of_a_uniform_permutation(
    tmp_path: Path, make_documents: Any, make_store: Any, read_epoch: Any
) -> None:
    """Sources of neighbours are independent; a document's old and new neighbours are unrelated."""
    corpora = {"a": make_documents("a", 3000, mean=2), "b": make_documents("b", 1000, mean=2)}
    tokens = {n: make_store(tmp_path / n, n, docs) for n, docs in corpora.items()}
    stages = [{"name": "all", "mixture": {"a": {"repeats": 1}, "b": {"repeats": 1}}}]
    plan = schedule(tokens, tmp_path / "s", epochs=1, tokens_per_epoch=None, stages=stages, language_temperature={})
    build_epoch(plan.epoch(1), tokens, SMALL, tmp_path / "e", InProcess())
    rows = read_epoch(tmp_path / "e")[0]
    sources = np.array([row[1] for row in rows])
    same = (sources[1:] == sources[:-1]).mean()
    assert abs(same - (0.75**2 + 0.25**2)) < 4 * np.sqrt(0.625 * 0.375 / 4000)
    numbers = {doc[0]: i for i, doc in enumerate(corpora["a"] + corpora["b"])}
    order = np.array([numbers[row[0]] for row in rows])
    neighbours = np.mean(np.abs(np.diff(order)) == 1)
    assert neighbours < 0.003  # 2/4000 expected
    assert abs(np.mean(np.diff(order) > 0) - 0.5) < 0.03
    assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < 0.06


def test_cuts_follow_from_first_tokens_and_offsets_from_the_cuts(stores: dict[str, Path], tmp_path: Path) -> None:
    build_epoch(schedule(stores, tmp_path / "s").epoch(2), stores, SMALL, tmp_path / "e", InProcess())
    reader = SequenceReader([tmp_path / "e"], 16, verify_hashes=True)
    shards = reader.epochs[0].stages[0].shards
    assert [shard.first_token // 2000 for shard in shards] == list(range(len(shards)))
    assert reader.sequences == (reader.tokens - 1) // 16


def test_statistics_add_up_to_the_epoch(stores: dict[str, Path], tmp_path: Path) -> None:
    summary = build_epoch(schedule(stores, tmp_path / "s").epoch(1), stores, SMALL, tmp_path / "e", InProcess())
    curve = summary.statistics.curve
    assert {name: sum(values) for name, values in curve.sources.items()} == {
        name: counts.tokens for name, counts in summary.sources.items()
    }
    assert curve.sources["web"][0] == 0  # children's books come first
    assert sum(summary.statistics.lengths) == summary.documents
    assert sum(shard.tokens for shard in summary.statistics.shards) == summary.tokens == curve.stages[-1]


def test_an_unfinished_build_goes_on_and_a_finished_one_is_left_alone(
    stores: dict[str, Path], tmp_path: Path, tree: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = schedule(stores, tmp_path / "s").epoch(1)
    whole = build_epoch(part, stores, SMALL, tmp_path / "whole", InProcess())
    calls = []
    real = two_passes.gather

    def failing(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(two_passes, "gather", failing)
    with pytest.raises(KeyboardInterrupt):
        build_epoch(part, stores, SMALL, tmp_path / "cut", InProcess())
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cut").rglob("*.arrow")}
    assert build_epoch(part, stores, SMALL, tmp_path / "cut", InProcess()) == whole
    assert tree(tmp_path / "cut") == tree(tmp_path / "whole")
    kept = [path for path, time in before.items() if path.exists() and path.stat().st_mtime_ns == time]
    assert len(kept) == 2  # the two shards that were finished
    assert build_epoch(part, {}, SMALL, tmp_path / "cut", InProcess()) == whole


def test_other_stores_than_the_schedules_are_refused(
    stores: dict[str, Path], tmp_path: Path, make_documents: Any, make_store: Any
) -> None:
    part = schedule(stores, tmp_path / "s").epoch(1)
    other = make_store(tmp_path / "other", "web", make_documents("web", 300, seed=1))
    with pytest.raises(ShardError, match=r"tokens of web: content .* materialize the schedule again"):
        build_epoch(part, stores | {"web": other}, SMALL, tmp_path / "e", InProcess())
    with pytest.raises(ShardError, match="no token store given for kids"):
        build_epoch(part, {"web": stores["web"], "world": stores["world"]}, SMALL, tmp_path / "e", InProcess())


def test_a_damaged_token_store_is_named(stores: dict[str, Path], tmp_path: Path) -> None:
    part = schedule(stores, tmp_path / "s").epoch(1)
    file = stores["web"] / "train-00001.arrow"
    data = file.read_bytes()
    for damage in (data[: len(data) // 2], data[:-1], b""):
        file.write_bytes(damage)
        with pytest.raises(ShardError, match=r"web/train-00001\.arrow: .*squeeze verify"):
            build_epoch(part, stores, SMALL, tmp_path / "e", InProcess())
    file.unlink()
    with pytest.raises(ShardError, match=r"web/train-00001\.arrow: .*materialize tokens again"):
        build_epoch(part, stores, SMALL, tmp_path / "e", InProcess())


def test_golden_hashes_move_only_with_the_versions(stores: dict[str, Path], tmp_path: Path) -> None:
    """Where one of these moves, SCHEDULE_VERSION or SHARDS_VERSION must move with it."""
    plan = schedule(stores, tmp_path / "s")
    summary = build_epoch(plan.epoch(1), stores, SMALL, tmp_path / "e", InProcess())
    within = SMALL.model_copy(update={"mode": "within_shard"})
    hashes = [
        build_epoch(plan.epoch(1), stores, within, tmp_path / "w", InProcess()).content_hash,
        summary.content_hash,
    ]
    slice_hash = plan.epoch(1).content_hash
    assert (SCHEDULE_VERSION, slice_hash[:16]) == ("1", "5fade7d8c075b76e")
    assert (SHARDS_VERSION, *(value[:16] for value in hashes)) == ("1", "72677a9a930bddbd", "9d3d4f8b2aaa590b")
