"""German: agreement, articles, case, binding by person, the verb's places, and the place of the negation."""

from __future__ import annotations

from typing import Final

from pipeline.evaluation.minimal_pairs.rules import Draw, Noun, Pair, Rules, forms, nouns, sentence

MASCULINE: Final = nouns(
    "m",
    "Hund Hunde, Mann Männer, König Könige, Vater Väter, Bruder Brüder, Freund Freunde, Vogel Vögel, Wolf Wölfe, "
    "Arzt Ärzte, Sohn Söhne, Fuchs Füchse",
)
FEMININE: Final = nouns(
    "f",
    "Frau Frauen, Königin Königinnen, Mutter Mütter, Schwester Schwestern, Katze Katzen, Tochter Töchter, Kuh Kühe, "
    "Freundin Freundinnen, Lehrerin Lehrerinnen, Maus Mäuse, Tante Tanten",
)
NEUTER: Final = nouns("n", "Kind Kinder, Pferd Pferde, Tier Tiere, Schaf Schafe, Huhn Hühner, Kalb Kälber")
ALL: Final = [*MASCULINE, *FEMININE, *NEUTER]
ARTICLES: Final = {"m": "der", "f": "die", "n": "das"}
OBJECT_ARTICLES: Final = {"m": "den", "f": "die", "n": "das"}
VERBS: Final = forms(
    "schläft schlafen, singt singen, läuft laufen, isst essen, spielt spielen, lacht lachen, wartet warten, "
    "arbeitet arbeiten, weint weinen, tanzt tanzen, lebt leben, ruht ruhen"
)
SEEING: Final = "sieht kennt sucht findet hört liebt ruft trifft".split()
REFLEXIVE: Final = {
    ("ich", "mich"): "sehe kenne wasche suche finde zeichne".split(),
    ("du", "dich"): "siehst kennst wäschst suchst findest zeichnest".split(),
    ("wir", "uns"): "sehen kennen waschen suchen finden zeichnen".split(),
    ("ihr", "euch"): "seht kennt wascht sucht findet zeichnet".split(),
}
"""Verbs of each person but the third, by its pronoun and its reflexive."""
PLACES: Final = (
    "im Garten",
    "im Haus",
    "am Fluss",
    "unter dem Baum",
    "im Wald",
    "vor der Tür",
    "auf dem Hügel",
    "im Dorf",
)
TIMES: Final = ("heute", "jetzt", "oft", "am Abend", "im Sommer", "manchmal")
SAYING: Final = ("ich weiß", "wir glauben", "sie sagt", "er denkt", "ich sehe", "man hört")


def _subject(noun: Noun, number: int) -> tuple[str, str]:
    return "die" if number else ARTICLES[noun.gender], noun.form(number)


def _agreement(draw: Draw) -> Pair:
    noun, verb, number, place = draw.of(ALL), draw.of(VERBS), draw.number(), draw.of(PLACES)
    start = _subject(noun, number)
    return Pair(sentence(*start, verb[number], place), sentence(*start, verb[1 - number], place))


def _attractor(draw: Draw) -> Pair:
    (noun, other), verb, number, place = draw.two(ALL), draw.of(VERBS), draw.number(), draw.of(PLACES)
    beside = ("die" if not number else OBJECT_ARTICLES[other.gender], other.form(1 - number))
    start = (*_subject(noun, number), "ohne", *beside)
    return Pair(sentence(*start, verb[number], place), sentence(*start, verb[1 - number], place))


def _determiner(draw: Draw) -> Pair:
    noun, verb, place = draw.of(ALL), draw.of(VERBS), draw.of(PLACES)
    wrong = draw.of([article for gender, article in ARTICLES.items() if gender != noun.gender])
    rest = (noun.singular, verb[0], place)
    return Pair(sentence(ARTICLES[noun.gender], *rest), sentence(wrong, *rest))


def _case(draw: Draw) -> Pair:
    """Both nouns are masculine: after any other subject, an object in its form would be the subject."""
    subject, thing = draw.two(MASCULINE)
    start, rest = ("der", subject.singular, draw.of(SEEING)), (thing.singular, draw.of(PLACES))
    return Pair(sentence(*start, "den", *rest), sentence(*start, "der", *rest))


def _binding(draw: Draw) -> Pair:
    (pronoun, reflexive), verbs = draw.of(list(REFLEXIVE.items()))
    start, rest = (pronoun, draw.of(verbs)), (draw.of(TIMES), draw.of(PLACES))
    return Pair(sentence(*start, reflexive, *rest), sentence(*start, "sich", *rest))


def _word_order(draw: Draw) -> Pair:
    noun, verb, number, place = draw.of(ALL), draw.of(VERBS), draw.number(), draw.of(PLACES)
    subject = _subject(noun, number)
    if draw.number():
        time = draw.of(TIMES)
        return Pair(sentence(time, verb[number], *subject, place), sentence(time, *subject, verb[number], place))
    start = (f"{draw.of(SAYING)}, dass", *subject)
    return Pair(sentence(*start, place, verb[number]), sentence(*start, verb[number], place))


def _negation(draw: Draw) -> Pair:
    noun, verb, number, place = draw.of(ALL), draw.of(VERBS), draw.number(), draw.of(PLACES)
    start, word = _subject(noun, number), draw.of(("nicht", "nie", "niemals"))
    return Pair(sentence(*start, verb[number], word, place), sentence(*start, word, verb[number], place))


RULES: Final[Rules] = {
    "agreement": _agreement,
    "attractor": _attractor,
    "determiner": _determiner,
    "case": _case,
    "binding": _binding,
    "word_order": _word_order,
    "negation": _negation,
}
