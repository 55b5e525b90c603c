"""From a stage to a Dagster asset.

A `Stage` says what an asset is built from and by which plain function; `asset_of` wraps it. The wrapper does the same
for every asset: take the inputs' current artifacts, ask the store to reuse or build, and show the result, which is
read from the artifact's manifest, so a reused asset shows what a fresh one did. Showing never fails an asset: what
cannot be drawn or shown is a warning.
"""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import dagster as dg

from pipeline.base.errors import SqueezeError, StoreError
from pipeline.base.settings import identity_of
from pipeline.reporting.decorating import decorating
from pipeline.reporting.plots import markdown_image
from pipeline.store import Artifact, Built, Outcome, Store, canonical_json
from trainer.errors import TrainerError

Metadata = Mapping[str, Any]
TAGS: Final = {
    **dict.fromkeys(("documents", "heldout", "corpus", "tokens"), "corpus"),
    "tokenizer": "tokenizer",
    "shards": "epoch",
    "eval": "suite",
    "ablation": "arm",
}
"""Name of the tag that the assets of a folder carry, with their own name as its value."""


class StoreResource(dg.ConfigurableResource):
    """The artifact store, as one profile sees it."""

    root: str
    """Folder of the store (SQUEEZE_HOME)."""
    profile: str
    """Name of the profile whose pointers are read and moved."""

    def open(self, run_id: str | None = None) -> Store:
        return Store(Path(self.root), self.profile, run_id=run_id).open()


@dataclass(frozen=True)
class Job:
    """What a stage's function gets to work with."""

    out: Path
    """Its folder; a killed attempt may have left finished parts in it."""
    inputs: Mapping[str, Artifact]
    settings: Any
    """The identity settings after any launchpad overrides."""
    store: Store
    context: dg.AssetExecutionContext

    def path(self, label: str) -> Path:
        return self.inputs[label].path

    def paths(self, prefix: str) -> dict[str, Path]:
        """Folders of the inputs labelled `<prefix>/<name>`, by name."""
        start = f"{prefix}/"
        return {label.removeprefix(start): item.path for label, item in self.inputs.items() if label.startswith(start)}


class Summary(Protocol):
    """What a stage's function returns: a dataclass of JSON values with the hash of the logical content."""

    @property
    def content_hash(self) -> str: ...


def no_metadata(artifact: Artifact) -> Metadata:
    """For a stage with nothing of its own to show."""
    return {}


@dataclass(frozen=True)
class Stage:
    """One asset in the store's terms."""

    key: str
    group: str
    description: str
    version: str
    settings: Any
    """Settings object, dataclass or mapping; its runtime fields stay out of the fingerprint."""
    inputs: Sequence[str]
    """Keys of the assets it is built from, which are also their labels."""
    build: Callable[[Job], Summary]
    metadata: Callable[[Artifact], Metadata] = no_metadata
    pictures: Callable[[Mapping[str, Any], Path], Mapping[str, bytes]] | None = None
    """(summary, folder) -> PNGs by name. Drawn once, when the artifact is built, and kept in it; if that fails, the
    artifact has none."""
    kinds: frozenset[str] = frozenset({"python"})
    runtime: Mapping[str, Any] = field(default_factory=dict)
    optional: Sequence[str] = ()
    """Keys of further inputs, which are taken where they are there."""
    priority: int = 0
    """Of the stages that could run next, those with the highest run first."""
    slices: Callable[[Mapping[str, Artifact]], Mapping[str, str]] | None = None
    """Hashes of the parts of inputs that count, where not all of an input does."""
    config: type[dg.Config] | None = None
    """Launchpad configuration, if the asset takes any."""
    override: Callable[[Any, Mapping[str, Any]], Any] | None = None
    """(settings, launchpad values) -> settings; runs before fingerprinting."""


