"""Content hashes of a tiny fixture: when one moves, the asset's version must move with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.base.executor import InProcess
from pipeline.curation.contamination import CONTAMINATION_VERSION, find_contamination
from pipeline.curation.cut_corpus import CUT_CORPUS_VERSION, cut_corpus, kept_rows
from pipeline.curation.documents import DOCUMENTS_VERSION, build_documents
from pipeline.curation.duplicates.near_duplicates import NEAR_DUPLICATES_VERSION, find_near_duplicates
from pipeline.curation.heldout import HELDOUT_VERSION, split_heldout
from pipeline.curation.passages.finding import PASSAGES_VERSION, find_passages
from pipeline.curation.quality.linear import LinearModel
from pipeline.curation.quality.scoring import QUALITY_VERSION, score_corpus
from pipeline.curation.quality.training import QUALITY_MODEL_VERSION, keep_model
from pipeline.curation.selection import SELECTION_VERSION, select_corpus
from pipeline.curation.settings import (
    ContaminationSettings,
    CorpusSettings,
    HeldoutSettings,
    NearDuplicateSettings,
    PassageSettings,
)

TEXTS = [
    "The quick brown fox jumps over the lazy dog. It was a sunny day, and the fox was happy.",
    "Le chat est sur la table. Il fait beau aujourd'hui et les enfants jouent dans le jardin.",
    "敏捷的棕色狐狸跳过了懒狗。今天天气很好。",
    "schÃ¶n\r\nand “quoted” – write to a.b@example.org",
    "one two three four five " * 40,
]
GOLDEN = {
    "documents": ("3", "31ef593abc9685c4"),
    "heldout": ("1", "47650034c08d5fc6"),
    "near_duplicates": ("3", "2526368e197314c9"),
    "contamination": ("3", "90a001cd8acdecfb"),
    "corpus": ("3", "0f42acd955773640"),
    "passages": ("1", "3d6444100e47e044"),
    "cut_corpus": ("1", "d2ce88b74ebaa295"),
    "quality_model": ("1", "54550d698350b186"),
    "quality": ("1", "996952be4edfccc8"),
}


@pytest.fixture
def built(tmp_path: Path) -> dict[str, tuple[str, str]]:
    texts = [*TEXTS, TEXTS[0], TEXTS[0] + " " + TEXTS[4]]
    (tmp_path / "in.txt").write_text("\n".join(text.replace("\r\n", " ") for text in texts), encoding="utf-8")
    settings = CorpusSettings.model_validate({"sources": [{"files": [str(tmp_path / "in.txt")], "format": "lines"}]})
    documents, heldout = {"web": tmp_path / "documents"}, {"web": tmp_path / "heldout"}
    near, contamination, corpus = tmp_path / "near", tmp_path / "contamination", tmp_path / "corpus"
    items = [("quiz", "1", TEXTS[0])]
    first = build_documents("web", settings.documents, documents["web"], cache=tmp_path, executor=InProcess())
    second = split_heldout("web", HeldoutSettings(share=0.1), documents["web"], heldout["web"])
    third = find_near_duplicates(NearDuplicateSettings(), documents, heldout, near, executor=InProcess())
    fourth = find_contamination(ContaminationSettings(), documents, items, contamination, executor=InProcess())
    fifth = select_corpus("web", {"web": settings}, documents, heldout["web"], near, contamination, corpus)
    passages, kept_ = PassageSettings(least_bytes=64, least_left=1), kept_rows(documents["web"], corpus)
    found = find_passages(passages, {"web": kept_}, heldout, tmp_path / "found", executor=InProcess())
    (tmp_path / "cut").mkdir()
    cut = cut_corpus("web", settings, passages, fifth, documents["web"], corpus, tmp_path / "found", tmp_path / "cut")
    written = np.append(np.arange(-8, 8, dtype=np.float32), np.float32(0))  # a fit differs in its last bits by machine
    kept = keep_model(LinearModel(written, 0.25, 2, classifies=True, slope=2.0), tmp_path)
    scores = score_corpus(documents["web"], tmp_path, tmp_path, executor=InProcess())
    return {
        "documents": (DOCUMENTS_VERSION, first.content_hash[:16]),
        "heldout": (HELDOUT_VERSION, second.content_hash[:16]),
        "near_duplicates": (NEAR_DUPLICATES_VERSION, third.content_hash[:16]),
        "contamination": (CONTAMINATION_VERSION, fourth.content_hash[:16]),
        "corpus": (SELECTION_VERSION, fifth.content_hash[:16]),
        "passages": (PASSAGES_VERSION, found.content_hash[:16]),
        "cut_corpus": (CUT_CORPUS_VERSION, cut.content_hash[:16]),
        "quality_model": (QUALITY_MODEL_VERSION, kept[:16]),
        "quality": (QUALITY_VERSION, scores.content_hash[:16]),
    }


def test_content_hashes_move_only_with_the_versions(built: dict[str, tuple[str, str]]) -> None:
    assert built == GOLDEN
