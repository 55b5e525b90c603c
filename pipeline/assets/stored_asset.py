"""From a recipe to a Dagster asset.

A `StoredAsset` says what an asset is made from and by which plain function; `asset_of` wraps it. The wrapper does the
same for every asset: take the inputs' current artifacts, ask the store to reuse or build, and show the result, which is
read from the artifact's manifest, so a reused asset shows what a fresh one did. Showing never fails an asset: what
cannot be drawn or shown is a warning.
"""

import dataclasses
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

import dagster as dg

from pipeline.assets.launchpad import typed_config, typed_in
from pipeline.assets.logged import OUTCOME, REUSED, logged
from pipeline.assets.naming import POOL_TAG, Naming, claim_run, op_name
from pipeline.base.canonical import canonical_hash
from pipeline.base.errors import NotPossibleError, SqueezeError, StoreError
from pipeline.base.executor import Executor, die_with_run
from pipeline.base.exhaustion import naming_want_of_memory
from pipeline.base.redaction import redact, speakable
from pipeline.base.settings import identity_of
from pipeline.engine.executors import executor_of
from pipeline.engine.settings import Engine
from pipeline.launch.choice import launcher_of
from pipeline.launch.launcher import Launcher
from pipeline.launch.settings import LaunchSettings
from pipeline.reporting.decorating import decorating
from pipeline.reporting.plots.style import markdown_image
from pipeline.store import Artifact, Built, Outcome, Store
from pipeline.store.artifact import read_summary
from pipeline.store.soundness import require_sound
from trainer.errors import TrainerError
from trainer.process.allocator import freed_memory_kept

Metadata = Mapping[str, Any]
K = TypeVar("K")
TAGS: Final = {
    **dict.fromkeys(("documents", "heldout", "corpus", "tokens"), "corpus"),
    "tokenizer": "tokenizer",
    "shards": "epoch",
    "eval": "suite",
    "ablation": "arm",
}
"""Name of the tag that the assets of a folder carry, with their own name as its value."""


COMPLETE: Final = "complete"
"""The check of an asset that may be missing something."""
ASKED_FOR: Final = "__ASSET_JOB"
"""Begins the name that Dagster gives a run of chosen assets: what is there is looked at byte by byte before it is
reused, as whoever asks for one asset again may have found it damaged. A job looks at sizes."""


class StoreResource(dg.ConfigurableResource):
    """The artifact store, as one profile sees it."""

    root: str
    """Folder of the store (SQUEEZE_HOME)."""
    profile: str
    """Name of the profile whose pointers are read and moved."""
    origin: str | None = None
    """The file that the profile is read from."""

    def open(self, run: dg.DagsterRun | None = None) -> Store:
        """The store for everybody, or as a run sees it from its beginning to its end."""
        store = Store(Path(self.root), self.profile, origin=self.origin).open()
        return store.for_run(run.run_id, run.parent_run_id) if run else store


@dataclass(frozen=True)
class Build:
    """What an asset's function gets to work with: the context of one build."""

    out: Path
    """Its folder; a killed attempt may have left finished parts in it."""
    inputs: Mapping[str, Artifact]
    settings: Any
    """The identity settings after any launchpad overrides."""
    store: Store
    context: dg.AssetExecutionContext

    def path(self, label: str) -> Path:
        return self.inputs[label].path

    def summary(self, label: str, kind: type[K]) -> K:
        """What the function that built an input found out."""
        return self.inputs[label].summary_as(kind)

    def paths(self, prefix: str) -> dict[str, Path]:
        """Folders of the inputs labelled `<prefix>/<name>`, by name."""
        start = f"{prefix}/"
        return {label.removeprefix(start): item.path for label, item in self.inputs.items() if label.startswith(start)}

    def executor(self, engine: Engine, workers: int | None, setting: str) -> Executor:
        """What maps a function over the parts of this build.

        workers: the profile's setting, none for one a core; setting: its name, for the error where memory runs out.
        """
        return executor_of(engine, workers or 0, self.out, setting=setting, root=self.store.root)

    def launcher(self, settings: LaunchSettings | None = None) -> Launcher:
        """What starts programs that train: the one place that decides where they run; none for this machine."""
        return launcher_of(settings)


class Summary(Protocol):
    """What an asset's function returns: a dataclass of JSON values with the hash of the logical content."""

    @property
    def content_hash(self) -> str: ...


S = TypeVar("S", bound=Summary)


def no_metadata(summary: Any, folder: Path) -> Metadata:
    """For an asset with nothing of its own to show."""
    return {}


