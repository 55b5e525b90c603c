"""What is kept of a corpus, and what each step took: held-out text, duplicates, contamination, thresholds."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.base.errors import CurationError
from pipeline.curation.heldout import choose_groups, group_keys, heldout_documents
from pipeline.curation.selection import iter_selected
from pipeline.curation.settings import CorpusSettings
from pipeline.curation.signals.minhash import SHINGLE_WORDS
from pipeline.curation.text.words import shingles, word_hashes

VOCABULARY = [
    f"{first}{second}" for first in ("ba", "ko", "mi", "tu", "re") for second in ("la", "ne", "so", "vi", "zu")
]


def story(seed: int, words: int = 120) -> str:
    """A text of random words: two of them share no 5-gram to speak of."""
    draw = random.Random(seed)
    return " ".join(draw.choice(VOCABULARY) + draw.choice(VOCABULARY) for _ in range(words))


def similar(text: str, changes: int, seed: int) -> str:
    """The text with some words replaced."""
    draw = random.Random(seed)
    words = text.split()
    for place in draw.sample(range(len(words)), changes):
        words[place] = f"changed{seed}x{place}"
    return " ".join(words)


def jaccard(first: str, second: str) -> float:
    values, offsets = shingles(*word_hashes([first, second]), SHINGLE_WORDS)
    one, two = set(values[: offsets[1]].tolist()), set(values[offsets[1] :].tolist())
    return len(one & two) / len(one | two)


def corpus(path: Path, **settings: object) -> CorpusSettings:
    return CorpusSettings.model_validate({"sources": [{"files": [str(path)], "lang": "en"}], **settings})


def kept_texts(curation, name: str) -> list[str]:
    batches = iter_selected(curation.folder("documents", name), curation.folder("corpus", name), ("text",))
    return [text for batch in batches for text in batch.column("text").to_pylist()]


def heldout_texts(curation, name: str) -> list[str]:
    return [document.text for document in heldout_documents(curation.folder("heldout", name))]


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


def test_signals_of_hard_and_easy_text_differ_in_grade() -> None:
    from pipeline.curation.signals.signals import compute_signals

    easy = "The cat sat. The dog ran. It was a big red dog. " * 5
    hard = (
        "The epistemological ramifications of institutionalised bureaucratisation necessitate comprehensive "
        "interdisciplinary investigation of organisational accountability. " * 5
    )
    grades = compute_signals([easy, hard, "Le chat est là."], ["en", "en", "fr"])["grade"]
    assert grades[0] < 2 < 15 < grades[1]
    assert np.isnan(grades[2])
