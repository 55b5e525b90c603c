"""English tokens exactly as spaCy's blank English pipeline cuts them, without importing spaCy (which imports torch).

In: one blank-separated chunk of text. Out: its tokens, which joined give the chunk. The rules are spaCy's own, in
`english_tokens.json`; the algorithm is the one its documentation gives ("How spaCy's tokenizer works"): special cases,
then prefixes and suffixes from the outside in, then infixes; last, special cases that span several tokens, such as
smileys, are put together again.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

_RULES: Final = Path(__file__).with_name("english_tokens.json")
_OPENING: Final = frozenset('"(“')
_CLOSING: Final = frozenset('.,;:!?")”')
_LONGEST_CHUNK: Final = 10_000
"""Longer chunks are no words; they are cut here first, since the URL pattern is quadratic."""


class EnglishTokenizer:
    """spaCy's English tokenizer for single chunks."""

    def __init__(self) -> None:
        rules: dict[str, Any] = json.loads(_RULES.read_text(encoding="utf-8"))
        self._prefix = re.compile(rules["prefix"]).search
        self._suffix = re.compile(rules["suffix"]).search
        self._infix = re.compile(rules["infix"]).finditer
        self._url = re.compile(rules["url"]).match
        self._special: dict[str, list[str]] = rules["special"]
        self._merged: dict[tuple[str, ...], list[str]] = {}
        for text, tokens in self._special.items():
            by_rules = tuple(self._affixes(text, {}))
            if by_rules != tuple(tokens) or len(by_rules) > 1:
                self._merged[by_rules] = tokens
        self._longest = max(map(len, self._merged))

    def __call__(self, chunk: str) -> list[str]:
        """The tokens of a chunk without blanks."""
        simple = self._simple(chunk)
        if simple is not None:
            return simple
        if len(chunk) > _LONGEST_CHUNK:
            return [chunk]
        return self._merge(self._affixes(chunk, self._special))

    def _simple(self, chunk: str) -> list[str] | None:
        """Most chunks are a word or a number, perhaps after a mark and before one or two: no rule cuts the word."""
        special = self._special
        if chunk in special:
            return None
        if chunk.isascii() and chunk.isalpha():
            return [chunk]
        start = 1 if chunk[0] in _OPENING else 0
        stop = len(chunk)
        while stop > start and chunk[stop - 1] in _CLOSING:
            stop -= 1
        word, after = chunk[start:stop], chunk[stop:]
        if len(word) < 2 or len(after) > 2 or not word.isascii() or (len(after) == 2 and after[0] == after[1]):
            return None
        if not ((word.isalpha() and word[-1].islower()) or (word.isdigit() and not start)):
            return None
        if word in special or after in special or chunk[start:] in special or chunk[start : stop + 1] in special:
            return None
        return [chunk[0], word, *after] if start else [word, *after]

    def _affixes(self, rest: str, special: dict[str, list[str]]) -> list[str]:
        tokens: list[str] = []
        suffixes: list[str] = []
        before = -1
        while rest and len(rest) != before:
            if rest in special:
                break
            before = len(rest)
            prefix = self._prefix(rest)
            cut = prefix.end() if prefix else 0
            if cut and rest[cut:] in special:
                tokens.append(rest[:cut])
                rest = rest[cut:]
                break
            suffix = self._suffix(rest[cut:])
            keep = cut + suffix.start() if suffix else len(rest)
            if keep < len(rest) and rest[:keep] in special:
                suffixes.append(rest[keep:])
                rest = rest[:keep]
                break
            if cut and keep < len(rest):
                suffixes.append(rest[keep:])
                tokens.append(rest[:cut])
                rest = rest[cut:keep]
            elif cut:
                tokens.append(rest[:cut])
                rest = rest[cut:]
            elif keep < len(rest):
                suffixes.append(rest[keep:])
                rest = rest[:keep]
        if rest:
            tokens.extend(self._core(rest, special))
        return [token for token in [*tokens, *reversed(suffixes)] if token]

    def _core(self, rest: str, special: dict[str, list[str]]) -> list[str]:
        if rest in special:
            return special[rest]
        if self._url(rest):
            return [rest]
        tokens: list[str] = []
        start = 0
        for match in self._infix(rest):
            if match.start() == match.end() or match.start() == 0:
                continue
            if match.start() != start:
                tokens.append(rest[start : match.start()])
            tokens.append(match[0])
            start = match.end()
        return [*tokens, rest[start:]] if rest[start:] else tokens

    def _merge(self, tokens: list[str]) -> list[str]:
        """Put special cases together that the affix rules took apart, the longest from the left first."""
        place = 0
        while place < len(tokens) - 1:
            for size in range(min(self._longest, len(tokens) - place), 1, -1):
                whole = self._merged.get(tuple(tokens[place : place + size]))
                if whole is not None:
                    tokens = [*tokens[:place], *whole, *tokens[place + size :]]
                    place += len(whole) - 1
                    break
            place += 1
        return tokens


@lru_cache(maxsize=1)
def english_tokenizer() -> EnglishTokenizer:
    """The tokenizer, built once a process."""
    return EnglishTokenizer()
