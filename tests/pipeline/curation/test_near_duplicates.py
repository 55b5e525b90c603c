"""Near duplicates: which are found, which copy stays, and the clusters that pairs make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.executor import InProcess
from pipeline.curation.duplicates.bands import Buckets
from pipeline.curation.duplicates.clusters import Clusters
from pipeline.curation.duplicates.near_duplicates import find_near_duplicates
from pipeline.curation.settings import CorpusSettings, NearDuplicateSettings
from tests.pipeline.curation.stories import corpus, heldout_texts, jaccard, kept_texts, similar, story


def test_of_equal_and_similar_documents_one_is_kept_across_corpora(curation, write_lines) -> None:
    texts = [story(seed) for seed in range(40)]
    copies = [
        texts[5],
        similar(texts[6], 2, seed=1),
        similar(texts[7], 60, seed=2),
        *(story(s) for s in range(100, 130)),
    ]
    assert jaccard(texts[6], copies[1]) > 0.8
    assert jaccard(texts[7], copies[2]) < 0.3
    corpora = {"a": corpus(write_lines("a.jsonl", texts)), "b": corpus(write_lines("b.jsonl", copies))}
    curation.run(corpora, share=0.01)
    held = set(heldout_texts(curation, "a") + heldout_texts(curation, "b"))
    kept = {name: set(kept_texts(curation, name)) for name in corpora}
    assert not held & {texts[5], texts[6], texts[7], *copies[:3]}, "the example needs these in training text"
    assert texts[5] in kept["a"]
    assert texts[5] not in kept["b"]
    assert texts[6] in kept["a"]
    assert copies[1] not in kept["b"]
    assert copies[2] in kept["b"]


def test_the_order_of_the_input_changes_nothing_about_which_texts_stay(curation, write_lines, tmp_path: Path) -> None:
    texts = [story(seed) for seed in range(40)]
    texts += [similar(text, 2, seed) for seed, text in enumerate(texts[:20])] + texts[:5]
    curation.run({"a": corpus(write_lines("a.jsonl", texts), filters={})}, share=0.01)
    forwards = set(kept_texts(curation, "a")) | set(heldout_texts(curation, "a"))
    other = type(curation)(tmp_path / "other")
    by_text = {"sources": [{"files": [str(write_lines("r.jsonl", texts[::-1]))], "lang": "en"}]}
    other.run({"a": CorpusSettings.model_validate(by_text)}, share=0.01)
    backwards = set(kept_texts(other, "a")) | set(heldout_texts(other, "a"))
    differing = forwards ^ backwards
    pages = set(heldout_texts(curation, "a")) | set(heldout_texts(other, "a"))
    assert all(any(jaccard(text, page) >= 0.7 for page in pages) for text in differing), "only around the held-out page"


def test_no_training_text_is_similar_to_a_held_out_document(curation, write_lines) -> None:
    """At a similarity of 0.7 hashing alone finds 56% of pairs; held-out text is compared exactly."""
    texts = [story(seed) for seed in range(200)]
    texts += [similar(text, 4, seed) for seed, text in enumerate(texts)]
    curation.run({"web": corpus(write_lines("web.jsonl", texts))}, share=0.3)
    held = heldout_texts(curation, "web")
    worst = [max(jaccard(text, other) for other in held) for text in kept_texts(curation, "web")]
    assert max(worst) < 0.7
    assert any(0.7 <= jaccard(texts[n], texts[n + 200]) < 0.8 for n in range(200)), "the example holds such pairs"


def test_planted_duplicates_are_found_as_often_as_theory_says(curation, write_lines) -> None:
    """14 bands of 8 rows find a pair of similarity 0.8 with probability 0.924; none under 0.7 is called a duplicate."""
    count = 300
    texts, pairs = [], []
    for seed in range(count):
        text = story(seed, words=400)
        other = similar(text, 10 if seed % 2 else 18, seed)
        pairs.append((text, other, jaccard(text, other)))
        texts += [text, other]
    curation.run({"web": corpus(write_lines("web.jsonl", texts))}, share=0.002)
    kept = set(kept_texts(curation, "web")) | set(heldout_texts(curation, "web"))
    found = [(similarity, not {text, other} <= kept) for text, other, similarity in pairs]
    assert not any(hit for similarity, hit in found if similarity < 0.7)
    theory = [1 - (1 - similarity**8) ** 14 for similarity, _ in found if similarity >= 0.7]
    hits = sum(hit for similarity, hit in found if similarity >= 0.7)
    spread = np.sqrt(sum(p * (1 - p) for p in theory))
    assert len(theory) > 100
    assert hits >= sum(theory) - 3 * spread


@pytest.mark.parametrize("enabled", [True, False])
def test_documents_without_words_are_similar_to_nothing_and_equal_ones_are_found(
    curation, write_lines, tmp_path: Path, enabled: bool
) -> None:
    texts = ["!" * count for count in range(1, 20)] + ["???", "???"]
    curation.run({"web": corpus(write_lines("web.jsonl", texts))}, share=0.1)
    folders = [{"web": curation.folder(asset, "web")} for asset in ("documents", "heldout")]
    settings = NearDuplicateSettings(enabled=enabled)
    summary = find_near_duplicates(settings, *folders, tmp_path / "out", executor=InProcess())
    assert (summary.clusters, summary.duplicates, summary.sizes) == (1, 1, {2: 1})


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
