"""Commands between this machine's store and the bucket that SQUEEZE_STORE names: sending, fetching, and clearing up."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from pipeline.base.errors import SqueezeError
from pipeline.base.numbers import counted, size
from pipeline.cli.terminal import ProfileOption, console, errors

if TYPE_CHECKING:
    from pipeline.store.remote.shared import SharedBackend

app = typer.Typer()

KeysArgument = Annotated[
    list[str] | None, typer.Argument(help="Asset keys, such as model or 'shards/*'; all where none is named.")
]


def bucket_behind() -> SharedBackend:
    """This machine's store with its bucket, opened. Raises SqueezeError where SQUEEZE_STORE names none."""
    from pipeline.store.home import squeeze_home
    from pipeline.store.marker import require_store
    from pipeline.store.remote.address import STORE_VARIABLE
    from pipeline.store.remote.shared import shared_backend

    root = squeeze_home()
    backend = shared_backend(root)
    if backend is None:
        raise SqueezeError(f"no bucket is named: set {STORE_VARIABLE}, such as to s3://bucket/prefix")
    require_store(backend, root)
    return backend


@app.command()
def push(keys: KeysArgument = None) -> None:
    """Send this machine's artifacts to the bucket; what it has is not sent again. Status 1 when something is wrong."""
    from pipeline.store.local import LocalBackend
    from pipeline.store.remote.transfer import push

    backend = bucket_behind()
    done = push(LocalBackend(backend.root), backend.objects, keys or (), say=_say)
    console.print(
        f"{counted(done.sent, 'artifact')} sent, {size(done.bytes)}; {done.there:,} there already; "
        f"{counted(done.pointers, 'pointer')} moved, in {escape(backend.objects.address)}",
        soft_wrap=True,
    )
    for left in done.left:
        console.print(f"left as it is in the bucket, where a later build is current: {escape(left)}", soft_wrap=True)
    for fault in done.faults:
        errors.print(f"[red]{escape(fault)}[/]", highlight=False, soft_wrap=True)
    if done.faults:
        raise typer.Exit(1)


@app.command()
def pull(keys: KeysArgument = None, profile: ProfileOption = None) -> None:
    """Fetch what is current for a profile in the bucket, with all its files, to be used without it."""
    from pipeline.profile.yaml import profile_name
    from pipeline.store.remote.transfer import pull

    backend = bucket_behind()
    name = profile_name(profile)
    pulled = pull(backend, name, keys or (), say=_say)
    if not pulled:
        raise SqueezeError(f"{backend.objects.address}: nothing of that is current there for the profile {name}")
    total = size(sum(manifest.size for manifest in pulled))
    console.print(f"{counted(len(pulled), 'artifact')} of {escape(name)}, {total}, in {escape(str(backend.root))}")


def sweep_bucket(days: int, *, yes: bool, forgotten: str | None) -> None:
    """`squeeze gc --remote`: remove from the bucket what nobody needs and is older than so many days; asks first.

    forgotten: a profile whose pointers go before.
    """
    from pipeline.store.remote.sweeping import LEAST_DAYS, sweep
    from pipeline.store.remote.transfer import forget

    if days < LEAST_DAYS:
        raise SqueezeError(f"--older-than {days}: files of builds at work would go; at least {LEAST_DAYS} days")
    objects = bucket_behind().objects
    if forgotten and (yes or typer.confirm(f"Forget which artifacts are current for {forgotten}?")):
        console.print(f"{forget(objects, forgotten)} pointers of {escape(forgotten)} removed")
    found = sweep(objects, timedelta(days=days), dry=True)
    if not found.withdrawn and not found.deleted:
        console.print(f"nothing to remove: everything in {escape(objects.address)} is needed, or younger than that")
        return
    for manifest in found.withdrawn:
        _say(f"{size(manifest.size):>9}  {manifest.key} {manifest.fingerprint[:8]}  built {manifest.built.at}")
    what = f"{counted(len(found.withdrawn), 'artifact')} withdrawn, whose files go when they were for {days} days"
    what += f"; {counted(len(found.deleted), 'object')} deleted, {size(found.bytes)}"
    if not (yes or typer.confirm(f"From {objects.address}: {what}?")):
        raise typer.Exit(1)
    sweep(objects, timedelta(days=days), dry=False)
    console.print(what)


def _say(line: str) -> None:
    console.print(escape(line), highlight=False, soft_wrap=True)
