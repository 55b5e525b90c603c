"""Cleaning of one document's text.

In: raw text. Out: text in which every document of the project looks alike: NFC, `\\n` line ends, no control
characters, no trailing blanks, at most one empty line in a row; the zero-width space only where it parts words. The
steps and their order are the fields of `Normalizing`. Running it twice changes nothing more. Text that is plain ASCII,
which most English is, skips the steps that could not change it; that is where the speed comes from.
"""

from __future__ import annotations

import html
import ipaddress
import re
import unicodedata

from pipeline.curation.text.settings import Normalizing

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\u2060\ufeff\ufff9-\ufffb]")
_BREAKS_UNSEEN = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf"
"""Thai, Lao, Burmese, Khmer, Tai: between their words the zero-width space stands for a blank."""
_ZERO_WIDTH = re.compile(
    rf"(?<=[{_BREAKS_UNSEEN}])(\u200b)\u200b*(?=[^\s\u200b])|(?<=[^\s\u200b])(\u200b)\u200b*(?=[{_BREAKS_UNSEEN}])|\u200b+"
)
_LINE_END = re.compile(r"\r\n?|[\x0c\x85\u2028\u2029]")
_TRAILING = re.compile(r"[ \t\u00a0\u3000]+$", re.MULTILINE)
_WIDE_BLANKS = re.compile(r"(?<=\S)(?: {2,}| *\t[ \t]*)(?=\S)")
_EMPTY_LINES = re.compile(r"\n{3,}")
_BROKEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u206a-\u206f\ud800-\udfff\ufeff\ufff9-\ufffd]|&[#A-Za-z]"
)
"""What ftfy repairs besides mojibake, which has its own pattern in ftfy."""
HARMLESS = "‘’“”–—…"
"""No mojibake is made of ASCII and these alone (a test tries every combination), and most English holds no others."""
_UNUSUAL = re.compile(f"[^\x00-\x7f{HARMLESS}]+")
_AROUND = 8
"""Characters beside an unusual one that ftfy's patterns for mojibake, of at most six characters, may reach."""

_GUTENBERG_START = re.compile(r"^\s*\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG EBOOK.*$", re.I | re.M)
_GUTENBERG_END = re.compile(r"^\s*(?:\*\*\* ?)?END OF (?:THE|THIS) PROJECT GUTENBERG EBOOK.*$", re.I | re.M)
_CREDITS = re.compile(
    r"\A\s*(?:(?:E-text |This etext was )?(?:produced|prepared|transcribed) by.*?|\[?Transcriber's notes?.*?)"
    r"(?:\n\s*\n|\Z)",
    re.I | re.S,
)

_SCRIPT = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->", re.I | re.S)
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9:-]*(?:\s[^<>]{0,1000})?/?>")
_TABLE_RULE = re.compile(r"^[ \t]*\|?(?:[ \t]*:?-{2,}:?[ \t]*\|)+(?:[ \t]*:?-{2,}:?)?[ \t]*(?:\n|\Z)", re.M)
_TABLE_BARS = re.compile(r"^[ \t]*\|[ \t]*(.*?)[ \t]*\|[ \t]*$", re.M)
CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")

_EMAIL = re.compile(
    r"\b[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@"
    r"(?:(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
    r"|\[(?:(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\.){3}(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\])"
)
_MAYBE_IP = re.compile(r"\d\.\d{1,3}\.\d{1,3}\.\d")
_IP = re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?![\w.])")
_MASKED_EMAIL = "email@example.com"
_MASKED_IP = "22.214.171.124"


def normalize(text: str, settings: Normalizing) -> str:
    """The document's clean text; empty where nothing is left."""
    text = text.replace("\r\n", "\n")
    if settings.fix_encoding:
        text = _fix_encoding(text)
    text = _LINE_END.sub("\n", text)
    text = _CONTROL.sub("", text)
    text = _keep_word_breaks(text)
    if settings.html:
        text = strip_markup(text)
    if settings.gutenberg:
        text = strip_gutenberg(text)
    text = _TRAILING.sub("", text)
    if settings.unwrap:
        text = unwrap(text)
    if "  " in text or "\t" in text:
        text = _WIDE_BLANKS.sub(" ", text)
    if settings.c4_lines:
        text = drop_lines(text)
    if "\n\n\n" in text:
        text = _EMPTY_LINES.sub("\n\n", text)
    text = _keep_word_breaks(text).strip()  # once more: what stood beside one may be gone
    if settings.mask_personal:
        text = mask_personal(text)
    return text


