"""`squeeze`: look into the store, and use what is in it.

Every command reads the profile's name from `--profile` or SQUEEZE_PROFILE and the store's root from SQUEEZE_HOME.
Errors the user can put right are printed without a traceback and end with status 1.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from pipeline.base.errors import SqueezeError
from pipeline.cli import (
    bucket_commands,
    doctor_command,
    fetch_command,
    hub_commands,
    inspect_commands,
    model_commands,
    plan_commands,
    provenance_command,
    race_commands,
    score_command,
    scorecard_command,
    store_commands,
    study_commands,
    writing_commands,
)
from pipeline.cli.streams import accept_everything

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
for commands in (
    store_commands,
    bucket_commands,
    plan_commands,
    doctor_command,
    fetch_command,
    hub_commands,
    inspect_commands,
    model_commands,
    provenance_command,
    score_command,
    scorecard_command,
    writing_commands,
):
    app.add_typer(commands.app)
app.add_typer(study_commands.app, name="study")
app.add_typer(race_commands.app, name="race")


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"squeeze {version('squeeze-gpt')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of `squeeze` itself."""


def main() -> None:
    """The console script."""
    from trainer.errors import TrainerError

    accept_everything(sys.stdout, sys.stderr)
    try:
        app()
    except (SqueezeError, TrainerError) as error:
        _complain(str(error))
    except MemoryError:
        _complain("memory ran out: raise the limit (`ulimit -v`, a container's), or end what else runs")
    except OSError as error:
        _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _complain(message: str) -> None:
    Console(stderr=True).print(f"[bold red]error:[/] {escape(message)}", highlight=False, emoji=False, soft_wrap=True)
    sys.exit(1)
