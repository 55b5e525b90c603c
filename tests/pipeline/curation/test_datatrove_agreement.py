"""The filters give datatrove's verdict on every document: an oracle from the field, not our own numbers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.curation.filters.c4 import C4
from pipeline.curation.filters.filters import Filters
from pipeline.curation.filters.fineweb import FineWeb
from pipeline.curation.filters.gopher_quality import GopherQuality
from pipeline.curation.filters.gopher_repetition import GopherRepetition
from pipeline.curation.filters.verdicts import signals_of
from pipeline.curation.signals.signals import compute_signals

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
    for rule in filters.rules(signals_of(batch)):
        kept = [keep and not wrong for keep, wrong in zip(kept, rule.broken, strict=True)]
    return kept


def datatrove_verdicts(texts: list[str], names: Sequence[str]) -> dict[str, list[bool]]:
    """Verdicts of the filters `names`; each text goes through all of them in turn, since they share its words."""
    pytest.importorskip("datatrove", reason="datatrove, the oracle, is in the test extra")
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    makers = {
        "gopher_quality": GopherQualityFilter,
        "gopher_repetition": GopherRepetitionFilter,
        "c4": lambda: C4QualityFilter(filter_no_terminal_punct=False),
        "fineweb": FineWebQualityFilter,
    }
    oracles = {name: makers[name]() for name in names}
    verdicts: dict[str, list[bool]] = {name: [] for name in names}
    for text in texts:
        for name, oracle in oracles.items():
            verdict = oracle.filter(Document(text=text, id="0"))
            verdicts[name].append(verdict if isinstance(verdict, bool) else verdict[0])
    return verdicts


FILTERS = {
    "gopher_quality": Filters(gopher_quality=GopherQuality()),
    "gopher_repetition": Filters(gopher_repetition=GopherRepetition()),
    "c4": Filters(c4=C4()),
    "fineweb": Filters(fineweb=FineWeb()),
}


ENGLISH_FILES = ("fineweb_edu", "childrens_books", "books", "textbooks_biology")
OTHER_FILES = ("childrens_books_multilingual", "multilingual", "tinystories_ru")


def development_texts(names: Sequence[str], step: int = 1) -> list[str]:
    """Every `step`-th document of some files of the development data."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is not there")
    texts: list[str] = []
    for name in names:
        with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            texts += [json.loads(line)["text"] for line in file][::step]
    return texts


def differing(texts: list[str]) -> list[tuple[str, str]]:
    """The filters and texts whose verdicts are not datatrove's."""
    theirs = datatrove_verdicts(texts, tuple(FILTERS))
    return [
        (name, text[:80])
        for name, filters in FILTERS.items()
        for text, mine, other in zip(texts, our_verdicts(texts, filters), theirs[name], strict=True)
        if mine != other
    ]


def test_odd_texts_get_the_oracles_verdict() -> None:
    assert differing(ODD_TEXTS) == []


def test_a_sample_of_real_documents_gets_the_oracles_verdict() -> None:
    texts = [text for text in development_texts(ENGLISH_FILES, step=160) if len(text) < 300_000]
    assert differing(texts) == []
    kept = {name: set(our_verdicts(texts, filters)) for name, filters in FILTERS.items()}
    assert all(len(verdicts) == 2 for verdicts in kept.values()), "the sample holds documents of both kinds"


@pytest.mark.slow
def test_every_english_document_gets_the_oracles_verdict() -> None:
    texts = development_texts(ENGLISH_FILES)
    assert len(texts) == 5024
    assert differing(texts) == []


@pytest.mark.slow
def test_other_scripts_judged_by_the_english_rules_get_the_oracles_verdict() -> None:
    assert differing(development_texts(OTHER_FILES, step=5)) == []
