"""The filters give datatrove's verdict on every document: an oracle from the field, not our own numbers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.curation.filter_settings import C4, Filters, FineWeb, GopherQuality, GopherRepetition
from pipeline.curation.filters import broken_rules
from pipeline.curation.signals import compute_signals

DATA = Path(__file__).parents[3].parent / "shared" / "data"
ODD_TEXTS = [
    "word " * 200,
    "a\n" * 100,
    "- item one\n- item two\n" * 30,
    "the end... " * 60,
    "# the # of # and # to " * 40,
    "Lorem ipsum dolor sit amet. " * 20,
    "function () { return the of and; } " * 20,
    "x" * 5000,
    "ab c abc a bc " * 50,
    "The use of cookies is here. We use cookies. Please see our privacy policy and terms of use now. " * 5,
    'He said: "Stop!" Then he left... "Why?" she asked. (It was late.) :-) Mr. Smith didn\'t know. ' * 12,
    "See http://www.example.com/a?b=c, U.S. $1,000.50 (about 3.5%) in 1990s-style state-of-the-art. " * 12,
]


def our_verdicts(texts: list[str], filters: Filters) -> list[bool]:
    signals = compute_signals(texts, ["en"] * len(texts))
    batch = pa.RecordBatch.from_pydict({"lang": ["en"] * len(texts), **signals})
    kept = [True] * len(texts)
    for _, broken, _ in broken_rules(batch, filters):
        kept = [keep and not wrong for keep, wrong in zip(kept, broken, strict=True)]
    return kept


def datatrove_verdicts(texts: list[str], name: str) -> list[bool]:
    pytest.importorskip("datatrove", reason="datatrove, the oracle, is in the test extra")
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    oracle = {
        "gopher_quality": GopherQualityFilter,
        "gopher_repetition": GopherRepetitionFilter,
        "c4": lambda: C4QualityFilter(filter_no_terminal_punct=False),
        "fineweb": FineWebQualityFilter,
    }[name]()
    verdicts = (oracle.filter(Document(text=text, id="0")) for text in texts)
    return [verdict if isinstance(verdict, bool) else verdict[0] for verdict in verdicts]


FILTERS = {
    "gopher_quality": Filters(gopher_quality=GopherQuality()),
    "gopher_repetition": Filters(gopher_repetition=GopherRepetition()),
    "c4": Filters(c4=C4()),
    "fineweb": Filters(fineweb=FineWeb()),
}


def english(step: int) -> list[str]:
    """Every `step`-th English document of the development data."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is not there")
    texts = []
    for name in ("fineweb_edu", "childrens_books", "books", "textbooks_biology"):
        with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            texts += [json.loads(line)["text"] for line in file][::step]
    return [text for text in texts if len(text) < 300_000]


@pytest.mark.parametrize("name", FILTERS)
def test_odd_texts_get_the_oracles_verdict(name: str) -> None:
    assert our_verdicts(ODD_TEXTS, FILTERS[name]) == datatrove_verdicts(ODD_TEXTS, name)


@pytest.mark.parametrize("name", FILTERS)
def test_a_sample_of_real_documents_gets_the_oracles_verdict(name: str) -> None:
    texts = english(step=40)
    ours, theirs = our_verdicts(texts, FILTERS[name]), datatrove_verdicts(texts, name)
    assert [text[:80] for text, a, b in zip(texts, ours, theirs, strict=True) if a != b] == []
    assert len(set(theirs)) == 2, "the sample holds documents of both kinds"


@pytest.mark.slow
@pytest.mark.parametrize("name", FILTERS)
def test_every_english_document_gets_the_oracles_verdict(name: str) -> None:
    texts = english(step=1)
    ours, theirs = our_verdicts(texts, FILTERS[name]), datatrove_verdicts(texts, name)
    assert [text[:80] for text, a, b in zip(texts, ours, theirs, strict=True) if a != b] == []
