"""The format `json_field`: a file that is one JSON value with all documents in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO

from pipeline.curation.sources.formats.encoding import decode_file
from pipeline.curation.sources.formats.format import DocumentFormat
from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.sources.formats.record import Record, Refused, bad_bytes, bad_json, excerpt, records_of


class JsonField(DocumentFormat):
    """One JSON object, whose keys are the groups, or a list."""

    meaning = "one JSON object or list of objects"
    endings = (".json",)

    def read(self, file: BinaryIO, entry: str, layout: Layout) -> Iterator[Record | Refused]:
        data = file.read()
        if not data.strip():
            return
        try:
            value = json.loads(decode_file(data, layout.encoding))
        except UnicodeError as error:
            yield bad_bytes(data, error, entry, 0, layout)
            return
        except (ValueError, RecursionError) as error:
            yield bad_json(data, error, entry, 0)
            return
        del data
        if isinstance(value, dict):
            items = list(value.items())
        elif isinstance(value, list):
            items = [(f"{entry}#{row}", item) for row, item in enumerate(value)]
        else:
            details = f"one JSON {type(value).__name__}, not an object or a list"
            yield Refused(entry, 0, Reason.NO_OBJECT, excerpt(str(value)), details)
            return
        yield from records_of(((row, key, item) for row, (key, item) in enumerate(items)), entry, layout)
