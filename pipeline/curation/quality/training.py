"""The asset `quality_model/<name>`: a linear model that tells good documents from others, learned from two corpora or
from scores that documents came with.

In: the documents and held-out splits of the corpora that it learns from. Out: `model.npz`, and a summary with how well
it judges texts of groups that it did not see.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.base.errors import CurationError
from pipeline.base.files import write_text
from pipeline.curation.quality.embedding import TOKENIZER_FILE, Embedding
from pipeline.curation.quality.linear import LinearModel, fit, fit_embedded, platt
from pipeline.curation.quality.ranking import auc, spearman
from pipeline.curation.quality.sample import Sample, read_sample
from pipeline.curation.settings import QualityModelSettings

QUALITY_MODEL_VERSION: Final = "1"
MODEL_FILE: Final = "model.npz"
_BINS: Final = 10
_FEW: Final = 10
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class QualityModelSummary:
    """What a model learned from, and how it does on validation texts. Where it classifies, the two sides weigh the same
    in every figure, whatever their sizes."""

    content_hash: str
    documents: int
    validation_documents: int
    bytes: int
    auc: float | None = None
    """Chance that a good document's score is higher than another's; of a classifier."""
    calibration_error: float | None = None
    """Mean distance of the probability from the share of good documents, over ten bins; of a classifier."""
    reliability: list[dict[str, float]] = field(default_factory=list)
    """The bins: mean probability, share of good documents, documents; of a regression mean predicted and given
    score."""
    explained: float | None = None
    """Share of the given scores' variance that is explained; of a regression."""
    rank_correlation: float | None = None
    """Spearman's, of given and predicted scores; of a regression."""


def train_quality_model(
    settings: QualityModelSettings,
    documents: Mapping[str, Path],
    heldout: Mapping[str, Path],
    out: Path,
    *,
    cache: Path | None = None,
) -> QualityModelSummary:
    """Learn the model and write `out/model.npz`, and beside it the tokenizer of one over an embedding.

    Args:
        settings: what it learns.
        documents, heldout: folders of these assets for each corpus that the settings name.
        out: output folder.
        cache: folder of downloaded package archives, `out` by default.

    Raises:
        CurationError: too little text on a side to learn from and to judge by.
    """
    embedding = Embedding.read(settings.embedding, cache or out) if settings.embedding is not None else None
    sample = read_sample(settings, documents, heldout, view=embedding.tokens.read if embedding is not None else None)
    classifies = not settings.rated
    _require_enough(settings, sample, classifies)
    importance = sample.importance if classifies else np.ones(len(sample.targets))
    learned, seen = ~sample.validation, sample.validation
    texts, wanted = sample.ngrams.of(np.flatnonzero(learned)), (sample.targets[learned], importance[learned])
    penalty = settings.penalty
    if embedding is None:
        model = fit(texts, *wanted, bits=settings.bits, classifies=classifies, penalty=penalty)
    else:
        model = fit_embedded(texts, embedding.vectors, *wanted, classifies=classifies, penalty=penalty)
        write_text(out / TOKENIZER_FILE, embedding.tokens.description)
    judged, targets, weights = sample.ngrams.of(np.flatnonzero(seen)), sample.targets[seen], importance[seen]
    model = calibrated(model, model.margins(judged), targets, weights)
    scores = model.scores(judged)
    bins = _reliability(scores, targets, weights)
    figures = _of_classifier(scores, targets, bins) if classifies else _of_regression(scores, targets)
    log.info("learned from %s documents, judged by %s: %s", f"{learned.sum():,}", f"{len(targets):,}", figures)
    return QualityModelSummary(
        content_hash=keep_model(model, out),
        documents=int(learned.sum()),
        validation_documents=len(targets),
        bytes=sample.bytes,
        reliability=[{name: round(value, 5) for name, value in each.items()} for each in bins],
        **figures,
    )


def calibrated(model: LinearModel, margins: np.ndarray, targets: np.ndarray, importance: np.ndarray) -> LinearModel:
    """The model with the calibration that suits these margins, float64 [N], and their targets."""
    if model.classifies:
        slope, offset = platt(margins, targets == 1, importance)
    elif np.ptp(margins):
        slope, offset = np.polyfit(margins, targets, 1).tolist()
    else:
        slope, offset = 0.0, float(targets.mean())
    return replace(model, slope=slope, offset=offset)


def keep_model(model: LinearModel, folder: Path) -> str:
    """Write `folder/model.npz`; returns the content hash. A fit's last bits may differ from machine to machine."""
    model.write(folder / MODEL_FILE)
    numbers = np.array([model.bias, model.slope, model.offset, model.ngram, model.classifies], dtype="<f8")
    kind = b"embedded" if model.embedded else b""
    return hashlib.sha256(model.weights.astype("<f4").tobytes() + numbers.tobytes() + kind).hexdigest()


def _of_classifier(scores: np.ndarray, targets: np.ndarray, bins: list[dict[str, float]]) -> dict[str, float]:
    total = sum(each["weight"] for each in bins)
    wrong = sum(each["weight"] * abs(each["predicted"] - each["actual"]) for each in bins)
    return {"auc": round(auc(scores, targets == 1), 5), "calibration_error": round(wrong / total, 5)}


def _of_regression(scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    correlation = spearman(scores, targets)
    if correlation is None:
        return {"explained": 0.0, "rank_correlation": 0.0}
    explained = 1 - float(((scores - targets) ** 2).mean()) / float(targets.var())
    return {"explained": round(explained, 5), "rank_correlation": round(correlation, 5)}


def _require_enough(settings: QualityModelSettings, sample: Sample, classifies: bool) -> None:
    for name, rows in (("learn from", ~sample.validation), ("judge it by", sample.validation)):
        sides = {f"{side}": sample.targets[rows] == value for side, value in (("like", 1), ("unlike", 0))}
        counts = {side: int(of.sum()) for side, of in sides.items()} if classifies else {"rated": int(rows.sum())}
        for side, count in counts.items():
            if count < _FEW:
                raise CurationError(
                    f"curation.quality: {count} documents of `{side}` are there to {name}, and {_FEW} are needed: name "
                    f"more corpora, or set validation_share ({settings.validation_share:g}) or split_bytes otherwise"
                )


def _reliability(scores: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> list[dict[str, float]]:
    """Ten bins of about as many documents by their scores: the mean score, the mean target, what they weigh."""
    bins = []
    for rows in np.array_split(np.argsort(scores, kind="stable"), _BINS):
        if len(rows):
            weight = weights[rows]
            means = [float(np.average(values[rows], weights=weight)) for values in (scores, targets)]
            bins.append(
                {"predicted": means[0], "actual": means[1], "weight": float(weight.sum()), "documents": len(rows)}
            )
    return bins
