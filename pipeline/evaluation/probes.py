"""Sequences that show whether a model has a mechanism, made from a seed and a vocabulary: no text, no download.

A probe asks for tokens that follow from the sequence alone, after rules that no corpus teaches by heart:

- induction: random tokens and then the same again (Elhage et al. 2021; Olsson et al. 2022). What comes next is what
  came after the same token before.
- copying at a distance: a random phrase, so many other tokens, and the phrase again, of which the first half is a cue.
- recall: pairs of a key and a value, and then one of the keys (Arora et al. 2023, associative recall). The right value
  is one of those shown.
- brackets: text in nested brackets of three kinds; at each depth the innermost open one has to be closed.

Random tokens are distinct within a sequence, so that each has one place to look at. Tokens of one seed differ with the
vocabulary, so models of different tokenizers are compared by their means alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.base.errors import NotPossibleError

CUE: Final = 4
PHRASE: Final = 8
"""Tokens of a phrase to copy; its first `CUE` are shown again."""
OPENERS: Final = ("(", "[", "{")
CLOSERS: Final = (")", "]", "}")
WORDS: Final = "the old man sees a dog and small birds sing in red trees near water".split()


@dataclass(frozen=True)
class Repeat:
    """Tokens that come twice, of which the second time is asked for."""

    ids: tuple[int, ...]
    first: int
    """Where the first of them stands."""
    again: int
    """Where it stands the second time."""
    length: int


@dataclass(frozen=True)
class Choice:
    """A prompt and what may follow it, of which one is right."""

    prompt: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...]
    right: int


class _Tokens:
    """Draws of the vocabulary without what ends a text, the same in every version of Python."""

    def __init__(self, vocab_size: int, eot_id: int, seed: str) -> None:
        self._random = random.Random(seed)
        self._ids = [number for number in range(vocab_size) if number != eot_id]

    def distinct(self, count: int) -> list[int]:
        """So many different tokens. Raises NotPossibleError where the vocabulary has fewer."""
        if count > len(self._ids):
            raise NotPossibleError(f"a probe of {count} different tokens needs more than {len(self._ids)} in all")
        for place in range(count):  # the beginning of Fisher and Yates's shuffle
            other = place + int(self._random.random() * (len(self._ids) - place))
            self._ids[place], self._ids[other] = self._ids[other], self._ids[place]
        return self._ids[:count]

    def below(self, count: int) -> int:
        return int(self._random.random() * count)


def induction(vocab_size: int, eot_id: int, *, items: int, length: int, seed: str) -> Iterator[Repeat]:
    """`length` random tokens after end-of-text, and the same again; the first of the second time follows from nothing
    and is not asked for."""
    tokens = _Tokens(vocab_size, eot_id, seed)
    for _ in range(items):
        ids = tokens.distinct(length)
        yield Repeat((eot_id, *ids, *ids), 2, length + 2, length - 1)


def copying(vocab_size: int, eot_id: int, *, items: int, distance: int, seed: str) -> Iterator[Repeat]:
    """A phrase, `distance` other tokens, its first half again, and then its second half, which is asked for."""
    tokens = _Tokens(vocab_size, eot_id, seed)
    for _ in range(items):
        drawn = tokens.distinct(PHRASE + distance)
        phrase, between = drawn[:PHRASE], drawn[PHRASE:]
        ids = (eot_id, *phrase, *between, *phrase)
        yield Repeat(ids, 1 + CUE, 1 + PHRASE + distance + CUE, PHRASE - CUE)


def recall(vocab_size: int, eot_id: int, *, items: int, pairs: int, seed: str) -> Iterator[Choice]:
    """`pairs` keys, each with its value behind it, and then one of the keys."""
    tokens = _Tokens(vocab_size, eot_id, seed)
    for _ in range(items):
        drawn = tokens.distinct(2 * pairs)
        right = tokens.below(pairs)
        values = tuple((value,) for value in drawn[1::2])
        yield Choice((eot_id, *drawn, drawn[2 * right]), values, right)


def brackets(
    encode: Callable[[str], Sequence[int]], eot_id: int, *, items: int, depth: int, seed: str
) -> Iterator[Choice]:
    """Words in `depth` open brackets, where one more has been opened and closed inside; which closes next?"""
    draw = random.Random(seed)

    def word() -> str:
        return WORDS[int(draw.random() * len(WORDS))]

    closers = tuple(tuple(encode(closer)) for closer in CLOSERS)
    if len(set(closers)) < len(closers) or not all(closers):
        raise NotPossibleError("the tokenizer does not tell the three kinds of brackets apart")
    for number in range(items):
        kinds = [int(draw.random() * len(OPENERS)) for _ in range(depth + 1)]
        kinds[depth - 1] = number % len(OPENERS)  # as often one as another, so that a favourite gains nothing
        text = word() + "".join(f" {OPENERS[kind]}{word()} {word()}" for kind in kinds)
        prompt = f"{text}{CLOSERS[kinds[depth]]} {word()}"
        yield Choice((eot_id, *encode(prompt)), closers, kinds[depth - 1])
