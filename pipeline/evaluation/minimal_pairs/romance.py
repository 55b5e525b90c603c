"""What French, Spanish and Italian have in common: a language is its words, and one function that denies.

The verb agrees with its subject, also past a noun of the other number; articles and adjectives agree with the noun in
gender; the pronoun that is its object stands before the verb; the emphatic reflexive has the subject's gender.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.evaluation.minimal_pairs.rules import Draw, Forms, Noun, Pair, Rules, sentence


@dataclass(frozen=True)
class Words:
    """A language's vocabulary."""

    nouns: Sequence[Noun]
    articles: Mapping[str, Forms]
    """By gender."""
    verbs: Sequence[Forms]
    places: Sequence[str]
    beside: Sequence[str]
    """Prepositions that join with no article."""
    copula: Forms
    degrees: Sequence[str]
    """What stands between copula and adjective."""
    adjectives: Sequence[tuple[str, str, str, str]]
    """Masculine and feminine singular, masculine and feminine plural."""
    seeing: Sequence[Forms]
    """Verbs with an object."""
    object_pronouns: Sequence[str]
    """Which stand before the verb."""
    reflexive: str
    """The pronoun before the verb; empty where the stressed one stands alone."""
    emphatic: Mapping[str, Forms]
    """What stresses it, by gender."""
    deny: Callable[[Draw, str], tuple[str, str]]
    """A verb denied, rightly and wrongly."""


def romance_rules(words: Words) -> Rules:
    """The rules over a vocabulary."""

    def subject(noun: Noun, number: int, gender: str = "") -> tuple[str, str]:
        return words.articles[gender or noun.gender][number], noun.form(number)

    def agreement(draw: Draw) -> Pair:
        noun, verb, number, place = draw.of(words.nouns), draw.of(words.verbs), draw.number(), draw.of(words.places)
        start = subject(noun, number)
        return Pair(sentence(*start, verb[number], place), sentence(*start, verb[1 - number], place))

    def attractor(draw: Draw) -> Pair:
        (noun, other), verb, number = draw.two(words.nouns), draw.of(words.verbs), draw.number()
        start = (*subject(noun, number), draw.of(words.beside), *subject(other, 1 - number))
        place = draw.of(words.places)
        return Pair(sentence(*start, verb[number], place), sentence(*start, verb[1 - number], place))

    def determiner(draw: Draw) -> Pair:
        noun, verb, place = draw.of(words.nouns), draw.of(words.verbs), draw.of(words.places)
        wrong = "f" if noun.gender == "m" else "m"
        rest = (verb[0], place)
        return Pair(sentence(*subject(noun, 0), *rest), sentence(*subject(noun, 0, wrong), *rest))

    def adjective(draw: Draw) -> Pair:
        noun, number, place = draw.of(words.nouns), draw.number(), draw.of(words.places)
        start = (*subject(noun, number), words.copula[number], draw.of(words.degrees))
        pair = draw.of(words.adjectives)[2 * number : 2 * number + 2]
        right, wrong = pair if noun.gender == "m" else pair[::-1]
        return Pair(sentence(*start, right, place), sentence(*start, wrong, place))

    def binding(draw: Draw) -> Pair:
        noun, number, verb, place = draw.of(words.nouns), draw.number(), draw.of(words.seeing), draw.of(words.places)
        start = (*subject(noun, number), words.reflexive, verb[number])
        right, wrong = ("m", "f") if noun.gender == "m" else ("f", "m")
        return Pair(
            sentence(*start, words.emphatic[right][number], place),
            sentence(*start, words.emphatic[wrong][number], place),
        )

    def word_order(draw: Draw) -> Pair:
        noun, number, verb, place = draw.of(words.nouns), draw.number(), draw.of(words.seeing), draw.of(words.places)
        pronoun, start = draw.of(words.object_pronouns), subject(noun, number)
        return Pair(sentence(*start, pronoun, verb[number], place), sentence(*start, verb[number], pronoun, place))

    def negation(draw: Draw) -> Pair:
        noun, number, verb, place = draw.of(words.nouns), draw.number(), draw.of(words.verbs), draw.of(words.places)
        right, wrong = words.deny(draw, verb[number])
        start = subject(noun, number)
        return Pair(sentence(*start, right, place), sentence(*start, wrong, place))

    return {
        "agreement": agreement,
        "attractor": attractor,
        "determiner": determiner,
        "adjective": adjective,
        "binding": binding,
        "word_order": word_order,
        "negation": negation,
    }


def adjectives(words: str) -> list[tuple[str, str, str, str]]:
    """Adjectives written as `petit petite petits petites, ...`."""
    found = [tuple(group.split()) for group in words.split(", ")]
    return [(a, b, c, d) for a, b, c, d in found]
