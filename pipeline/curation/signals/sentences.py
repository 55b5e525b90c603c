"""Sentences as spaCy's sentencizer cuts them: how many C4 counts in a document, and how hard they are to read."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

import numpy as np

from pipeline.curation.text.chunks import Chunked, ChunkTable
from pipeline.curation.text.normalizing import CITATION, POLICIES
from pipeline.curation.text.words import Tokens, tokens_of

_LONGEST_WORD: Final = 1000
_SHORTEST_LINE: Final = 3
"""C4: words of a line."""
_UNWANTED: Final = ("javascript", "lorem ipsum", *POLICIES)


class Lines:
    """Texts cut into lines and chunks in one go; line n has chunks [ends[n], ends[n + 1])."""

    def __init__(self, texts: Sequence[str], chunks: ChunkTable) -> None:
        self.texts = texts
        number_of = chunks.__getitem__
        numbers, ends, text_ends = array("q"), array("q", [0]), array("q", [0])
        for text in texts:
            for line in text.splitlines():
                numbers.extend(map(number_of, line.split()))
                ends.append(len(numbers))
            text_ends.append(len(ends) - 1)
        self.ends = np.array(ends)
        self.text_ends = np.array(text_ends)
        """int64 [N + 1]: text i has lines [text_ends[i], text_ends[i + 1])"""
        self.chunked = Chunked(chunks, np.array(numbers, dtype=np.int64), self.ends[self.text_ends])


def c4_sentences(lines: Lines, tokens: Tokens) -> tuple[np.ndarray, np.ndarray]:
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
        for number, raw in enumerate(text.splitlines(), int(lines.text_ends[row])):
            if keep[number]:
                keep[number], drops = _judge_line(raw.strip(), number, changed)
                dropped[row] |= drops
    each = count_sentences(tokens.chunks[lines.ends], tokens.sentence_end, tokens.punctuation)
    if changed:
        again = tokens_of(Lines(list(changed.values()), lines.chunked.table).chunked)
        each[list(changed)] = count_sentences(again.offsets, again.sentence_end, again.punctuation)
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


def reading_grade(tokens: Tokens, words: np.ndarray, syllables: np.ndarray) -> np.ndarray:
    """Flesch-Kincaid grade level of English texts (Kincaid et al. 1975); NaN without words.

    Syllables are groups of vowels; a sentence ends at a token of `SENTENCE_ENDS`, and the text's end ends one.

    Args:
        tokens: of N texts.
        words, syllables: how many each text has, [N].
    """
    sentences = np.maximum(count_sentences(tokens.offsets, tokens.sentence_end, tokens.punctuation), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 0.39 * words / sentences + 11.8 * syllables / words - 15.59


def count_sentences(offsets: np.ndarray, ends: np.ndarray, punctuation: np.ndarray) -> np.ndarray:
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
