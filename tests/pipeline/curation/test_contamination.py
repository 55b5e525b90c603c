"""Contamination: documents that share a long n-gram with an evaluation item, and no others."""

from __future__ import annotations

import pyarrow.parquet as pq

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
