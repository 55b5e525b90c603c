"""Words of evaluation items, and which texts hold enough of an item's in a row.

In: items, and texts in batches. Out: for each text that shares so many words with an item, those words. It is how a
corpus is looked at once more, so it shares nothing with how contamination is found but what a word is: words are
numbered, a few of them at regular places of every item are anchors, and from wherever a text holds an anchor the words
before and after are compared. A run of n words holds one of an item's runs of k that begin n - k + 1 words apart.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Final

import numpy as np

from pipeline.curation.text.segments import words_of

_ANCHOR: Final = 6
"""Words of an anchor, at most: rare enough that nearly every one that is met is an item's."""
_UNKNOWN, _TEXT_END, _ITEM_END = -1, -2, -3
_BITMAP_BITS: Final = 22
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)


class ItemWords:
    """The items, made ready to be looked for."""

    def __init__(self, items: Iterable[tuple[str, str]], ngram: int, short_item_words: int) -> None:
        """`items`: names and texts; `ngram`: words in a row that count, or all of an item that has fewer;
        `short_item_words`: an item of fewer is not looked for."""
        self._ids: dict[str, int] = {}
        self._names: list[str] = []
        sizes: list[int] = []
        flat = array("q", [_ITEM_END])
        starts: list[int] = []
        for name, text in items:
            words = words_of(text)
            if min(ngram, len(words)) < short_item_words:
                continue
            self._names.append(name)
            sizes.append(min(ngram, len(words)))
            starts.append(len(flat))
            flat.extend(self._ids.setdefault(word, len(self._ids)) for word in words)
            flat.append(_ITEM_END)
        self._words = list(self._ids)
        self._flat, self._sizes = np.array(flat, dtype=np.int64), np.array(sizes, dtype=np.int64)
        self._length = min([_ANCHOR, *sizes])
        self._set_anchors(starts)

    def __len__(self) -> int:
        return len(self._names)

    def shared_with(self, texts: Sequence[str]) -> dict[int, str]:
        """By place of the text: the first item of which it holds enough words in a row, a letter among them, and these
        words."""
        if not self._names:
            return {}
        flat, ends = self._numbered(texts)
        at, anchor = self._met(flat)
        place, item = self._places[anchor], self._items[anchor]
        first, run = _common_run(flat, at, self._flat, place)
        enough = run >= self._sizes[item]
        found: dict[int, str] = {}
        for number, start, words, which in zip(
            np.searchsorted(ends, at[enough], side="right").tolist(),
            first[enough].tolist(),
            run[enough].tolist(),
            item[enough].tolist(),
            strict=True,
        ):
            shared = [self._words[word] for word in flat[start : start + words].tolist()]
            if number not in found and any(char.isalpha() for word in shared for char in word):
                found[number] = f"{self._names[which]}: {' '.join(shared[: int(self._sizes[which])])}"
        return found

    def _set_anchors(self, starts: Sequence[int]) -> None:
        """Anchors sorted by their words' hash, with their places and items."""
        places = [np.empty(0, dtype=np.int64)]
        items = [np.empty(0, dtype=np.int64)]
        for number, start in enumerate(starts):
            end = starts[number + 1] if number + 1 < len(starts) else len(self._flat)
            step = int(self._sizes[number]) - self._length + 1
            places.append(np.arange(start, end - self._length, step))
            items.append(np.full(len(places[-1]), number))
        place, item = np.concatenate(places), np.concatenate(items)
        hashes = _hashes(self._flat, self._length)[place]
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._places, self._items = hashes[order], place[order], item[order]
        self._bitmap = np.zeros(1 << _BITMAP_BITS, dtype=bool)
        self._bitmap[_leading(self._hashes)] = True

    def _numbered(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Words of all texts, each text ended by a number that is no word's, and where the texts end."""
        flat, ends = array("q", [_TEXT_END]), []
        for text in texts:
            flat.extend(map(self._ids.get, words_of(text), repeat(_UNKNOWN)))
            flat.append(_TEXT_END)
            ends.append(len(flat))
        return np.array(flat, dtype=np.int64), np.array(ends, dtype=np.int64)

    def _met(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places of the texts at which an anchor may begin, in their order, each with every anchor that may."""
        hashes = _hashes(flat, self._length)
        likely = np.flatnonzero(self._bitmap[_leading(hashes)])
        low = np.searchsorted(self._hashes, hashes[likely], side="left")
        counts = np.searchsorted(self._hashes, hashes[likely], side="right") - low
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(likely, counts), np.repeat(low, counts) + within


def _common_run(
    left: np.ndarray, at: np.ndarray, right: np.ndarray, place: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each pair of places: where the run of equal numbers around it begins on the left, and its length; 0 where
    they differ at the places themselves. Both arrays begin and end with a number that the other has not."""
    after, before = np.zeros_like(at), np.zeros_like(at)
    for reach, step in ((after, 1), (before, -1)):
        going = np.arange(len(at))
        offset = 0 if step == 1 else -1
        while len(going):
            going = going[left[at[going] + offset] == right[place[going] + offset]]
            reach[going] += 1
            offset += step
    return at - before, np.where(after > 0, before + after, 0)


def _hashes(numbers: np.ndarray, size: int) -> np.ndarray:
    """A hash (uint64) of the `size` numbers from each place on."""
    unsigned = numbers.astype(np.uint64)
    hashes = np.zeros(max(0, len(numbers) - size + 1), dtype=np.uint64)
    for step in range(size):
        hashes *= _FACTOR
        hashes += unsigned[step : step + len(hashes)]
    hashes *= _FACTOR
    hashes ^= hashes >> np.uint64(29)
    return hashes * _FACTOR


def _leading(hashes: np.ndarray) -> np.ndarray:
    return hashes >> np.uint64(64 - _BITMAP_BITS)
