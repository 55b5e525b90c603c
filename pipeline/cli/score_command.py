"""The command `squeeze score`: what a model in one file makes of held-out text, read back from the file alone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.numbers import size
from pipeline.cli.output import JsonOption, print_json
from pipeline.cli.terminal import ProfileOption, open_store, print_rows

app = typer.Typer()


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help="A file that `squeeze export --bits` wrote.")],
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bits per byte that a model in one file gives the profile's held-out documents, beside the file's size."""
    from pipeline.evaluation.one_file import read_one_file
    from pipeline.evaluation.suites.bits_per_byte import BitsPerByteSuite, evaluate_bits_per_byte

    scorer = read_one_file(file)
    store = open_store(profile)
    current = {key: item for _, key, item in store.pointers(store.profile) if item is not None}
    heldout = {key.removeprefix("heldout/"): item.path for key, item in current.items() if key.startswith("heldout/")}
    suite = BitsPerByteSuite(compressors=(), prime_bytes=0)
    with tempfile.TemporaryDirectory() as scratch:
        scores = evaluate_bits_per_byte(scorer, heldout, {}, suite, Path(scratch)).scores
    if as_json:
        print_json({"bytes": file.stat().st_size, "bits_per_byte": {item.task: item.value for item in scores}})
        return
    rows = [{"text": item.task, "documents": item.count, "bits per byte": f"{item.value:.4f}"} for item in scores]
    print_rows(f"{file}: {size(file.stat().st_size)}", rows)
