"""What is kept of a data set's files: used without a question, and asked for again where it cannot be read."""

import pytest

from pipeline.curation.sources.hub import catalog
from pipeline.curation.sources.hub.catalog import Catalog, catalog_of
from pipeline.curation.sources.settings import HubDataset

DATASET = HubDataset(id="some/data", revision="c" * 40)


@pytest.fixture
def asked(monkeypatch):
    """How often the hub was asked, in place of one."""
    questions = []
    found = Catalog("parquet", ["data/a.parquet"])
    monkeypatch.setattr(catalog, "_found", lambda dataset, cache: questions.append(dataset) or found)
    return questions


def test_the_hub_is_asked_once(asked, tmp_path):
    assert catalog_of(DATASET, tmp_path) == catalog_of(DATASET, tmp_path)
    assert len(asked) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "parquet", "files": 5}'])
def test_a_damaged_record_is_asked_for_anew(asked, tmp_path, text):
    first = catalog_of(DATASET, tmp_path)
    (record,) = tmp_path.rglob("*.files.json")
    record.write_text(text)
    assert catalog_of(DATASET, tmp_path) == first
    assert catalog_of(DATASET, tmp_path) == first
    assert len(asked) == 2
