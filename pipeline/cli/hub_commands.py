"""The commands `squeeze check` and `squeeze pin`: the hub's data sets of a profile, looked at and pinned to commits."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.cli.output import JsonOption, print_json
from pipeline.cli.plan_commands import MARKS, REFUSED
from pipeline.cli.terminal import ProfileOption, console, print_rows

if TYPE_CHECKING:
    from pipeline.profile.pins import Pin

app = typer.Typer()


@app.command()
def check(
    profile: ProfileOption = None,
    seconds: Annotated[float, typer.Option(min=1, help="To wait for all answers together.")] = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Look at every source and every benchmark's data set: revision, files, columns, licence, access, rate limit.

    Whatever the store has already. Ends with status 2 where something cannot be had as the profile says it, also where
    a run would go on without it.
    """
    from pipeline.assets.every import every_asset
    from pipeline.preflight.flight import flight_of
    from pipeline.preflight.reach import reach
    from pipeline.profile.profile import load_profile
    from pipeline.store import Store
    from pipeline.store.home import squeeze_home

    settings = load_profile(profile)
    assets = every_asset(settings)
    flight = flight_of(settings, Store(squeeze_home(), settings.name), assets, {})
    everything = replace(flight, makes=frozenset(asset.key for asset in assets), may_reuse=frozenset())
    findings = reach(everything, seconds, strict=True)
    refused = any(finding.verdict == "refused" for finding in findings)
    if as_json:
        print_json({"profile": settings.name, "findings": [asdict(item) for item in findings], "refused": refused})
        raise typer.Exit(REFUSED if refused else 0)
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        mark, colour = MARKS[finding.verdict]
        table.add_row(f"[{colour}]{mark}[/]", escape(finding.check), escape(finding.text))
    console.print(f"[bold]check of {escape(settings.name)}[/]", table)
    if refused:
        raise typer.Exit(REFUSED)


@app.command()
def pin(
    profile: ProfileOption = None,
    move: Annotated[
        str | None, typer.Option(help="Move commits too, to what this branch or tag is now, such as main.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the commits that the data sets' branches and tags name now into the profile's file, and nothing else.

    What is pinned to a commit stays, unless --move says where to.
    """
    from pipeline.profile.pins import pin_file
    from pipeline.profile.yaml import find_profile

    pinned = pin_file(find_profile(profile), move=move, write=not dry_run)
    if as_json:
        print_json([asdict(item) for item in pinned])
        return
    if not pinned:
        console.print("the profile's own file names no data set of the hub; what it extends has pins of its own")
        return
    print_rows("pins", [_row(item) for item in pinned])
    moved = sum(item.moved for item in pinned)
    done = "would be written" if dry_run else "written"
    console.print(f"{moved} of {len(pinned)} {done}" + ("; documents of other commits are built anew" if moved else ""))


def _row(item: Pin) -> dict[str, object]:
    now = item.after if item.moved else "the same"
    return {"line": item.line, "data set": item.dataset, "was": item.before, "is": now}
