"""English tokens exactly as spaCy's blank English pipeline cuts them, without importing spaCy (which imports torch).

In: one blank-separated chunk of text. Out: its tokens, which joined give the chunk. The rules are spaCy's own, in
`english_tokens.json`; the algorithm is the one its documentation gives ("How spaCy's tokenizer works"): special cases,
then prefixes and suffixes from the outside in, then infixes; last, special cases that span several tokens, such as
smileys, are put together again.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

_RULES: Final = Path(__file__).with_name("english_tokens.json")
_LONGEST_CHUNK: Final = 10_000
"""Longer chunks are no words and stay whole."""
_WINDOW: Final = 32
"""Characters at either end that the rules look at: but for rows of dots they and what they look back on are shorter."""
_NO_PREFIX: Final = frozenset(string.ascii_letters + string.digits) - frozenset("UCA")
"""Characters that no prefix begins with (US$, C$ and A$ are prefixes)."""
_LONGEST_SUFFIX: Final = 5
"""Characters of a suffix that is no row of dots."""
_ALPHANUMERIC: Final = frozenset(string.ascii_letters + string.digits)
_BEFORE_LETTERS: Final = re.compile("[0-9'’]")
"""What a suffix that ends in a letter begins with or follows: units follow a digit, others are 's and ’s."""
_MARK: Final = re.compile("[^A-Za-z0-9]")
"""What every infix begins with."""
_ANY_USER: Final = r"(?:\S+(?::\S*)?@)?"
_LINEAR_USER: Final = r"(?:\S+@)?"
"""What stands before the `@` of a URL: the same strings, without trying every `:` in them anew."""


class EnglishTokenizer:
    """spaCy's English tokenizer for single chunks."""

    def __init__(self) -> None:
        rules: dict[str, Any] = json.loads(_RULES.read_text(encoding="utf-8"))
        self._prefix = re.compile(rules["prefix"]).match
        self._suffix = re.compile(rules["suffix"]).search
        self._infix = re.compile(rules["infix"]).finditer
        self._url = re.compile(rules["url"].replace(_ANY_USER, _LINEAR_USER)).match
        self._special: dict[str, list[str]] = rules["special"]
        self._longest_special = max(map(len, self._special))
        self._merged: dict[tuple[str, ...], list[str]] = {}
        for text, tokens in self._special.items():
            by_rules = tuple(self._affixes(text, {}))
            if by_rules != tuple(tokens) or len(by_rules) > 1:
                self._merged[by_rules] = tokens
        self._merged_firsts = {tokens[0] for tokens in self._merged}
        self._longest = max(map(len, self._merged))

    @property
    def special_cases(self) -> Collection[str]:
        """The texts that are cut in a way of their own."""
        return self._special.keys()

    def __call__(self, chunk: str) -> list[str]:
        """The tokens of a chunk without blanks."""
        if len(chunk) > _LONGEST_CHUNK:
            return [chunk]
        return self._merge(self._affixes(chunk, self._special))

    def _affixes(self, chunk: str, special: dict[str, list[str]]) -> list[str]:
        tokens: list[str] = []
        suffixes: list[str] = []
        start, stop = 0, len(chunk)
        longest = self._longest_special if special else -1
        before = -1
        while start < stop and stop - start != before:
            before = stop - start
            if before <= longest and chunk[start:stop] in special:
                break
            cut = start if chunk[start] in _NO_PREFIX else start + self._prefix_length(chunk, start, stop)
            if start < cut and stop - cut <= longest and chunk[cut:stop] in special:
                tokens.append(chunk[start:cut])
                start = cut
                break
            keep = stop - self._suffix_length(chunk, cut, stop)
            if keep < stop and keep - start <= longest and chunk[start:keep] in special:
                suffixes.append(chunk[keep:stop])
                stop = keep
                break
            if keep < stop:
                suffixes.append(chunk[keep:stop])
            if start < cut:
                tokens.append(chunk[start:cut])
            start, stop = cut, keep
        if start < stop:
            tokens.extend(self._core(chunk[start:stop], special))
        return [token for token in [*tokens, *reversed(suffixes)] if token]

    def _prefix_length(self, chunk: str, start: int, stop: int) -> int:
        window = chunk[start : min(stop, start + _WINDOW)]
        prefix = self._prefix(window)
        if prefix is None:
            return 0
        if prefix.end() == _WINDOW:  # only a row of dots is that long
            return stop - start - len(chunk[start:stop].lstrip("."))
        return prefix.end()

    def _suffix_length(self, chunk: str, start: int, stop: int) -> int:
        window = chunk[max(start, stop - _WINDOW) : stop]
        near = max(0, len(window) - _LONGEST_SUFFIX)
        if window[-1:] in _ALPHANUMERIC and _BEFORE_LETTERS.search(window, near) is None:
            return 0
        suffix = self._suffix(window, 0 if window.endswith("..") else near)
        if suffix is None:
            return 0
        if suffix.start() == 0 and len(window) == _WINDOW:
            return stop - start - len(chunk[start:stop].rstrip("."))
        return len(suffix[0])

    def _core(self, rest: str, special: dict[str, list[str]]) -> list[str]:
        if rest in special:
            return special[rest]
        if "." in rest and self._url(rest):
            return [rest]
        mark = _MARK.search(rest)
        if mark is None:
            return [rest]
        tokens: list[str] = []
        start = 0
        for match in self._infix(rest, mark.start()):
            if match.start() == match.end() or match.start() == 0:
                continue
            if match.start() != start:
                tokens.append(rest[start : match.start()])
            tokens.append(match[0])
            start = match.end()
        return [*tokens, rest[start:]] if rest[start:] else tokens

    def _merge(self, tokens: list[str]) -> list[str]:
        """Put special cases together that the affix rules took apart, the longest from the left first."""
        merged: list[str] = []
        place = 0
        while place < len(tokens):
            if tokens[place] not in self._merged_firsts:
                merged.append(tokens[place])
                place += 1
                continue
            for size in range(min(self._longest, len(tokens) - place), 1, -1):
                whole = self._merged.get(tuple(tokens[place : place + size]))
                if whole is not None:
                    merged += whole
                    place += size
                    break
            else:
                merged.append(tokens[place])
                place += 1
        return merged


@lru_cache(maxsize=1)
def english_tokenizer() -> EnglishTokenizer:
    """The tokenizer, built once a process."""
    return EnglishTokenizer()
