"""Settings of a source: where documents come from, and how files hold them."""

from __future__ import annotations

from typing import Final, Self

from pydantic import Field, field_validator, model_validator

from pipeline.base.archives import Archive
from pipeline.base.redaction import hidden
from pipeline.base.settings import Settings, runtime
from pipeline.base.suggestions import did_you_mean_or_known
from pipeline.curation.sources.formats.formats import FORMATS
from pipeline.curation.sources.formats.layout import Layout

_MEANINGS: Final = "; ".join(f"`{name}`: {kind.meaning}" for name, kind in FORMATS.items())


class HubDataset(Settings):
    """A data set of the Hugging Face hub, pinned to a revision."""

    id: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    """Repository, such as HuggingFaceFW/fineweb-edu."""
    config: str | None = None
    """Configuration (subset), such as sample-10BT."""
    split: str = "train"
    revision: str = Field(min_length=1)
    """Commit of the data set, or a branch or tag such as `main`, which is looked up when the documents are built first
    and kept beside them in commits.json: documents that are there stay as they are when the branch moves on."""


class Place(Settings):
    """Where the files of a source are, and of what format they are."""

    archive: Archive | None = None
    """A pinned package archive; `members` says which of its files."""
    members: tuple[str, ...] = ("*",)
    """Shell patterns of the archive's files, in the order they are read; of `files` that are archives, of the files in
    them."""
    files: tuple[str, ...] = ()
    """Paths, globs or fsspec URLs of Parquet, Arrow, CSV, JSON lines or text files, also compressed (.gz, .bz2, .xz,
    .zst) or in archives (.zip, .tar, .tar.gz), which are read member by member. Credentials in a URL open it, and stand
    as `***` in every record: a renewed token rebuilds nothing."""
    folder: str = runtime("")
    """Where relative `files` are: by default the folder of the profile that names them, and the working directory for
    what is there and not in that folder."""
    hub: HubDataset | None = None
    exclude: tuple[str, ...] = ()
    """Shell patterns over file names (without folder) that are left out, also in archives."""
    maximum_bytes: int | None = Field(None, ge=1)
    """Read, from the beginning on, as much as holds so many bytes of text and no more: of the hub's Parquet files row
    groups (the others are not fetched), of local ones blocks of them, other files as wholes by their size as they lie.
    The one that reaches it is read whole, so it is a little more; null reads all."""
    format: str = Field("records", description=f"How a file becomes documents. {_MEANINGS}.")

    @field_validator("members", "files", "exclude", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("files")
    @classmethod
    def _without_credentials(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        shown = tuple(hidden(file) for file in value)
        if len(set(shown)) < len(set(value)):
            raise ValueError(f"{shown[0]} and another differ in their credentials alone: name each file once")
        return shown

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        if value not in FORMATS:
            raise ValueError(f"{value!r} is no format of documents{did_you_mean_or_known(value, FORMATS)}")
        return value


class Source(Layout, Place):
    """One place that documents come from: exactly one of `archive`, `files` and `hub`."""

    @model_validator(mode="after")
    def _exactly_one_place(self) -> Self:
        given = [name for name in ("archive", "files", "hub") if getattr(self, name)]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"a source takes exactly one of `archive`, `files` and `hub`, found {found}")
        if self.hub is not None and self.format != "records":
            raise ValueError(f"a hub data set has rows: `format` must be records, not {self.format}")
        if self.format == "separator" and not self.separator:
            raise ValueError("`separator` must not be empty")
        return self

    @property
    def label(self) -> str:
        """A short name for messages."""
        if self.archive is not None:
            return self.archive.requirement
        return self.hub.id if self.hub is not None else ", ".join(self.files)
