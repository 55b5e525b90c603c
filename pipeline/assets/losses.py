"""The recipe of documents' losses, by which stages go from easy to hard: `losses`, and those of a study's data sets.

Losses are built once for all that sort the same documents by the same model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pipeline.assets.finished_models import finished_model
from pipeline.assets.metadata import table
from pipeline.assets.stored_asset import Build, Metadata, StoredAsset
from pipeline.profile.profile import Profile
from pipeline.sharding.losses.build import LOSSES_VERSION, LossesSummary, build_losses
from pipeline.sharding.settings import MEMORY_SETTINGS, LossModel
from pipeline.store import Artifact, Store

JUDGE: Final = "loss_model"
"""Label of the finished model among the inputs of losses."""
SHARDS: Final = "shards/"
"""Begins the keys of what a model was trained on."""


def losses_asset(
    profile: Profile,
    *,
    key: str,
    group: str,
    model: LossModel,
    setting: str,
    scored: set[str],
    inputs: Sequence[str],
    stores: Callable[[Build], Mapping[str, Path]],
) -> StoredAsset[Any]:
    """What says how hard each document of some corpora is.

    model: its `corpora` are all that it learns from. setting: where the profile has it, for errors. stores: the token
    stores of what it learns from and of what is `scored`, by corpus, of which `inputs` are the keys.
    """
    name = model.model

    def make(build: Build) -> LossesSummary:
        with build.executor(profile.engine, profile.shards.workers, MEMORY_SETTINGS) as executor:
            folder = build.path(JUDGE) if name is not None else None
            summary = build_losses(model, stores(build), scored, build.out, executor, folder)
        if name is None:
            return summary
        read = _read_before(build, scored)
        if read:
            build.context.log.warning(
                f"{setting}.model: {name} was trained on documents of {', '.join(read)}: what it has read is easy "
                "for it"
            )
        return dataclasses.replace(summary, read_before=read)

    def judge(_: Any, store: Store) -> dict[str, Artifact]:
        return {JUDGE: finished_model(store, name or "", f"{setting}.model")}

    by = f"a model of {model.ngram}-grams that has not seen it" if name is None else f"the model of {name}"
    return StoredAsset(
        key=key,
        group=group,
        description=f"How hard each document is for {by}.",
        version=LOSSES_VERSION,
        # a finished model is told by its content, which is an input
        settings={"scored": sorted(scored)} | ({"model": model} if name is None else {}),
        inputs=inputs,
        elsewhere=judge if name is not None else None,
        summary=LossesSummary,
        make=make,
        metadata=_metadata,
        kinds=frozenset({"numpy"}),
    )


def _read_before(build: Build, corpora: set[str]) -> tuple[str, ...]:
    """Which of the corpora the finished model read in training, with the content that they have here."""
    inputs = build.inputs[JUDGE].manifest.inputs.values()
    shards = [build.store.get(item.key, item.fingerprint) for item in inputs if item.key.startswith(SHARDS)]
    theirs = _origins(build.store, [item for item in shards if item is not None])
    ours = _origins(build.store, [item for label, item in build.inputs.items() if label != JUDGE])
    both = {key for key, _ in theirs & ours}
    return tuple(sorted(name for name in corpora if f"corpus/{name}" in both))


def _origins(store: Store, artifacts: Iterable[Artifact]) -> set[tuple[str, str]]:
    """Keys and contents of all that artifacts came from."""
    return {
        (origin.manifest.key, origin.content_hash)
        for artifact in artifacts
        for origin in store.ancestry(artifact).values()
    }


def _metadata(summary: LossesSummary, folder: Path) -> Metadata:
    rows = [
        {"corpus": name, "documents": row.documents, "bits per byte": row.mean}
        | {f"at {share}": value for share, value in row.quantiles.items()}
        for name, row in summary.corpora.items()
    ]
    read = {"trained_on_documents_of": ", ".join(summary.read_before)} if summary.read_before else {}
    return {"learned_from_tokens": summary.tokens, **read, "losses": table(rows)}
