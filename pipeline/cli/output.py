"""What commands write where the user says: files and folders of options such as `--out`, and JSON for programs."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.base.errors import SqueezeError

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables.")]


@contextlib.contextmanager
def written_to(option: str, path: Path) -> Iterator[None]:
    """What is written inside goes to the path that an option names. Raises SqueezeError where it cannot."""
    try:
        yield
    except OSError as error:
        what = error.strerror or str(error)
        raise SqueezeError(
            f"{option} {path}: cannot be written ({what}); name another place, in a folder that you may write to"
        ) from error


def write_page(option: str, path: Path, text: str) -> None:
    """Write a text file, with the folders above it. Raises SqueezeError where it cannot be written."""
    if path.is_dir():
        raise SqueezeError(f"{option} {path}: is a folder; name a file, such as {path / 'report.html'}")
    with written_to(option, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def print_json(value: Any) -> None:
    """One JSON document on stdout, in ASCII, which every locale has."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
