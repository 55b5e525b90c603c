"""Normalised text: what changes, what stays, and that doing it twice changes nothing more."""

from __future__ import annotations

import itertools
import unicodedata

import ftfy
import pytest
from ftfy.badness import is_bad
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pipeline.curation.text.normalizing import HARMLESS, needs_ftfy, normalize, unescape, unwrap
from pipeline.curation.text.settings import Normalizing


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
        ("soft\x0bbreak", "soft\nbreak"),
        ("page\x0cparagraph\u2029line\u2028end", "page\nparagraph\nline\nend"),
        ("first\x85second", "first\nsecond"),
        ("\x93wait\x85\x94", "“wait…”"),
        ("the \xc3\x85ngstr\xc3\xb6m\x85its unit", "the Ångström\nits unit"),
        ("file\x1cgroup\x1drecord\x1eunit\x1fend", "file\ngroup\nrecord\nunit end"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("Tom &amp; Jerry, &amp;amp;", "Tom & Jerry, &amp;"),
        ("one &lt;b&gt;\ntwo &lt;b&gt;", "one <b>\ntwo <b>"),
        ("one &lt;b&gt;\ntwo &lt;b&gt; <p>", "one &lt;b&gt;\ntwo &lt;b&gt; <p>"),
        ("one &lt; two\nif 1 <2", "one < two\nif 1 <2"),
    ],
)
def test_text_is_cleaned(raw: str, clean: str) -> None:
    assert normalize(raw, Normalizing()) == clean


def test_hard_wrapped_paragraphs_are_joined_and_verse_is_not() -> None:
    prose = "It was a bright cold day in April, and the clocks were striking\nthirteen, as he came home."
    verse = "Tyger Tyger, burning bright,\nIn the forests of the night;"
    assert unwrap(f"{prose}\n\n{verse}") == prose.replace("\n", " ") + "\n\n" + verse


def test_c4s_line_rules_drop_lines_where_asked() -> None:
    raw = "A line of text.[3]\nEnable JavaScript to go on.\nThis site uses cookies.\nThe end [citation needed]."
    assert normalize(raw, Normalizing(c4_lines=True)) == "A line of text.\nThe end ."


@given(st.text(max_size=300))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    """Unless ftfy takes its own result for broken text, as it does with some strings of control characters, or what
    was escaped is about escapes."""
    once = normalize(text, Normalizing())
    assume(not any(map(needs_ftfy, once.split("\n"))) and unescape(once) == once)
    assert normalize(once, Normalizing()) == once


@example("¬a\u0300")  # mojibake once its accent is composed
@given(st.text(max_size=80) | st.text(alphabet="aé“”ÃƒÂ©â€™\u0085k\u0301 &;", max_size=40))
def test_lines_that_skip_ftfy_are_those_it_would_not_change(line: str) -> None:
    if needs_ftfy(line):
        return
    config = ftfy.TextFixerConfig(
        unescape_html=False, uncurl_quotes=False, fix_latin_ligatures=False, fix_character_width=False
    )
    assert ftfy.fix_text(line, config) == unicodedata.normalize("NFC", line)


def test_harmless_characters_alone_are_never_mojibake() -> None:
    for size in (1, 2, 3, 4):
        for chars in itertools.product(f"aZ 1.{HARMLESS}", repeat=size):
            assert not is_bad("".join(chars)), chars


@given(st.text(alphabet=st.sampled_from("aZ .1’“”—éÃ¢€™Â¶œ\u0153Ð°чЁ×²¡\xa0"), max_size=60))
def test_looking_around_unusual_characters_finds_what_ftfy_finds(text: str) -> None:
    padded = "plain words before it all " * 4 + text + " plain words after it all" * 4
    assert needs_ftfy(padded) == is_bad(padded)
