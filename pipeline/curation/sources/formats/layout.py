"""What a format needs to know of the source whose file it reads."""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from pydantic import field_validator

from pipeline.base.settings import Settings, later
from pipeline.curation.sources.formats.encoding import known_encoding
from pipeline.curation.text.languages import LanguageCode

_NAMING: Final = ("text_field", "group_field", "lang_field", "score_field", "url_field")
"""Settings that name a field or column."""


class Layout(Settings):
    """How the files of a source hold their documents. Every format looks at the settings that concern it."""

    text_field: str = "text"
    """Field or column of the text (`records`, `csv`, `json_field`)."""
    group_field: str | None = None
    """Field or column that says what the held-out split keeps together; the record itself by default."""
    lang_field: str | None = None
    """Field or column with the document's language, in any of the forms of `lang`; what is none is counted, and the
    language detected."""
    score_field: str | None = later(None)
    """Field or column with a number that says how good the document is, as FineWeb-Edu's `score`: it is kept beside the
    text, for `curation.quality` to learn. What is no number is none."""
    url_field: str | None = later(None)
    """Field or column with the address that the document is from, as FineWeb's `url`: its host is kept beside the text,
    for `domain_cap`. What is no address is none."""
    separator: str = "<|endoftext|>"
    delimiter: str | None = later(None, min_length=1, max_length=1)
    """Character between the cells of a CSV file; where it is unset that of `,`, tab, `;` and `|` which the first row
    speaks for."""
    column_names: tuple[str, ...] = later(())
    """Names of a CSV file's columns where its first row holds no names but the first record."""
    quotes: bool | None = later(None)
    """Whether the cells of a CSV file may stand in quotation marks, and have line ends then. Where it is unset they
    may, unless its beginning has a mark that nothing closes, in lines that are whole rows without."""
    encoding: str = "utf-8"
    """Encoding of the files' text by any of its names, also of JSON; Parquet has its own. Bytes that are not in it set
    their line or file aside."""
    lang: LanguageCode | None = None
    """Declared language: ISO 639-1 or -3, as in `fr`, `fra`, `fr-FR`, `fra_Latn`, which are all `fr`. Where neither
    this nor `lang_field` says it, it is detected from the text."""

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        return known_encoding(value)

    @property
    @abstractmethod
    def label(self) -> str:
        """A short name of the source for messages."""

    @property
    def columns(self) -> list[str]:
        """The columns of a table that are needed."""
        named = dict.fromkeys(getattr(self, setting) for setting in _NAMING)
        return [name for name in named if name is not None]

    def setting_of(self, column: str) -> str:
        """The setting that names a column."""
        return next(setting for setting in _NAMING if getattr(self, setting) == column)
