"""Cleaning of one document's text.

In: raw text. Out: text in which every document of the project looks alike: NFC, `\\n` line ends, no control
characters, no trailing blanks, at most one empty line in a row; the zero-width space only where it parts words. The
steps and their order are the fields of `Normalizing`, but for `html`, which comes first: what was escaped may need all
other steps. Running it twice changes nothing more, unless what was escaped twice is text about escapes. Text that is
plain ASCII, which most English is, skips the steps that could not change it; that is where the speed comes from. Every
step takes time that grows with the text and no faster: a test tries each.
"""

from __future__ import annotations

import re

from pipeline.curation.text.gutenberg import strip_gutenberg
from pipeline.curation.text.markup import has_tags, strip_tables, strip_tags
from pipeline.curation.text.normal_form import normal_form
from pipeline.curation.text.personal import mask_personal, mask_phones
from pipeline.curation.text.personal_numbers import mask_numbers
from pipeline.curation.text.settings import Normalizing

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\u2060\ufeff\ufff9-\ufffb]")
_BREAKS_UNSEEN = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf"
"""Thai, Lao, Burmese, Khmer, Tai: between their words the zero-width space stands for a blank."""
_ZERO_WIDTH = re.compile(
    rf"(?<=[{_BREAKS_UNSEEN}])(\u200b)\u200b*(?=[^\s\u200b])|(?<=[^\s\u200b])(\u200b)\u200b*(?=[{_BREAKS_UNSEEN}])|\u200b+"
)
_ASCII_LINE_ENDS = ("\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e")
"""Part of no mojibake, so lines are broken there before it is looked for, line by line."""
_LINE_END = re.compile(r"[\x85\u2028\u2029]")
_WINDOWS = re.compile(r"[\x80-\x84\x86-\x9f]")
"""Beside these \x85 is the ellipsis of Windows's code page, as ftfy has it; alone it is Unicode's NEL, a line's end."""
_NEL = re.compile(
    r"([\xc2-\xdf]\x85|[\xe0-\xef](?:\x85[\x80-\xbf]|[\x80-\xbf]\x85)"
    r"|[\xf0-\xf4](?:\x85[\x80-\xbf]{2}|[\x80-\xbf]\x85[\x80-\xbf]|[\x80-\xbf]{2}\x85))|\x85"
)
"""That line's end, or a character of UTF-8 that was read as Latin-1 and has this byte."""
_BLANKS = " \t\u00a0\u3000"
_WIDE_BLANKS = re.compile(r"(?<=\S)(?: {2,}| *\t[ \t]*)(?=\S)")
_EMPTY_LINES = re.compile(r"\n{3,}")
_TERMINAL = re.compile(r"\x1b\[[\d;]*+[A-Za-z]")
_BROKEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u206a-\u206f\ud800-\udfff\ufeff\ufff9-\ufffd]")
"""What ftfy repairs besides mojibake, which has its own pattern in ftfy."""
HARMLESS = "‘’“”–—…"
"""No mojibake is made of ASCII and these alone (a test tries every combination), and most English holds no others."""
_UNUSUAL = re.compile(f"[^\x00-\x7f{HARMLESS}]+")
_AROUND = 8
"""Characters beside an unusual one that ftfy's patterns for mojibake, of at most six characters, may reach."""
_ESCAPE = re.compile(r"&#?[0-9A-Za-z]{1,24};")
CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")


def normalize(text: str, settings: Normalizing) -> str:
    """The document's clean text; empty where nothing is left."""
    text = _break_lines(text)
    if settings.html:
        text = unescape(strip_tags(text))
    elif settings.fix_encoding and "&" in text and not has_tags(text):
        text = unescape(text)
    if settings.fix_encoding:
        text = _fix_encoding(text)
    text = _break_lines(text)
    if not text.isascii():
        text = _LINE_END.sub("\n", text)
    text = _CONTROL.sub("", text)
    text = _keep_word_breaks(text)
    if settings.html:
        text = strip_tables(text)
    if settings.gutenberg:
        text = strip_gutenberg(text)
    text = "\n".join([line.rstrip(_BLANKS) for line in text.split("\n")])
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
    if settings.mask_phones:
        text = mask_phones(text)
    if settings.mask_numbers is not None:
        text = mask_numbers(text, settings.mask_numbers)
    return text


def _keep_word_breaks(text: str) -> str:
    """Drop the zero-width spaces that part no words."""
    if "\u200b" not in text:
        return text
    return _ZERO_WIDTH.sub(lambda match: "\u200b" if match.lastindex else "", text)


def _break_lines(text: str) -> str:
    for end in _ASCII_LINE_ENDS:
        if end in text:
            text = text.replace(end, "\n")
    return text.replace("\x1f", " ")


def unescape(text: str) -> str:
    """Undo HTML's escapes, once: `&amp;lt;` is the text `&lt;`. They end in a semicolon, unlike `&lt=` in a URL."""
    if "&" not in text or _ESCAPE.search(text) is None:
        return text
    from ftfy.fixes import unescape_html

    return str(unescape_html(text))


def _fix_encoding(text: str) -> str:
    """ftfy as datatrove sets it (curly quotes and ligatures stay) on the lines that need it, then NFC.

    Escapes and a terminal's colours, which ftfy takes out layer by layer, are no encoding: what nests them a
    thousandfold would take it a thousand rounds.
    """
    if not needs_ftfy(text):
        return normal_form("NFC", text)
    import ftfy

    if "\x85" in text and _WINDOWS.search(text) is None:
        text = _NEL.sub(lambda match: match[1] or "\n", text)
    config = ftfy.TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        uncurl_quotes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        normalization=None,
        explain=False,
    )
    lines = (_TERMINAL.sub("", text) if "\x1b" in text else text).split("\n")
    for number, line in enumerate(lines):
        if needs_ftfy(line):
            lines[number] = ftfy.fix_text(line, config)
    return normal_form("NFC", "\n".join(lines))


def needs_ftfy(text: str) -> bool:
    """Whether ftfy would change more than the normal form; it takes ten times as long to find that out itself."""
    if _BROKEN.search(text) is not None:
        return True
    if text.isascii():
        return False
    normal = normal_form("NFC", text)  # which ftfy looks at when it has looked at the text itself
    return _looks_bad(text) or (normal != text and _looks_bad(normal))


def _looks_bad(text: str) -> bool:
    """What ftfy's own look at all of the text finds, from looks around its unusual characters alone."""
    from ftfy.badness import is_bad

    unusual = text
    for mark in HARMLESS:
        unusual = unusual.replace(mark, "")
    if unusual.isascii():
        return False
    places = [(match.start(), match.end()) for match in _UNUSUAL.finditer(text)]
    if len(places) * 4 * _AROUND > len(text):
        return bool(is_bad(text))
    return any(is_bad(text[max(0, start - _AROUND) : stop + _AROUND]) for start, stop in places)


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
