"""The command `squeeze plan`: what a profile will take before anything is built."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from pipeline.base.numbers import size as size_of
from pipeline.cli.terminal import ProfileOption, console, print_rows

app = typer.Typer()


@app.command()
def plan(
    profile: ProfileOption = None,
    size: Annotated[
        list[str] | None, typer.Option(help="CORPUS=SIZE of text not fetched yet, such as books=2GB.")
    ] = None,
    devices: Annotated[int | None, typer.Option(help="GPUs of a kind; by default as many as are here, or 1.")] = None,
    mfu: Annotated[float, typer.Option(help="Share of a GPU's peak to count on.")] = 0.4,
) -> None:
    """What a profile will take before anything is built: the schedule epoch by epoch; training's hours and cost."""
    from pipeline.cli.planning import devices_here, parse_sizes, training_figures
    from pipeline.cli.planning import plan as plan_schedule
    from pipeline.profile.profile import load_profile
    from pipeline.store import Store
    from pipeline.store.home import squeeze_home
    from trainer.plan import plan_table

    settings = load_profile(profile)
    rows, notes = plan_schedule(settings, Store(squeeze_home(), settings.name), parse_sizes(size or []))
    print_rows(
        f"schedule of {settings.name}",
        [{name: _planned(name, value) for name, value in asdict(row).items()} for row in rows],
    )
    for note in notes:
        console.print(f"[dim]{note}[/]")
    figures = training_figures(settings, rows, devices=devices_here() if devices is None else devices, mfu=mfu)
    console.print(f"\n[bold]training[/]\n{escape(plan_table(figures))}", highlight=False)
    if settings.training.max_minutes:
        console.print(f"ended after {settings.training.max_minutes:g} minutes of training (training.max_minutes)")


def _planned(name: str, value: object) -> str | None:
    if value is None:
        return None
    if name == "disk_bytes" and isinstance(value, int):
        return size_of(value)
    if name == "share" and isinstance(value, float):
        return f"{value:.1%}"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
