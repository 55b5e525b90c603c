"""The logger that puts a run on the terminal, and its place in Dagster.

In: the store's folder and the profile whose runs they are. Out: the definition of a logger called `console`, with the
settings of Dagster's own: `loggers: {console: {config: {log_level: DEBUG}}}` in a run's configuration shows all that
Dagster says, and so does the environment variable SQUEEZE_LOG_LEVEL.

Dagster takes a job's own loggers only where the run's configuration names them, and one of its own otherwise, which is
always so for `dagster asset materialize`. `prefer_console_of_the_job` changes that default, in the one module that asks
for it. A test holds it against the Dagster that is installed; without its effect Dagster's own lines are shown.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg
from dagster._core.execution import context_creation_job

from pipeline.base.errors import SqueezeError
from pipeline.base.numbers import counted
from pipeline.console.ending import ending
from pipeline.console.handler import TerminalHandler
from pipeline.profile.yaml import DEFAULT_PROFILE
from pipeline.store import Store
from pipeline.store.missing import as_named

CONSOLE: Final = "console"
LEVEL_VARIABLE: Final = "SQUEEZE_LOG_LEVEL"
_SCHEMA: Final = {
    "log_level": dg.Field(
        str,
        is_required=False,
        default_value="INFO",
        description="INFO for a few lines a run; DEBUG for everything that Dagster and the project say.",
    ),
    "name": dg.Field(str, is_required=False, default_value="dagster", description="The logger's name."),
}


def console_logger(root: str, profile: str) -> dg.LoggerDefinition:
    """The logger of one profile's runs, whose closing lines are read from the store at `root`."""

    latest: dict[str | None, logging.Logger] = {}

    @dg.logger(_SCHEMA, description="A run in a few lines on the terminal; its page has them all.")
    def console(context: dg.InitLoggerContext) -> logging.Logger:
        if context.run_id in latest:  # asked for twice: for the run, and for its steps in the same process
            return latest[context.run_id]
        selected = context.job_def.asset_layer.selected_asset_keys if context.job_def is not None else ()
        assets = [tuple(key.path) for key in selected]

        def closing(succeeded: bool) -> Sequence[str]:
            if not (succeeded and assets and context.run_id):
                return ()
            try:
                store = Store(Path(root), profile).open().for_run(context.run_id)
                return ending(store, context.run_id, assets, asked_for(profile))
            except SqueezeError as error:
                return (f"  what came of it cannot be shown: {error}",)

        asked = os.environ.get(LEVEL_VARIABLE) or context.logger_config["log_level"]
        level = logging.getLevelNamesMapping().get(asked.upper(), logging.INFO)
        opening = f"{counted(len(assets), 'asset')} of the profile {profile}, kept in {root}"
        made = logging.Logger(context.logger_config["name"])
        made.addHandler(TerminalHandler(_writer(), opening, closing, level=level))
        latest.clear()
        latest[context.run_id] = made
        return made

    return console


def asked_for(profile: str) -> str:
    """The profile as a command line names it; empty for the one that needs no naming."""
    word = as_named(profile)
    return "" if word == DEFAULT_PROFILE else word


def prefer_console_of_the_job() -> None:
    """Let a job's own `console` take the place of Dagster's default logger where a run's configuration names none."""

    @dg.logger(_SCHEMA)
    def own_or_default(context: dg.InitLoggerContext) -> logging.Logger:
        own = context.job_def.loggers.get(CONSOLE) if context.job_def is not None else None
        return (own or dg.colored_console_logger).logger_fn(context)

    def default_loggers(instance: dg.DagsterInstance | None) -> Sequence[tuple[dg.LoggerDefinition, dict[str, Any]]]:
        return [(own_or_default, {"name": "dagster", "log_level": "INFO"})]

    context_creation_job.default_system_loggers = default_loggers


def _writer() -> Callable[[str], None]:
    """Writes a line to stderr, with its time dimmed and failures red where that is a terminal."""
    from rich.console import Console
    from rich.text import Text

    terminal = Console(stderr=True, force_terminal=sys.stderr.isatty() or None, soft_wrap=True, highlight=False)

    def write(line: str) -> None:
        text = Text(line)
        text.highlight_regex(r"^\d\d:\d\d:\d\d ", "dim")
        text.highlight_regex(r"^error:|(?<=: )failed:", "bold red")
        terminal.print(text)

    return write
