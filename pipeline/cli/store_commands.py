"""Commands about the store: what is in it, where it came from, whether it is whole, and what can go."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from pipeline.base.errors import SqueezeError, StoreError
from pipeline.base.numbers import age, size
from pipeline.cli.output import JsonOption, print_json
from pipeline.cli.terminal import ProfileOption, console, errors, open_store

if TYPE_CHECKING:
    from pipeline.store import Artifact, Store

app = typer.Typer()

MOST_SHOWN: Final = 50
"""Folders that `squeeze gc` names one by one, unless it is asked for all."""


@app.command("ls")
def list_artifacts(
    profile: ProfileOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what no profile uses at present.")] = False,
    remote: Annotated[bool, typer.Option("--remote", help="What the bucket has that SQUEEZE_STORE names.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Artifacts with their size, age, and the profiles they are current for."""
    faults: list[str] = []
    if remote:
        name, where, shown = _in_bucket(profile, everything=everything)
    else:
        store = open_store(profile, here=True)
        used = _used(store)
        name, where = store.profile, str(store.root)
        shown = [
            (artifact, used.get(artifact.fingerprint, []))
            for artifact in (store.artifacts(unreadable=faults) if everything else _current(store, faults))
        ]
    table = Table("artifact", "fingerprint", "size", "age", "current for", "built because", box=None, pad_edge=False)
    for column in (2, 3):
        table.columns[column].justify = "right"
    if as_json:
        print_json([_row(artifact, profiles) for artifact, profiles in shown])
        return
    for artifact, profiles in shown:
        used_here = name in profiles
        built = artifact.manifest.built
        row = (escape(artifact.key), artifact.fingerprint[:8], size(artifact.manifest.size), age(built.at))
        words = (escape(", ".join(profiles)) or "-", escape(built.reason))
        table.add_row(*row, *words, style=None if used_here else "dim")
    console.print(table)
    total = size(sum(artifact.manifest.size for artifact, _ in shown))
    console.print(f"{table.row_count} artifacts, {total}, in {escape(where)}", soft_wrap=True)
    _complain(faults)


def _in_bucket(profile: str | None, *, everything: bool) -> tuple[str, str, list[tuple[Artifact, list[str]]]]:
    """The profile's name, the bucket's address, and its artifacts with the profiles they are current for."""
    from pipeline.cli.bucket_commands import bucket_behind
    from pipeline.profile.yaml import profile_name
    from pipeline.store import Artifact
    from pipeline.store.remote.transfer import listed

    backend = bucket_behind()
    name = profile_name(profile)
    found = listed(backend.objects, None if everything else name)
    return name, backend.objects.address, [(Artifact(manifest, backend), owners) for manifest, owners in found]


def _used(store: Store) -> dict[str, list[str]]:
    """The profiles that an artifact is current for, by its fingerprint, without a look at any artifact."""
    used: dict[str, list[str]] = {}
    for key, name in store.backend.pointers():
        if (fingerprint := store.pointed_at(key, name)) is not None:
            used.setdefault(fingerprint, []).append(name)
    return used


def _current(store: Store, faults: list[str]) -> list[Artifact]:
    """What is current for the store's profile."""
    return [item for _, _, item in store.pointers(store.profile, unreadable=faults) if item is not None]


def _complain(faults: Sequence[str]) -> None:
    """What is wrong with the store, to whoever reads the terminal: the output itself stays what was asked for."""
    for fault in faults:
        errors.print(f"[red]{escape(fault)}[/]", highlight=False, soft_wrap=True)


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
        "path": str(artifact.place),
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
        branch = tree.add(
            f"{escape(artifact.key)} [cyan]{artifact.fingerprint[:8]}[/]" + (" [dim](above)[/]" if again else "")
        )
        if again:
            return
        for label, parent in sorted(artifact.manifest.inputs.items()):
            try:
                parent_artifact, gone = store.get(parent.key, parent.fingerprint), "removed"
            except StoreError as error:
                parent_artifact, gone = None, str(error)
            if parent_artifact is None:
                branch.add(f"{escape(label)} [cyan]{parent.fingerprint[:8]}[/] [dim]({escape(gone)})[/]")
            else:
                grow(branch, parent_artifact)

    root = Tree(f"[bold]{escape(store.profile)}[/]")
    grow(root, store.current(asset))
    console.print(root)


