"""Where words begin and end in scripts of all kinds, as Unicode's word boundaries have them (UAX #29, WB3 to WB13).

In: text, a chunk or all of it. Out: its tokens or words. A letter keeps the marks that follow it, such as the vowel
signs of Devanagari and Telugu, the points of Hebrew and Arabic and the tones of Yoruba, and so do joiners and other
invisible format characters: Python's `\\w` has none of them. Hyphens join too, which Unicode leaves to the
application. In scripts that write no blanks between words ICU's dictionaries find them, as that annex asks for.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import chain
from typing import Final

from pipeline.curation.text.normal_form import normal_form

_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\ua9e0-\ua9ff\uaa60-\uaa7f\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
"""Thai, Lao, Burmese, Khmer, kana and Han."""
SEPARATORS: Final = "\u0f0b\u0f0c\u1361\u200b"
"""What parts words in place of a blank: Tibetan's tsheg (it parts syllables), Ethiopic's dots, the zero-width space."""
_ASCII = re.compile("[a-z0-9_]+")
_UNSPACED_START = re.compile(f"[{_UNSPACED}]")


def tokens_and_symbols(text: str) -> list[str]:
    """Words as they are written, one with its apostrophes and hyphens, and every symbol between them."""
    tokens: list[str] = _patterns()[0].findall(text)
    return _cut_unspaced(tokens) if _UNSPACED_START.search(text) else tokens


def words_of(text: str) -> list[str]:
    """The plain words of a text."""
    if text.isascii():
        return [text.lower()] if text.isalnum() else plain_words(text.lower())
    return plain_words(normal_form("NFKC", text).lower())


def plain_words(text: str) -> list[str]:
    """Runs of lower-case letters and digits, and words of scripts without spaces."""
    if text.isascii():
        words: list[str] = _ASCII.findall(text)
        return words
    words = _patterns()[1].findall(text)
    if _UNSPACED_START.search(text):
        return [word for word in _cut_unspaced(words) if any(map(str.isalnum, word))]
    return words


def _cut_unspaced(tokens: list[str]) -> list[str]:
    """The tokens, with runs of scripts without spaces cut into words."""
    from icu4py.breakers import WordBreaker

    return [
        word for token in tokens for word in (WordBreaker(token, "en") if _UNSPACED_START.match(token) else (token,))
    ]


@lru_cache(maxsize=1)
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Of tokens and of plain words. To look for all marks takes too long to be done whenever this is imported."""
    formats = _class_of("Cf")
    joined = _class_of("Mn", "Mc", "Me") + formats
    letters = f"[^\\W{_UNSPACED}]"
    # every mark is looked for among hundreds of ranges: not before it is known that a word's next character may be one
    word = f"{letters}++(?:(?=[^\\x00-\\x7f])[{joined}]++{letters}*+)*+"
    unspaced = f"[{_UNSPACED}][{_UNSPACED}{joined}]*"
    symbol = f"[^\\w\\s{formats}{SEPARATORS}][{joined}]*"
    return re.compile(f"{word}(?:['’\\-]{word})*|{unspaced}|{symbol}"), re.compile(f"{word}|{unspaced}")


def _class_of(*categories: str) -> str:
    """The characters of some Unicode categories, less the separators, as the inside of a pattern's brackets."""
    ranges: list[list[int]] = []
    for code in chain(range(0x20000), range(0xE0000, 0xE0200)):
        char = chr(code)
        if unicodedata.category(char) in categories and char not in SEPARATORS:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
