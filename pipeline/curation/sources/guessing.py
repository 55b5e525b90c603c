"""Which encoding bytes are in, guessed: of those that decode them the one whose text reads like a language.

In: the bytes of a file, or its beginning. Out: a name for the setting `encoding`, with the language that the text seems
to be in, or nothing where no reading is likely. A guess is for people: nothing is decoded by it.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from pipeline.curation.signals.language import detect_language
from pipeline.curation.text.languages import language_name

_SAMPLE: Final = 1 << 16
_SHOWN_CHARACTERS: Final = 2000
_LEAST: Final = 0.25
"""Likelihood below which nothing is said."""
_SURE: Final = 0.6
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CANDIDATES: Final = (
    *("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "shift_jis", "cp932", "euc-jp", "gb18030"),
    *("big5", "euc-kr", "cp949", "cp1252", "cp1250", "cp1251", "koi8-r", "koi8-u", "cp1253", "cp1254", "cp1255"),
    *("cp1256", "cp1257", "cp1258", "cp874", "latin-1", "iso8859-15", "iso8859-2", "iso8859-5", "iso8859-7"),
    *("cp866", "cp850", "cp852", "cp437", "mac-roman", "mac-cyrillic"),
)
"""In the order of preference among equally likely ones."""
_ALPHABETS: Final = {
    "fr": "àâæçéèêëîïôœùûüÿ",
    "de": "äöüßéà",
    "es": "áéíñóúüªº",
    "pt": "ãáâàçéêíóôõúü",
    "it": "àèéìíîòóùú",
    "ca": "àçèéíïòóúü",
    "nl": "éëïóöüèê",
    "sv": "åäöéü",
    "da": "æøåé",
    "no": "æøåéèòôó",
    "nn": "æøåéèòôó",
    "fi": "äöåšž",
    "et": "äõöüšž",
    "is": "áðéíóúýþæö",
    "pl": "ąćęłńóśźż",
    "cs": "áčďéěíňóřšťúůýž",
    "sk": "áäčďéíĺľňóôŕšťúýž",
    "hu": "áéíóöőúüű",
    "ro": "ăâîșşțţ",
    "hr": "čćđšž",
    "sr": "čćđšžабвгдђежзијклљмнњопрстћуфхцчџш",
    "bs": "čćđšž",
    "sl": "čšžćđ",
    "sq": "çëâ",
    "tr": "çğıöşüâîûi̇",
    "lt": "ąčęėįšųūž",
    "lv": "āčēģīķļņšūž",
    "vi": "àáâãèéêìíòóôõùúýăđĩũơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỵ̃̀́̃̉",
    "en": "éèêëïàçñöüæœ",
}
"""Letters beyond ASCII of languages whose encodings share most of their bytes with those of others."""
_TYPOGRAPHY: Final = frozenset(
    "“”‘’„‚–—…«»‹›¿¡°§€£©®·•′″№、。「」『』（）・，！？：；《》〈〉ー　\u00a0\u00ad\u200e\u200f"
)
_COMMON: Final = {
    "gb": ("gb2312", (0xB0, 0xD7)),
    "big5": ("big5", (0xA4, 0xC6)),
    "ko": ("euc-kr", (0xB0, 0xC8)),
    "ja": ("euc-jp", (0xB0, 0xCF)),
}
"""Where an encoding keeps the most frequent of its thousands of characters: first bytes, from and to."""
_FAMILY: Final = {
    "gb18030": "gb",
    "big5": "big5",
    "euc-kr": "ko",
    "cp949": "ko",
    **dict.fromkeys(("shift_jis", "cp932", "euc-jp"), "ja"),
}
_ESCAPES: Final = re.compile(rb"\x1b\$[@B]")
"""How iso-2022-jp changes to its own characters, of bytes that are all ASCII."""
_TURNED: Final = re.compile(r"[^\W\d_A-Z](?=[^\W\d_])")


@dataclass(frozen=True)
class Guess:
    """An encoding that bytes may be in."""

    encoding: str
    likelihood: float
    """1 where a mark or the decoder says it, else how much the text reads like a language, 0 to 1."""
    language: str = ""

    @property
    def sureness(self) -> str:
        """In a word."""
        return "certain" if self.likelihood == 1 else "likely" if self.likelihood >= _SURE else "perhaps"


def guess_encoding(data: bytes, *, whole: bool = True) -> Guess | None:
    """The likeliest encoding of a file.

    whole: these are all its bytes, and not its beginning, which may end in the middle of a character.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return Guess(name, 1.0) if _decoded(data, name, whole) is not None else None
    if _ESCAPES.search(data) and _decoded(data, "iso-2022-jp", whole) is not None:
        return Guess("iso-2022-jp", 1.0, "ja")
    zeros = data[:_SAMPLE].count(0)
    if not zeros and _decoded(data, "utf-8", whole) is not None:
        return Guess("ascii" if data.isascii() else "utf-8", 1.0)
    best: Guess | None = None
    for name in _CANDIDATES:
        if zeros and not name.startswith(("utf-16", "utf-32")):
            continue
        text = _decoded(data[: _SAMPLE - _SAMPLE % 4], name, whole=False)
        if text is None or _decoded(data, name, whole) is None:
            continue
        language, likelihood = _reads_like(text, _FAMILY.get(name))
        if likelihood >= _LEAST and (best is None or likelihood > best.likelihood + 0.02):
            best = Guess(name, min(likelihood, 0.99), language)
    return best