@app.command()
def verify(
    profile: ProfileOption = None,
    quick: Annotated[bool, typer.Option("--quick", help="Look at names and sizes alone.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Put what is damaged aside, so that the next run builds it anew.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Hash everything on disk against the manifests; status 1 when something is damaged."""
    from pipeline.preflight.doctor import Verified, now, verified
    from pipeline.store.maintenance import damaged_in

    store = open_store(profile, whole=True, here=True)
    faults, said = [], []
    count = 0
    for damage in damaged_in(store, quick=quick):
        count += 1
        faults += damage.faults
        if damage.faults and repair:
            said.append(damage.put_aside(store))
        if not as_json and (damage.faults or not quick):  # hashing takes its time: it shows where it is
            mark = "[red]damaged[/]" if damage.faults else "[green]ok[/]"
            bytes_ = "?" if damage.bytes is None else size(damage.bytes)
            console.print(f"{mark} {escape(damage.key)} [cyan]{damage.fingerprint[:8]}[/] {bytes_}")
    verified(store, Verified(now(), count, len(faults), quick))
    if as_json:
        print_json({"artifacts": count, "faults": faults, "repaired": said})
        raise typer.Exit(1 if faults else 0)
    for fault in faults:
        console.print(f"[red]{escape(fault)}[/]", highlight=False, soft_wrap=True)
    for line in said:
        console.print(escape(line), highlight=False, soft_wrap=True)
    if faults:
        how = "" if repair else "put it aside with `squeeze verify --repair`, and "
        console.print(f"{how}run the job again: it builds just what is damaged anew")
        raise typer.Exit(1)
    console.print(f"{count} artifacts are whole" + (", by their sizes" if quick else ""))


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
    every: Annotated[bool, typer.Option("--all", help="Show every folder, however many.")] = False,
    forget_profile: Annotated[
        str | None, typer.Option("--forget", help="A profile whose artifacts are no longer wanted.")
    ] = None,
    remote: Annotated[bool, typer.Option("--remote", help="From the bucket that SQUEEZE_STORE names.")] = False,
    older_than: Annotated[int, typer.Option(help="Days since something was last needed, with --remote.")] = 7,
) -> None:
    """Remove what no profile's current artifacts need; asks first."""
    from pipeline.cli.bucket_commands import sweep_bucket
    from pipeline.store.collection import collect, forget, garbage, tidy

    if remote:
        sweep_bucket(older_than, yes=yes, forgotten=forget_profile)
        return
    store = open_store(profile, whole=True, here=True)
    if forget_profile:
        known = sorted({name for _, name in store.backend.pointers()})
        if forget_profile not in known:
            names = ", ".join(known) or "none"
            raise SqueezeError(f"--forget {forget_profile}: the store has no such profile; there are: {names}")
        if yes or typer.confirm(f"Forget which artifacts are current for {forget_profile}?"):
            console.print(f"{forget(store, forget_profile)} pointers of {escape(forget_profile)} removed")
    notes: list[str] = []
    unneeded = garbage(store, epochs=epochs, unfinished=unfinished, notes=notes)
    _complain(notes)
    if not unneeded:
        with suppress(OSError):  # a disk that cannot be written
            tidy(store)
        console.print("nothing to remove: everything in the store is needed")
        return
    shown = unneeded if every else unneeded[:MOST_SHOWN]
    for item in shown:
        console.print(f"{size(item.bytes):>9}  {escape(str(item.path))}  [dim]{item.why}[/]", soft_wrap=True)
    if rest := unneeded[len(shown) :]:
        console.print(f"{size(sum(item.bytes for item in rest)):>9}  {len(rest):,} smaller folders  [dim](--all)[/]")
    total = size(sum(item.bytes for item in unneeded))
    if not (yes or typer.confirm(f"Remove these {len(unneeded)} folders, {total}?")):
        raise typer.Exit(1)
    kept = collect(store, unneeded, epochs=epochs, unfinished=unfinished)
    for item in kept:
        console.print(f"kept, as it is in use now: {escape(str(item.path))}", soft_wrap=True)
    console.print(f"removed {len(unneeded) - len(kept)} folders")
