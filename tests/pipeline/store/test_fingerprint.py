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
from pipeline.store.rebuild_reason import differences, short

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


def test_a_long_value_is_cut_in_the_middle():
    assert short("x" * 500).count("x") < 60
    assert "…" in short("x" * 500)
