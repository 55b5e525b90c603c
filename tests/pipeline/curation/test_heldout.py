"""The held-out split: whole groups, up to the share, neither side ever empty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.base.errors import CurationError
from pipeline.curation.heldout import (
    HELDOUT_FILE,
    SCHEMA,
    HeldoutDocument,
    choose_groups,
    group_keys,
    heldout_documents,
    heldout_ids,
    iter_heldout,
    write_heldout_sample,
)


def chosen_groups(sizes: dict[str, int], share: float, seed: int) -> set[str]:
    names = sorted(sizes, key=lambda name: int(group_keys("web", seed, [name])[0]))
    return set(names[: choose_groups("web", np.array([sizes[name] for name in names]), share)])


def test_groups_are_held_out_whole_until_the_share_is_reached() -> None:
    sizes = {f"page {number}": 100 + number % 7 for number in range(1000)}
    chosen = chosen_groups(sizes, 0.1, seed=1)
    share = sum(sizes[group] for group in chosen) / sum(sizes.values())
    assert abs(share - 0.1) < 0.001
    assert chosen == chosen_groups(dict(reversed(sizes.items())), 0.1, seed=1)
    assert chosen != chosen_groups(sizes, 0.1, seed=2)
    assert chosen < chosen_groups(sizes, 0.2, seed=1), "a larger share only adds groups"


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_neither_side_of_the_split_is_ever_empty(share: float) -> None:
    for sizes in ({"a": 1, "b": 1_000_000}, {"a": 5, "b": 5, "c": 5}):
        assert 0 < len(chosen_groups(sizes, share, seed=1)) < len(sizes)


def test_a_single_book_cannot_be_split() -> None:
    with pytest.raises(CurationError, match=r"corpus 'books' has 1 group"):
        choose_groups("books", np.array([10]), 0.1)


def test_held_out_documents_are_read_as_they_were_written(tmp_path: Path) -> None:
    row = {"doc_id": b"0123456789abcdef", "text": "é", "bytes": 2, "group": "page 1", "lang": "fr"}
    pq.write_table(pa.Table.from_pylist([row], schema=SCHEMA), tmp_path / HELDOUT_FILE)
    assert list(heldout_documents(tmp_path)) == [HeldoutDocument("é", 2, "fr", "page 1", row["doc_id"])]  # type: ignore[arg-type]
    assert heldout_ids(tmp_path).astype(">u8").tobytes() == row["doc_id"]
    write_heldout_sample(list(heldout_documents(tmp_path)), tmp_path / "sample")
    assert list(heldout_documents(tmp_path / "sample")) == [HeldoutDocument("é", 2, "fr")]


def test_a_split_that_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(CurationError, match=r"heldout\.parquet is missing"):
        list(heldout_documents(tmp_path))
    (tmp_path / HELDOUT_FILE).write_bytes(b"PAR1 not really")
    with pytest.raises(CurationError, match=r"heldout\.parquet: .*damaged"):
        list(iter_heldout(tmp_path, ("text",)))
    with pytest.raises(CurationError, match=r"heldout\.parquet: .*damaged"):
        list(heldout_documents(tmp_path))
