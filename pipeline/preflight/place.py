"""Whether the store can take what the run makes, and has what the run does not make.

In: a flight. Out: findings on inputs that are not there, on a folder that cannot be written, on free disk, and on
vocabularies that the text cannot fill.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pipeline.base.memory import address_limit
from pipeline.base.numbers import size
from pipeline.planning.disk import known_text
from pipeline.preflight.finding import Finding, only_if_made
from pipeline.preflight.flight import Flight
from pipeline.tokenization.specs import folder_with, load_spec, specs_folders

LEAST_ADDRESSES: Final = 2 << 30
"""Bytes a process: 1.1 GB for libraries, and the stacks and arenas of a few threads."""
FILLED: Final = (84_085, 7_993_758, 0.61)
"""Rows that BPE filled with the sample's mixture, its bytes, and the power by which rows grow with bytes: 13,568 rows
came of 0.41 MB of it, 33,040 of 1.61 MB."""
SURELY: Final = 2.0
"""Times the estimated rows beyond which a vocabulary is refused before it is tried."""


def inputs(flight: Flight) -> Iterator[Finding]:
    """What the selected assets are built from and nobody makes."""
    for key, why in flight.astray.items():
        yield Finding(key, "refused", why)
    if not flight.lacks:
        return
    profile = flight.profile.name
    lacking = sorted({key for keys in flight.lacks.values() for key in keys})
    wanted = sorted(flight.lacks)
    shown = ", ".join(lacking[:4]) + (f" and {len(lacking) - 4} more" if len(lacking) > 4 else "")
    selection = " or ".join(f'+key:"{profile}/{key}"' for key in wanted[:3])
    needing = f"{', '.join(wanted[:3])}{' and others' if len(wanted) > 3 else ''}"
    yield Finding(
        "inputs",
        "refused",
        f"{needing} need{'s' if len(wanted) == 1 else ''} {shown}, which the store has not for "
        f"the profile {flight.profile.name}: make what comes before them too, with `{variable()}dagster asset "
        f"materialize --select '{selection}'`, or everything with `{variable()}dagster job execute -j full_train`",
    )


def variable() -> str:
    """`SQUEEZE_PROFILE=mine.yaml ` where it is set, as the next command needs it too."""
    value = os.environ.get("SQUEEZE_PROFILE")
    return f"SQUEEZE_PROFILE={value} " if value else ""


def addresses() -> Iterator[Finding]:
    """A limit on what a process may map, where that is too low for the libraries alone."""
    limit = address_limit()
    if limit is not None and limit < LEAST_ADDRESSES:
        yield Finding(
            "memory",
            "refused",
            f"`ulimit -v` lets a process map {size(limit)}, and torch, Arrow and their threads take "
            f"{size(LEAST_ADDRESSES)} before any text is read: raise it (`ulimit -v unlimited`), and bound memory by a "
            "container's or Slurm's limit, which counts what is used",
        )


def writable(flight: Flight) -> Finding:
    """A file can be made where the store is or will be."""
    root = flight.store.root
    folder = _existing(root)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(
            "store",
            "refused",
            f"nothing can be written into {folder} ({error.strerror}): correct its permissions, or point SQUEEZE_HOME "
            "at another folder",
        )
    return Finding("store", "ok", f"{root} can be written")


def disk(flight: Flight, sizes: Mapping[str, int]) -> Finding:
    """What is to be made, by plan, against what is free. `sizes`: bytes by key."""
    needed = sum(count for key, count in sizes.items() if key in flight.makes)
    folder = _existing(flight.store.root)
    free = shutil.disk_usage(folder).free
    unknown = [key for key in flight.makes if key.startswith("documents/") and key not in sizes]
    more = f", and what {', '.join(sorted(unknown))} holds" if unknown else ""
    text = f"about {size(needed)} are written{more}; {size(free)} are free in {folder}"
    if needed <= free:
        return Finding("disk", "ok", text)
    largest = sorted((key for key in sizes if key in flight.makes), key=lambda key: -sizes[key])[:3]
    most = ", ".join(f"{key} {size(sizes[key])}" for key in largest)
    surely = sum(count for key, count in sizes.items() if key in flight.makes - flight.may_reuse)
    return Finding(
        "disk",
        "refused" if surely > free else "note",
        f"{text} (most for {most}): free some (`squeeze gc --epochs`), point SQUEEZE_HOME at a larger disk, or lower "
        "schedule.tokens_per_epoch or the sources' maximum_bytes",
    )


def vocabularies(flight: Flight) -> Iterator[Finding]:
    """Vocabularies to be trained that are far beyond what so much text fills."""
    tokenizers = flight.profile.tokenizers
    text = known_text(flight.profile, flight.store)
    if len(text) < len(flight.profile.corpora):
        return
    sample = min(tokenizers.sample.bytes, sum(text.values()))
    rows, of_bytes, power = FILLED
    likely = rows * (sample / of_bytes) ** power
    folders = specs_folders(tokenizers.folder)
    for name in flight.made("tokenizer"):
        if name not in tokenizers.candidates:
            continue
        folder = folder_with(folders, name)
        spec = load_spec(folder, name)
        wanted = getattr(spec, "vocab_size", 0)
        if spec.trained and wanted > likely * SURELY:
            finding = Finding(
                "vocabulary",
                "refused",
                f"{size(sample)} of text fill about {likely:,.0f} rows of a vocabulary, and {folder / f'{name}.yaml'} "
                f"asks for {wanted:,}: lower its vocab_size (in a file of your own, in a folder that "
                "tokenizers.folder names), or choose a smaller one in tokenizers.candidates and tokenizers.select",
            )
            yield only_if_made(finding, f"tokenizer/{name}", flight.may_reuse)


def _existing(path: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(place for place in (path, *path.parents) if place.is_dir())