@dataclass(frozen=True)
class StoredAsset(Generic[S]):
    """One asset in the store's terms: the recipe by which an artifact is made."""

    key: str
    group: str
    description: str
    version: str
    settings: Any
    """Settings object, dataclass or mapping; its runtime fields stay out of the fingerprint."""
    inputs: Sequence[str]
    """Keys of the assets it is built from, which are also their labels."""
    summary: type[S]
    """What `make` returns; its fields are the artifact's summary, which is all that is shown of it later."""
    make: Callable[[Build], S]
    metadata: Callable[[S, Path], Metadata] = no_metadata
    """(summary, folder) -> what the asset's page shows, of a new artifact or a reused one."""
    pictures: Callable[[S, Path], Mapping[str, bytes]] | None = None
    """(summary, folder) -> PNGs by name. Drawn once, when the artifact is built, and kept in it; if that fails, the
    artifact has none."""
    kinds: frozenset[str] = frozenset({"python"})
    runtime: Mapping[str, Any] = field(default_factory=dict)
    optional: Sequence[str] = ()
    """Keys of further inputs, which are taken where they are there."""
    elsewhere: Callable[[Any, Store], Mapping[str, Artifact]] | None = None
    """(settings, store) -> inputs that are no asset of this profile, by labels that are no asset's key."""
    pool: str | None = None
    """Of the assets of a pool a run makes one at a time, and so do all runs together where Dagster's instance limits
    it."""
    priority: int = 0
    """Of the assets that could be made next, those with the highest are made first."""
    slices: Callable[[Mapping[str, Artifact]], Mapping[str, str]] | None = None
    """Hashes of the parts of inputs that count, where not all of an input does."""
    config: type[dg.Config] | None = None
    """Launchpad configuration, if the asset takes any."""
    override: Callable[[Any, Mapping[str, Any]], Any] | None = None
    """(settings, what was typed into the launchpad) -> settings; runs before fingerprinting."""
    instead: Callable[[Build, str], S] | None = None
    """(build, why) -> what stands in for it where it is not possible now. It is kept under a fingerprint of its own, so
    the asset itself is tried again each time, and what was built from the stand-in is reused while that is the same."""
    missing: Callable[[S], str] | None = None
    """summary -> why it is not what was asked for, empty where it is: a warning, and a check of that severity."""
    strict: str = ""
    """The setting by which what `missing` says fails the asset, where it does."""


def asset_of(asset: StoredAsset[Any], naming: Naming, owners: Sequence[str] = ()) -> dg.AssetsDefinition:
    """The Dagster asset that materializes an artifact by its recipe, under the names of one profile."""
    spec = dg.AssetSpec(
        naming.asset_key(asset.key),
        group_name=naming.group(asset.group),
        description=asset.description,
        deps=[naming.asset_key(key) for key in (*asset.inputs, *asset.optional)],
        code_version=code_version(asset),
        kinds=set(asset.kinds),
        tags=tags_of(asset.key),
        owners=owners,
        metadata={"profile": naming.profile},
    )

    # no `dg.asset`: there the step would be called by the whole key, with the profile in front
    @dg.multi_asset(
        name=op_name(asset.key),
        specs=[spec],
        check_specs=[dg.AssetCheckSpec(COMPLETE, asset=spec.key)] if asset.missing else None,
        op_tags={"dagster/priority": str(asset.priority)} | ({POOL_TAG: asset.pool} if asset.pool else {}),
        pool=asset.pool,
        config_schema=asset.config.to_fields_dict() if asset.config else None,
        required_resource_keys={"store"},
    )
    def materialize(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        claim_run(context.run, context.instance, context.log, naming)
        store: Store = context.resources.store.open(context.run)
        if store.footing is not None and store.footing.joined:
            die_with_run()
        try:
            with logged(context.log, asset.key):
                outcome = reuse_or_make(asset, store, context)
        except (SqueezeError, TrainerError) as error:
            raise dg.Failure(description=str(error), allow_retries=False) from speakable(error)
        except Exception as error:
            if speakable(error) is not None:
                raise
            raise dg.Failure(redact(f"{type(error).__name__}: {error}"), allow_retries=False) from None
        how = REUSED if outcome.reused else outcome.reason
        context.log.info(f"{asset.key}: {how}{f', {outcome.reason}' if outcome.reused else ''}", extra={OUTCOME: how})
        why = asset.missing(outcome.artifact.summary_as(asset.summary)) if asset.missing else ""
        if why:
            said = f"{asset.key} is not possible here: {why}"
            if asset.strict:
                said += f" ({asset.strict} is true; set it to false to go on without)"
                raise dg.Failure(description=said, allow_retries=False)
            context.log.warning(said)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(outcome.artifact.content_hash),
            metadata={"profile": naming.profile} | metadata_of(asset, outcome, context.log),
            tags={"reused": str(outcome.reused).lower()},
            check_results=[_complete(why)] if asset.missing else None,
        )

    return materialize


def _complete(why: str) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.WARN
    said = f"not possible here: {why}" if why else "as asked for"
    return dg.AssetCheckResult(passed=not why, check_name=COMPLETE, severity=severity, description=said)


