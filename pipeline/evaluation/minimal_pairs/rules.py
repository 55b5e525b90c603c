"""Minimal pairs from grammar rules: two sentences of the same words or nearly so, of which one is well formed.

A rule is a function that draws such a pair; a language is a table of rules by the phenomenon they are about, over a
vocabulary that children's books have. Pairs follow from the seed, the language and the phenomenon alone, so that a new
rule changes no other's pairs (Warstadt et al. 2020, BLiMP, made theirs from templates in the same way).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from pipeline.base.errors import EvaluationError

MOST_TRIES: Final = 20
"""Draws for each pair that is wanted, of which some give one that is there already."""
T = TypeVar("T")


class Pair(NamedTuple):
    """A well-formed sentence and its ill-formed neighbour."""

    good: str
    bad: str


class Draw:
    """Choices at random that are the same in every version of Python: only `random()` of the standard library is
    promised to be."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def of(self, items: Sequence[T]) -> T:
        """One of them, each equally likely."""
        return items[int(self._random.random() * len(items))]

    def number(self) -> int:
        """0 for singular, 1 for plural."""
        return self.of((0, 1))

    def two(self, items: Sequence[T]) -> tuple[T, T]:
        """Two different ones."""
        first, second = self.of(items), self.of(items)
        while second == first:
            second = self.of(items)
        return first, second


Rule = Callable[[Draw], Pair]
Rules = Mapping[str, Rule]
"""A language's rules by phenomenon."""


@dataclass(frozen=True)
class Noun:
    """A noun that can act, in both numbers."""

    singular: str
    plural: str
    gender: str
    """`m`, `f` or `n`; empty where the language has none."""

    def form(self, number: int) -> str:
        return self.plural if number else self.singular


Forms = tuple[str, str]
"""Singular and plural of the third person."""


def forms(words: str) -> list[Forms]:
    """Verbs written as `sings sing, runs run`."""
    return [(first, second) for first, second in (pair.split() for pair in words.split(", "))]


def nouns(gender: str, words: str) -> list[Noun]:
    """Nouns written as `cat cats, dog dogs`."""
    return [Noun(singular, plural, gender) for singular, plural in forms(words)]


def sentence(*words: str) -> str:
    """Words with spaces between, a capital at the beginning and a full stop."""
    text = " ".join(word for word in words if word)
    return f"{text[0].upper()}{text[1:]}."


def draw_pairs(rule: Rule, count: int, seed: str) -> list[Pair]:
    """`count` different pairs of a rule. Raises EvaluationError where it has no more."""
    draw = Draw(seed)
    found: dict[Pair, None] = {}
    for _ in range(MOST_TRIES * count):
        found[rule(draw)] = None
        if len(found) == count:
            return list(found)
    raise EvaluationError(f"the rule of {seed} has only about {len(found):,} different pairs: ask for fewer `pairs`")
