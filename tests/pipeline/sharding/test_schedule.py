"""The schedule: sizes, intervals that tile, and slices that stay what they are when epochs are added."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.base.canonical import canonical_hash
from pipeline.base.errors import ShardError
from pipeline.base.ids import chain, id64, splitmix64
from pipeline.sharding.keys import FRACTIONS, fractions, keys
from pipeline.sharding.orders.table import ORDERS
from pipeline.sharding.schedule.amounts import Part, divide, epoch_amounts
from pipeline.sharding.schedule.build import build_schedule
from pipeline.sharding.schedule.schedule import Schedule
from pipeline.sharding.settings import ScheduleSettings, ShardSettings, StageSettings
from pipeline.sharding.shuffle.modes import MODES
from trainer.data.shards import MODES as FORMAT_MODES

KIDS_FIRST: dict[str, Any] = {
    "epochs": 2,
    "tokens_per_epoch": 4000,
    "stages": [
        {"name": "kids_first", "share": 0.05, "epochs": [1], "mixture": {"kids": 1}},
        {"name": "mixture", "mixture": {"web": 3, "world": 1}},
    ],
}


def make(tokens: dict[str, Path], out: Path, **changes: Any) -> Schedule:
    out.mkdir(exist_ok=True)
    build_schedule(ScheduleSettings.model_validate(KIDS_FIRST | changes), tokens, out)
    return Schedule.read(out)


def test_going_from_two_to_three_epochs_leaves_the_slices_of_the_first_two_byte_identical(
    stores: dict[str, Path], tmp_path: Path
) -> None:
    two, three = make(stores, tmp_path / "2"), make(stores, tmp_path / "3", epochs=3)
    for epoch in (1, 2):
        assert two.epoch(epoch).content_hash == three.epoch(epoch).content_hash
    assert three.epoch(3).content_hash != three.epoch(2).content_hash


def test_a_corpus_an_epoch_does_not_read_is_not_in_its_slice(stores: dict[str, Path], tmp_path: Path) -> None:
    plan = make(stores, tmp_path / "s")
    assert list(plan.epoch(1).corpora) == ["kids", "web", "world"]
    assert list(plan.epoch(2).corpora) == ["web", "world"]


def test_shares_weights_and_the_rest_come_out_as_asked_to_within_a_document(
    stores: dict[str, Path], tmp_path: Path
) -> None:
    first, second = make(stores, tmp_path / "s").epochs
    kids, mixture = first.stages
    assert abs(kids.tokens - 200) <= 20
    asked = {part.corpus: part.asked for part in mixture.parts}
    assert asked == {"web": 2850, "world": 950}
    assert all(abs(part.tokens - part.asked) <= 40 for stage in first.stages for part in stage.parts)
    assert [stage.name for stage in second.stages] == ["mixture"]


def test_what_an_interval_misses_the_next_one_makes_up_for(stores: dict[str, Path], tmp_path: Path) -> None:
    plan = make(stores, tmp_path / "s", epochs=40, tokens_per_epoch=500, stages=[{"name": "m", "mixture": {"web": 1}}])
    taken = sum(epoch.tokens for epoch in plan.epochs)
    assert abs(taken - 40 * 500) <= 40
    ends = [epoch.stages[0].parts[0] for epoch in plan.epochs]
    assert all(a.end == b.start for a, b in itertools.pairwise(ends))


def test_without_a_size_an_epoch_is_all_tokens_of_its_corpora(stores: dict[str, Path], tmp_path: Path) -> None:
    plan = make(stores, tmp_path / "s", epochs=1, tokens_per_epoch=None)
    index = {name: json.loads((folder / "tokens.json").read_text()) for name, folder in stores.items()}
    total = sum(data["train"]["tokens"] for data in index.values())
    assert abs(plan.epoch(1).tokens - total) <= 60


def test_temperature_brings_the_languages_of_a_corpus_together(stores: dict[str, Path], tmp_path: Path) -> None:
    only = {"epochs": 1, "stages": [{"name": "m", "mixture": {"world": 1}}]}

    def asked(temperature: float) -> list[int]:
        plan = make(stores, tmp_path / "s", **only, language_temperature={"world": temperature})
        return [part.asked for part in plan.epoch(1).stages[0].parts]

    natural, warm, hot = asked(1), asked(3), asked(1e9)
    assert max(natural) > 5 * min(natural)
    assert max(warm) < 3 * min(warm)
    assert max(hot) - min(hot) <= 1
    assert sum(natural) == sum(warm) == sum(hot) == 4000


def test_amounts_are_weights_tokens_or_repeats() -> None:
    settings = ScheduleSettings.model_validate(
        {
            "tokens_per_epoch": 1000,
            "stages": [
                {"name": "a", "mixture": {"web": 1, "kids": {"repeats": 2}, "world": {"tokens": 100}, "wiki": 3}},
                {"name": "b", "tokens": 50, "mixture": {"web": 1}},
                {"name": "c", "mixture": {"kids": {"tokens": 30}, "wiki": 0}},
            ],
        }
    )
    available = {Part(name, None): size for name, size in {"web": 500, "kids": 60, "world": 70, "wiki": 900}.items()}
    got = [{part.corpus: n for part, n in a.tokens.items()} for a in epoch_amounts(settings, 1, available)]
    # the rest is 1000 - 50 - 30 = 920; less 120 and 100, the weights share 700
    assert got == [{"kids": 120, "world": 100, "web": 175, "wiki": 525}, {"web": 50}, {"kids": 30}]


@settings(max_examples=200)
@given(st.integers(0, 10**12), st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=8))
def test_division_is_whole_fair_and_complete(total: int, weights: list[float]) -> None:
    parts = divide(total, weights)
    assert sum(parts) == total
    assert all(
        abs(part - total * w / sum(weights)) <= 1 + total * 1e-12 for part, w in zip(parts, weights, strict=True)
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": [{"name": "m", "mixture": {"web": -1}}]}, "greater than or equal to 0"),
        ({"stages": [{"name": "m", "mixture": {"web": 0}}]}, "every corpus has a weight of 0"),
        ({"stages": [{"name": "m", "share": 1.5, "mixture": {"web": 1}}]}, "less than or equal to 1"),
        ({"stages": [{"name": n, "mixture": {"web": 1}} for n in "ab"]}, "neither share nor tokens"),
        ({"stages": [{"name": n, "share": 0.6, "mixture": {"web": 1}} for n in "ab"]}, "more than 1"),
        ({"stages": [{"name": "m", "mixture": {"web": {"weight": 1, "tokens": 5}}}]}, "exactly one of"),
        ({"stages": [{"name": "m", "epochs": [1], "mixture": {"web": 1}}]}, "no stage occurs in epoch 2"),
        ({"stages": [{"name": "m", "epochs": [0], "mixture": {"web": 1}}]}, "numbered from 1"),
        ({"language_temperature": {"world": 0.5}}, "at least 1, found 0.5"),
        ({"stages": [{"name": "m", "mixtures": {"web": 1}}]}, "mixtures"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ScheduleSettings.model_validate(KIDS_FIRST | changes)


def test_an_empty_or_unknown_corpus_is_named(stores: dict[str, Path], tmp_path: Path, make_store: Any) -> None:
    empty = make_store(tmp_path / "empty", "web", [])
    with pytest.raises(ShardError, match="stage 'mixture' mixes 'web', which holds no documents"):
        make(stores | {"web": empty}, tmp_path / "s")
    with pytest.raises(ShardError, match="mixes 'wiki', known: "):
        make(stores, tmp_path / "s", stages=[{"name": "m", "mixture": {"wiki": 1}}])


def test_sizes_that_contradict_are_refused(stores: dict[str, Path], tmp_path: Path) -> None:
    fixed = {"name": "big", "tokens": 5000, "mixture": {"web": 1}}
    with pytest.raises(ShardError, match="leaves -1000 for stage 'rest'"):
        make(stores, tmp_path / "s", stages=[fixed, {"name": "rest", "mixture": {"web": 1}}])
    with pytest.raises(ShardError, match="add up to 3000"):
        make(stores, tmp_path / "s", stages=[{"name": "m", "tokens": 2000, "mixture": {"web": {"tokens": 3000}}}])
    with pytest.raises(ShardError, match="less than half a document"):
        make(stores, tmp_path / "s", stages=[{"name": "m", "tokens": 1, "mixture": {"web": 1}}])


def test_an_edited_or_missing_schedule_is_refused(stores: dict[str, Path], tmp_path: Path) -> None:
    make(stores, tmp_path / "s")
    path = tmp_path / "s" / "schedule.json"
    path.write_text(path.read_text().replace('"asked": 200', '"asked": 201'))
    with pytest.raises(ShardError, match="edited by hand"):
        Schedule.read(path)
    with pytest.raises(ShardError, match="materialize the schedule again"):
        Schedule.read(tmp_path / "nowhere.json")
    with pytest.raises(ShardError, match="epoch 7 is not among its 2"):
        make(stores, tmp_path / "s").epoch(7)


def test_a_schedule_reads_back_as_it_was_written(stores: dict[str, Path], tmp_path: Path) -> None:
    plan = make(stores, tmp_path / "s", language_temperature={"world": 3})
    before = (tmp_path / "s" / "schedule.json").read_bytes()
    assert list(json.loads(before)) == ["format", "version", "epochs", "content_hash"]
    plan.write(tmp_path / "s")
    assert (tmp_path / "s" / "schedule.json").read_bytes() == before
    assert Schedule.read(tmp_path / "s" / "schedule.json") == plan


def test_a_schedule_of_another_version_or_shape_is_refused(stores: dict[str, Path], tmp_path: Path) -> None:
    make(stores, tmp_path / "s")
    path = tmp_path / "s" / "schedule.json"
    whole = json.loads(path.read_text())
    del whole["content_hash"]
    shapeless = {"format": whole["format"], "version": 1, "epochs": [{"epoch": 1}]}
    for damaged, message in (
        (whole | {"version": 2}, "not a schedule of this version"),
        (shapeless, r"not a schedule \(it has no 'stages'\)"),
        (whole["epochs"], r"not a schedule \("),
    ):
        more = {"content_hash": canonical_hash(damaged)} if isinstance(damaged, dict) else {}
        path.write_text(json.dumps(damaged | more if more else damaged))
        with pytest.raises(ShardError, match=message):
            Schedule.read(path)


def test_a_profile_can_ask_for_every_order_and_mode_that_there_is() -> None:
    assert set(get_args(StageSettings.model_fields["order"].annotation)) == set(ORDERS)
    assert set(get_args(ShardSettings.model_fields["mode"].annotation)) == set(MODES)
    assert set(MODES) < set(FORMAT_MODES)


def test_stores_of_two_tokenizers_are_refused(stores: dict[str, Path], tmp_path: Path) -> None:
    path = stores["kids"] / "tokens.json"
    path.write_text(path.read_text().replace("f" * 64, "e" * 64))
    with pytest.raises(ShardError, match="different tokenizers"):
        make(stores, tmp_path / "s")


def test_splitmix64_is_the_published_one() -> None:
    """First outputs for seed 0, as in Vigna's splitmix64.c and java.util.SplittableRandom."""
    states = np.arange(3, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert [hex(x) for x in splitmix64(states)] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f"]


def test_keys_of_sequential_ids_are_unrelated_between_epochs_sources_and_copies() -> None:
    ids = id64(np.array([[*i.to_bytes(16, "big")] for i in range(20_000)], dtype=np.uint8))
    assert len(set(ids.tolist())) == 20_000
    zero = np.zeros(20_000, dtype=np.int64)
    base = keys(ids, 1, 1, 0, "web", zero)
    others = [
        keys(ids, 2, 1, 0, "web", zero),
        keys(ids, 1, 2, 0, "web", zero),
        keys(ids, 1, 1, 1, "web", zero),
        keys(ids, 1, 1, 0, "wiki", zero),
        keys(ids, 1, 1, 0, "web", zero + 1),
    ]
    for other in others:
        assert len({*base.tolist(), *other.tolist()}) == 40_000
        assert abs(np.corrcoef(base.astype(float), other.astype(float))[0, 1]) < 0.03
    assert (chain(ids, 1, 2) != chain(ids, 2, 1)).all()


def test_fractions_are_uniform() -> None:
    ids = id64(np.random.default_rng(0).integers(0, 256, (100_000, 16), dtype=np.uint8))
    counts = np.bincount(fractions(ids, 1, "web") * 64 // FRACTIONS, minlength=64)
    chi_squared = ((counts - 100_000 / 64) ** 2 / (100_000 / 64)).sum()
    assert chi_squared < 110  # 63 degrees of freedom: p = 0.0002
