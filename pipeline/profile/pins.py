"""The commits that a profile's file pins data sets of the hub to: moved in the file, and nothing else in it touched.

In: a profile's file. Out: its pins, and the file with other commits in the places of the old ones: comments, order,
quotes and line ends stay, as the text of each value is replaced where it stands. What the file extends is not written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.base.bounded_yaml import load_yaml
from pipeline.base.errors import ProfileError
from pipeline.base.files import whole_path
from pipeline.curation.sources.hub.catalog import commit_of
from pipeline.curation.sources.settings import HubDataset
from pipeline.profile.yaml import BUILT_IN, read_profile_file

COMMIT: Final = re.compile("[0-9a-f]{40}")
_A_NUMBER: Final = re.compile(r"\d+([eE]\d+)?")
"""Commits that YAML would take for a number."""


@dataclass(frozen=True)
class Pin:
    """A `revision:` of a data set in a profile's file."""

    line: int
    """From 1."""
    dataset: str
    before: str
    after: str
    """The commit that is written."""

    @property
    def moved(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True)
class _Place:
    """Where a revision is written: line and column from 0, and its characters with their quotes."""

    dataset: str
    revision: str
    line: int
    column: int
    written: str


def pin_file(path: Path, *, move: str | None = None, write: bool = True) -> list[Pin]:
    """Pin the data sets that a profile's file names, in the order in which they stand there.

    A branch or tag becomes the commit it names now; a commit stays, unless `move` is the branch or tag that all are
    moved to.

    Raises:
        ProfileError: the file is no profile, belongs to the installed package, or holds a revision as an alias.
        SourceError: a data set has no such branch or tag, or the hub cannot be asked.
    """
    read_profile_file(path)  # says with its line what is wrong with the file
    if write and path.parent == BUILT_IN and not (BUILT_IN.parents[1] / ".git").exists():
        raise ProfileError(
            f"{path.name} belongs to the installed package: write `extends: {path.stem}` into a file of your own, with "
            "the sources to be pinned, and name that"
        )
    text = path.read_bytes().decode("utf-8")
    places = sorted(set(_places(text, path)), key=lambda place: (place.line, place.column))
    commits: dict[tuple[str, str], str] = {}
    pins = []
    for place in places:
        named = place.revision if move is None else move
        if (place.dataset, named) not in commits:
            commits[place.dataset, named] = commit_of(HubDataset(id=place.dataset, revision=named))
        pins.append(Pin(place.line + 1, place.dataset, place.revision, commits[place.dataset, named]))
    if write and any(pin.moved for pin in pins):
        after = _replaced(text, places, [pin.after for pin in pins])
        with whole_path(path) as place_of_file:
            place_of_file.write_bytes(after.encode("utf-8"))
    return pins


def _places(text: str, path: Path) -> Iterator[_Place]:
    lines = text.split("\n")
    for source in _sources(load_yaml(text, "rt")):
        hub = source.get("hub")
        if not isinstance(hub, Mapping) or not {"id", "revision"} <= set(hub):
            continue
        line, column = hub.lc.value("revision")  # type: ignore[attr-defined]
        value = str(hub["revision"])
        written = next((item for item in (value, f'"{value}"', f"'{value}'") if _stands(lines[line], column, item)), "")
        if not written:
            raise ProfileError(
                f"{path.name}, line {line + 1}: the revision of {hub['id']} is not written out here (an alias, or over "
                "several lines): write it out, or pin it where it stands"
            )
        yield _Place(str(hub["id"]), value, line, column, written)


def _stands(line: str, column: int, written: str) -> bool:
    return line.startswith(written, column)


def _sources(data: Any) -> Iterator[Mapping[str, Any]]:
    corpora = data.get("corpora") if isinstance(data, Mapping) else None
    for corpus in corpora.values() if isinstance(corpora, Mapping) else ():
        sources = corpus.get("sources") if isinstance(corpus, Mapping) else None
        yield from (source for source in sources or () if isinstance(source, Mapping))


def _replaced(text: str, places: list[_Place], commits: list[str]) -> str:
    """The text with commits in the places of what was written there."""
    lines = text.split("\n")
    for place, commit in reversed(list(zip(places, commits, strict=True))):
        if commit == place.revision:
            continue
        line, end = lines[place.line], place.column + len(place.written)
        quote = place.written[0] if place.written[0] in "\"'" else "'" if _A_NUMBER.fullmatch(commit) else ""
        lines[place.line] = f"{line[: place.column]}{quote}{commit}{quote}{line[end:]}"
    return "\n".join(lines)
