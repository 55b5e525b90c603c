"""Spanish."""

from __future__ import annotations

from typing import Final

from pipeline.evaluation.minimal_pairs.romance import Words, adjectives, romance_rules
from pipeline.evaluation.minimal_pairs.rules import Draw, Rules, forms, nouns


def _deny(draw: Draw, verb: str) -> tuple[str, str]:
    """A negative word stands before the verb."""
    when = draw.of(("hoy", "ahora", "todavía"))
    return f"no {verb} {when}", f"{verb} no {when}"


WORDS: Final = Words(
    nouns=[
        *nouns(
            "m",
            "niño niños, perro perros, gato gatos, rey reyes, padre padres, hermano hermanos, caballo caballos, "
            "conejo conejos, lobo lobos, médico médicos, pájaro pájaros, maestro maestros, soldado soldados",
        ),
        *nouns(
            "f",
            "niña niñas, mujer mujeres, reina reinas, madre madres, hermana hermanas, princesa princesas, vaca vacas, "
            "gallina gallinas, señora señoras, rana ranas, maestra maestras, vecina vecinas, bruja brujas",
        ),
    ],
    articles={"m": ("el", "los"), "f": ("la", "las")},
    verbs=forms(
        "duerme duermen, canta cantan, come comen, camina caminan, juega juegan, corre corren, espera esperan, "
        "trabaja trabajan, llora lloran, baila bailan, cae caen, ríe ríen, vive viven"
    ),
    places=(
        "en el jardín",
        "en la casa",
        "cerca del río",
        "bajo un árbol",
        "en el bosque",
        "delante de la puerta",
        "en la colina",
        "en el pueblo",
    ),
    beside=("con", "sin", "tras"),
    copula=("está", "están"),
    degrees=("muy", "tan", "siempre", "todavía", "demasiado"),
    adjectives=adjectives(
        "cansado cansada cansados cansadas, contento contenta contentos contentas, enfermo enferma enfermos enfermas, "
        "solo sola solos solas, perdido perdida perdidos perdidas, sentado sentada sentados sentadas, "
        "dormido dormida dormidos dormidas, despierto despierta despiertos despiertas, listo lista listos listas, "
        "tranquilo tranquila tranquilos tranquilas, callado callada callados calladas"
    ),
    seeing=forms(
        "ve ven, mira miran, lava lavan, conoce conocen, busca buscan, encuentra encuentran, dibuja dibujan, "
        "salva salvan"
    ),
    object_pronouns=("lo", "la", "los", "las"),
    reflexive="se",
    emphatic={"m": ("a sí mismo", "a sí mismos"), "f": ("a sí misma", "a sí mismas")},
    deny=_deny,
)
RULES: Final[Rules] = romance_rules(WORDS)
