"""What a format needs to know of the source whose file it reads."""

from __future__ import annotations

from abc import abstractmethod

from pydantic import Field

from pipeline.base.settings import Settings


class Layout(Settings):
    """How the files of a source hold their documents. Every format looks at the settings that concern it."""

    text_field: str = "text"
    """Field or column of the text (`records`, `json_field`)."""
    group_field: str | None = None
    """Field or column that says what the held-out split keeps together; the record itself by default."""
    lang_field: str | None = None
    """Field or column with the document's language."""
    separator: str = "<|endoftext|>"
    encoding: str = "utf-8"
    lang: str | None = Field(None, pattern=r"^[a-z]{2,3}$")
    """Declared language (ISO 639-1 or -3); detected from the text where neither this nor `lang_field` says it."""

    @property
    @abstractmethod
    def label(self) -> str:
        """A short name of the source for messages."""

    @property
    def columns(self) -> list[str]:
        """The columns of a table that are needed."""
        return [name for name in (self.text_field, self.group_field, self.lang_field) if name is not None]
