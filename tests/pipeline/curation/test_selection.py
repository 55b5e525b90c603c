"""What is kept of a corpus, and what each step took: held-out text, duplicates, contamination, thresholds."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from pipeline.base.errors import CurationError
from pipeline.curation.selected import iter_selected
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


def steps(curation, name: str) -> dict[str, int]:
    """How many documents each step took."""
    removed = pq.read_table(curation.folder("corpus", name) / "removed.parquet").column("step").to_pylist()
    return {step: removed.count(step) for step in removed}


def test_of_copies_in_two_corpora_the_one_stays_that_its_own_filters_keep(curation, write_lines) -> None:
    short, long = story(1000, words=30), story(1001, words=90)
    texts = {"strict": [short, long, *map(story, range(40))], "mild": [short, long, *map(story, range(100, 140))]}
    paths = {name: write_lines(f"{name}.jsonl", some) for name, some in texts.items()}
    corpora = {"strict": corpus(paths["strict"], filters={"minimum_words": 50}), "mild": corpus(paths["mild"])}
    curation.run(corpora, share=0.01)
    held = {text for name in corpora for text in heldout_texts(curation, name)}
    assert not held & {short, long}, "the example needs these in training text"
    kept = {name: kept_texts(curation, name) for name in corpora}
    assert [short in kept[name] for name in corpora] == [False, True]
    assert [long in kept[name] for name in corpora] == [True, False], "both keep it, and the one named first does"
    assert (steps(curation, "strict")["exact duplicate"], steps(curation, "mild")["exact duplicate"]) == (1, 1)


def test_a_similar_copy_in_the_same_corpus_stays_where_the_longest_fails_its_filters(curation, write_lines) -> None:
    text = story(1000, words=100)
    longer = text + " " + story(1001, words=8)
    path = write_lines("web.jsonl", [longer, text, *map(story, range(40))])
    curation.run({"web": corpus(path, filters={"maximum_words": 105})}, share=0.01)
    assert not {text, longer} & set(heldout_texts(curation, "web")), "the example needs these in training text"
    assert text in kept_texts(curation, "web")
    assert longer not in kept_texts(curation, "web")


def test_copies_that_all_fail_are_counted_under_what_removes_them(curation, write_lines) -> None:
    short = story(1000, words=30)
    texts = {name: [short, *map(story, range(first, first + 40))] for name, first in (("a", 0), ("b", 100))}
    thresholds = {"minimum_words": 50}
    corpora = {name: corpus(write_lines(f"{name}.jsonl", some), filters=thresholds) for name, some in texts.items()}
    curation.run(corpora, share=0.01)
    assert not {short} & {text for name in corpora for text in heldout_texts(curation, name)}
    assert [steps(curation, name).get("too few words") for name in corpora] == [1, 1]
    assert [steps(curation, name).get("exact duplicate", 0) for name in corpora] == [0, 0]


def test_a_contaminated_copy_gives_way_to_a_similar_one_that_is_clean(curation, write_lines) -> None:
    item = story(2000, words=16)
    text = story(1000, words=150)
    tainted = text + " " + item
    corpora = {
        "a": corpus(write_lines("a.jsonl", [tainted, *map(story, range(40))])),
        "b": corpus(write_lines("b.jsonl", [text, *map(story, range(100, 140))])),
    }
    curation.run(corpora, items=[("quiz", "1", item)], share=0.01)
    assert not {text, tainted} & {held for name in corpora for held in heldout_texts(curation, name)}
    assert text in kept_texts(curation, "b")
    assert steps(curation, "a")["near duplicate"] == 1, "the clean one stays in its place"


def test_beside_a_held_out_copy_no_other_stays_whatever_the_filters_say(curation, write_lines) -> None:
    texts, more = list(map(story, range(60))), list(map(story, range(100, 110)))
    corpora = {
        "a": corpus(write_lines("a.jsonl", texts), filters={"minimum_words": 1}),
        "b": corpus(write_lines("b.jsonl", [*texts[::-1], *more]), filters={"minimum_words": 119}),
    }
    curation.run(corpora, share=0.3)
    held = {text for name in corpora for text in heldout_texts(curation, name)}
    kept = [text for name in corpora for text in kept_texts(curation, name)]
    assert not held & set(kept)
    assert sorted([*held, *kept]) == sorted([*texts, *more]), "and of every other text one copy is kept"


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
