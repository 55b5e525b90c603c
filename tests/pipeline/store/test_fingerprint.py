"""A fingerprint names a result by all that decides it, and refuses what has no stable form."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from pipeline.base.canonical import canonical_json
from pipeline.base.errors import StoreError
from pipeline.base.settings import Settings, identity_of, runtime
from pipeline.store.fingerprint import fingerprint_of
from pipeline.store.rebuild_reason import LONGEST_SHOWN, change, differences

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


@given(st.dictionaries(st.text(), values, min_size=2))
def test_the_order_of_keys_does_not_matter(mapping):
    backwards = dict(reversed(mapping.items()))
    assert canonical_json(mapping) == canonical_json(backwards)


@pytest.mark.parametrize("value", [{1, 2}, object(), math.nan, math.inf, b"bytes", {1: "a"}])
def test_a_value_without_a_stable_form_is_refused_with_its_place(value):
    with pytest.raises(StoreError, match=r"corpus: .*|corpus\.x"):
        canonical_json({"x": value}, where="corpus")


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"key": "other"}, False),
        ({"code_version": "2"}, False),
        ({"identity": {"min_words": 40}}, False),
        ({"inputs": {"documents": "bb"}}, False),
        ({"inputs": {"text": "aa"}}, False),
    ],
)
def test_everything_that_decides_a_result_is_in_its_name(change, same):
    base = {"key": "k", "code_version": "1", "identity": {"min_words": 50}, "inputs": {"documents": "aa"}}
    assert (fingerprint_of(**base) == fingerprint_of(**(base | change))) is same


class Inner(Settings):
    threads: int = runtime(4)
    size: int = 3


class Outer(Settings):
    inner: dict[str, Inner] = Field(default_factory=dict)
    workers: int = runtime(2)
    name: str = "a"


def test_runtime_settings_stay_out_of_the_identity_at_any_depth():
    slow = Outer(inner={"x": Inner(threads=1)}, workers=1)
    fast = Outer(inner={"x": Inner(threads=64)}, workers=64)
    assert identity_of(slow) == identity_of(fast) == {"inner": {"x": {"size": 3}}, "name": "a"}


def test_differences_name_the_leaf_that_changed():
    old = {"a": {"b": 1, "c": 2}, "gone": 3}
    new = {"a": {"b": 1, "c": 4}, "new": 5}
    assert list(differences(old, new)) == [
        ("config.a.c", 2, 4),
        ("config.gone", 3, "(none)"),
        ("config.new", "(none)", 5),
    ]


def test_a_list_is_compared_item_by_item():
    old = {"stages": [{"name": "a", "share": 0.1}, {"name": "b", "share": 0.9}]}
    new = {"stages": [{"name": "a", "share": 0.1}, {"name": "b", "share": 0.8}]}
    assert list(differences(old, new)) == [("config.stages[1].share", 0.9, 0.8)]


LONG = [f"books/volume_{number}.txt" for number in range(40)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (0.02, None, "0.02 -> null"),
        ("(none)", {"kind": "wsd", "share": 0.5}, "(none) -> {kind: wsd, share: 0.5}"),
        ([1, "a"], [1, True], "[1, a] -> [1, true]"),
        ([*LONG, "a.txt"], [*LONG, "b.txt"], "… a.txt] -> … b.txt]"),
        ("x" * 500, "y", f"{'x' * 30}… -> y"),
    ],
)
def test_a_change_is_told_in_the_words_of_a_profile(old, new, said):
    assert change(old, new) == said


@given(values, values)
def test_a_change_is_short_whatever_changed(old, new):
    assert len(change(old, new)) <= 2 * (LONGEST_SHOWN + 40)
