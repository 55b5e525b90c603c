"""Contamination: documents that share a long n-gram with an evaluation item, and no others."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq

from pipeline.curation.contamination import ItemIndex
from pipeline.curation.settings import ContaminationSettings
from pipeline.curation.text.words import ngrams, word_hashes
from tests.pipeline.curation.stories import corpus, heldout_texts, kept_texts, story


def test_planted_contamination_is_found_and_nothing_else(curation, write_lines) -> None:
    texts = [story(seed) for seed in range(50)]
    question = "Which of these animals, known for its long neck, eats the leaves of tall acacia trees in Africa?"
    short = "The seventh planet's moon is called Oberon."
    almost = " ".join(question.split()[:11])
    texts[10] += f" {question.upper()} " + story(1000)
    texts[11] += f" {short} "
    texts[12] += f" {almost} " + story(1001)
    settings = corpus(write_lines("web.jsonl", texts))
    items = [("quiz", "q1", question), ("quiz", "q2", short), ("quiz", "q3", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15")]
    curation.run({"web": settings}, items, share=0.02)
    found = pq.read_table(curation.folder("contamination") / "contaminated.parquet").to_pylist()
    assert [(row["row"], row["task"], row["item_id"]) for row in found] == [
        *((10, "quiz", "q1"), (11, "quiz", "q2")),
    ]
    assert found[0]["ngram"] == "which of these animals known for its long neck eats the leaves of"
    kept = kept_texts(curation, "web") + heldout_texts(curation, "web")
    assert texts[12] in kept
    assert len(kept) == len(texts) - len({10, 11} - {texts.index(text) for text in heldout_texts(curation, "web")})


def test_the_index_holds_every_n_gram_of_every_item_and_none_across_two() -> None:
    draw = np.random.default_rng(3)
    lengths = [0, 1, 3, 4, 5, 9, 2, 3, 30, 4]
    items = [("task", str(n), " ".join(f"w{draw.integers(20)}" for _ in range(size))) for n, size in enumerate(lengths)]
    settings = ContaminationSettings.model_construct(ngram=4, short_item_words=3)
    index = ItemIndex(settings, items)
    expected: dict[int, set[int]] = {}
    for _, _, text in items:
        words, _ = word_hashes([text])
        size = min(len(words), settings.ngram)
        if size >= settings.short_item_words:
            expected.setdefault(size, set()).update(ngrams(words, size).tolist())
    assert {size: set(hashes.tolist()) for size, hashes in index.hashes.items()} == expected
    for grams, owners in index._owners:
        for gram, owner in zip(grams.tolist(), owners.tolist(), strict=True):
            words, _ = word_hashes([items[owner][2]])
            assert gram in ngrams(words, min(len(words), settings.ngram)).tolist()
