"""Groups `sources` and `curation`: documents, held-out split, duplicates, contamination, and curated corpora."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import dagster as dg

from pipeline.assets.metadata import bars, chart, table
from pipeline.assets.stored_asset import Build, Metadata, StoredAsset
from pipeline.base.settings import identity_of
from pipeline.curation.contamination import CONTAMINATION_VERSION, find_contamination
from pipeline.curation.documents import DOCUMENTS_VERSION, build_documents
from pipeline.curation.duplicates.near_duplicates import NEAR_DUPLICATES_VERSION, find_near_duplicates
from pipeline.curation.heldout import HELDOUT_VERSION, split_heldout
from pipeline.curation.selection import SELECTION_VERSION, select_corpus
from pipeline.curation.settings import DocumentsSettings
from pipeline.curation.sources.unit_reading import local_files
from pipeline.evaluation.lm_eval.item_texts import evaluation_items
from pipeline.profile.profile import Profile
from pipeline.store import Artifact

SOURCES: Final = "sources"
CURATION: Final = "curation"
WORKERS: Final = "curation.workers"
"""What to lower where memory runs out."""


def stored_assets(profile: Profile) -> list[StoredAsset]:
    """The assets from the sources to the curated corpora."""
    documents = [f"documents/{name}" for name in profile.corpora]
    heldout = [f"heldout/{name}" for name in profile.corpora]
    settings = profile.curation

    def near_duplicates(build: Build) -> Any:
        folders = (build.paths("documents"), build.paths("heldout"))
        with build.executor(settings.workers, WORKERS) as executor:
            return find_near_duplicates(settings.near_duplicates, *folders, build.out, executor=executor)

    def contamination(build: Build) -> Any:
        tasks = settings.decontaminate_against
        items = evaluation_items(tasks, build.store.cache, profile.evaluation.archive) if tasks else iter(())
        texts = ((item.task, item.item_id, item.text) for item in items)
        with build.executor(settings.workers, WORKERS) as executor:
            return find_contamination(
                settings.contamination, build.paths("documents"), texts, build.out, executor=executor
            )

    return [
        *(_documents(profile, name) for name in profile.corpora),
        *(_heldout(profile, name) for name in profile.corpora),
        StoredAsset(
            key="near_duplicates",
            group=CURATION,
            description="Clusters of equal and nearly equal documents over all corpora, held-out ones included.",
            version=NEAR_DUPLICATES_VERSION,
            # the order of corpora decides which copy of a cross-corpus duplicate stays
            settings={"near_duplicates": settings.near_duplicates, "corpora": list(profile.corpora)},
            inputs=[*documents, *heldout],
            make=near_duplicates,
            metadata=_near_duplicates_metadata,
            kinds=frozenset({"parquet"}),
        ),
        StoredAsset(
            key="contamination",
            group=CURATION,
            description="Documents that share long n-grams with items of "
            + (", ".join(settings.decontaminate_against) or "no evaluation set"),
            version=CONTAMINATION_VERSION,
            settings={
                "contamination": settings.contamination,
                "tasks": settings.decontaminate_against,
                "archive": profile.evaluation.archive if settings.decontaminate_against else None,
            },
            inputs=documents,
            make=contamination,
            metadata=_contamination_metadata,
            kinds=frozenset({"parquet"}),
        ),
        *(_corpus(profile, name) for name in profile.corpora),
    ]


def _documents(profile: Profile, name: str) -> StoredAsset:
    corpus = profile.corpora[name]

    def make(build: Build) -> Any:
        with build.executor(profile.curation.workers, WORKERS) as executor:
            return build_documents(name, corpus.documents, build.out, cache=build.store.cache, executor=executor)

    return StoredAsset(
        key=f"documents/{name}",
        group=SOURCES,
        description=f"{corpus.description or name}: fetched, normalised, with the signals that filters judge by.",
        version=DOCUMENTS_VERSION,
        settings=corpus.documents,
        inputs=[],
        override=_with_files,
        make=make,
        metadata=_documents_metadata,
        kinds=frozenset({"parquet"}),
    )


def _with_files(settings: DocumentsSettings, _: Any) -> Any:
    """The settings and what local files they are about: other files, or other content, are other documents."""
    found = local_files(settings.sources)
    return identity_of(settings) | {"files": found} if found else settings


def _heldout(profile: Profile, name: str) -> StoredAsset:
    settings = profile.curation.heldout
    share = profile.corpora[name].heldout_share

    def make(build: Build) -> Any:
        return split_heldout(name, settings, build.path(f"documents/{name}"), build.out, share=share)

    return StoredAsset(
        key=f"heldout/{name}",
        group=SOURCES,
        description="Validation documents, split off by book or article before any filter, then frozen.",
        version=HELDOUT_VERSION,
        settings={"heldout": settings, "share": share},
        inputs=[f"documents/{name}"],
        make=make,
        metadata=_heldout_metadata,
        kinds=frozenset({"parquet"}),
    )


def _corpus(profile: Profile, name: str) -> StoredAsset:
    corpus = profile.corpora[name]

    def make(build: Build) -> Any:
        folders = (build.path(f"documents/{name}"), build.path(f"heldout/{name}"))
        return select_corpus(
            name, corpus, *folders, build.path("near_duplicates"), build.path("contamination"), build.out
        )

    return StoredAsset(
        key=f"corpus/{name}",
        group=CURATION,
        description="The curated corpus: which documents pass the thresholds, are no duplicates and not contaminated. "
        "A selection of rows; no text is rewritten.",
        version=SELECTION_VERSION,
        settings={"filters": corpus.filters, "languages": corpus.languages},
        inputs=[f"documents/{name}", f"heldout/{name}", "near_duplicates", "contamination"],
        make=make,
        metadata=_corpus_metadata,
        pictures=_waterfall_picture,
        kinds=frozenset({"parquet"}),
    )


def _documents_metadata(artifact: Artifact) -> Metadata:
    facts = artifact.summary
    rows = [{"reason": reason, "documents": count} for reason, count in facts["quarantined"].items()]
    return {
        **{name: facts[name] for name in ("documents", "bytes", "groups")},
        "languages": bars(facts["languages"], "documents"),
        **({"quarantined": table(rows)} if rows else {}),
    }


def _heldout_metadata(artifact: Artifact) -> Metadata:
    facts = artifact.summary
    share = facts["bytes"] / facts["total_bytes"]
    return {**{name: facts[name] for name in ("documents", "bytes", "groups")}, "share": round(share, 4)}


def _near_duplicates_metadata(artifact: Artifact) -> Metadata:
    facts = artifact.summary
    return {
        **{name: facts[name] for name in ("documents", "clusters", "duplicates")},
        "by_corpus": bars(facts["by_corpus"], "duplicates"),
    }


def _contamination_metadata(artifact: Artifact) -> Metadata:
    facts = artifact.summary
    rows = [
        {"task": task, "items": count, "documents": facts["by_task"].get(task, 0)}
        for task, count in facts["items"].items()
    ]
    return {"documents": facts["documents"], "tasks": table(rows), "by_corpus": bars(facts["by_corpus"], "documents")}


def _waterfall_picture(facts: Mapping[str, Any], folder: Path) -> Mapping[str, bytes]:
    from pipeline.reporting.plots.waterfall import waterfall_png

    return {"waterfall": waterfall_png([(step["step"], float(step["documents"])) for step in facts["waterfall"]])}


def _corpus_metadata(artifact: Artifact) -> Metadata:
    facts = artifact.summary
    steps = [{key: value for key, value in step.items() if key != "examples"} for step in facts["waterfall"]]
    examples = [
        f"**{step['step']}**{' (' + example['detail'] + ')' if example['detail'] else ''}: {example['excerpt']}"
        for step in facts["waterfall"]
        for example in step["examples"]
    ]
    return {
        "documents_left": chart({step["step"]: step["documents"] for step in steps}, "documents"),
        "documents": facts["documents"],
        "bytes": facts["bytes"],
        "steps": table(steps),
        "languages": bars(facts["languages"], "bytes"),
        "removed_examples": dg.MetadataValue.md("\n\n".join(text.replace("\n", " ") for text in examples) or "none"),
    }
