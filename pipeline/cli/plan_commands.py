"""The commands `squeeze plan` and `squeeze preflight`: what a profile takes, and whether it can be had here."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Final

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.base.numbers import size as size_of
from pipeline.cli.output import JsonOption, print_json
from pipeline.cli.terminal import ProfileOption, console, print_rows

app = typer.Typer()
REFUSED: Final = 2
"""Exit status where preflight refuses."""
MARKS: Final = {"ok": ("ok", "green"), "note": ("note", "yellow"), "refused": ("refused", "bold red")}


@app.command()
def plan(
    profile: ProfileOption = None,
    size: Annotated[
        list[str] | None, typer.Option(help="CORPUS=SIZE of text not fetched yet, such as books=2GB.")
    ] = None,
    devices: Annotated[int | None, typer.Option(help="GPUs of a kind; by default as many as are here, or 1.")] = None,
    mfu: Annotated[float, typer.Option(help="Share of a GPU's peak to count on.")] = 0.4,
    probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="Try this machine's processor on a few passes, for seconds.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """What a profile will take before anything is built: the schedule epoch by epoch; training's hours and cost."""
    from pipeline.assets.training import Training, batch_of
    from pipeline.launch.ranks import ranks_for
    from pipeline.launch.settings import AUTO
    from pipeline.planning.disk import to_fetch, to_write
    from pipeline.planning.processor import processor_plan
    from pipeline.planning.schedule import parse_sizes
    from pipeline.planning.schedule import plan as plan_schedule
    from pipeline.planning.training import devices_here, training_figures
    from pipeline.profile.profile import load_profile
    from pipeline.store import Store
    from pipeline.store.home import squeeze_home
    from trainer.plan import plan_table
    from trainer.process.cores import core_count
    from trainer.process.processor import processor_name

    settings = load_profile(profile)
    sizes = parse_sizes(size or [], list(settings.corpora))
    store = Store(squeeze_home(), settings.name, origin=settings.origin).own()
    rows, notes = plan_schedule(settings, store, sizes)
    figures = training_figures(settings, rows, devices=devices_here() if devices is None else devices, mfu=mfu)
    ranks = ranks_for(AUTO, "cpu", batch_of(Training(settings.model, settings.training))).ranks
    row = processor_plan(settings, figures, ranks, store.cache) if probe else None
    figures = replace(figures, hardware=(*figures.hardware, row)) if row is not None else figures
    fetched, written = to_fetch(settings, store), to_write(settings, store, rows, figures)
    if as_json:
        schedule = {"schedule": [asdict(item) for item in rows], "notes": notes}
        print_json(schedule | {"training": asdict(figures), "to_fetch": fetched, "to_write": written})
        return
    print_rows(
        f"schedule of {settings.name}",
        [{name: _planned(name, value) for name, value in asdict(row).items()} for row in rows],
    )
    for note in notes:
        console.print(f"[dim]{escape(note)}[/]")
    console.print(f"\n[bold]training[/]\n{escape(plan_table(figures))}", highlight=False)
    if row is not None:
        threads = max(1, core_count() // ranks)
        share = f"{ranks} rank{'s' if ranks > 1 else ''} of {threads} thread{'s' if threads > 1 else ''}"
        console.print(f"{row.name} is {processor_name()}, tried with {share}", highlight=False)
    if (minutes := settings.training.max_minutes) is not None:
        cut = ", ".join(item.name for item in figures.hardware if item.hours * 60 > minutes)
        more = f", which cuts it short on {cut}" if cut else ""
        console.print(f"ended after {minutes:g} minutes of training (training.max_minutes){more}")
    unknown = [name for name, count in fetched.items() if not count]
    more = f", and {', '.join(unknown)}" if unknown else ""
    console.print(f"to fetch        about {size_of(sum(fetched.values()))} of text{more}")
    console.print(f"disk            about {size_of(sum(written.values()))} in all, what is there already included")


def _planned(name: str, value: object) -> str | None:
    if value is None:
        return None
    if name == "disk_bytes" and isinstance(value, int):
        return size_of(value)
    if name == "share" and isinstance(value, float):
        return f"{value:.1%}"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


@app.command()
def preflight(profile: ProfileOption = None) -> None:
    """Look at everything that full_train will need here, in seconds: device, memory, disk, sources, store.

    A run does so by itself before its first asset. Ends with status 2 where something would be refused.
    """
    from pipeline.assets.every import full_train_assets
    from pipeline.preflight.flight import flight_of
    from pipeline.preflight.preflight import timed
    from pipeline.profile.profile import load_profile
    from pipeline.store import Store
    from pipeline.store.home import squeeze_home

    settings = load_profile(profile)
    store = Store(squeeze_home(), settings.name, origin=settings.origin).own()
    findings, seconds = timed(flight_of(settings, store, full_train_assets(settings), {}))
    if not findings:
        console.print(f"everything of {escape(settings.name)} is in the store already: full_train reuses it")
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        mark, colour = MARKS[finding.verdict]
        table.add_row(f"[{colour}]{mark}[/]", escape(finding.check), escape(finding.text))
    console.print(f"[bold]preflight of {escape(settings.name)}[/] ({seconds:.1f} s)", table)
    if any(finding.verdict == "refused" for finding in findings):
        raise typer.Exit(REFUSED)
