"""A provenance written out: as a Croissant 1.1 data set, and as a draft of the EU's public summary of training content.

The summary follows the template that the European Commission's AI Office published in July 2025 under article 53(1)(d)
of Regulation (EU) 2024/1689. It is a draft: what a lineage knows is filled in, what only the provider knows stands in
square brackets, and whether a model needs a summary at all is a question for a lawyer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from pipeline.base.numbers import short
from pipeline.curation.croissant import CONFORMS_TO, CONTEXT
from pipeline.reporting.provenance import UNKNOWN, CorpusOrigin, Provenance
from pipeline.reporting.tables import markdown_table

_SIZES: Final = ((1_000_000_000, "less than 1 billion tokens"), (10_000_000_000_000, "1 billion to 10 trillion tokens"))
_LARGEST: Final = "more than 10 trillion tokens"
_PERSONAL: Final = "E-mail and public IP addresses are replaced by constants"


def croissant_of(made: Provenance, name: str) -> dict[str, Any]:
    """The training text as a Croissant data set: a file and a record set for each corpus's selection.

    name: what the model is called.
    """
    used = [corpus for corpus in made.corpora if corpus.tokens]
    languages = sorted({lang for corpus in used for lang in corpus.languages if lang})
    masked = [corpus.name for corpus in used if corpus.masked]
    described = {
        "@context": {**CONTEXT, "prov": "http://www.w3.org/ns/prov#"},
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": f"training text of {name}",
        "description": f"What the model {made.model[:12]} was trained on: {made.tokens:,} tokens, repeats included. "
        + "; ".join(f"{corpus.name} {corpus.share:.1%}" for corpus in used),
        "license": sorted({corpus.license for corpus in used if corpus.license != UNKNOWN}),
        "url": used[0].sources[0] if used[0].sources else f"urn:squeeze:model:{made.model}",
        "isBasedOn": [source for corpus in used for source in corpus.sources],
        "prov:wasDerivedFrom": [{"@id": source} for corpus in used for source in corpus.sources],
        "inLanguage": languages,
        "datePublished": made.built_at[:10],
        "version": f"1.0.0+{made.model[:12]}",
        "rai:dataPreprocessingProtocol": [
            f"{corpus.name}: {step.step}, {step.bytes:,} bytes removed" for corpus in used for step in corpus.removed
        ],
        "rai:personalSensitiveInformation": [f"{_PERSONAL} in {', '.join(masked)}."] if masked else [],
        "distribution": [_file(corpus) for corpus in used],
        "recordSet": [_records(corpus) for corpus in used],
    }
    return {key: value for key, value in described.items() if value not in (None, [])}


def _file(corpus: CorpusOrigin) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": f"{corpus.name}.parquet",
        "name": f"{corpus.name}.parquet",
        "description": f"Rows of documents/{corpus.name} that were kept, under the licence: {corpus.license}.",
        "contentUrl": f"corpus/{corpus.name}/{corpus.fingerprint}/selection.parquet",
        "encodingFormat": "application/x-parquet",
        "sha256": corpus.selection_sha256,
    }


def _records(corpus: CorpusOrigin) -> dict[str, Any]:
    fields = (
        ("row", "sc:Integer", "Row over the parts of the documents, from 0."),
        ("doc_id", "sc:Text", "blake2b-128 of the document's text in UTF-8."),
    )
    return {
        "@type": "cr:RecordSet",
        "@id": corpus.name,
        "name": corpus.name,
        "description": f"{corpus.documents:,} documents of {corpus.bytes:,} bytes.",
        "key": {"@id": f"{corpus.name}/row"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{corpus.name}/{column}",
                "name": column,
                "description": text,
                "dataType": kind,
                "source": {"fileObject": {"@id": f"{corpus.name}.parquet"}, "extract": {"column": column}},
            }
            for column, kind, text in fields
        ],
    }


def training_content_summary(made: Provenance, name: str) -> str:
    """The draft of the public summary, in Markdown. name: what the model is called."""
    used = [corpus for corpus in made.corpora if corpus.tokens]
    return "\n".join([*_general(made, used, name), *_sources(used), *_processing(made, used)]) + "\n"


def _general(made: Provenance, used: Sequence[CorpusOrigin], name: str) -> Iterator[str]:
    size = next((words for most, words in _SIZES if made.tokens < most), _LARGEST)
    languages: Counter[str] = Counter()
    for corpus in used:
        whole = sum(corpus.languages.values()) or 1
        languages.update({lang or "?": round(corpus.tokens * part / whole) for lang, part in corpus.languages.items()})
    shown = ", ".join(f"{lang} ({count / made.tokens:.1%})" for lang, count in languages.most_common())
    parameters = f", {short(made.parameters)} parameters" if made.parameters else ""
    yield from (
        f"# Public summary of training content: {name} (draft)",
        "",
        "A draft after the template of the European Commission's AI Office (July 2025). What stands in [square",
        "brackets] is not in the lineage and has to be filled in; have it read by somebody who knows the law.",
        "",
        "## 1. General information",
        "",
        "- Provider, contact, authorised representative: [to be filled in]",
        f"- Model: {name}, {made.model[:12]}{parameters}, trained {made.built_at[:10]}",
        "- Models that it depends on: [none, unless it was taught by others]",
        "- Date of placing on the Union market: [to be filled in]",
        "- Modality: text",
        f"- Size of the training text: {size} ({made.tokens:,}, repeats included; "
        f"{sum(corpus.bytes for corpus in used):,} bytes of different text)",
        f"- Latest date of data acquisition: {max(corpus.read_at for corpus in used)[:10]}",
        f"- Languages, by training tokens: {shown}",
        "",
    )


def _sources(used: Sequence[CorpusOrigin]) -> Iterator[str]:
    public = [corpus for corpus in used if corpus.kind != "files"]
    local = [corpus for corpus in used if corpus.kind == "files"]
    yield from ("## 2. List of data sources", "", "### 2.1 Publicly available datasets", "")
    yield markdown_table(_rows(public)) if public else "None."
    yield from ("", "### 2.2 Private datasets obtained from third parties", "", "[To be filled in, if any]", "")
    yield from ("### 2.3 Data crawled and scraped from online sources", "")
    yield "None by this pipeline; what the data sets above were crawled from, their own descriptions say."
    yield from ("", "### 2.4 User data", "", "[To be filled in, if any]", "")
    yield from ("### 2.5 Synthetic data", "", "[To be filled in, if any]", "", "### 2.6 Other sources", "")
    yield markdown_table(_rows(local)) if local else "None."
    if local:
        yield from ("", "These were read from files; say under which of the headings above each belongs.")
    yield ""


def _rows(corpora: Sequence[CorpusOrigin]) -> list[dict[str, Any]]:
    return [
        {
            "name": corpus.name,
            "licence": corpus.license,
            "share of training tokens": f"{corpus.share:.2%}",
            "sources": ", ".join(corpus.sources),
            "read": corpus.read_at[:10],
        }
        for corpus in corpora
    ]


def _processing(made: Provenance, used: Sequence[CorpusOrigin]) -> Iterator[str]:
    unknown = sum(corpus.share for corpus in used if corpus.license == UNKNOWN)
    yield from ("## 3. Data processing", "", "### 3.1 Reservations of rights (text and data mining)", "")
    shares = ", ".join(f"{name} {part:.2%}" for name, part in made.licenses.items())
    yield f"Licences by share of the training tokens: {shares}."
    if unknown:
        yield f"Of {unknown:.2%} of the training tokens no licence is stated: [to be filled in]."
    yield from ("[Measures to respect opt-outs, such as robots.txt, of whoever collected the data]", "")
    yield from ("### 3.2 Removal of illegal content", "", "[To be filled in]", "", "### 3.3 Other", "")
    masked = [corpus.name for corpus in used if corpus.masked]
    if masked:
        yield f"{_PERSONAL} in: {', '.join(masked)}."
        counts: Counter[str] = Counter()
        for corpus in used:
            counts.update(corpus.masks)
        if counts:
            yield f"There are {', '.join(f'{count:,} {category}' for category, count in counts.most_common())}."
    if made.decontaminated:
        yield f"Documents that share long passages with {', '.join(made.decontaminated)} are removed."
    yield from ("What was removed, and why:", "")
    yield markdown_table(removed_rows(used))


def removed_rows(corpora: Sequence[CorpusOrigin]) -> list[dict[str, Any]]:
    """A row a corpus and step: documents, where it takes documents, and bytes."""
    return [
        {
            "corpus": corpus.name,
            "step": step.step,
            "documents": "" if step.documents is None else f"{step.documents:,}",
            "bytes": f"{step.bytes:,}",
        }
        for corpus in corpora
        for step in corpus.removed
    ]