def asset_of(stage: Stage) -> dg.AssetsDefinition:
    """The Dagster asset that materializes a stage."""

    @dg.asset(
        key=asset_key(stage.key),
        group_name=stage.group,
        description=stage.description,
        deps=[asset_key(key) for key in (*stage.inputs, *stage.optional)],
        op_tags={"dagster/priority": str(stage.priority)},
        code_version=code_version(stage),
        kinds=set(stage.kinds),
        tags=tags_of(stage.key),
        config_schema=stage.config.to_config_schema() if stage.config else None,  # type: ignore[arg-type]
        required_resource_keys={"store"},
        output_required=True,
    )
    def materialize(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        store: Store = context.resources.store.open(context.run_id)
        try:
            outcome = run_stage(stage, store, context)
        except (SqueezeError, TrainerError) as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        context.log.info(f"{stage.key}: {'reused, ' if outcome.reused else ''}{outcome.reason}")
        return dg.MaterializeResult(
            data_version=dg.DataVersion(outcome.artifact.content_hash),
            metadata=metadata_of(stage, outcome, context.log),
            tags={"reused": str(outcome.reused).lower()},
        )

    return materialize


def run_stage(stage: Stage, store: Store, context: dg.AssetExecutionContext) -> Outcome:
    """Reuse or build one stage from the current artifacts of its inputs."""
    settings = stage.settings
    if stage.override is not None:
        settings = stage.override(settings, context.op_execution_context.op_config or {})
    inputs = {key: store.current(key) for key in stage.inputs}
    inputs |= {key: found for key in stage.optional if (found := store.find_current(key)) is not None}
    check_one_generation(stage.key, inputs)

    def build(out: Path) -> Built:
        summary = stage.build(Job(out, inputs, settings, store, context))
        # as it will be read back from the manifest: keys as text, tuples as lists
        facts = json.loads(json.dumps(dataclasses.asdict(summary)))  # type: ignore[call-overload]
        for name, png in drawn(stage, facts, out, context.log).items():
            (out / f"{name}.png").write_bytes(png)
        return Built(facts.pop("content_hash"), facts)

    return store.ensure(
        stage.key,
        code_version=stage.version,
        identity=identity_of(settings),
        inputs=inputs,
        build=build,
        runtime=stage.runtime,
        slices=stage.slices(inputs) if stage.slices else None,
    )


def check_one_generation(key: str, inputs: Mapping[str, Artifact]) -> None:
    """Raise StoreError where an input was made from another version of a second input than the one that is current.

    That is so when a part of the graph is materialized after an earlier part has changed: a selection of rows would be
    laid over text that it was not made from. An input of which another counted a slice alone must not stand beside it.
    """
    for label, item in inputs.items():
        for parent, used in item.manifest.inputs.items():
            now = inputs.get(parent)
            if now is not None and now.content_hash != used.content_hash and now.fingerprint != used.fingerprint:
                raise StoreError(
                    f"{key} needs {label} and {parent}, and {label} was made from another version of {parent}: "
                    f"materialize {label} first, or run the whole job, which does everything in order"
                )


def drawn(stage: Stage, facts: Mapping[str, Any], out: Path, log: logging.Logger) -> Mapping[str, bytes]:
    """The stage's pictures; none, and a warning, where they cannot be drawn."""
    if stage.pictures is not None:
        with decorating(log, f"{stage.key} is built without pictures, which cannot be drawn"):
            return stage.pictures(facts, out)
    return {}


def metadata_of(stage: Stage, outcome: Outcome, log: logging.Logger) -> dict[str, Any]:
    """All that the asset's page shows of its artifact; what cannot be made or is no metadata is left out, with a
    warning."""
    artifact = outcome.artifact
    makers: dict[str, Callable[[], Metadata]] = {
        "pictures": lambda: pictures_of(artifact),
        "own figures": lambda: stage.metadata(artifact),
        "record": lambda: common_metadata(outcome),
    }
    shown: dict[str, Any] = {}
    for what, make in makers.items():
        with decorating(log, f"{stage.key} is shown without its {what}"):
            for name, value in make().items():
                with decorating(log, f"{stage.key} is shown without {name}"):
                    shown |= dg.AssetMaterialization(asset_key(stage.key), metadata={name: value}).metadata
    return shown


def pictures_of(artifact: Artifact) -> dict[str, Any]:
    """The artifact's pictures as metadata that the UI renders."""
    files = [name for name in artifact.manifest.files if name.endswith(".png") and "/" not in name]
    return {
        name.removesuffix(".png"): dg.MetadataValue.md(markdown_image((artifact.path / name).read_bytes(), name))
        for name in files
    }


def common_metadata(outcome: Outcome) -> dict[str, Any]:
    """What every asset shows below its own figures."""
    artifact, built = outcome.artifact, outcome.artifact.manifest.built
    return {
        "reused": outcome.reused,
        "why": built.reason,
        "fingerprint": artifact.fingerprint,
        "megabytes": round(artifact.manifest.size / 1e6, 3),
        "build_seconds": built.seconds,
        "built_at": built.at,
        "built_by": dg.MetadataValue.dagster_run(built.run_id) if built.run_id else "no run",
        "path": dg.MetadataValue.path(artifact.path),
    }


def asset_key(key: str) -> dg.AssetKey:
    """`shards/epoch_001` as Dagster's key."""
    return dg.AssetKey(key.split("/"))


def tags_of(key: str) -> dict[str, str]:
    """What the UI's search can filter by: `corpus: books` finds everything about one corpus."""
    folder, _, name = key.partition("/")
    return {TAGS[folder]: name} if name and folder in TAGS else {}


def code_version(stage: Stage) -> str:
    """The stage's version with its settings folded in: Dagster's "stale" mark knows nothing of YAML files."""
    settings = canonical_json(identity_of(stage.settings), where=stage.key)
    return f"{stage.version}+{hashlib.sha256(settings.encode()).hexdigest()[:8]}"
