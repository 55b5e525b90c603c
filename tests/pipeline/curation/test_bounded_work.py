"""Neither the number of processes nor the size of partitions nor a shortcut changes a byte of the result."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from ftfy.badness import is_bad
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.executor import Executor, InProcess, Processes
from pipeline.curation.contamination import find_contamination
from pipeline.curation.duplicates.bands import Buckets
from pipeline.curation.duplicates.clusters import Clusters
from pipeline.curation.duplicates.near_duplicates import find_near_duplicates
from pipeline.curation.settings import ContaminationSettings, NearDuplicateSettings
from pipeline.curation.text.english import EnglishTokenizer, english_tokenizer
from pipeline.curation.text.normalizing import HARMLESS, needs_ftfy
from pipeline.curation.text.words import tokenize, word_hashes, words_of
from tests.pipeline.curation.test_selection import corpus, similar, story

ITEMS = [("quiz", str(seed), story(seed)[:200]) for seed in range(10)]


@pytest.fixture
def built(curation, write_lines):
    """Two corpora of three files with copies, similar documents and contamination in and across them."""
    corpora = {}
    for name in ("a", "b"):
        texts = [story(seed) for seed in range(60)]
        texts = [similar(text, seed % 8, seed) for seed, text in enumerate(texts)] + texts[:5] if name == "b" else texts
        paths = [str(write_lines(f"{name}{part}.jsonl", texts[part::3])) for part in range(3)]
        source = {"files": paths, "lang": "en"}
        corpora[name] = corpus(Path("unused")).model_validate({"sources": [source]})
    curation.run(corpora, ITEMS, share=0.1)
    return curation


def stages(curation, out: Path, executor: Executor) -> dict[str, bytes]:
    folders = [{name: curation.folder(stage, name) for name in ("a", "b")} for stage in ("documents", "heldout")]
    find_near_duplicates(NearDuplicateSettings(), *folders, out, executor=executor)
    find_contamination(ContaminationSettings(), folders[0], ITEMS, out, executor=executor)
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def test_processes_partitions_and_what_a_kill_left_change_no_byte(built, tmp_path: Path, monkeypatch) -> None:
    alone = stages(built, tmp_path / "alone", InProcess())
    assert set(alone) == {"clusters.parquet", "contaminated.parquet", "items.parquet"}, "temporary files are gone"
    for left in ("scratch/band-00", "scratch/part-00000.sets", "clusters.parquet.tmp"):  # by a build that was killed
        (tmp_path / "pool" / "scratch").mkdir(parents=True, exist_ok=True)
        (tmp_path / "pool" / left).write_bytes(b"half of it")
    for module in ("duplicates.near_duplicates", "contamination"):
        monkeypatch.setattr(f"pipeline.curation.{module}.WORTH_BYTES", 0)
    with Processes(2) as executor:
        assert stages(built, tmp_path / "pool", executor) == alone
    for name in ("bands", "heldout_join"):
        monkeypatch.setattr(f"pipeline.curation.duplicates.{name}._PARTITION", 400)
    monkeypatch.setattr("pipeline.curation.duplicates.partitions._READ", 60)
    monkeypatch.setattr("pipeline.curation.duplicates.heldout_join._PAIRS", 20)
    monkeypatch.setattr("pipeline.curation.duplicates.document_rows._BLOCK", 16)
    assert stages(built, tmp_path / "small", InProcess()) == alone


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40), st.integers(1, 7))
def test_clusters_are_the_connected_components_whatever_the_order(pairs: list[tuple[int, int]], step: int) -> None:
    edges = np.array([pair for pair in pairs if pair[0] != pair[1]], dtype=np.int64).reshape(-1, 2)
    together = [{number} for number in range(31)]
    for first, second in edges.tolist():
        union = together[first] | together[second]
        for number in union:
            together[number] = union
    clusters = Clusters(31)
    for start in range(0, len(edges), step):
        clusters.join(clusters.apart(edges[start : start + step]))
    assert clusters.finish().tolist() == [min(group) for group in together]


def test_rounds_give_every_pair_of_a_bucket_once() -> None:
    buckets = Buckets(np.array([9, 3, 5, 8, 1, 2, 7]), np.array([1, 4]), np.array([3, 2]))
    pairs = [tuple(pair) for turn in buckets.rounds() for pair in turn.tolist()]
    assert sorted(pairs) == [(1, 2), (3, 5), (3, 8), (5, 8)]


def test_harmless_characters_alone_are_never_mojibake() -> None:
    for size in (1, 2, 3, 4):
        for chars in itertools.product(f"aZ 1.{HARMLESS}", repeat=size):
            assert not is_bad("".join(chars)), chars


@given(st.text(alphabet=st.sampled_from("aZ .1’“”—éÃ¢€™Â¶œ\u0153Ð°чЁ×²¡\xa0"), max_size=60))
def test_looking_around_unusual_characters_finds_what_ftfy_finds(text: str) -> None:
    padded = "plain words before it all " * 4 + text + " plain words after it all" * 4
    assert needs_ftfy(padded) == is_bad(padded)


def test_common_chunks_are_cut_as_the_whole_rules_cut_them() -> None:
    tokenizer = english_tokenizer()
    words = ["word", "Word", "don't", "cannot", "U.S.", "Mr.", "a.m.", "I", "gonna", "Im", "e.g.", "x", "Jan"]
    for chunk in [word + mark for word in words for mark in ["", *".,;:!?"]]:
        assert tokenizer(chunk) == whole_rules(tokenizer, chunk), chunk


def whole_rules(tokenizer: EnglishTokenizer, chunk: str) -> list[str]:
    return tokenizer._merge(tokenizer._affixes(chunk, tokenizer._special))


def test_what_was_looked_up_before_changes_no_token_and_no_word(monkeypatch) -> None:
    draw = random.Random(1)
    texts = ["Don't stop: it's 5 o'clock (nearly)...", "Ünïcode wörds_here 漢字 ไทย", "x" * 50, ""]
    texts += [" ".join(draw.choice(["a", "b.", "c,"]) for _ in range(20))]
    first = [tokenize(texts, english=True), tokenize(texts, english=False)]
    hashes = word_hashes(texts)
    monkeypatch.setattr("pipeline.curation.text.chunks._LIMIT", 0)
    again = [tokenize(texts[::-1][::-1], english=True), tokenize(texts, english=False)]
    for one, two in zip(first, again, strict=True):
        assert all(np.array_equal(getattr(one, name), getattr(two, name)) for name in type(one).__slots__)
    assert all(np.array_equal(one, two) for one, two in zip(hashes, word_hashes(texts), strict=True))
    assert words_of("Don't STOP") == ["don", "t", "stop"]


@pytest.mark.parametrize("enabled", [True, False])
def test_documents_without_words_are_similar_to_nothing_and_equal_ones_are_found(
    curation, write_lines, tmp_path: Path, enabled: bool
) -> None:
    texts = ["!" * count for count in range(1, 20)] + ["???", "???"]
    curation.run({"web": corpus(write_lines("web.jsonl", texts))}, share=0.1)
    folders = [{"web": curation.folder(stage, "web")} for stage in ("documents", "heldout")]
    settings = NearDuplicateSettings(enabled=enabled)
    summary = find_near_duplicates(settings, *folders, tmp_path / "out", executor=InProcess())
    assert (summary.clusters, summary.duplicates, summary.sizes) == (1, 1, {2: 1})
