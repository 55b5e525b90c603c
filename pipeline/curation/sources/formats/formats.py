"""The table of all document formats: what a source's `format` may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pipeline.curation.sources.formats.csv_table import CsvTable
from pipeline.curation.sources.formats.format import DocumentFormat
from pipeline.curation.sources.formats.json_field import JsonField
from pipeline.curation.sources.formats.lines import Lines
from pipeline.curation.sources.formats.records import Records
from pipeline.curation.sources.formats.separator import Separator
from pipeline.curation.sources.formats.titled import Titled
from pipeline.curation.sources.formats.whole import Whole
from pipeline.curation.sources.formats.wiki_dump import WikiDump

FORMATS: Final[Mapping[str, DocumentFormat]] = {
    "records": Records(),
    "csv": CsvTable(),
    "lines": Lines(),
    "separator": Separator(),
    "wiki_dump": WikiDump(),
    "json_field": JsonField(),
    "titled": Titled(),
    "whole": Whole(),
}
