"""The blocking checks of a curated corpus: each passes on a good corpus and fails on one with its fault planted."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.curation.inspection import inspect_contamination, inspect_duplicates, inspect_languages
from pipeline.curation.selected import SCHEMA
from pipeline.curation.settings import ContaminationSettings, CorpusSettings, NearDuplicateSettings
from pipeline.curation.tables import iter_parts
from tests.pipeline.curation.stories import corpus, jaccard, kept_texts, similar, story

QUESTION = "Which of these animals, known for its long neck, eats the leaves of tall acacia trees in Africa?"
SHORT = "The seventh planet's moon is called Oberon."
ITEMS = [("quiz", "q1", QUESTION), ("quiz", "q2", SHORT)]


@pytest.fixture
def faulty(curation, write_lines):
    """A curated corpus whose documents hold an equal pair (0, 40), a similar one (1, 41), and two items (42, 43)."""
    texts = [story(seed) for seed in range(40)]
    texts += [texts[0], similar(texts[1], 2, seed=1), f"{story(42)} {QUESTION}", f"{SHORT} {story(43)}"]
    assert jaccard(texts[1], texts[41]) >= 0.8
    curation.run({"web": corpus(write_lines("web.jsonl", texts))}, ITEMS, share=0.05)
    return curation


def duplicates(curation):
    folders = (curation.folder(asset, "web") for asset in ("documents", "corpus"))
    return inspect_duplicates(*folders, [curation.folder("heldout", "web")], NearDuplicateSettings())


def contamination(curation):
    folders = (curation.folder("documents", "web"), curation.folder("corpus", "web"), curation.folder("contamination"))
    return inspect_contamination(*folders, ContaminationSettings())


def select(curation, rows: list[int]) -> None:
    """Replace the selection by these rows, as an asset that forgets to remove would write it."""
    ids = [ident for batch in iter_parts(curation.folder("documents", "web"), ("doc_id",)) for ident in batch["doc_id"]]
    table = pa.table({"row": rows, "doc_id": [ids[row].as_py() for row in rows]}, schema=SCHEMA)
    pq.write_table(table, curation.folder("corpus", "web") / "selection.parquet")


def selected_rows(curation) -> list[int]:
    return pq.read_table(curation.folder("corpus", "web") / "selection.parquet").column("row").to_pylist()


def test_a_curated_corpus_passes(faulty) -> None:
    assert duplicates(faulty).passed
    assert contamination(faulty).passed
    assert contamination(faulty).numbers["searched"] == len(selected_rows(faulty))


def test_an_equal_document_that_was_not_removed_fails_the_check(faulty) -> None:
    select(faulty, sorted({*selected_rows(faulty), 0, 40}))
    assert not duplicates(faulty).passed
    assert duplicates(faulty).numbers["exact"] == 1


def test_a_similar_document_that_was_not_removed_fails_the_check(faulty) -> None:
    select(faulty, sorted({*selected_rows(faulty), 1, 41}))
    assert not duplicates(faulty).passed
    assert duplicates(faulty).numbers["near"] == 1


def test_a_held_out_document_in_training_text_fails_the_check(faulty) -> None:
    held = set(range(44)) - set(selected_rows(faulty)) - {0, 1, 40, 41, 42, 43}
    assert held
    select(faulty, sorted({*selected_rows(faulty), min(held)}))
    assert not duplicates(faulty).passed


def test_only_part_of_many_documents_signatures_is_compared_and_the_finding_says_so(faulty, monkeypatch) -> None:
    monkeypatch.setattr("pipeline.curation.inspection._SIGNATURES", 10)
    finding = duplicates(faulty)
    assert finding.passed
    assert "in 1/5 of the bands' values" in finding.text or "in 1/4 of the bands' values" in finding.text


@pytest.mark.parametrize("row", [42, 43])
def test_an_evaluation_item_that_was_not_removed_fails_the_check(faulty, row: int) -> None:
    select(faulty, sorted({*selected_rows(faulty), row}))
    finding = contamination(faulty)
    assert not finding.passed
    assert finding.numbers["contaminated"] == 1
    assert f"quiz q{row - 41}" in finding.text


def test_text_in_another_language_than_declared_fails_the_check(curation, write_lines) -> None:
    french = "le chat est sur la table et les enfants jouent avec nous dans le jardin de cette maison".split()
    english = "the cat is on the table and all of the children play with us in the garden of this house".split()
    draw = random.Random(1)
    texts = [" ".join(draw.choices(french if number % 4 == 0 else english, k=40)) for number in range(40)]
    settings = corpus(write_lines("web.jsonl", texts))
    curation.run({"web": settings}, share=0.05)
    folders = (curation.folder("documents", "web"), curation.folder("corpus", "web"))
    assert settings.allowed_languages == {"en"}
    finding = inspect_languages(*folders, settings.allowed_languages, settings.language_share)
    assert not finding.passed
    assert "fr" in finding.text
    assert inspect_languages(*folders, {"en", "fr"}, settings.language_share).passed
    assert 0.6 < finding.numbers["share"] < 0.85
    assert kept_texts(curation, "web")


def test_a_corpus_declares_its_filters_languages_or_its_sources(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    assert corpus(path, filters={"language": ["fr", "es"]}).allowed_languages == {"fr", "es"}
    unknown = CorpusSettings.model_validate({"sources": [{"files": [str(path)]}, {"files": [str(path)], "lang": "en"}]})
    assert unknown.allowed_languages == set()
    assert np.isclose(unknown.language_share, 0.9)
