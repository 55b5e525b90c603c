"""English: agreement, determiners, binding, case, word order, and words that want a negation before them."""

from __future__ import annotations

from typing import Final

from pipeline.evaluation.minimal_pairs.rules import Draw, Pair, Rules, forms, nouns, sentence

MALE: Final = nouns(
    "m", "boy boys, king kings, father fathers, brother brothers, man men, prince princes, uncle uncles"
)
FEMALE: Final = nouns(
    "f", "girl girls, queen queens, mother mothers, sister sisters, woman women, princess princesses, aunt aunts"
)
OTHERS: Final = nouns(
    "",
    "dog dogs, cat cats, bird birds, farmer farmers, teacher teachers, doctor doctors, horse horses, rabbit rabbits, "
    "child children, friend friends, fox foxes, bear bears",
)
ALL: Final = [*MALE, *FEMALE, *OTHERS]
ADJECTIVES: Final = "old young little big good happy tired poor kind strong quiet hungry".split()
VERBS: Final = forms(
    "sleeps sleep, runs run, sings sing, walks walk, eats eat, laughs laugh, waits wait, swims swim, plays play, "
    "smiles smile, works work, jumps jump, cries cry, lives live"
)
TRANSITIVE: Final = forms(
    "sees see, likes like, knows know, helps help, finds find, hears hear, follows follow, calls call, loves love, "
    "watches watch"
)
PAST: Final = "saw hurt helped liked washed found heard loved watched blamed".split()
PARTICIPLES: Final = "slept run sung walked eaten laughed waited swum played smiled worked jumped cried lived".split()
PLACES: Final = (
    "in the garden",
    "near the river",
    "in the house",
    "by the window",
    "under the tree",
    "on the hill",
    "in the woods",
    "at school",
    "in the town",
    "behind the wall",
)
BESIDE: Final = ("near", "with", "behind", "beside")


def _agreement(draw: Draw) -> Pair:
    noun, verb, number = draw.of(ALL), draw.of(VERBS), draw.number()
    subject, place = ("the", draw.of(ADJECTIVES), noun.form(number)), draw.of(PLACES)
    return Pair(sentence(*subject, verb[number], place), sentence(*subject, verb[1 - number], place))


def _attractor(draw: Draw) -> Pair:
    (noun, other), verb, number = draw.two(ALL), draw.of(VERBS), draw.number()
    subject = ("the", noun.form(number), draw.of(BESIDE), "the", other.form(1 - number))
    place = draw.of(PLACES)
    return Pair(sentence(*subject, verb[number], place), sentence(*subject, verb[1 - number], place))


def _determiner(draw: Draw) -> Pair:
    (subject, noun), number = draw.two(ALL), draw.number()
    words = draw.of((("this", "these"), ("that", "those")))
    start, rest = ("the", subject.singular, draw.of(PAST)), (noun.form(number), draw.of(PLACES))
    return Pair(sentence(*start, words[number], *rest), sentence(*start, words[1 - number], *rest))


def _binding(draw: Draw) -> Pair:
    noun = draw.of([*MALE, *FEMALE])
    words = ("himself", "herself") if noun.gender == "m" else ("herself", "himself")
    start, place = ("the", draw.of(ADJECTIVES), noun.singular, draw.of(PAST)), draw.of(PLACES)
    return Pair(sentence(*start, words[0], place), sentence(*start, words[1], place))


def _case(draw: Draw) -> Pair:
    noun, verb, number = draw.of(ALL), draw.of(TRANSITIVE), draw.number()
    right, wrong = draw.of((("him", "he"), ("her", "she"), ("them", "they"), ("us", "we"), ("me", "I")))
    start, place = ("the", draw.of(ADJECTIVES), noun.form(number), verb[number]), draw.of(PLACES)
    return Pair(sentence(*start, right, place), sentence(*start, wrong, place))


def _word_order(draw: Draw) -> Pair:
    (one, two), number = draw.two(ALL), draw.number()
    adjective, place = draw.of(ADJECTIVES), draw.of(PLACES)
    subject, verb, thing = one.form(number), draw.of(TRANSITIVE)[number], two.singular
    good = sentence("the", adjective, subject, verb, "the", thing, place)
    return Pair(
        good,
        draw.of(
            (
                sentence("the", adjective, subject, "the", thing, verb, place),
                sentence("the", subject, adjective, verb, "the", thing, place),
                sentence("the", adjective, subject, verb, thing, "the", place),
            )
        ),
    )


def _negation(draw: Draw) -> Pair:
    """`ever` wants a negation above it, not one inside the subject."""
    (noun, other), participle, place = draw.two(ALL), draw.of(PARTICIPLES), draw.of(PLACES)
    beside, rest = draw.of(BESIDE), ("has ever", participle, place)
    return Pair(
        sentence("no", noun.singular, beside, "the", other.singular, *rest),
        sentence("the", noun.singular, beside, "no", other.singular, *rest),
    )


RULES: Final[Rules] = {
    "agreement": _agreement,
    "attractor": _attractor,
    "determiner": _determiner,
    "binding": _binding,
    "case": _case,
    "word_order": _word_order,
    "negation": _negation,
}
