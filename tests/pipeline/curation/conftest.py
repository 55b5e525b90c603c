"""A small corpus with everything curation has to deal with, built from local files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pipeline.base.executor import InProcess
from pipeline.curation.contamination import EvaluationItem, find_contamination
from pipeline.curation.documents import build_documents
from pipeline.curation.duplicates.near_duplicates import find_near_duplicates
from pipeline.curation.heldout import split_heldout
from pipeline.curation.selection import SelectionSummary, select_corpus
from pipeline.curation.settings import (
    ContaminationSettings,
    CorpusSettings,
    HeldoutSettings,
    NearDuplicateSettings,
)

Write = Callable[[str, Sequence[str]], Path]


@pytest.fixture
def write_lines(tmp_path: Path) -> Write:
    """Write texts as JSON lines to a file of the temporary folder."""

    def write(name: str, texts: Sequence[str]) -> Path:
        path = tmp_path / name
        lines = [json.dumps({"text": text, "page": f"page {number}"}) for number, text in enumerate(texts)]
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return write


class Curation:
    """All assets over some corpora of local files, in one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, asset: str, corpus: str = "") -> Path:
        return self.root / asset / corpus

    def run(
        self,
        corpora: dict[str, CorpusSettings],
        items: Sequence[EvaluationItem] = (),
        share: float = 0.1,
    ) -> dict[str, SelectionSummary]:
        for name, settings in corpora.items():
            documents = self.folder("documents", name)
            build_documents(name, settings.documents, documents, cache=self.root, executor=InProcess())
            split_heldout(name, HeldoutSettings(share=share), documents, self.folder("heldout", name))
        return self.select(corpora, items)

    def select(
        self, corpora: dict[str, CorpusSettings], items: Sequence[EvaluationItem] = ()
    ) -> dict[str, SelectionSummary]:
        documents = {name: self.folder("documents", name) for name in corpora}
        heldout = {name: self.folder("heldout", name) for name in corpora}
        near, contamination = self.folder("near_duplicates"), self.folder("contamination")
        find_near_duplicates(NearDuplicateSettings(), documents, heldout, near, executor=InProcess())
        find_contamination(ContaminationSettings(), documents, items, contamination, executor=InProcess())
        return {
            name: select_corpus(
                name, corpora, documents, heldout[name], near, contamination, self.folder("corpus", name)
            )
            for name in corpora
        }


@pytest.fixture
def curation(tmp_path: Path) -> Curation:
    return Curation(tmp_path / "store")
