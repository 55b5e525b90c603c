"""Normalised text: what changes, what stays, and that doing it twice changes nothing more."""

from __future__ import annotations

import itertools
import unicodedata

import ftfy
import pytest
from ftfy.badness import is_bad
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.curation.text.normalizing import HARMLESS, mask_personal, needs_ftfy, normalize, strip_gutenberg, unwrap
from pipeline.curation.text.settings import Normalizing

BOOK = """The Project Gutenberg eBook of A Tale

*** START OF THE PROJECT GUTENBERG EBOOK A TALE ***

Produced by A. Volunteer and the Online Distributed
Proofreading Team

[Transcriber's note: spelling kept.]

It was the best of times.

*** END OF THE PROJECT GUTENBERG EBOOK A TALE ***

Updated editions will replace the previous one.
"""


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("cafe\u0301", "café"),
        ("schÃ¶n", "schön"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("nul\x00 and bell\x07", "nul and bell"),
        ("trailing  \n\n\n\n\nblank", "trailing\n\nblank"),
        ("two  words\tthree", "two words three"),
        ("\ufeffmark", "mark"),
        ("“curly” stays", "“curly” stays"),
        ("  שלום עולם  ", "שלום עולם"),
        ("ภาษาไทย", "ภาษาไทย"),
        (" \x00 ", ""),
        ("ដើម\u200bឈើ\u200b\u200bធំ\u200b", "ដើម\u200bឈើ\u200bធំ"),
        ("zero\u200bwidth, \u200b零\u200b宽", "zerowidth, 零宽"),
        ("ภาษา\u200bPython\u200b ดี\u200b\n\u200bก", "ภาษา\u200bPython ดี\nก"),
    ],
)
def test_text_is_cleaned(raw: str, clean: str) -> None:
    assert normalize(raw, Normalizing()) == clean


def test_gutenbergs_header_credits_and_licence_are_cut() -> None:
    assert strip_gutenberg(BOOK).strip() == "It was the best of times."
    assert strip_gutenberg("no markers here") == "no markers here"


def test_hard_wrapped_paragraphs_are_joined_and_verse_is_not() -> None:
    prose = "It was a bright cold day in April, and the clocks were striking\nthirteen, as he came home."
    verse = "Tyger Tyger, burning bright,\nIn the forests of the night;"
    assert unwrap(f"{prose}\n\n{verse}") == prose.replace("\n", " ") + "\n\n" + verse


def test_mail_and_public_ip_addresses_are_masked() -> None:
    assert (
        mask_personal("write to jane.doe@mail.example.org or 8.8.8.8") == "write to email@example.com or 22.214.171.124"
    )
    assert (
        mask_personal("the router at 192.168.0.1, version 1.2.3.4.5") == "the router at 192.168.0.1, version 1.2.3.4.5"
    )


def test_html_and_tables_rules_are_dropped_where_asked() -> None:
    raw = "<p>One &amp; two</p>\n\n| a | b |\n|---|:--|\n| 1 | 2 |\n<script>x()</script>if a < b"
    assert normalize(raw, Normalizing(html=True)) == "One & two\n\na | b\n1 | 2\nif a < b"
    assert "<p>" in normalize(raw, Normalizing())


def test_c4s_line_rules_drop_lines_where_asked() -> None:
    raw = "A line of text.[3]\nEnable JavaScript to go on.\nThis site uses cookies.\nThe end [citation needed]."
    assert normalize(raw, Normalizing(c4_lines=True)) == "A line of text.\nThe end ."


@given(st.text(max_size=300))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    """Unless ftfy takes its own result for broken text, as it does with some strings of control characters."""
    once = normalize(text, Normalizing())
    assume(not any(map(needs_ftfy, once.split("\n"))))
    assert normalize(once, Normalizing()) == once


@given(st.text(max_size=80) | st.text(alphabet="aé“”ÃƒÂ©â€™\u0085k\u0301 &;", max_size=40))
def test_lines_that_skip_ftfy_are_those_it_would_not_change(line: str) -> None:
    if needs_ftfy(line):
        return
    config = ftfy.TextFixerConfig(uncurl_quotes=False, fix_latin_ligatures=False, fix_character_width=False)
    assert ftfy.fix_text(line, config) == unicodedata.normalize("NFC", line)


def test_harmless_characters_alone_are_never_mojibake() -> None:
    for size in (1, 2, 3, 4):
        for chars in itertools.product(f"aZ 1.{HARMLESS}", repeat=size):
            assert not is_bad("".join(chars)), chars


@given(st.text(alphabet=st.sampled_from("aZ .1’“”—éÃ¢€™Â¶œ\u0153Ð°чЁ×²¡\xa0"), max_size=60))
def test_looking_around_unusual_characters_finds_what_ftfy_finds(text: str) -> None:
    padded = "plain words before it all " * 4 + text + " plain words after it all" * 4
    assert needs_ftfy(padded) == is_bad(padded)
