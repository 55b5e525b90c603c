"""Compressors as yardsticks: figures of the whole text, whatever is shared, kept or not to be had."""

import lzma
import random
import sys
from itertools import pairwise

import pytest

from pipeline.evaluation.suites import compressors
from pipeline.evaluation.suites.compressors import added_bytes, compressed_bytes, measure
from pipeline.evaluation.suites.xz_after import PRESET, added_by_xz, chains

ALL = ("gzip", "xz", "zstd")


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine"))


def text_of(seed: int, size: int) -> bytes:
    made = random.Random(seed)
    words = [bytes(made.choices(b"abcdefgh", k=made.randint(2, 9))) for _ in range(500)]
    return b" ".join(made.choices(words, k=size // 6))[:size]


def xz_by_itself(prefix: bytes, text: bytes) -> int:
    return len(lzma.compress(prefix + text, preset=PRESET)) - len(lzma.compress(prefix, preset=PRESET))


@pytest.mark.parametrize("compressor", ["xz", "zstd"])
def test_text_seen_before_adds_little(compressor):
    text = bytes(range(256)) * 4
    assert added_bytes(compressor, text, text) < compressed_bytes(compressor, text) / 2


def test_what_texts_add_to_training_text_that_goes_on_is_what_xz_makes_of_each_whole():
    books, web = text_of(1, 130_000), text_of(2, 40_000)
    chain = [(books, text_of(3, 9_000)), (books + web, web[:30_000] + text_of(4, 7))]
    assert added_by_xz(chain) == [xz_by_itself(prefix, text) for prefix, text in chain]


def test_training_texts_are_chained_where_one_begins_with_another():
    prefixes = [b"abc", b"b", b"ab", b"abd", b"bc", b"x"]
    found = chains(prefixes)
    assert sorted(number for chain in found for number in chain) == list(range(len(prefixes)))
    assert [2, 0] in found
    assert [1, 4] in found
    for chain in found:
        assert all(prefixes[b].startswith(prefixes[a]) for a, b in pairwise(chain))


def test_every_figure_is_of_the_text_and_its_own_training_text():
    texts = {"web": text_of(5, 9_000), "all": text_of(6, 8_000), "other": text_of(7, 500), "none": b""}
    prefixes = {"web": text_of(8, 20_000), "all": text_of(8, 20_000) + text_of(9, 20_000)}
    sizes = measure(texts, prefixes, ALL)
    assert sizes["none"] == {}
    assert set(sizes["other"]) == set(ALL)
    for name in ("web", "all"):
        text, prefix = texts[name], prefixes[name]
        alone = {each: 8 * compressed_bytes(each, text) / len(text) for each in ALL}
        primed = {f"{each}_primed": 8 * added_bytes(each, prefix, text) / len(text) for each in ("xz", "zstd")}
        assert sizes[name] == alone | primed


def test_figures_are_worked_out_once_for_the_same_texts(monkeypatch):
    texts, prefixes = {"web": text_of(1, 2_000)}, {"web": text_of(2, 3_000)}
    first = measure(texts, prefixes, ALL)
    with monkeypatch.context() as patched:
        patched.setattr(compressors, "compressed_bytes", lambda *_: pytest.fail("compressed again"))
        assert measure({"renamed": texts["web"]}, {"renamed": prefixes["web"]}, ALL) == {"renamed": first["web"]}
        for other in ({"web": text_of(3, 2_000)}, {"web": b""}):  # another training text, another figure
            with pytest.raises(pytest.fail.Exception, match="compressed again"):
                measure(texts, other, ALL)
    assert measure(texts, prefixes, ("zstd",)) == {
        "web": {name: first["web"][name] for name in ("zstd", "zstd_primed")}
    }


def test_where_no_program_can_be_started_the_figures_are_the_same(monkeypatch):
    texts, prefixes = {"web": text_of(1, 2_000)}, {"web": text_of(2, 3_000)}
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert (
        measure(texts, prefixes, ["xz"])["web"]["xz_primed"] == 8 * xz_by_itself(prefixes["web"], texts["web"]) / 2000
    )
