"""Commands about the store: what is in it, where it came from, whether it is whole, and what can go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from pipeline.base.numbers import age, size
from pipeline.cli.output import JsonOption, print_json
from pipeline.cli.terminal import ProfileOption, console, open_store

if TYPE_CHECKING:
    from pipeline.store import Artifact, Store

app = typer.Typer()


@app.command("ls")
def list_artifacts(
    profile: ProfileOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what no profile uses at present.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Artifacts with their size, age, and the profiles they are current for."""
    store = open_store(profile)
    used = _used(store)
    table = Table("artifact", "fingerprint", "size", "age", "current for", "built because", box=None, pad_edge=False)
    for column in (2, 3):
        table.columns[column].justify = "right"
    shown = [
        (artifact, used.get(artifact.fingerprint, []))
        for artifact in store.artifacts()
        if everything or store.profile in used.get(artifact.fingerprint, [])
    ]
    if as_json:
        print_json([_row(artifact, profiles) for artifact, profiles in shown])
        return
    for artifact, profiles in shown:
        used_here = store.profile in profiles
        built = artifact.manifest.built
        row = (artifact.key, artifact.fingerprint[:8], size(artifact.manifest.size), age(built.at))
        table.add_row(*row, ", ".join(profiles) or "-", escape(built.reason), style=None if used_here else "dim")
    console.print(table)
    total = size(sum(artifact.manifest.size for artifact, _ in shown))
    console.print(f"{table.row_count} artifacts, {total}, in {store.root}")


def _used(store: Store) -> dict[str, list[str]]:
    """The profiles that an artifact is current for, by its fingerprint."""
    used: dict[str, list[str]] = {}
    for name, _, artifact in store.pointers():
        if artifact is not None:
            used.setdefault(artifact.fingerprint, []).append(name)
    return used


def _row(artifact: Artifact, profiles: Sequence[str]) -> dict[str, Any]:
    """An artifact for programs."""
    built = artifact.manifest.built
    return {
        "key": artifact.key,
        "fingerprint": artifact.fingerprint,
        "content_hash": artifact.content_hash,
        "bytes": artifact.manifest.size,
        "built_at": built.at,
        "reason": built.reason,
        "profiles": list(profiles),
        "inputs": {label: parent.fingerprint for label, parent in sorted(artifact.manifest.inputs.items())},
        "path": str(artifact.path),
    }


@app.command()
def lineage(
    asset: Annotated[str, typer.Argument(help="Asset key, such as scorecard or shards/epoch_001.")] = "model",
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """The ancestry of an artifact as a tree with fingerprints."""
    store = open_store(profile)
    if as_json:
        ancestry = store.ancestry(store.current(asset)).values()
        used = _used(store)
        print_json([_row(artifact, used.get(artifact.fingerprint, [])) for artifact in ancestry])
        return
    seen: set[str] = set()

    def grow(tree: Tree, artifact: Artifact) -> None:
        again = artifact.fingerprint in seen
        seen.add(artifact.fingerprint)
        branch = tree.add(f"{artifact.key} [cyan]{artifact.fingerprint[:8]}[/]" + (" [dim](above)[/]" if again else ""))
        if again:
            return
        for label, parent in sorted(artifact.manifest.inputs.items()):
            parent_artifact = store.get(parent.key, parent.fingerprint)
            if parent_artifact is None:
                branch.add(f"{label} [cyan]{parent.fingerprint[:8]}[/] [dim](removed)[/]")
            else:
                grow(branch, parent_artifact)

    root = Tree(f"[bold]{escape(store.profile)}[/]")
    grow(root, store.current(asset))
    console.print(root)


@app.command()
def verify(profile: ProfileOption = None, as_json: JsonOption = False) -> None:
    """Hash everything on disk against the manifests; status 1 when something is damaged."""
    from pipeline.store.maintenance import verify as faults_of

    store = open_store(profile)
    artifacts = list(store.artifacts())
    faults = []
    for artifact in artifacts:
        damage = list(faults_of(artifact))
        faults += damage
        if as_json:
            continue
        mark = "[red]damaged[/]" if damage else "[green]ok[/]"
        console.print(f"{mark} {artifact.key} [cyan]{artifact.fingerprint[:8]}[/] {size(artifact.manifest.size)}")
    if as_json:
        print_json({"artifacts": len(artifacts), "faults": faults})
        raise typer.Exit(1 if faults else 0)
    for fault in faults:
        console.print(f"[red]{escape(fault)}[/]", highlight=False, soft_wrap=True)
    if faults:
        console.print("remove a damaged folder and run the job again: it builds just that one anew")
        raise typer.Exit(1)
    console.print(f"{len(artifacts)} artifacts are whole")


@app.command()
def gc(
    profile: ProfileOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    epochs: Annotated[
        bool, typer.Option("--epochs", help="Also the epochs' shards: rebuilt byte for byte when they are needed.")
    ] = False,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also builds that were stopped and would go on, checkpoints included.")
    ] = False,
    forget_profile: Annotated[
        str | None, typer.Option("--forget", help="A profile whose artifacts are no longer wanted.")
    ] = None,
) -> None:
    """Remove what no profile's current artifacts need; asks first."""
    from pipeline.store.maintenance import forget, garbage

    store = open_store(profile)
    if forget_profile and (yes or typer.confirm(f"Forget which artifacts are current for {forget_profile}?")):
        console.print(f"{forget(store, forget_profile)} pointers of {forget_profile} removed")
    unneeded = garbage(store, epochs=epochs, unfinished=unfinished)
    if not unneeded:
        console.print("nothing to remove: everything in the store is needed")
        return
    for item in unneeded:
        console.print(f"{size(item.bytes):>9}  {escape(str(item.path))}  [dim]{item.why}[/]", soft_wrap=True)
    total = size(sum(item.bytes for item in unneeded))
    if not (yes or typer.confirm(f"Remove these {len(unneeded)} folders, {total}?")):
        raise typer.Exit(1)
    kept = [item for item in unneeded if not store.backend.remove(item)]
    for item in kept:
        console.print(f"kept, a build is using it: {escape(str(item.path))}", soft_wrap=True)
    console.print(f"removed {len(unneeded) - len(kept)} folders")
