"""Ranks that are started again find one another, whatever earlier ones left in the store of their launcher."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

torch = pytest.importorskip("torch")

from torch.distributed import HashStore  # noqa: E402

from trainer.process import ranks  # noqa: E402
from trainer.process.ranks import common_word  # noqa: E402


def words(store: HashStore, count: int) -> set[str]:
    with ThreadPoolExecutor(count) as pool:
        return set(pool.map(lambda rank: common_word(store, rank, count), reversed(range(count))))


def test_the_ranks_of_every_start_share_a_word_that_no_earlier_ones_had() -> None:
    store = HashStore()
    found = [words(store, 3) for _ in range(4)]
    assert all(len(shared) == 1 for shared in found)
    assert len(set.union(*found)) == 4


def test_a_question_of_a_rank_that_died_is_no_answer_to_the_one_after_it() -> None:
    store = HashStore()
    for rank in (1, 2):
        store.set(f"asks/{rank}", "of a dead rank")
    assert len(words(store, 3)) == 1


def test_ranks_that_do_not_come_are_waited_for_no_longer_than_for_any_collective(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranks, "COLLECTIVE_TIMEOUT", timedelta(seconds=0.1))
    with pytest.raises(TimeoutError, match=r"ranks \[1, 2\] did not come"):
        common_word(HashStore(), 0, 3)
