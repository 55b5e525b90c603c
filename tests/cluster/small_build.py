"""Everything that goes by parts, over small made-up text: what each engine must make the same bytes of."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.base.executor import Executor
from pipeline.curation.contamination import find_contamination
from pipeline.curation.documents import build_documents
from pipeline.curation.duplicates.near_duplicates import find_near_duplicates
from pipeline.curation.heldout import split_heldout
from pipeline.curation.settings import ContaminationSettings, CorpusSettings, HeldoutSettings, NearDuplicateSettings
from pipeline.sharding.epoch import build_epoch
from pipeline.sharding.schedule.build import build_schedule
from pipeline.sharding.schedule.schedule import Schedule
from pipeline.sharding.settings import ScheduleSettings, ShardSettings
from tests.pipeline.curation.stories import similar, story
from tests.pipeline.sharding.conftest import documents, write_store

ITEMS = [("quiz", str(seed), story(seed)[:200]) for seed in range(10)]
CORPORA = ("a", "b")
SHARDS = ShardSettings(tokens_per_shard=2000, tokens_per_batch=500, workers=2)


def build(root: Path, executor: Executor) -> dict[str, bytes]:
    """Documents, duplicates, contamination and an epoch's shards of each mode; every file by its path."""
    folders = {name: root / "documents" / name for name in CORPORA}
    heldout = {name: root / "heldout" / name for name in CORPORA}
    for name, folder in folders.items():
        source = {"files": [str(path) for path in texts(root.parent / "texts", name)], "lang": "en"}
        settings = CorpusSettings.model_validate({"sources": [source]}).documents
        build_documents(name, settings, folder, cache=root, executor=executor)
        split_heldout(name, HeldoutSettings(share=0.1), folder, heldout[name])
    find_near_duplicates(NearDuplicateSettings(), folders, heldout, root / "near", executor=executor)
    find_contamination(ContaminationSettings(), folders, ITEMS, root / "contamination", executor=executor)
    tokens = {name: write_store(root.parent / "tokens" / name, name, documents(name, 200), files=2) for name in CORPORA}
    stages = [{"name": "mixture", "mixture": dict.fromkeys(CORPORA, 1)}]
    (root / "schedule").mkdir(parents=True)
    schedule = ScheduleSettings.model_validate({"epochs": 2, "tokens_per_epoch": 6000, "stages": stages})
    build_schedule(schedule, tokens, root / "schedule")
    plan = Schedule.read(root / "schedule")
    for mode in ("global", "within_shard"):
        shards = SHARDS.model_copy(update={"mode": mode})
        build_epoch(plan.epoch(1), tokens, shards, root / mode, executor)
    files = sorted(file for file in root.rglob("*") if file.is_file() and not file.name.endswith(".finished"))
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in files}


def texts(folder: Path, name: str) -> list[Path]:
    """Three files of texts, with copies, similar ones and contamination in and across corpora."""
    folder.mkdir(parents=True, exist_ok=True)
    every = [story(seed) for seed in range(60)]
    if name == "b":
        every = [similar(text, seed % 8, seed) for seed, text in enumerate(every)] + every[:5]
    paths = [folder / f"{name}{part}.jsonl" for part in range(3)]
    for part, path in enumerate(paths):
        path.write_text("\n".join(json.dumps({"text": text}) for text in every[part::3]))
    return paths
