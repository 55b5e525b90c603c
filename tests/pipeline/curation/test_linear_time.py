"""Four times the text takes about four times the time, whatever the text is: nothing here is quadratic.

Each text was slow once, or is what the pattern it is named after would be slow on: it repeats what the pattern begins
with and never lets it end. Processor time is compared, the better of two runs, with room for a busy machine: a
quadratic step takes sixteen times as long.
"""

from __future__ import annotations

import base64
import io
import random
import time
from collections.abc import Callable

import pytest

from pipeline.curation.signals.signals import compute_signals
from pipeline.curation.sources.formats.format import DocumentFormat
from pipeline.curation.sources.formats.titled import Titled
from pipeline.curation.sources.formats.wiki_dump import WikiDump
from pipeline.curation.sources.settings import Source
from pipeline.curation.text.normalizing import normalize
from pipeline.curation.text.segments import words_of
from pipeline.curation.text.settings import Normalizing
from pipeline.curation.text.splitting import split_document
from pipeline.curation.text.words import forget_chunks

Make = Callable[[int], str]
SIZE = 5_000
EVERY_STEP = Normalizing(html=True, gutenberg=True, unwrap=True, c4_lines=True)
BOOK = "*** START OF THE PROJECT GUTENBERG EBOOK A TALE ***\n"


def rows(unit: str, before: str = "", after: str = "") -> Make:
    return lambda size: before + unit * (size // len(unit)) + after


def image(size: int) -> str:
    data = base64.b64encode(random.Random(1).randbytes(size * 3 // 4)).decode()
    return f'<img src="data:image/png;base64,{data}"> and mail to a.b@example.org, {data}'


HOSTILE: dict[str, Make] = {
    "an image and an address": image,
    "blanks in a line": rows(" ", "left", "right"),
    "blanks of all kinds in a line": rows("\u00a0\t \u3000", "left", "right"),
    "empty lines": rows("\n", BOOK, "right"),
    "lines of blanks": rows("\n ", BOOK + "Produced by", "right"),
    "carriage returns": rows("\r", "left", "right"),
    "marks under and over": rows("\u0301\u0323", "e"),
    "letters that become marks": rows("\uff9e\u0301"),
    "marks that are two": rows("\u0f73\u0f71"),
    "escapes in escapes": rows("amp;", "&"),
    "an escape of many digits": rows("1", "&#", ";"),
    "colours in colours": lambda size: "\x1b[" * (size // 4) + "1m" * (size // 4),
    "mojibake": rows("Ã\x83Â©"),
    "open comments": rows("<!--"),
    "open scripts": rows("<script>"),
    "open style sheets": rows("<style x"),
    "open declarations": rows("<!doctype "),
    "open tags": rows("<a "),
    "open values": rows('<a href="'),
    "tags in values": rows('<a x="<a " '),
    "tags in two kinds of values": rows("<a x='<a y=\"' "),
    "open ends": rows("</a"),
    "blocks without text": rows("<p>"),
    "blanks before a bar": rows(" ", "", "|"),
    "a rule without an end": rows("--|", "|", "x"),
    "bars and blanks": rows(" |", "|", "x"),
    "a cell of blanks": rows(" ", "|", "x|y"),
    "names of addresses": rows("a@"),
    "domains of addresses": rows("b-", "a@"),
    "dots before an address": rows(".a", "", "@"),
    "numbers like addresses": rows("1.1."),
    "open markers": rows("*** START OF THE PROJECT GUTENBERG EBOOK\n"),
    "a title of many lines": rows("x\n", "*** START OF THE PROJECT GUTENBERG EBOOK "),
    "credits": rows("Produced by A\n\n", BOOK),
    "open notes": rows("a\n\n[Transcriber's note", BOOK),
    "notes": rows("a\n\nTranscriber's note: b", BOOK),
    "citations": rows("[1"),
    **{f"a rule of {mark}": rows(mark) for mark in "=_*#-.@<>&|[({'\"/:~+!?…。"},
    "a URL without an end": rows("a:b:", "http://"),
    "users of a URL": rows("a.b@", "http://"),
    "labels of a URL": rows("a.b."),
    "smileys": rows(":)"),
    "contractions": rows("can't"),
    "parts of one word": rows("a.B-c"),
    "one word again and again": rows("spam "),
    "tiny lines": rows("a\n"),
    "Han without a mark": rows("漢字"),
}


def seconds(call: Callable[[str], object], text: str) -> float:
    spent = []
    for _ in range(2):
        forget_chunks()
        start = time.process_time()
        call(text)
        spent.append(time.process_time() - start)
    return min(spent)


def assert_linear(call: Callable[[str], object], make: Make) -> None:
    call(make(100))  # what is loaded or built at the first call
    small, large = seconds(call, make(SIZE)), seconds(call, make(4 * SIZE))
    assert large < 9 * max(small, 0.008), f"{small:.3f} s, and {large:.3f} s for four times the text"


def signals(lang: str) -> Callable[[str], object]:
    return lambda text: compute_signals([normalize(text, Normalizing()) or "empty"], [lang])


@pytest.mark.parametrize("name", HOSTILE)
def test_cleaning_is_linear(name: str) -> None:
    assert_linear(lambda text: normalize(text, EVERY_STEP), HOSTILE[name])


@pytest.mark.parametrize("name", HOSTILE)
def test_cleaning_of_plain_text_is_linear(name: str) -> None:
    assert_linear(lambda text: normalize(text, Normalizing()), HOSTILE[name])


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("lang", ["en", "th"])
def test_signals_are_linear(name: str, lang: str) -> None:
    assert_linear(signals(lang), HOSTILE[name])


@pytest.mark.parametrize("name", HOSTILE)
def test_cutting_and_words_are_linear(name: str) -> None:
    assert_linear(lambda text: (split_document(text, 4096), words_of(text)), HOSTILE[name])


@pytest.mark.parametrize(
    ("document_format", "make"),
    [
        (Titled(), rows("A\n\n")),
        (Titled(), rows("A", "", "x")),
        (Titled(), rows("AB CD\n\n")),
        (WikiDump(), rows('<doc title="a">')),
        (WikiDump(), rows('<doc title="')),
        (WikiDump(), rows("<doc ")),
        (WikiDump(), rows(' title="', "<doc ")),
    ],
)
def test_formats_are_linear(document_format: DocumentFormat, make: Make) -> None:
    source = Source.model_validate({"files": "a.txt", "format": "titled"})
    assert_linear(lambda text: list(document_format.read(io.BytesIO(text.encode()), "a.txt", source)), make)
