"""What the commands share: the terminal, tables on it, and the store as a profile sees it.

What a command alone needs is imported when it runs: `squeeze --help` answers at once.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.base.errors import SqueezeError
from pipeline.cli.streams import printable

if TYPE_CHECKING:
    from pipeline.store import Store

PIPED_WIDTH: Final = 160  # columns of a table that goes to a file or a pipe

MODEL_KEY: Final = "model"

# what is shown is data: `:apple:` in it is no picture
console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, emoji=False)
errors = Console(stderr=True, emoji=False)


def _profiles(begun: str) -> list[str]:
    """What a shell offers for a profile: the built-in names and the YAML files of the folder."""
    from pipeline.profile.yaml import BUILT_IN

    names = [file.stem for file in BUILT_IN.glob("*.yaml")] + [file.name for file in Path().glob("*.yaml")]
    return sorted(name for name in names if name.startswith(begun))


@contextmanager
def follow_log() -> Iterator[None]:
    """Print what the block logs, for commands that take long: progress, and what is waited for."""
    said = logging.getLogger("pipeline")
    handler, level = logging.StreamHandler(sys.stderr), said.level
    handler.setFormatter(logging.Formatter("%(message)s"))
    said.addHandler(handler)
    said.setLevel(logging.INFO)
    try:
        yield
    finally:
        said.removeHandler(handler)
        said.setLevel(level)


ProfileOption = Annotated[
    str | None,
    typer.Option("--profile", "-p", help="Name or path; default SQUEEZE_PROFILE.", autocompletion=_profiles),
]


def open_store(profile: str | None, *, whole: bool = False, here: bool = False) -> Store:
    """The store as this profile sees it. Only the profile's name matters here, so its file is not validated.

    whole: for commands about everything in the store, whoever the results of the profile's name are of. here: for
    commands about this machine's folder alone, whatever bucket is behind it.
    """
    from pipeline.profile.yaml import find_profile, origin_of, profile_name
    from pipeline.store import Store
    from pipeline.store.home import squeeze_home
    from pipeline.store.local import LocalBackend
    from pipeline.store.remote.address import store_address

    root = squeeze_home()
    if not root.is_dir() and (here or store_address() is None):
        raise SqueezeError(f"there is no store at {root}: run `dagster job execute -j full_train`, or set SQUEEZE_HOME")
    origin = None if whole else origin_of(find_profile(profile))
    backend = LocalBackend(root) if here else None
    return Store(root, profile_name(profile), named=profile, origin=origin, backend=backend).open()


def print_rows(title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Rows as a table under a title, with a column for every key of any row and a dash where a row has none of it."""
    from pipeline.reporting.tables import columns_of

    console.print(f"[bold]{escape(title)}[/]" + ("" if rows else ": none"))
    if rows:
        columns = columns_of(rows)
        table = Table(*(escape(name) for name in columns), box=None, pad_edge=False)
        for row in rows:
            cells = ("-" if row.get(name) is None else str(row[name]) for name in columns)
            table.add_row(*(escape(printable(cell, console.encoding)) for cell in cells))
        console.print(table)
