"""Text of strangers stays text inside markdown."""

import html
import re

import pytest
from markdown_it import MarkdownIt

from pipeline.base.markdown import escaped, plain

HOSTILE = [
    "![x](http://127.0.0.1:9/x.png)",
    "<script>alert(1)</script> <img src=x onerror=alert(1)>",
    "| a | b |\n|---|---|\n| c | d |",
    "`code` ```fence``` ~~gone~~ ~gone~",
    "**bold** __bold__ _em_ *em* a_b_c",
    "[link](http://127.0.0.1:9/) [link][1] <http://127.0.0.1:9/>",
    "&lt;b&gt; &amp; &copy; \\*not\\*",
    "# heading\n- list\n> quote\n1. one",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("make", [plain, escaped])
def test_markdown_shows_it_letter_by_letter(text, make):
    """markdown-it, with tables and struck text as GitHub has them, makes a paragraph of it and nothing else."""
    line = make(" ".join(text.splitlines()))
    page = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(f"step: {line}")
    inside = re.fullmatch(r"<p>step: (.*)</p>\n", page, flags=re.S).group(1)
    assert "<" not in inside
    assert html.unescape(inside).replace("\u2060", "") == " ".join(text.splitlines())


def test_addresses_without_marks_become_no_links_unless_they_are_our_own():
    for address in ("http://127.0.0.1:9/x", "www.example.org", "me@example.org"):
        assert address not in plain(address)
        assert plain(address).replace("\u2060", "") == address
        assert escaped(address) == address
