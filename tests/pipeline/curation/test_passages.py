"""Passages that documents share word for word: found all, cut all but once, none found where there are none."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.base.executor import InProcess
from pipeline.curation.cut_corpus import cut_corpus, kept_rows
from pipeline.curation.inspection import inspect_duplicates
from pipeline.curation.passages.cutting import without
from pipeline.curation.passages.finding import PASSAGES_FILE, KeptRows, find_passages
from pipeline.curation.passages.windows import lines_of, windows_of
from pipeline.curation.settings import NearDuplicateSettings, PassageSettings
from tests.pipeline.curation.stories import corpus, heldout_texts, kept_texts, story

PLANTED = story(9000, words=80)
MENU = "Home | About us | Contact | Subscribe to our newsletter"
FEW = {"least_bytes": 100, "lines": {"least_documents": 5}}


def find(curation, settings, names, out="passages"):
    """Look through the documents that are selected of these corpora."""
    folder = curation.folder(out)
    folder.mkdir(exist_ok=True)
    kept = {name: kept_rows(curation.folder("documents", name), curation.folder("corpus", name)) for name in names}
    heldout = {name: curation.folder("heldout", name) for name in names}
    return find_passages(settings, kept, heldout, folder, executor=InProcess())


def cut(curation, corpora, summaries, settings):
    """Find and cut; afterwards `corpus` holds what is left, as `kept_texts` reads it."""
    found = find(curation, settings, corpora)
    made = {}
    for name in corpora:
        selected, out = curation.folder("selected", name), curation.folder("corpus", name)
        selected.parent.mkdir(exist_ok=True)
        out.rename(selected)
        out.mkdir()
        folders = curation.folder("documents", name), selected, curation.folder("passages"), out
        made[name] = cut_corpus(name, corpora[name], settings, summaries[name], *folders)
    return found, made


@pytest.fixture
def planted(curation, write_lines):
    """Three documents with one passage in their middles, eight with one line, and others with neither."""
    texts = [story(seed) for seed in range(60)]
    for seed in (3, 17, 40):
        words = texts[seed].split()
        texts[seed] = " ".join([*words[:50], PLANTED, *words[50:]])
    for seed in range(20, 28):
        texts[seed] = f"{texts[seed]}\n{MENU}\n{story(500 + seed, words=40)}"
    corpora = {"web": corpus(write_lines("web.jsonl", texts))}
    summaries = curation.run(corpora, share=0.01)
    held = " ".join(heldout_texts(curation, "web"))
    assert PLANTED not in held
    assert MENU not in held
    return corpora, summaries


def test_a_planted_passage_and_a_planted_line_stay_once_and_nothing_else_goes(planted, curation) -> None:
    corpora, summaries = planted
    before = kept_texts(curation, "web")
    found, made = cut(curation, corpora, summaries, PassageSettings.model_validate(FEW))
    assert found.passages == {"passage": 2, "line": 7}
    after = kept_texts(curation, "web")
    assert len(after) == len(before) == made["web"].documents
    text = "\n".join(after)
    assert (text.count(PLANTED), text.count(MENU)) == (1, 1)
    last_word = PLANTED.split()[-1]  # the last window of 100 bytes ends within it, so it stays
    expected = _but_once(MENU, "", _but_once(PLANTED, last_word, "\n".join(before)))
    assert text.split() == expected.split(), "every other word is where it was"
    assert sum(len(each.encode()) for each in after) == made["web"].bytes == made["web"].waterfall[-1].bytes
    steps = {step.step: step for step in made["web"].waterfall}
    assert steps["repeated passages"].removed_documents == 0
    assert steps["repeated passages"].removed_bytes == pytest.approx(2 * len(PLANTED), abs=2 * 10)
    assert {shown.excerpt for shown in steps["repeated passages"].examples} == {PLANTED[:200]}, "two of them"
    assert re.fullmatch(r"\d+ bytes, first in web row 3", steps["repeated passages"].examples[0].detail)
    assert steps["repeated lines"].examples[0].excerpt == MENU
    folders = curation.folder("documents", "web"), curation.folder("corpus", "web")
    assert inspect_duplicates(*folders, [curation.folder("heldout", "web")], NearDuplicateSettings()).passed


def _but_once(passage: str, rest: str, text: str) -> str:
    """The text with the rest in place of all copies of a passage but the first."""
    head, _, tail = text.partition(passage)
    return head + passage + tail.replace(passage, rest)


def test_nothing_is_found_in_text_without_passages_of_the_length(curation, write_lines) -> None:
    corpora = {"web": corpus(write_lines("web.jsonl", [story(seed) for seed in range(60)]))}
    curation.run(corpora, share=0.01)
    assert find(curation, PassageSettings.model_validate(FEW), corpora).passages == {"passage": 0, "line": 0}


def test_a_copy_of_held_out_text_is_cut_whichever_comes_first(curation, write_lines) -> None:
    texts = [story(seed, words=200) for seed in range(40)]
    more = [
        f"{story(100 + seed)} {' '.join(text.split()[50:120])} {story(200 + seed)}" for seed, text in enumerate(texts)
    ]
    corpora = {"first": corpus(write_lines("first.jsonl", more)), "second": corpus(write_lines("second.jsonl", texts))}
    summaries = curation.run(corpora, share=0.1)
    found, _ = cut(curation, corpora, summaries, PassageSettings.model_validate(FEW))
    assert found.of_held_out > 0
    held = " ".join(text for name in corpora for text in heldout_texts(curation, name))
    windows = {held[place : place + 100] for place in range(len(held))}
    kept = [text for name in corpora for text in kept_texts(curation, name)]
    assert not any(text[place : place + 100] in windows for text in kept for place in range(len(text) - 99))


def test_a_document_of_which_little_is_left_goes_as_a_whole_and_is_listed(curation, write_lines) -> None:
    long = story(1, words=400)
    part = " ".join(long.split()[100:180]) + " and two more"
    corpora = {"web": corpus(write_lines("web.jsonl", [long, part, *(story(seed) for seed in range(10, 50))]))}
    summaries = curation.run(corpora, share=0.01)
    assert not {long, part} & set(heldout_texts(curation, "web"))
    _, made = cut(curation, corpora, summaries, PassageSettings.model_validate(FEW))
    removed = pq.read_table(curation.folder("corpus", "web") / "removed.parquet").to_pylist()
    assert [row["detail"] for row in removed if row["step"] == "too little left"] == ["21 bytes are left"]
    assert made["web"].documents == summaries["web"].documents - 1
    assert long in kept_texts(curation, "web")


def repeated_by_hand(texts: list[str], length: int) -> set[tuple[int, int]]:
    """(document, byte) of every place from which `length` bytes that begin at a word stand in an earlier place."""
    seen: set[bytes] = set()
    found = set()
    for number, text in enumerate(texts):
        data = text.encode()
        for place in range(len(data) - length + 1):
            begins = data[place] > 32 and (place == 0 or data[place - 1] <= 32 or 0xE3 <= data[place] <= 0xE9)
            if begins and data[place : place + length] in seen:
                found.add((number, place))
            if begins:
                seen.add(data[place : place + length])
    return found


@given(st.lists(st.text(st.sampled_from("ab c\n中é"), max_size=40), max_size=5))
@example(["ab ab ab ab ab ab", "", "中中中中中中中中"])
def test_all_windows_and_no_others_are_repeated_where_a_plain_search_finds_them(texts: list[str]) -> None:
    entries = windows_of(pa.array(texts, pa.string()), 0, 7)
    _, first = np.unique(entries["hash"], return_index=True)
    again = np.setdiff1d(np.arange(len(entries)), first)
    found = {(int(entry["document"]), int(entry["start"])) for entry in entries[again]}
    expected = repeated_by_hand(texts, 7)
    assert found <= expected
    short = {place for place in expected - found if not _stops_late(texts, *place)}
    assert found | short == expected, "but for windows whose words end before their middle"


def _stops_late(texts: list[str], number: int, start: int) -> bool:
    data = texts[number].encode()
    return any(data[place] <= 32 or 0xE3 <= data[place] <= 0xE9 for place in range(start + 4, start + 7)) or (
        start + 7 == len(data) or data[start + 7] <= 32 or 0xE3 <= data[start + 7] <= 0xE9
    )


@given(st.lists(st.text(st.sampled_from("ab \né"), max_size=30), max_size=4))
def test_lines_are_those_that_python_splits(texts: list[str]) -> None:
    entries = lines_of(pa.array(texts, pa.string()), 0, 3)
    found = [texts[entry["document"]].encode()[entry["start"] : entry["stop"]].decode() for entry in entries]
    assert found == [line for text in texts for line in text.split("\n") if len(line.encode()) >= 3]


def test_ranges_of_hashes_give_what_one_range_gives(planted, curation, monkeypatch) -> None:
    corpora, _ = planted
    settings = PassageSettings.model_validate(FEW)
    whole = find(curation, settings, corpora)
    monkeypatch.setattr("pipeline.curation.passages.finding._RANGE", 500)
    assert find(curation, settings, corpora, "again") == whole


@pytest.mark.parametrize(
    ("text", "cuts", "left"),
    [
        ("one two three four", [(4, 8)], "one\nthree four"),
        ("one\n\ntwo three\nfour", [(5, 14)], "one\n\nfour"),
        ("one two", [(0, 4)], "two"),
        ("one two", [(4, 7)], "one"),
        ("é one. Two é", [(3, 7)], "é\nTwo é"),
        ("one two three four five", [(4, 7), (14, 18)], "one\nthree\nfive"),
    ],
)
def test_a_cut_leaves_the_end_of_a_line_or_paragraph(text, cuts, left) -> None:
    assert without(text, *(np.array(ends) for ends in zip(*cuts, strict=True))) == left


def test_no_text_at_all_has_no_passages(tmp_path, write_lines, curation) -> None:
    curation.run({"web": corpus(write_lines("web.jsonl", [story(n) for n in range(30)]))}, share=0.05)
    part = curation.folder("documents", "web") / "part-00000.parquet"
    nothing = {"web": [KeptRows(part, np.empty(0, dtype=np.int64), 0)]}
    found = find_passages(PassageSettings(), nothing, {}, tmp_path, executor=InProcess())
    assert (found.documents, found.passages) == (0, {"passage": 0})
    assert pq.read_table(tmp_path / PASSAGES_FILE).num_rows == 0
