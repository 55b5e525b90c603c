"""A quality model side by side with scikit-learn, on the same documents: how well it ranks, and what it costs.

    python benchmarks/quality_model.py STORE --like textbooks --unlike fineweb_edu

STORE is an artifact store (SQUEEZE_HOME) that holds `documents/<corpus>` and `heldout/<corpus>` of these corpora. The
peer is HashingVectorizer over words and pairs of words with LogisticRegression, the same texts to learn from and to
judge by. Speeds are megabytes of text a second of processor time, alternating, in one process; a ratio is ours over the
peer's.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[1]))

from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from pipeline.curation.quality.linear import LinearModel, fit
from pipeline.curation.quality.ngrams import ngram_blocks
from pipeline.curation.quality.sample import Sample, read_sample
from pipeline.curation.settings import QualityModelSettings


def main() -> None:
    """Train both, and print how they rank the validation texts and what learning and scoring took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--like", nargs="+", required=True)
    parser.add_argument("--unlike", nargs="+", required=True)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    settings = QualityModelSettings(like=tuple(options.like), unlike=tuple(options.unlike))
    folders = [
        {name: newest(options.store / asset / name) for name in settings.corpora} for asset in ("documents", "heldout")
    ]
    kept: list[str] = []
    sample, seconds = timed(lambda: read_sample(settings, *folders, keep=kept))
    size = sum(len(text.encode()) for text in kept) / 1e6
    learned, judged = np.flatnonzero(~sample.validation), np.flatnonzero(sample.validation)
    print(f"{len(learned):,} documents to learn from, {len(judged):,} to judge by, {size:.1f} MB")
    print(f"reading and hashing: {size / seconds:.1f} MB/s")
    model, seconds = timed(lambda: ours(settings, sample, learned))
    good = sample.targets == 1
    auc = roc_auc_score(good[judged], model.margins(sample.ngrams.of(judged)))
    print(f"ours: learned in {seconds:.1f} s, AUC {auc:.5f}")
    hashing = HashingVectorizer(ngram_range=(1, 2), n_features=1 << settings.bits)
    bags, vectorizing = timed(lambda: hashing.transform(kept))
    peer = LogisticRegression(C=1 / (settings.penalty * len(learned)), class_weight="balanced", max_iter=100)
    _, seconds = timed(lambda: peer.fit(bags[learned], good[learned]))
    auc = roc_auc_score(good[judged], peer.decision_function(bags[judged]))
    print(f"scikit-learn: hashed in {vectorizing:.1f} s, learned in {seconds:.1f} s, AUC {auc:.5f}")
    texts = pa.array(kept, pa.large_string())
    for _ in range(options.repeat):
        _, mine = timed(lambda: [model.scores(block) for block in ngram_blocks(texts, model.ngram, model.bits)])
        _, theirs = timed(lambda: peer.decision_function(hashing.transform(kept)))
        print(f"scoring: {size / mine:.1f} MB/s a core, scikit-learn {size / theirs:.1f}, ratio {theirs / mine:.1f}")


def ours(settings: QualityModelSettings, sample: Sample, rows: np.ndarray) -> LinearModel:
    """Our model of some of the texts."""
    some = sample.ngrams.of(rows), sample.targets[rows], sample.importance[rows]
    return fit(*some, bits=settings.bits, classifies=True, penalty=settings.penalty)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What `work` gives, and its seconds of processor time."""
    start = time.process_time()
    made = work()
    return made, time.process_time() - start


def newest(folder: Path) -> Path:
    """The artifact of an asset that was built last."""
    return max((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)


if __name__ == "__main__":
    main()
