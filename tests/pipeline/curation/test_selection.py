"""What is kept of a corpus, and what each step took: held-out text, duplicates, contamination, thresholds."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from pipeline.base.errors import CurationError
from pipeline.curation.selection import iter_selected
from tests.pipeline.curation.stories import corpus, heldout_texts, kept_texts, story


def test_every_document_is_kept_held_out_or_listed_as_removed(curation, write_lines) -> None:
    texts = [story(seed) for seed in range(60)] + [story(3), "too short", story(100, words=30)]
    settings = corpus(write_lines("web.jsonl", texts), filters={"minimum_words": 50})
    summary = curation.run({"web": settings})["web"]
    removed = pq.read_table(curation.folder("corpus", "web") / "removed.parquet").to_pylist()
    assert summary.documents + len(removed) == len(texts)
    assert [step.step for step in summary.waterfall][:5] == [
        *("documents", "held out", "exact duplicate", "near duplicate", "contaminated")
    ]
    assert summary.waterfall[-1].documents == summary.documents
    assert summary.waterfall[-1].bytes == summary.bytes == sum(len(text) for text in kept_texts(curation, "web"))
    assert {row["step"] for row in removed} >= {"held out", "too few words"}
    short = next(step for step in summary.waterfall if step.step == "too few words")
    assert {example.excerpt for example in short.examples} <= {"too short", texts[-1][:200]}


def test_changing_a_threshold_rewrites_no_text_and_moves_no_held_out_document(curation, write_lines) -> None:
    path = write_lines("web.jsonl", [story(seed, words=20 + seed) for seed in range(60)])
    first = curation.run({"web": corpus(path)})["web"]
    frozen = heldout_texts(curation, "web")
    documents = curation.folder("documents", "web")
    before = {file.name: file.stat().st_mtime_ns for file in documents.iterdir()}
    strict = corpus(path, filters={"minimum_words": 50})
    assert strict.documents == corpus(path).documents, "the part that rebuilds documents is equal"
    second = curation.select({"web": strict})["web"]
    assert second.documents < first.documents
    assert before == {file.name: file.stat().st_mtime_ns for file in documents.iterdir()}
    assert frozen == heldout_texts(curation, "web")


def test_a_corpus_with_nothing_left_says_which_step_took_how_much(curation, write_lines) -> None:
    settings = corpus(write_lines("web.jsonl", [story(seed) for seed in range(20)]), filters={"minimum_words": 1000})
    with pytest.raises(CurationError, match=r"corpus 'web' has no documents left of 20: .*too few words took 1\d"):
        curation.run({"web": settings})


def test_a_selection_of_other_documents_is_refused(curation, write_lines) -> None:
    texts = {
        name: write_lines(f"{name}.jsonl", [story(first + n) for n in range(30)])
        for name, first in (("web", 0), ("other", 100))
    }
    curation.run({name: corpus(path) for name, path in texts.items()})
    with pytest.raises(CurationError, match="selects other documents than"):
        list(iter_selected(curation.folder("documents", "other"), curation.folder("corpus", "web"), ("text",)))
