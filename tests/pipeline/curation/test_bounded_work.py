"""Neither the number of processes nor the size of partitions nor a shortcut changes a byte of the result."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.base.executor import Executor, InProcess, Processes
from pipeline.curation.contamination import find_contamination
from pipeline.curation.duplicates.near_duplicates import find_near_duplicates
from pipeline.curation.settings import ContaminationSettings, NearDuplicateSettings
from tests.pipeline.base.twice import Twice
from tests.pipeline.curation.stories import corpus, similar, story

ITEMS = [("quiz", str(seed), story(seed)[:200]) for seed in range(10)]


@pytest.fixture
def built(curation, write_lines):
    """Two corpora of three files with copies, similar documents and contamination in and across them."""
    corpora = {}
    for name in ("a", "b"):
        texts = [story(seed) for seed in range(60)]
        texts = [similar(text, seed % 8, seed) for seed, text in enumerate(texts)] + texts[:5] if name == "b" else texts
        paths = [str(write_lines(f"{name}{part}.jsonl", texts[part::3])) for part in range(3)]
        source = {"files": paths, "lang": "en"}
        corpora[name] = corpus(Path("unused")).model_validate({"sources": [source]})
    curation.run(corpora, ITEMS, share=0.1)
    return curation


def files_of(curation, out: Path, executor: Executor) -> dict[str, bytes]:
    folders = [{name: curation.folder(asset, name) for name in ("a", "b")} for asset in ("documents", "heldout")]
    find_near_duplicates(NearDuplicateSettings(), *folders, out, executor=executor)
    find_contamination(ContaminationSettings(), folders[0], ITEMS, out, executor=executor)
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def test_processes_partitions_and_what_a_kill_left_change_no_byte(built, tmp_path: Path, monkeypatch) -> None:
    alone = files_of(built, tmp_path / "alone", InProcess())
    assert set(alone) == {"clusters.parquet", "contaminated.parquet", "items.parquet"}, "temporary files are gone"
    for left in ("scratch/band-00", "scratch/part-00000.sets", "clusters.parquet.tmp"):  # by a build that was killed
        (tmp_path / "pool" / "scratch").mkdir(parents=True, exist_ok=True)
        (tmp_path / "pool" / left).write_bytes(b"half of it")
    for module in ("duplicates.near_duplicates", "contamination"):
        monkeypatch.setattr(f"pipeline.curation.{module}.WORTH_BYTES", 0)
    with Processes(2) as executor:
        assert files_of(built, tmp_path / "pool", executor) == alone
    for name in ("bands", "heldout_join"):
        monkeypatch.setattr(f"pipeline.curation.duplicates.{name}._PARTITION", 400)
    monkeypatch.setattr("pipeline.curation.duplicates.partitions._READ", 60)
    monkeypatch.setattr("pipeline.curation.duplicates.heldout_join._PAIRS", 20)
    monkeypatch.setattr("pipeline.curation.duplicates.document_rows._BLOCK", 16)
    assert files_of(built, tmp_path / "small", InProcess()) == alone


def test_a_part_may_run_twice_even_at_once_and_changes_no_argument(built, tmp_path: Path) -> None:
    once = files_of(built, tmp_path / "once", InProcess())
    with Twice() as executor:
        assert files_of(built, tmp_path / "twice", executor) == once
    assert set(executor.tasks) == {"write_prefixes", "scan_part", "write_sets", "compare", "find_suspects"}
