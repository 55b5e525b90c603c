"""Left-over HTML: what of it is markup, and the text without it.

In: text with HTML left in it, which is not a page of HTML: prose, code and markdown stand beside the tags. Out: the
text with line breaks where blocks began or ended and blanks between the cells of a table. Escapes are still there:
`normalizing` undoes them once the tags are gone, so that markup that was written about stays. A parser of HTML would
take `if (i <n && j> k)` for a tag: it reads pages, in which a `<` before a letter is never text. Here a tag is what
nothing else would be: an element that HTML knows, or one that the text closes, with attributes as HTML writes them.
Tried and left: selectolax, resiliparse, inscriptis and html-text all lose such text. All but selectolax join the lines
of the markdown around the tags, and that parts inline words and cells alike.

Time grows with the text: no repetition here is tried again after it failed, and no search for an end goes further than
a fixed number of other tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

BLOCKS: Final = frozenset(
    "address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset figcaption figure"
    " footer form frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li listing main menu nav noframes"
    " ol optgroup option p plaintext pre section summary table tbody tfoot thead title tr ul xmp".split()
)
_CELLS: Final = frozenset(("td", "th"))
_ALONE: Final = frozenset(
    (
        "abbr acronym big blockquote body br center cite code dd div dl dt em figure font h1 h2 h3 h4 h5 h6 head "
        "hr html ins kbd li nobr ol p pre script small span strike strong style sub sup table tbody td tfoot th "
        "thead tr tt ul wbr"
    ).split()
)
"""Elements that are markup without an attribute or an end; others (`<input>`, `<b>`) may be words in brackets."""
_ELEMENTS: Final = (
    BLOCKS
    | _CELLS
    | _ALONE
    | frozenset(
        "a applet area audio b base basefont bdi bdo bgsound blink button canvas col colgroup data datalist del dfn"
        " embed frame i iframe image img input keygen label link map mark marquee math meta meter noscript object"
        " output param picture progress q rb rp rt rtc ruby s samp script select slot source spacer style svg template"
        " textarea time track u var video".split()
    )
)
_BARE: Final = (
    "allowfullscreen|async|autofocus|autoplay|checked|compact|controls|declare|default|defer|disabled|hidden|inert|ismap"
    "|itemscope|loop|multiple|muted|nohref|nomodule|noresize|noshade|novalidate|nowrap|open|playsinline|readonly|required"
    "|reversed|selected|[a-z]++(?:-[a-z]++)++"
)
_PLAIN_VALUE: Final = r"\"[^\"<]*+\"|'[^'<]*+'|“[^”<]*+”|”[^”<]*+”|[^\s\"'<>“”]++"
_VALUE_WITH_TAGS: Final = r"\"[^\"<]*+(?:<[^\"<]{0,200}+){1,8}+\"|'[^'<]*+(?:<[^'<]{0,200}+){1,8}+'"
_BETWEEN: Final = r"(?:[\s/]++|(?<=[\"'”]))"
_NAME: Final = r"[A-Za-z_@*#(\[][\w:.\-()\[\]]*+"
_PLAIN: Final = rf"(?:{_BETWEEN}(?:{_NAME}\s*+=\s*+(?:{_PLAIN_VALUE})|(?:{_BARE})(?=[\s/>])))*+"
_MARKUP = re.compile(
    r"<(?:(?P<comment>!--)|(?P<declaration>!doctype\b[^<>]*+>|\?xml\b[^<>]*+>|!\[(?:end)?if\b[^<>]*+>)"
    r"|/(?P<closed>[a-z][a-z0-9]*+(?:[:-][a-z0-9]++)*+)\s*+>"
    r"|(?P<name>[a-z][a-z0-9]*+(?:[:-][a-z0-9]++)*+)"
    rf"(?P<attributes>{_PLAIN}(?:{_BETWEEN}{_NAME}\s*+=\s*+(?:{_VALUE_WITH_TAGS}){_PLAIN}){{0,2}}+)[\s/]*+>)",
    re.I,
)
_CLOSED = re.compile(r"</([a-z][a-z0-9]*+(?:[:-][a-z0-9]++)*+)\s*+>", re.I)
_END_OF: Final = {name: re.compile(rf"</{name}\s*+>", re.I) for name in ("script", "style")}
_TABLE_RULE = re.compile(r"[ \t]*+\|?[ \t]*+(?::?+-{2,}+:?+[ \t]*+\|[ \t]*+)++(?::?+-{2,}+:?+)?+[ \t]*+")


def strip_tags(text: str) -> str:
    """Text without tags, comments, scripts and style sheets."""
    if "<" not in text:
        return text
    pieces: list[str] = []
    between = ""
    for piece, mark in _pieces(text):
        if between and piece.strip():
            pieces.append(_break(pieces, piece, between))
            between = ""
        pieces.append(piece)
        between = "\n" if mark == "\n" else between or mark
    return "".join(pieces)


def has_tags(text: str) -> bool:
    """Whether any of the text is markup."""
    return "<" in text and len(list(islice(_pieces(text), 2))) > 1


def _break(before: list[str], after: str, mark: str) -> str:
    """The line break or blank that two stretches of text need between them: none where there is one."""
    white = after[: len(after) - len(after.lstrip())]
    for piece in reversed(before):
        kept = piece.rstrip()
        white += piece[len(kept) :]
        if kept:
            return "" if mark in white or (white and mark == " ") else mark
    return ""


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Stretches of text, and what the markup after each parts: lines ("\\n"), cells (" ") or nothing ("")."""
    closed = {match[1].lower() for match in _CLOSED.finditer(text)} if "</" in text else set()
    unclosed: set[str] = set()
    start = look = 0
    while (match := _MARKUP.search(text, look)) is not None:
        look = match.start() + 1
        if match["comment"] is not None:
            end = -1 if "comment" in unclosed else text.find("-->", match.end())
            if end < 0:
                unclosed.add("comment")
                continue
            yield text[start : match.start()], ""
            start = look = end + 3
            continue
        name = (match["name"] or match["closed"] or "").lower()
        if match["name"] is not None and not _is_tag(name, match["attributes"], closed):
            continue
        yield text[start : match.start()], "\n" if name in BLOCKS else " " if name in _CELLS else ""
        start = look = match.end()
        if match["name"] is not None and name in _END_OF and name not in unclosed:
            ending = _END_OF[name].search(text, match.end())
            if ending is None:
                unclosed.add(name)
            else:
                start = look = ending.end()
    yield text[start:], ""


def _is_tag(name: str, attributes: str, closed: set[str]) -> bool:
    """Whether `<name …>` is markup and nothing else."""
    if attributes.strip(" \t\n/"):
        return name in _ELEMENTS or name in closed or '"' in attributes or "'" in attributes
    return name in _ALONE or name in closed


def strip_tables(text: str) -> str:
    """Markdown tables without the rules under their headings and the bars around their lines."""
    if "|" not in text:
        return text
    lines = []
    for line in text.split("\n"):
        if "|" in line:
            if _TABLE_RULE.fullmatch(line) is not None:
                continue
            bare = line.strip(" \t")
            if len(bare) > 1 and bare[0] == bare[-1] == "|":
                line = bare[1:-1].strip(" \t")
        lines.append(line)
    return "\n".join(lines)
