"""Groups `sources` and `curation`: documents, held-out split, duplicates, contamination, and curated corpora."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import dagster as dg

from pipeline.assets import passages, quality
from pipeline.assets.metadata import bars, chart, table
from pipeline.assets.stored_asset import Build, Metadata, StoredAsset
from pipeline.assets.stored_rows import documents_preview, rows_metadata
from pipeline.assets.unchanged import require_unchanged
from pipeline.base.markdown import plain
from pipeline.base.settings import identity_of
from pipeline.curation.contamination import CONTAMINATION_VERSION, ContaminationSummary, find_contamination
from pipeline.curation.documents import DOCUMENTS_VERSION, DocumentsSummary, build_documents
from pipeline.curation.domain_caps import DomainCounts
from pipeline.curation.duplicates.near_duplicates import (
    NEAR_DUPLICATES_VERSION,
    NearDuplicatesSummary,
    find_near_duplicates,
)
from pipeline.curation.heldout import HELDOUT_VERSION, HeldoutSummary, split_heldout
from pipeline.curation.selection import SELECTION_VERSION, SelectionSummary, select_corpus
from pipeline.curation.settings import DocumentsSettings
from pipeline.curation.sources.unit_listing import local_files
from pipeline.curation.text.hosts import list_version
from pipeline.evaluation.lm_eval.item_texts import evaluation_items
from pipeline.profile.profile import Profile

SOURCES: Final = "sources"
CURATION: Final = "curation"
WORKERS: Final = "curation.workers"
"""What to lower where memory runs out."""


def stored_assets(profile: Profile) -> list[StoredAsset[Any]]:
    """The assets from the sources to the curated corpora."""
    documents = [f"documents/{name}" for name in profile.corpora]
    heldout = [f"heldout/{name}" for name in profile.corpora]
    settings = profile.curation

    def near_duplicates(build: Build) -> NearDuplicatesSummary:
        folders = (build.paths("documents"), build.paths("heldout"))
        with build.executor(profile.engine, settings.workers, WORKERS) as executor:
            return find_near_duplicates(settings.near_duplicates, *folders, build.out, executor=executor)

    def contamination(build: Build) -> ContaminationSummary:
        tasks = settings.decontaminate_against
        items = evaluation_items(tasks, build.store.cache, profile.evaluation.archive) if tasks else iter(())
        texts = ((item.task, item.item_id, item.text) for item in items)
        with build.executor(profile.engine, settings.workers, WORKERS) as executor:
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
            summary=NearDuplicatesSummary,
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
            summary=ContaminationSummary,
            make=contamination,
            metadata=_contamination_metadata,
            kinds=frozenset({"parquet"}),
        ),
        *quality.stored_assets(profile),
        *(_corpus(profile, name) for name in profile.corpora),
        *(passages.stored_assets(profile, _corpus_metadata, _waterfall_picture) if settings.passages else []),
    ]


def _documents(profile: Profile, name: str) -> StoredAsset[Any]:
    corpus = profile.corpora[name]

    def make(build: Build) -> DocumentsSummary:
        with build.executor(profile.engine, profile.curation.workers, WORKERS) as executor:
            made = build_documents(
                name,
                corpus.documents,
                build.out,
                cache=build.store.cache,
                executor=executor,
                kept_bytes=profile.curation.hub_cache_bytes,
            )
        before = dict(build.settings["files"]) if isinstance(build.settings, Mapping) else {}
        require_unchanged(f"documents/{name}", build.out, before, dict(local_files(corpus.documents.sources)))
        return made

    return StoredAsset(
        key=f"documents/{name}",
        group=SOURCES,
        description=f"{corpus.description or name}: fetched, normalised, with the signals that filters judge by.",
        version=DOCUMENTS_VERSION,
        settings=corpus.documents,
        inputs=[],
        override=_with_files,
        summary=DocumentsSummary,
        make=make,
        metadata=_documents_metadata,
        kinds=frozenset({"parquet"}),
    )


def _with_files(settings: DocumentsSettings, _: Any) -> Any:
    """The settings and what local files they are about: other files, or other content, are other documents."""
    files = local_files(settings.sources)
    return identity_of(settings) | {"files": files} if files else settings


def _heldout(profile: Profile, name: str) -> StoredAsset[Any]:
    settings = profile.curation.heldout
    share = profile.corpora[name].heldout_share

    def make(build: Build) -> HeldoutSummary:
        return split_heldout(name, settings, build.path(f"documents/{name}"), build.out, share=share)

    return StoredAsset(
        key=f"heldout/{name}",
        group=SOURCES,
        description="Validation documents, split off by book or article before any filter, then frozen.",
        version=HELDOUT_VERSION,
        settings={"heldout": settings, "share": share},
        inputs=[f"documents/{name}"],
        summary=HeldoutSummary,
        make=make,
        metadata=_heldout_metadata,
        kinds=frozenset({"parquet"}),
    )


def _corpus(profile: Profile, name: str) -> StoredAsset[Any]:
    def make(build: Build) -> SelectionSummary:
        heldout, duplicates = build.path(f"heldout/{name}"), build.path("near_duplicates")
        documents, contamination = build.paths("documents"), build.path("contamination")
        scores = {other: quality.scores_of(build, profile, other) for other in profile.corpora}
        return select_corpus(
            *(name, profile.corpora, documents, heldout, duplicates, contamination, build.out),
            quality={other: folders for other, folders in scores.items() if folders},
        )

    def thresholds(of: str) -> dict[str, Any]:
        return {"filters": profile.corpora[of].filters, "languages": profile.corpora[of].languages}

    return StoredAsset(
        key=f"{'selected' if profile.curation.passages else 'corpus'}/{name}",
        group=CURATION,
        description="The curated corpus: which documents pass the thresholds, are no duplicates and not contaminated. "
        "A selection of rows; no text is rewritten.",
        version=SELECTION_VERSION,
        # the thresholds of the others decide which copy of a cross-corpus duplicate stays
        settings=thresholds(name)
        | _domain_cap(profile, name)
        | {"others": {other: thresholds(other) for other in profile.corpora if other != name}},
        inputs=[
            *(f"documents/{other}" for other in profile.corpora),
            *(f"heldout/{name}", "near_duplicates", "contamination"),
            *quality.scores_for(profile),
        ],
        summary=SelectionSummary,
        make=make,
        metadata=_corpus_metadata,
        pictures=_waterfall_picture,
        kinds=frozenset({"parquet"}),
    )


def _domain_cap(profile: Profile, name: str) -> dict[str, Any]:
    """The cap, and the list by which domains are told; nothing where there is none."""
    cap = profile.corpora[name].domain_cap
    if cap is None:
        return {}
    return {"domain_cap": cap} | ({"public_suffix_list": list_version()} if cap.by == "domain" else {})


def _documents_metadata(summary: DocumentsSummary, folder: Path) -> Metadata:
    rows = [{"reason": reason, "documents": count} for reason, count in summary.quarantined.items()]
    readers = [{"file": entry, "read as": reader} for entry, reader in summary.readers.items()]
    unknown = {name or "(others)": count for name, count in summary.unknown_languages.items()}
    return {
        "documents": summary.documents,
        "bytes": summary.bytes,
        **({"bytes_by_step": table(summary.byte_counts.rows)} if summary.byte_counts is not None else {}),
        "groups": summary.groups,
        **({"files": summary.files} if summary.files else {}),
        "languages": bars(summary.languages, "documents"),
        **({"quarantined": table(rows)} if rows else {}),
        **({"masked": bars(summary.masks, "masks")} if summary.masks else {}),
        **({"read_by_content": table(readers)} if readers else {}),
        **({"no_language_codes": bars(unknown, "records")} if unknown else {}),
        **rows_metadata(summary.documents, folder),
        **documents_preview(folder),
    }


def _heldout_metadata(summary: HeldoutSummary, folder: Path) -> Metadata:
    return {
        "documents": summary.documents,
        "bytes": summary.bytes,
        "groups": summary.groups,
        "share": round(summary.share, 4),
        **rows_metadata(summary.documents, folder),
        **documents_preview(folder),
    }


def _near_duplicates_metadata(summary: NearDuplicatesSummary, folder: Path) -> Metadata:
    return {
        "documents": summary.documents,
        "clusters": summary.clusters,
        "duplicates": summary.duplicates,
        "by_corpus": bars(summary.by_corpus, "duplicates"),
        **rows_metadata(sum(size * count for size, count in summary.sizes.items()), folder),
    }


def _contamination_metadata(summary: ContaminationSummary, folder: Path) -> Metadata:
    rows = [
        {"task": task, "items": count, "documents": summary.by_task.get(task, 0)}
        for task, count in summary.items.items()
    ]
    return {"documents": summary.documents, "tasks": table(rows), "by_corpus": bars(summary.by_corpus, "documents")}


def _waterfall_picture(summary: SelectionSummary, folder: Path) -> Mapping[str, bytes]:
    from pipeline.reporting.plots.waterfall import waterfall_png

    return {"waterfall": waterfall_png([(step.step, float(step.documents)) for step in summary.waterfall])}


def _corpus_metadata(summary: SelectionSummary, folder: Path) -> Metadata:
    steps = [
        {"step": step.step, "removed": step.removed_documents, "bytes": step.removed_bytes, "bytes left": step.bytes}
        for step in summary.waterfall
    ]
    examples = [
        f"**{plain(step.step)}**{f' ({plain(example.detail)})' if example.detail else ''}: {plain(example.excerpt)}"
        for step in summary.waterfall
        for example in step.examples
    ]
    return {
        "documents_left": chart({step.step: step.documents for step in summary.waterfall}, "documents"),
        "documents": summary.documents,
        "bytes": summary.bytes,
        "steps": table(steps),
        "languages": bars(summary.languages, "bytes"),
        **_domains_metadata(summary.domains),
        **rows_metadata(summary.documents, folder, "selection.parquet"),
        "removed_examples": dg.MetadataValue.md("\n\n".join(examples) or "none"),
    }


def _domains_metadata(counts: DomainCounts | None) -> Metadata:
    if counts is None:
        return {}
    rows = [
        {
            "domain": row.domain,
            "documents": row.documents,
            "bytes": row.bytes,
            "removed": row.removed_documents,
            "removed bytes": row.removed_bytes,
        }
        for row in counts.largest
    ]
    return {
        "domains": counts.domains,
        "domains_capped": counts.capped,
        "documents_without_domain": counts.documents_without,
        "largest_domains": table(rows),
    }
