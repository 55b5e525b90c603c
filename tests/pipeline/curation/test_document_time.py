"""A document that takes too long is set aside by name; all others are built, and the same as without it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.base.errors import CurationError
from pipeline.base.executor import Executor, InProcess, Processes
from pipeline.curation import documents
from pipeline.curation.documents import DocumentsSummary, build_documents
from pipeline.curation.settings import CorpusSettings
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.tables import iter_parts
from tests.pipeline.curation.stories import story

HOSTILE = "the document that never ends"


def build(paths: list[Path], out: Path, executor: Executor, seconds: float) -> DocumentsSummary:
    source = {"files": [str(path) for path in paths], "lang": "en"}
    settings = CorpusSettings.model_validate({"sources": [source], "document_seconds": seconds})
    return build_documents("web", settings.documents, out, cache=out, executor=executor)


def texts_of(out: Path) -> list[str]:
    return [text for batch in iter_parts(out, ("text",)) for text in batch.column("text").to_pylist()]


@pytest.mark.parametrize("step", ["normalize", "compute_signals"])
def test_a_slow_document_is_quarantined_and_the_others_are_built(
    step: str, write_lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stories = [story(seed) for seed in range(7)]
    path = write_lines("in.jsonl", [*stories[:4], HOSTILE, *stories[4:]])
    real = getattr(documents, step)

    def slow(text, *more):
        if HOSTILE in text:
            re.fullmatch("(a+)+b", "a" * 60)
        return real(text, *more)

    monkeypatch.setattr(documents, step, slow)
    summary = build([path], tmp_path / "out", InProcess(), 0.2)
    assert texts_of(tmp_path / "out") == stories
    assert summary.quarantined == {Reason.TOO_SLOW: 1}
    assert (summary.quarantine_examples[0]["row"], summary.quarantine_examples[0]["excerpt"]) == (4, HOSTILE)


def test_worker_processes_set_slow_documents_aside_too(write_lines, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(documents, "_worth_workers", lambda units: True)
    paths = [write_lines(f"{part}.jsonl", [story(part) * 50]) for part in range(2)]
    with (
        Processes(2) as executor,
        pytest.raises(CurationError, match=r"2 took longer than document_seconds, .*document_seconds = 1e-06"),
    ):
        build(paths, tmp_path / "out", executor, 1e-6)
