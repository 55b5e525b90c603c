"""From simple to hard by the grade that curation gives real text: a primer before a textbook."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.base.executor import InProcess
from pipeline.curation.corpus import CuratedCorpus
from pipeline.curation.signals.signals import compute_signals
from pipeline.sharding.epoch import build_epoch
from pipeline.sharding.schedule.build import build_schedule
from pipeline.sharding.schedule.schedule import Schedule
from pipeline.sharding.settings import ScheduleSettings, ShardSettings
from pipeline.tokenization.corpus_tokens.encode import encode_corpus
from pipeline.tokenization.settings import SampleSettings
from pipeline.tokenization.specs import parse_spec
from pipeline.tokenization.training.build import build_tokenizer
from pipeline.tokenization.training.mixture import build_mixture

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
STEPS = 4


def curated(folder: Path, name: str) -> tuple[CuratedCorpus, dict[bytes, float]]:
    """The beginnings of 80 documents of ../shared/data as a curated corpus with its grade column; grades by id."""
    path = SHARED / f"{name}.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"][:3000] for line, _ in zip(lines, range(80), strict=False)]
    ids = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
    grades = compute_signals(texts, ["en"] * len(texts))["grade"]
    table = pa.table(
        {
            "doc_id": pa.array(ids, pa.binary(16)),
            "text": texts,
            "bytes": pa.array([len(text.encode()) for text in texts], pa.uint32()),
            "lang": ["en"] * len(texts),
            "grade": pa.array(np.asarray(grades), pa.float32()),
        }
    )
    corpus = CuratedCorpus(folder / "documents", folder / "selection", folder / "heldout")
    for part in (corpus.documents, corpus.selection, corpus.heldout):
        part.mkdir(parents=True)
    pq.write_table(table, corpus.documents / "part-00000.parquet")
    pq.write_table(
        pa.table({"row": range(len(texts)), "doc_id": table["doc_id"]}), corpus.selection / "selection.parquet"
    )
    pq.write_table(table.slice(0, 0), corpus.heldout / "heldout.parquet")
    return corpus, dict(zip(ids, np.asarray(grades).tolist(), strict=True))


def test_a_primer_is_read_before_a_textbook_by_the_grades_of_curation(tmp_path: Path, read_epoch: Any) -> None:
    corpora: dict[str, CuratedCorpus] = {}
    grades: dict[bytes, float] = {}
    for name in ("childrens_books", "textbooks_biology"):
        corpora[name], found = curated(tmp_path / name, name)
        grades |= found
    for folder in ("mixture", "bpe", "schedule"):
        (tmp_path / folder).mkdir()
    build_mixture(SampleSettings(bytes=300_000), corpora, tmp_path / "mixture")
    spec = parse_spec({"kind": "bpe", "vocab_size": 512}, where="test")
    build_tokenizer("bpe", spec, tmp_path / "bpe", cache=tmp_path, folder=tmp_path, mixture=tmp_path / "mixture")
    tokens = {name: tmp_path / "tokens" / name for name in corpora}
    for name, corpus in corpora.items():
        tokens[name].mkdir(parents=True)
        encode_corpus(name, corpus, tmp_path / "bpe", tokens[name], executor=InProcess())
    stage = {"name": "up", "order": "simple_to_hard", "grade_steps": STEPS}
    stage["mixture"] = {name: {"repeats": 1} for name in corpora}
    build_schedule(ScheduleSettings.model_validate({"stages": [stage]}), tokens, tmp_path / "schedule")
    part = Schedule.read(tmp_path / "schedule").epoch(1)
    build_epoch(
        part, tokens, ShardSettings(tokens_per_shard=20_000, tokens_per_batch=5_000), tmp_path / "epoch", InProcess()
    )

    (rows,) = read_epoch(tmp_path / "epoch")
    order = np.array([grades[row[0]] for row in rows])
    assert len(order) == len(grades) == 160
    steps = np.searchsorted(part.stages[0].order.grade_edges, order, side="right")
    assert (np.diff(steps) >= 0).all()
    sizes = np.bincount(steps, minlength=STEPS)
    assert sizes.min() > 0.5 * len(order) / STEPS
    assert (np.diff([order[steps == step].mean() for step in range(STEPS)]) > 0.3).all()
    inside = order[steps == 1]
    assert (np.diff(inside) < 0).any()
    assert (np.diff(inside) > 0).any()  # shuffled within a step
    # sources: sorted names, so 0 is the children's books
    source = np.array([row[1] for row in rows])
    assert source[: len(rows) // 4].mean() < 0.2 < 0.8 < source[-len(rows) // 4 :].mean()
