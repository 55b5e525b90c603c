"""Italian."""

from __future__ import annotations

from typing import Final

from pipeline.evaluation.minimal_pairs.romance import Words, adjectives, romance_rules
from pipeline.evaluation.minimal_pairs.rules import Draw, Rules, forms, nouns


def _deny(draw: Draw, verb: str) -> tuple[str, str]:
    """A negative word stands before the verb."""
    when = draw.of(("oggi", "adesso", "ancora"))
    return f"non {verb} {when}", f"{verb} non {when}"


WORDS: Final = Words(
    nouns=[
        *nouns(
            "m",
            "ragazzo ragazzi, cane cani, gatto gatti, padre padri, fratello fratelli, cavallo cavalli, "
            "coniglio conigli, lupo lupi, medico medici, vicino vicini, maestro maestri, soldato soldati, "
            "bambino bambini",
        ),
        *nouns(
            "f",
            "ragazza ragazze, donna donne, regina regine, madre madri, sorella sorelle, principessa principesse, "
            "mucca mucche, gallina galline, signora signore, nonna nonne, rana rane, maestra maestre, bambina bambine",
        ),
    ],
    articles={"m": ("il", "i"), "f": ("la", "le")},
    verbs=forms(
        "dorme dormono, canta cantano, mangia mangiano, cammina camminano, gioca giocano, corre corrono, "
        "aspetta aspettano, lavora lavorano, piange piangono, balla ballano, cade cadono, ride ridono, vive vivono"
    ),
    places=(
        "nel giardino",
        "nella casa",
        "vicino al fiume",
        "sotto un albero",
        "nel bosco",
        "davanti alla porta",
        "sulla collina",
        "nel villaggio",
    ),
    beside=("con", "dietro", "senza"),
    copula=("è", "sono"),
    degrees=("molto", "così", "sempre", "ancora", "troppo"),
    adjectives=adjectives(
        "stanco stanca stanchi stanche, contento contenta contenti contente, piccolo piccola piccoli piccole, "
        "alto alta alti alte, buono buona buoni buone, cattivo cattiva cattivi cattive, "
        "vecchio vecchia vecchi vecchie, malato malata malati malate, solo sola soli sole, "
        "ricco ricca ricchi ricche, seduto seduta seduti sedute"
    ),
    seeing=forms(
        "vede vedono, guarda guardano, lava lavano, conosce conoscono, cerca cercano, trova trovano, "
        "disegna disegnano, salva salvano"
    ),
    object_pronouns=("lo", "la", "li", "le"),
    reflexive="",
    emphatic={"m": ("sé stesso", "sé stessi"), "f": ("sé stessa", "sé stesse")},
    deny=_deny,
)
RULES: Final[Rules] = romance_rules(WORDS)