def _keep_word_breaks(text: str) -> str:
    """Drop the zero-width spaces that part no words."""
    if "\u200b" not in text:
        return text
    return _ZERO_WIDTH.sub(lambda match: "\u200b" if match.lastindex else "", text)


def _fix_encoding(text: str) -> str:
    """ftfy as datatrove sets it (curly quotes and ligatures stay) on the lines that need it, then NFC."""
    if not needs_ftfy(text):
        return unicodedata.normalize("NFC", text)
    import ftfy

    config = ftfy.TextFixerConfig(
        uncurl_quotes=False, fix_latin_ligatures=False, fix_character_width=False, normalization="NFC", explain=False
    )
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if needs_ftfy(line):
            lines[number] = ftfy.fix_text(line, config)
    return unicodedata.normalize("NFC", "\n".join(lines))


def needs_ftfy(text: str) -> bool:
    """Whether ftfy would change more than the normal form; it takes ten times as long to find that out itself."""
    if _BROKEN.search(text) is not None:
        return True
    if text.isascii():
        return False
    from ftfy.badness import is_bad

    places = [(match.start(), match.end()) for match in _UNUSUAL.finditer(text)]
    if len(places) * 4 * _AROUND > len(text):
        return bool(is_bad(text))
    return any(is_bad(text[max(0, start - _AROUND) : stop + _AROUND]) for start, stop in places)


def strip_gutenberg(text: str) -> str:
    """The book itself: what is between Project Gutenberg's markers, without the credits before it.

    Text without the markers is returned as it is.
    """
    start = _GUTENBERG_START.search(text)
    if start is not None:
        text = text[start.end() :]
    end = _GUTENBERG_END.search(text)
    if end is not None:
        text = text[: end.start()]
    if start is None and end is None:
        return text
    while (credits := _CREDITS.match(text)) is not None and credits.end() < len(text):
        text = text[credits.end() :]
    return text


def strip_markup(text: str) -> str:
    """Drop scripts, comments and tags, unescape entities, and take markdown tables' rules and outer bars away."""
    if "<" in text:
        text = _SCRIPT.sub("", text)
        text = _TAG.sub("", text)
    if "&" in text:
        text = html.unescape(text)
    if "|" in text:
        text = _TABLE_RULE.sub("", text)
        text = _TABLE_BARS.sub(r"\1", text)
    return text


def drop_lines(text: str) -> str:
    """Drop the lines that C4 drops for what they say, and citation marks (Raffel et al. 2020, section 2.2).

    The rules on a line's length and its last character are left to signals: verse and dialogue break them.
    """
    lines = []
    for line in text.split("\n"):
        lowered = line.lower()
        if "javascript" not in lowered and not any(policy in lowered for policy in POLICIES):
            lines.append(CITATION.sub("", line))
    return "\n".join(lines)


def unwrap(text: str) -> str:
    """Join the lines of every hard-wrapped paragraph; verse, lists and headings keep their lines.

    A paragraph is hard-wrapped when no line but the last is indented or much shorter than its longest line, and that
    is between 50 and 90 characters, as typists and Project Gutenberg set them.
    """
    paragraphs = text.split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        lines = paragraph.strip("\n").split("\n")
        if len(lines) < 2:
            continue
        longest = max(map(len, lines))
        body = lines[:-1]
        if 50 <= longest <= 90 and all(len(line) > 0.7 * longest and not line.startswith("  ") for line in body):
            lead = paragraph[: len(paragraph) - len(paragraph.lstrip("\n"))]
            paragraphs[number] = lead + " ".join(lines)
    return "\n\n".join(paragraphs)


def mask_personal(text: str) -> str:
    """Replace e-mail addresses and public IPv4 addresses by constants (FineWeb, section 3.6)."""
    if "@" in text:
        text = _EMAIL.sub(_MASKED_EMAIL, text)
    return _IP.sub(_mask_public_ip, text) if _MAYBE_IP.search(text) is not None else text


def _mask_public_ip(match: re.Match[str]) -> str:
    return _MASKED_IP if ipaddress.ip_address(match[0]).is_global else match[0]
