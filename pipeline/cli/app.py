"""`squeeze`: look into the store, and use what is in it.

Every command reads the profile's name from `--profile` or SQUEEZE_PROFILE and the store's root from SQUEEZE_HOME.
Errors the user can put right are printed without a traceback and end with status 1.
"""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape

from pipeline.base.errors import SqueezeError
from pipeline.cli import model_commands, plan_commands, scorecard_command, store_commands, study_commands

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for commands in (store_commands, plan_commands, model_commands, scorecard_command):
    app.add_typer(commands.app)
app.add_typer(study_commands.app, name="study")


def main() -> None:
    """The console script."""
    from trainer.errors import TrainerError

    try:
        app()
    except (SqueezeError, TrainerError) as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
