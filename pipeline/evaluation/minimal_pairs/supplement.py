"""What BabyLM's supplement to BLiMP is about, from rules of our own, in English: beyond one sentence's grammar.

Warstadt et al. 2023 (the first BabyLM challenge) add five kinds of pairs to BLiMP's: a thing and its kind, answers that
fit the question word, the same where the verb draws the other way, questions about clauses, and who speaks. Their items
are read by the suite `babylm`; these follow the same ideas over the words of the other English rules, with no item of
theirs.
"""

from __future__ import annotations

from typing import Final

from pipeline.evaluation.minimal_pairs.english import ADJECTIVES, ALL, FEMALE, MALE, PLACES, TRANSITIVE
from pipeline.evaluation.minimal_pairs.rules import Draw, Pair, Rules, sentence

KINDS: Final = {
    "animal": "dog cat horse rabbit fox bear cow sheep".split(),
    "bird": "robin sparrow crow owl swan duck".split(),
    "flower": "rose tulip lily daisy".split(),
    "tree": "oak pine willow birch".split(),
    "tool": "hammer saw spade axe".split(),
    "fruit": "apple pear plum cherry".split(),
}
THINGS: Final = "bread cake ball letter book bell coat ring apple box key cup".split()
PEOPLE: Final = [*MALE, *FEMALE]
DRAWS_A_THING: Final = {
    "ate": "bread cake apple plum soup pie".split(),
    "read": "letter book paper story".split(),
    "wrote": "letter book story song".split(),
    "cooked": "soup pie bread cake".split(),
    "drank": "milk water tea wine".split(),
    "sang": "song tune hymn".split(),
}
"""Verbs that go with these things more often than with anyone who does it."""
TIMES: Final = ("yesterday", "today", "last night", "this morning", "at noon", "in the evening")
ANSWERED_BY: Final = {"you": "I", "I": "you", "he": "he", "she": "she", "they": "they"}
"""Who a question is about, and what its answer calls them."""


def _a(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _hypernym(draw: Draw) -> Pair:
    """Whoever has a rose has a flower; whoever has a flower may not have a rose."""
    kind = draw.of(list(KINDS))
    word, noun, verb = draw.of(KINDS[kind]), draw.of(ALL).singular, draw.of(TRANSITIVE)[0]
    start, between = ("if the", noun, verb), (", then the", noun, verb)

    def said(one: str, other: str) -> str:
        return sentence(*start, _a(one), *between, _a(other)).replace(" ,", ",")

    return Pair(said(word, kind), said(kind, word))


def _qa_congruence_easy(draw: Draw) -> Pair:
    """`who` asks for someone, `what` for something."""
    one, two = draw.two(PEOPLE)
    thing, place, verb = draw.of(THINGS), draw.of(PLACES), draw.of(("find", "see", "like", "draw", "watch", "want"))
    word, right, wrong = draw.of((("Who", two.singular, thing), ("What", thing, two.singular)))
    question = f"{word} did the {one.singular} {verb} {place}?\n"
    return Pair(*(f"{question}The {answer}." for answer in (right, wrong)))


def _qa_congruence_tricky(draw: Draw) -> Pair:
    """`who` asks for someone, after a verb that goes with things."""
    verb = draw.of(list(DRAWS_A_THING))
    thing, one, time = draw.of(DRAWS_A_THING[verb]), draw.of(PEOPLE), draw.of(TIMES)
    end = draw.of((f" {verb} {time}", f" {verb}", ""))
    question = f"Who {verb} {time}?\n"
    return Pair(*(f"{question}The {answer}{end}." for answer in (one.singular, thing)))


def _subject_aux_inversion(draw: Draw) -> Pair:
    """The auxiliary at the front is that of the main clause, not the one inside the subject."""
    noun, number, (one, two) = draw.of(ALL), draw.number(), draw.two(ADJECTIVES)
    word = draw.of((("is", "are"), ("was", "were")))[number]
    start = f"{word.capitalize()} the {noun.form(number)} that"
    return Pair(f"{start} {word} {one} {two}?", f"{start} {one} {word} {two}?")


def _turn_taking(draw: Draw) -> Pair:
    """Who answers is `I` where the question said `you`."""
    asked = draw.of(list(ANSWERED_BY))
    right = ANSWERED_BY[asked]
    wrong = draw.of([word for word in ANSWERED_BY.values() if word != right])
    question = f"Did {asked} {draw.of(TRANSITIVE)[1]} the {draw.of(ALL).singular} {draw.of(PLACES)}?\n"
    start, end = draw.of((("Yes", "did"), ("No", "did not")))
    return Pair(*(f"{question}{start}, {who} {end}." for who in (right, wrong)))


RULES: Final[Rules] = {
    "hypernym": _hypernym,
    "qa_congruence_easy": _qa_congruence_easy,
    "qa_congruence_tricky": _qa_congruence_tricky,
    "subject_aux_inversion": _subject_aux_inversion,
    "turn_taking": _turn_taking,
}
