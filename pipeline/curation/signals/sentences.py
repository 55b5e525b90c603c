"""Sentences as spaCy's sentencizer cuts them: how many C4 counts in a document, and how hard they are to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from pipeline.curation.text.chunks import Chunked, ChunkTable, chunk_texts
from pipeline.curation.text.normalizing import CITATION, POLICIES
from pipeline.curation.text.words import Tokens, tokens_of

_LONGEST_WORD: Final = 1000
_SHORTEST_LINE: Final = 3
"""C4: words of a line."""
_UNWANTED: Final = ("javascript", "lorem ipsum", *POLICIES)


class Lines:
    """Texts cut into lines and chunks in one go; line n has chunks [ends[n], ends[n + 1])."""

    def __init__(self, texts: Sequence[str], chunked: Chunked) -> None:
        self.texts, self.chunked = texts, chunked
        self.ends = chunked.line_offsets
        self.text_ends = chunked.text_lines
        """int64 [N + 1]: text i has lines [text_ends[i], text_ends[i + 1])"""


def cut_lines(texts: Sequence[str], table: ChunkTable) -> Iterator[tuple[int, int, Lines]]:
    """Runs of texts [start, stop), some after the other, with their lines."""
    for start, stop, chunked in chunk_texts(texts, table).parts():
        yield start, stop, Lines(texts[start:stop], chunked)


def c4_sentences(lines: Lines, tokens: Tokens, sentences: Sentences) -> tuple[np.ndarray, np.ndarray]:
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
    each = sentences.count(tokens.chunks[lines.ends])
    if changed:
        again = tokens_of(chunk_texts(list(changed.values()), lines.chunked.table))
        each[list(changed)] = Sentences(again).count(again.offsets)
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


def reading_grade(sentences: np.ndarray, words: np.ndarray, syllables: np.ndarray) -> np.ndarray:
    """Flesch-Kincaid grade level of English texts (Kincaid et al. 1975); NaN without words.

    Syllables are groups of vowels; a sentence ends at a token of `SENTENCE_ENDS`, and the text's end ends one.

    Args:
        sentences, words, syllables: how many each text has, [N].
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return 0.39 * words / np.maximum(sentences, 1) + 11.8 * syllables / words - 15.59


class Sentences:
    """Where sentences begin as spaCy's sentencizer cuts them: after an end and the marks that follow it.

    Ends are few, so only the next word after each is looked for, once for all that the tokens are counted in.
    """

    def __init__(self, tokens: Tokens) -> None:
        ends = np.flatnonzero(tokens.sentence_end)
        words = np.flatnonzero(~(tokens.sentence_end | tokens.punctuation))
        following = np.searchsorted(words, ends)
        last = np.diff(following, append=len(words)) > 0  # of several ends before a word the last may be of its text
        self._ends, self._openers = ends[last], words[following[last]]

    def count(self, offsets: np.ndarray) -> np.ndarray:
        """Sentences of each of N texts or lines, given as offsets of their tokens, int64 [N + 1]."""
        texts = np.searchsorted(offsets, self._openers, side="right") - 1
        inside = (self._ends >= offsets[np.maximum(texts, 0)]) & (texts >= 0) & (self._openers < offsets[-1])
        return np.bincount(texts[inside], minlength=len(offsets) - 1) + (np.diff(offsets) > 0)
