"""French."""

from __future__ import annotations

from typing import Final

from pipeline.evaluation.minimal_pairs.romance import Words, adjectives, romance_rules
from pipeline.evaluation.minimal_pairs.rules import Draw, Rules, forms, nouns


def _deny(draw: Draw, verb: str) -> tuple[str, str]:
    """`ne dort pas`, where `ne pas dort` has the order of an infinitive."""
    word = draw.of(("pas", "jamais", "plus"))
    return f"ne {verb} {word}", f"ne {word} {verb}"


WORDS: Final = Words(
    nouns=[
        *nouns(
            "m",
            "garçon garçons, chien chiens, chat chats, roi rois, père pères, frère frères, cheval chevaux, "
            "lapin lapins, loup loups, voisin voisins, prince princes, chasseur chasseurs, soldat soldats",
        ),
        *nouns(
            "f",
            "fille filles, femme femmes, reine reines, mère mères, sœur sœurs, princesse princesses, vache vaches, "
            "poule poules, dame dames, voisine voisines, tante tantes, grenouille grenouilles, sorcière sorcières",
        ),
    ],
    articles={"m": ("le", "les"), "f": ("la", "les")},
    verbs=forms(
        "dort dorment, chante chantent, mange mangent, marche marchent, joue jouent, rit rient, part partent, "
        "travaille travaillent, pleure pleurent, danse dansent, tombe tombent, vit vivent, revient reviennent"
    ),
    places=(
        "dans le jardin",
        "dans la maison",
        "près de la rivière",
        "sous un arbre",
        "dans la forêt",
        "devant la porte",
        "sur la colline",
        "dans le village",
    ),
    beside=("avec", "devant", "derrière", "sans"),
    copula=("est", "sont"),
    degrees=("très", "trop", "si", "souvent", "encore", "toujours"),
    adjectives=adjectives(
        "petit petite petits petites, grand grande grands grandes, content contente contents contentes, "
        "méchant méchante méchants méchantes, blanc blanche blancs blanches, seul seule seuls seules, "
        "vieux vieille vieux vieilles, beau belle beaux belles, heureux heureuse heureux heureuses, "
        "gentil gentille gentils gentilles, assis assise assis assises, bon bonne bons bonnes"
    ),
    seeing=forms(
        "voit voient, regarde regardent, lave lavent, connaît connaissent, cherche cherchent, trouve trouvent, "
        "dessine dessinent, sauve sauvent"
    ),
    object_pronouns=("le", "la", "les"),
    reflexive="se",
    emphatic={"m": ("lui-même", "eux-mêmes"), "f": ("elle-même", "elles-mêmes")},
    deny=_deny,
)
RULES: Final[Rules] = romance_rules(WORDS)
