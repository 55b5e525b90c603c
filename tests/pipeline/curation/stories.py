"""Made-up texts that are as similar as a test wants them, and corpora of them."""

from __future__ import annotations

import random
from pathlib import Path

from pipeline.curation.heldout import heldout_documents
from pipeline.curation.selected import iter_selected
from pipeline.curation.settings import CorpusSettings
from pipeline.curation.signals.minhash import SHINGLE_WORDS
from pipeline.curation.text.words import shingles, word_hashes

SYLLABLES = [
    f"{first}{second}" for first in ("ba", "ko", "mi", "tu", "re") for second in ("la", "ne", "so", "vi", "zu")
]


def story(seed: int, words: int = 120) -> str:
    """A text of random words: two of them share no 5-gram to speak of."""
    draw = random.Random(seed)
    return " ".join(draw.choice(SYLLABLES) + draw.choice(SYLLABLES) for _ in range(words))


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
