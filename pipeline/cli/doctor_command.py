"""The command `squeeze doctor`: whether this machine and this store are well, and what to do where they are not."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.base.numbers import size
from pipeline.cli.output import JsonOption, print_json
from pipeline.cli.plan_commands import MARKS
from pipeline.cli.terminal import ProfileOption, console

app = typer.Typer()


@app.command()
def doctor(profile: ProfileOption = None, as_json: JsonOption = False) -> None:
    """Look at machine, versions, disk, store and profile; status 1 where something must be fixed."""
    from pipeline.preflight.doctor import examine

    found = examine(profile)
    if as_json:
        print_json({**found.facts, "findings": [asdict(item) for item in found.findings], "healthy": found.healthy})
        raise typer.Exit(0 if found.healthy else 1)
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, text in _facts(found.facts):
        table.add_row("", name, escape(text))
    for item in found.findings:
        mark, colour = MARKS[item.verdict]
        mark = "fix" if item.verdict == "refused" else mark
        table.add_row(f"[{colour}]{mark}[/]", item.check, escape(item.text))
    console.print(table)
    if not found.healthy:
        raise typer.Exit(1)


def _facts(facts: dict[str, Any]) -> list[tuple[str, str]]:
    machine = facts["machine"]
    memory = f"{size(machine['memory'])} of memory, {size(machine['memory_available'])} available"
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return [
        ("machine", f"{machine['processor']}, {machine['cores']} cores, {memory}, {machine['system']}"),
        ("versions", versions),
    ]
