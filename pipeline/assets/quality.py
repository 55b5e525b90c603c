"""Quality models and the scores that they give, in the group `curation`: `quality_model/<name>` and
`quality/<name>/<corpus>`.

A model is there where `curation.quality` names it; a corpus is scored by the models that its filters name. Both are
inputs of every selection, since a corpus's thresholds decide which copy of a duplicate stays.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pipeline.assets.metadata import bars, table
from pipeline.assets.stored_asset import Build, Metadata, StoredAsset
from pipeline.curation.quality.ranking import Agreement
from pipeline.curation.quality.scoring import QUALITY_VERSION, QualitySummary, score_corpus
from pipeline.curation.quality.training import QUALITY_MODEL_VERSION, QualityModelSummary, train_quality_model
from pipeline.profile.profile import Profile

_GROUP: Final = "curation"
_WORKERS: Final = "curation.workers"


def stored_assets(profile: Profile) -> list[StoredAsset[Any]]:
    """The models, and the scores of the corpora that ask for them."""
    models = [_model(profile, name) for name in profile.curation.quality]
    asked = [(model, corpus) for corpus, of in profile.corpora.items() for model in of.quality_models]
    return [*models, *(_scores(profile, model, corpus) for model, corpus in asked)]


def scores_for(profile: Profile) -> list[str]:
    """Keys of all scores."""
    return [_key(model, name) for name, corpus in profile.corpora.items() for model in corpus.quality_models]


def scores_of(build: Build, profile: Profile, corpus: str) -> dict[str, Path]:
    """The folders of a corpus's scores, by model."""
    return {model: build.path(_key(model, corpus)) for model in profile.corpora[corpus].quality_models}


def _key(model: str, corpus: str) -> str:
    return f"quality/{model}/{corpus}"


def _model(profile: Profile, name: str) -> StoredAsset[Any]:
    settings = profile.curation.quality[name]
    learned = " and ".join(", ".join(side) for side in (settings.like, settings.unlike, settings.rated) if side)
    seen = "hashed n-grams" if settings.embedding is None else f"the vectors of {settings.embedding.archive.package}"

    def make(build: Build) -> QualityModelSummary:
        folders = build.paths("documents"), build.paths("heldout")
        return train_quality_model(settings, *folders, build.out, cache=build.store.cache)

    return StoredAsset(
        key=f"quality_model/{name}",
        group=_GROUP,
        description=f"A linear model over {seen}, learned from {learned}.",
        version=QUALITY_MODEL_VERSION,
        settings=settings,
        inputs=[f"{asset}/{corpus}" for corpus in settings.corpora for asset in ("documents", "heldout")],
        summary=QualityModelSummary,
        make=make,
        metadata=_model_metadata,
        kinds=frozenset({"numpy"}),
    )


def _scores(profile: Profile, model: str, corpus: str) -> StoredAsset[Any]:
    def make(build: Build) -> QualitySummary:
        folders = build.path(f"documents/{corpus}"), build.path(f"quality_model/{model}")
        with build.executor(profile.engine, profile.curation.workers, _WORKERS) as executor:
            return score_corpus(*folders, build.out, executor=executor)

    return StoredAsset(
        key=_key(model, corpus),
        group=_GROUP,
        description=f"What the quality model {model} says of every document of {corpus}.",
        version=QUALITY_VERSION,
        settings={},
        inputs=[f"documents/{corpus}", f"quality_model/{model}"],
        summary=QualitySummary,
        make=make,
        metadata=_scores_metadata,
        kinds=frozenset({"parquet"}),
    )


def _model_metadata(summary: QualityModelSummary, folder: Path) -> Metadata:
    measured = {
        name: getattr(summary, name)
        for name in ("auc", "calibration_error", "explained", "rank_correlation")
        if getattr(summary, name) is not None
    }
    return {
        **measured,
        "documents": summary.documents,
        "validation_documents": summary.validation_documents,
        "bytes": summary.bytes,
        "reliability": table(summary.reliability),
    }


def _scores_metadata(summary: QualitySummary, folder: Path) -> Metadata:
    return {
        "documents": summary.documents,
        "bytes": summary.bytes,
        "mean": summary.mean,
        "score_at_quantile": bars(summary.quantiles, "score"),
        **(_agreement(summary.agreement) if summary.agreement is not None else {}),
    }


def _agreement(agreement: Agreement) -> Metadata:
    correlation = agreement.rank_correlation
    return {
        "documents_with_a_given_score": agreement.documents,
        **({"rank_correlation_with_given_scores": correlation} if correlation is not None else {}),
        "given_scores_by_fifth": table(agreement.ratings),
    }
