"""Cleaning of one document's text.

In: raw text. Out: text in which every document of the project looks alike: NFC, `\\n` line ends, no control
characters, no trailing blanks, at most one empty line in a row. The steps and their order are the fields of
`Normalizing`. Running it twice changes nothing more. Text that is plain ASCII, which most English is, skips the steps
that could not change it; that is where the speed comes from.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata

from pipeline.curation.settings import Normalizing

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u2060\ufeff\ufff9-\ufffb]")
_LINE_END = re.compile(r"\r\n?|[\x0c\x85\u2028\u2029]")
_TRAILING = re.compile(r"[ \t\u00a0\u3000]+$", re.MULTILINE)
_RUNS = re.compile(r"(?<=\S)(?: {2,}| *\t[ \t]*)(?=\S)")
_EMPTY_LINES = re.compile(r"\n{3,}")
_NEEDS_FTFY = re.compile(r"[^\n\x20-\x7e]|&[#A-Za-z]")

_GUTENBERG_START = re.compile(r"^\s*\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG EBOOK.*$", re.I | re.M)
_GUTENBERG_END = re.compile(r"^\s*(?:\*\*\* ?)?END OF (?:THE|THIS) PROJECT GUTENBERG EBOOK.*$", re.I | re.M)
_CREDITS = re.compile(
    r"\A\s*(?:(?:E-text |This etext was )?(?:produced|prepared|transcribed) by.*?|\[?Transcriber's notes?.*?)"
    r"(?:\n\s*\n|\Z)",
    re.I | re.S,
)

_EMAIL = re.compile(
    r"\b[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@"
    r"(?:(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
    r"|\[(?:(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\.){3}(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\])"
)
_IP = re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?![\w.])")
_MASKED_EMAIL = "email@example.com"
_MASKED_IP = "22.214.171.124"


def normalize(text: str, settings: Normalizing) -> str:
    """The document's clean text; empty where nothing is left."""
    if settings.fix_encoding and _NEEDS_FTFY.search(text) is not None:
        text = _fix_encoding(text)
    text = _LINE_END.sub("\n", text)
    text = _CONTROL.sub("", text)
    if settings.gutenberg:
        text = strip_gutenberg(text)
    text = _TRAILING.sub("", text)
    if settings.unwrap:
        text = unwrap(text)
    text = _RUNS.sub(" ", text)
    text = _EMPTY_LINES.sub("\n\n", text).strip()
    if settings.mask_personal:
        text = mask_personal(text)
    return text


def _fix_encoding(text: str) -> str:
    """ftfy as datatrove sets it (curly quotes and ligatures stay), line by line, then NFC."""
    import ftfy

    config = ftfy.TextFixerConfig(
        uncurl_quotes=False, fix_latin_ligatures=False, fix_character_width=False, normalization="NFC", explain=False
    )
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if _NEEDS_FTFY.search(line) is not None:
            lines[number] = ftfy.fix_text(line, config)
    return unicodedata.normalize("NFC", "\n".join(lines))


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
    return _IP.sub(_mask_public_ip, text)


def _mask_public_ip(match: re.Match[str]) -> str:
    return _MASKED_IP if ipaddress.ip_address(match[0]).is_global else match[0]
