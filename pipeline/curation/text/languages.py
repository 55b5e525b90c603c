"""One form of a language's code, whatever form it is given in: `fra`, `FR`, `fr-FR`, `fra_Latn` are all `fr`.

In: what a profile or a row says. Out: ISO 639-1 where the language has such a code, else ISO 639-3, which is also what
the language detector says. The code of a member that stands for its whole macrolanguage (`cmn`, `arb`, `swh`) is the
macrolanguage's, as in Unicode's CLDR, whose list it is; the codes are those of ISO 639 (`language_codes.json`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator

from pipeline.base.suggestions import nearest

_CODES: Final = Path(__file__).with_name("language_codes.json")
UNDETERMINED: Final = frozenset({"", "und", "mul", "mis", "zxx"})
"""What data sets write where they say no language: nothing, or ISO 639's codes for none, several and unlisted ones."""
_PARTS: Final = re.compile(r"[-_.@]")


@dataclass(frozen=True)
class _Codes:
    """The codes there are."""

    shorter: dict[str, str]
    """The code that is used instead of another."""
    names: dict[str, str]
    """English names by ISO 639-1."""
    others: frozenset[str]
    """Codes of three letters of languages that have none of two."""


@lru_cache(maxsize=1)
def _codes() -> _Codes:
    data = json.loads(_CODES.read_text(encoding="utf-8"))
    return _Codes(data["shorter"], data["names"], frozenset(data["others"].split()))


@lru_cache(maxsize=1000)
def known_language(given: str) -> str | None:
    """The one form of a code, with or without a script, a region or a variant after it; None where it is no code."""
    codes = _codes()
    code = _PARTS.split(given.strip(), maxsplit=1)[0].lower()
    code = codes.shorter.get(code, code)
    return code if code in codes.names or code in codes.others else None


def language_code(given: str) -> str:
    """The one form of a code.

    Raises:
        ValueError: it is no code; the message names the nearest one, or that of the language it names.
    """
    code = known_language(given)
    if code is None:
        raise ValueError(f"{given!r} is no language code{_hint(given)}; use ISO 639-1 or -3, such as `fr` or `ceb`")
    return code


def language_name(code: str) -> str:
    """The English name of a language, or its code where it has none here."""
    return _codes().names.get(code, code)


LanguageCode: TypeAlias = Annotated[str, AfterValidator(language_code)]
"""A setting that is a language's code."""


def _hint(given: str) -> str:
    """The end of an error: the language whose name or code is most alike, a frequent one before a rare one."""
    codes, wanted = _codes(), _PARTS.split(given.strip(), maxsplit=1)[0].lower()
    by_name = {name.lower(): code for code, name in codes.names.items()}
    near = (
        [by_name[name] for name in nearest(wanted, by_name, least_alike=0.75)]
        or nearest(wanted, [*codes.names, *codes.shorter], least_alike=0.5)
        or nearest(wanted, sorted(codes.others))
    )
    if not near:
        return ""
    code = codes.shorter.get(near[0], near[0])
    name = codes.names.get(code)
    return f"; did you mean {code!r} ({name})?" if name else f"; did you mean {code!r}?"