def cure_of_bad_bytes(data: bytes, encoding: str, *, whole: bool, alone: bool = True) -> str:
    """What to do about text that is not in the encoding that its source says, in words.

    data, whole: as for `guess_encoding`; alone: whether the source has no other files, which may be in its encoding.
    """
    name = codecs.lookup(encoding).name
    if name.startswith("utf-8") and (bad := _damaged_places(data)):
        return f"it is UTF-8 but for {bad:,} places: repair them, as with `iconv -c -f utf-8 -t utf-8`"
    guess = guess_encoding(data, whole=whole)
    if guess is None or codecs.lookup(guess.encoding).name == name:
        return "it reads like text in no encoding that is known: convert it to UTF-8 where it came from"
    language = f"{language_name(guess.language)} " if guess.language else ""
    what = f"set `encoding: {guess.encoding}`"
    if not alone:
        what = f"give it a source of its own with `encoding: {guess.encoding}`, and leave it out of this with `exclude`"
    return f"it reads as {language}text in {guess.encoding} ({guess.sureness}): {what}"


def _damaged_places(data: bytes) -> int:
    """Places that are no UTF-8 in text that mostly is, going by its characters beyond ASCII; 0 where it is not."""
    text = data.decode("utf-8", errors="replace")
    bad = text.count("\ufffd")
    good = sum(not char.isascii() for char in text) - bad
    return bad if good > 4 * bad else 0


def _decoded(data: bytes, encoding: str, whole: bool) -> str | None:
    try:
        return codecs.getincrementaldecoder(encoding)("strict").decode(data, final=whole)
    except UnicodeError:
        return None


def _reads_like(text: str, family: str | None) -> tuple[str, float]:
    """The language of a text and how likely it is to be text: where it was decoded wrongly, letters are strange."""
    lines = [line for line in text.splitlines() if not line.isascii()] or text.splitlines()
    sample = " ".join(lines)[:_SHOWN_CHARACTERS]
    strange = sum(unicodedata.category(char) in ("Cc", "Cn", "Co", "Cs") and char not in "\t\x0c" for char in sample)
    if not sample.strip() or strange > 0.01 * len(sample):
        return "", 0.0
    language, score = detect_language(sample)
    unusual = [char for char in sample if not char.isascii() and char not in _TYPOGRAPHY]
    if not unusual:
        return language, score * (2 * sum(char.isalpha() for char in sample) > len(sample))
    if language in _ALPHABETS:
        known = sum(char.lower() in _ALPHABETS[language] for char in unusual)
    elif any("\u3040" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7af" for char in unusual):
        families = [family] if family else list(_COMMON)
        known = max(sum(_is_common(char, name) for char in unusual) for name in families)
    elif language in ("zh", "ja", "ko"):
        known = 0
    else:
        known = sum(char.isalpha() or unicodedata.category(char).startswith("M") for char in unusual)
        known = int(known * _in_one_case(sample))
    return language, score * (known / len(unusual)) ** 2


def _is_common(char: str, family: str) -> bool:
    if "\u3040" <= char <= "\u30ff":
        return family == "ja"
    encoding, (first, last) = _COMMON[family]
    try:
        lead = char.encode(encoding)[0]
    except UnicodeError:
        return False
    return first <= lead <= last or 0xA1 <= lead <= 0xA3


def _in_one_case(text: str) -> float:
    """Share of letters beyond ASCII that are followed by none of the other case: words have their capitals in front."""
    inside = [(match[0], text[match.end()]) for match in _TURNED.finditer(text)]
    turned = sum(before.islower() and after.isupper() for before, after in inside)
    return 1 - turned / max(1, len(inside))
