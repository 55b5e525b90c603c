"""The format `json_field`: a file that is one JSON value with all documents in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO

from pipeline.base.errors import SourceError
from pipeline.curation.sources.formats.format import DocumentFormat
from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.record import Record, Refused, record_of


class JsonField(DocumentFormat):
    """One JSON object, whose keys are the groups, or a list."""

    meaning = "one JSON object or list of objects"

    def read(self, file: BinaryIO, entry: str, layout: Layout) -> Iterator[Record | Refused]:
        try:
            data = json.loads(file.read())
        except ValueError as error:
            raise SourceError(f"{entry} of {layout.label} is no JSON file: {error}") from error
        if isinstance(data, dict):
            items = list(data.items())
        elif isinstance(data, list):
            items = [(f"{entry}#{row}", value) for row, value in enumerate(data)]
        else:
            kind = type(data).__name__
            raise SourceError(f"{entry} of {layout.label} holds one JSON {kind}, not an object or a list")
        for row, (key, value) in enumerate(items):
            yield record_of(value, key, entry, row, layout)
