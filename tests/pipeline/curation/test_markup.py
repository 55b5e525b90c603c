"""Left-over HTML: words stay apart, what was escaped stays, and what only looks like a tag stays."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.curation.text.markup import BLOCKS, strip_tags
from pipeline.curation.text.normalizing import normalize
from pipeline.curation.text.settings import Normalizing

HTML = Normalizing(html=True)


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_a_block_is_on_lines_of_its_own(name: str) -> None:
    tag = f'<{name} class="x">'
    assert normalize(f"before{tag}inside</{name}>after", HTML) == "before\ninside\nafter"
    assert normalize(f"before\n{tag}inside</{name}>\nafter", HTML) == "before\ninside\nafter", "lines are not doubled"


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("<ul><li>milk<li>eggs</ul>done", "milk\neggs\ndone"),
        ("first<br>second<BR/>third<hr />fourth", "first\nsecond\nthird\nfourth"),
        ("<table><tr><th>day</th><th>rain</th></tr><tr><td>1</td><td>9 mm</td></tr></table>", "day rain\n1 9 mm"),
        ("H<sub>2</sub>O and <b>bo</b>ld, <i>it</i>alic", "H2O and bold, italic"),
        ('<a href="/a?x=1&y=2" title="more > less">link</a>', "link"),
        ('<img alt="if a < b" src=a.png>a figure', "a figure"),
        ("<img src=data:image/png;base64,iVBORw0KGgo=>pixel", "pixel"),
        ("<p style='margin: 0' align=left>par</p><o:p></o:p>", "par"),
        (
            "one<!-- <b>hidden</b> -->two<script>if (a<b) { x('<p>') }</script>three<style>p {}</style>four",
            "onetwothreefour",
        ),
        ("<!DOCTYPE html><html><head><title>Rain</title></head><body>It rains.</body></html>", "Rain\nIt rains."),
        ("<note>to <person>Ann</person></note>", "to Ann"),
        ("<script>never closed", "never closed"),
        ("<!-- never closed", "<!-- never closed"),
    ],
)
def test_markup_goes(raw: str, clean: str) -> None:
    assert normalize(raw, HTML) == clean


@pytest.mark.parametrize(
    "text",
    [
        "while (k <n && m> 0) k++;",
        "for <a, b> in the order <s and t>, with u <v or w> x",
        "a Dict<str, List<int>> of std::map<Key,Value> and Option<T>",
        "#include <stdio.h>",
        "usage: copy <source> <target> [<input>]",
        "1 <2, <3, <-, <<, <>, a<b",
        "see <https://example.org/a> for it",
        "<q and not a tag>",
    ],
)
def test_what_only_looks_like_a_tag_stays(text: str) -> None:
    assert normalize(text, HTML) == text


def test_escapes_are_undone_once_after_the_tags_are_gone() -> None:
    assert (
        normalize("Write &lt;td&gt; <b>here</b>, and &amp;lt; for a &lt;.", HTML)
        == "Write <td> here, and &lt; for a <."
    )
    assert (
        normalize("caf&eacute; &#8212; &#x4e2d;&nbsp;&copy; AT&T &unknown; &amp", HTML)
        == "café — 中\xa0© AT&T &unknown; &amp"
    )
    assert normalize("two lines&#8232;and&#x85;words", HTML) == "two lines\nand…words"


@given(st.text(alphabet="ab <>&\"'/=-!\n", max_size=60))
def test_text_that_was_escaped_comes_back_whole(text: str) -> None:
    assert strip_tags(html.escape(text)) == html.escape(text)


@given(st.lists(st.sampled_from(["a", " ", "\n", "<p>", "</p>", "<td>", "<br>", "<i>a</i>"]), max_size=30))
def test_no_letter_is_lost_and_words_are_parted_by_blocks_alone(pieces: list[str]) -> None:
    parted = {"<p>": "\n", "</p>": "\n", "<br>": "\n", "<td>": " ", "<i>a</i>": "a"}
    assert strip_tags("".join(pieces)).split() == "".join(parted.get(piece, piece) for piece in pieces).split()


def test_markdown_tables_lose_their_rules_and_outer_bars() -> None:
    raw = "<p>One &amp; two</p>\n\n| a | b |\n|---|:--|\n| 1 | 2 |\n<script>x()</script>if a < b"
    assert normalize(raw, HTML) == "One & two\n\na | b\n1 | 2\nif a < b"
    assert "<p>" in normalize(raw, Normalizing())