def reuse_or_make(asset: StoredAsset[Any], store: Store, context: dg.AssetExecutionContext) -> Outcome:
    """Reuse an asset's artifact, or make it from the current artifacts of its inputs. Raises NoMemoryError where memory
    runs out in this process or in a worker."""
    with naming_want_of_memory(asset.key):
        return _reuse_or_make(asset, store, context)


def _reuse_or_make(asset: StoredAsset[Any], store: Store, context: dg.AssetExecutionContext) -> Outcome:
    settings = asset.settings
    if asset.override is not None:
        typed = typed_config(context.run.run_config, context.op_execution_context.op.name)
        settings = asset.override(settings, typed_in(context.op_execution_context.op_config or {}, typed))
    inputs = {key: store.current(key) for key in asset.inputs}
    inputs |= {key: there for key in asset.optional if (there := store.find_current(key)) is not None}
    check_one_generation(asset.key, inputs)
    inputs |= asset.elsewhere(settings, store) if asset.elsewhere else {}

    identity = identity_of(settings)
    slices = asset.slices(inputs) if asset.slices else None

    def built(out: Path, make: Callable[[Build], Any]) -> Built:
        require_sound(inputs.values())
        with freed_memory_kept():
            summary = make(Build(out, inputs, settings, store, context))
        # as it will be read back from the manifest: keys as text, tuples as lists
        facts = json.loads(json.dumps(dataclasses.asdict(summary)))
        for name, png in drawn(asset, facts, out, context.log).items():
            (out / f"{name}.png").write_bytes(png)
        return Built(facts.pop("content_hash"), facts)

    def ensure(identity: Mapping[str, Any], make: Callable[[Build], Any]) -> Outcome:
        return store.ensure(
            asset.key,
            code_version=asset.version,
            identity=identity,
            inputs=inputs,
            build=lambda out: built(out, make),
            runtime=asset.runtime,
            slices=slices,
            thorough=context.run.job_name.startswith(ASKED_FOR),
        )

    try:
        return ensure(identity, asset.make)
    except NotPossibleError as error:
        stand_in, why = asset.instead, str(error)
        if stand_in is None:
            raise
        return ensure(identity | {"not_possible": why}, lambda build: stand_in(build, why))


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


def drawn(asset: StoredAsset[S], facts: Mapping[str, Any], out: Path, log: logging.Logger) -> Mapping[str, bytes]:
    """The asset's pictures; none, and a warning, where they cannot be drawn."""
    if asset.pictures is not None:
        with decorating(log, f"{asset.key} is built without pictures, which cannot be drawn"):
            return asset.pictures(read_summary(asset.summary, facts, asset.key), out)
    return {}


def metadata_of(asset: StoredAsset[Any], outcome: Outcome, log: logging.Logger) -> dict[str, Any]:
    """All that the asset's page shows of its artifact; for what cannot be made or is no metadata it says why, and the
    log has a warning."""
    artifact = outcome.artifact
    makers: dict[str, Callable[[], Metadata]] = {
        "own figures": lambda: asset.metadata(artifact.summary_as(asset.summary), artifact.glimpse),
        "pictures": lambda: pictures_of(artifact),  # behind a click, so below what needs none
        "record": lambda: common_metadata(outcome),
    }
    shown: dict[str, Any] = {}
    for what, make in makers.items():
        with decorating(log, f"{asset.key} is shown without its {what}") as failed:
            for name, value in make().items():
                with decorating(log, f"{asset.key} is shown without {name}") as cannot:
                    shown |= dg.AssetMaterialization(asset.key.split("/"), metadata={name: value}).metadata
                if cannot:
                    shown[name] = f"cannot be shown: {cannot[0]}"
        if failed:
            shown[what.replace(" ", "_")] = f"cannot be shown: {failed[0]}"
    return shown


def from_here(path: Path) -> Path:
    """The path as seen from the working folder, where it is below that: a long one makes a page cut its column."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def pictures_of(artifact: Artifact) -> dict[str, Any]:
    """The artifact's pictures as metadata that the UI renders."""
    files = [name for name in artifact.manifest.files if name.endswith(".png") and "/" not in name]
    folder = artifact.glimpse
    return {
        name.removesuffix(".png"): dg.MetadataValue.md(markdown_image((folder / name).read_bytes(), name))
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
        "path": dg.MetadataValue.path(from_here(artifact.place)),
    }


def tags_of(key: str) -> dict[str, str]:
    """What the UI's search can filter by: `corpus: books` finds everything about one corpus."""
    folder, _, name = key.partition("/")
    return {TAGS[folder]: name} if name and folder in TAGS else {}


def code_version(asset: StoredAsset[Any]) -> str:
    """The asset's version with its settings folded in: Dagster's "stale" mark knows nothing of YAML files."""
    return f"{asset.version}+{canonical_hash(identity_of(asset.settings), where=asset.key)[:8]}"
