"""Passages that documents share, in the group `curation`, where `curation.passages` asks for them: `passages`, over all
corpora as they are selected (`selected/<corpus>`), and `corpus/<corpus>`, which is that without what an earlier
document says already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.assets.metadata import bars
from pipeline.assets.stored_asset import Build, Metadata, StoredAsset
from pipeline.curation.cut_corpus import CUT_CORPUS_VERSION, cut_corpus, kept_rows
from pipeline.curation.passages.finding import PASSAGES_VERSION, PassagesSummary, find_passages
from pipeline.curation.selection import SelectionSummary
from pipeline.curation.settings import PassageSettings
from pipeline.profile.profile import Profile

_GROUP: Final = "curation"
_WORKERS: Final = "curation.workers"


def stored_assets(
    profile: Profile,
    metadata: Callable[[SelectionSummary, Path], Metadata],
    pictures: Callable[[SelectionSummary, Path], Mapping[str, bytes]],
) -> list[StoredAsset[Any]]:
    """The passages, and the corpora without them; none where the profile does not ask.

    metadata, pictures: what is shown of a curated corpus.
    """
    settings, names = profile.curation.passages, list(profile.corpora)
    if settings is None:
        return []

    def find(build: Build) -> PassagesSummary:
        documents, selected = build.paths("documents"), build.paths("selected")
        kept = {name: kept_rows(documents[name], selected[name]) for name in names}
        with build.executor(profile.engine, profile.curation.workers, _WORKERS) as executor:
            return find_passages(settings, kept, build.paths("heldout"), build.out, executor=executor)

    return [
        StoredAsset(
            key="passages",
            group=_GROUP,
            description=f"Stretches of {settings.least_bytes} bytes and more that stand in two places.",
            version=PASSAGES_VERSION,
            # the order of corpora decides which copy stays
            settings={"passages": settings, "corpora": names},
            inputs=[f"{asset}/{name}" for asset in ("documents", "heldout", "selected") for name in names],
            summary=PassagesSummary,
            make=find,
            metadata=_passages_metadata,
            kinds=frozenset({"parquet"}),
        ),
        *(_cut(profile, settings, name, metadata, pictures) for name in names),
    ]


def _cut(
    profile: Profile,
    settings: PassageSettings,
    name: str,
    metadata: Callable[[SelectionSummary, Path], Metadata],
    pictures: Callable[[SelectionSummary, Path], Mapping[str, bytes]],
) -> StoredAsset[Any]:
    def make(build: Build) -> SelectionSummary:
        selected = f"selected/{name}"
        folders = build.path(f"documents/{name}"), build.path(selected), build.path("passages")
        return cut_corpus(
            name, profile.corpora[name], settings, build.summary(selected, SelectionSummary), *folders, build.out
        )

    return StoredAsset(
        key=f"corpus/{name}",
        group=_GROUP,
        description="The curated corpus: the selected documents without the passages and lines that others have first.",
        version=CUT_CORPUS_VERSION,
        settings={"least_left": settings.least_left},
        inputs=[f"documents/{name}", f"selected/{name}", "passages"],
        summary=SelectionSummary,
        make=make,
        metadata=metadata,
        pictures=pictures,
        kinds=frozenset({"parquet"}),
    )


def _passages_metadata(summary: PassagesSummary, folder: Path) -> Metadata:
    return {
        "documents": summary.documents,
        **{f"{kind}s": count for kind, count in summary.passages.items()},
        "of_held_out_text": summary.of_held_out,
        "by_corpus": bars({name: size / 1e3 for name, size in summary.passage_bytes.items()}, "kB"),
    }
