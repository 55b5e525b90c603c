"""The schedule before anything is built: what every epoch reads, from what is known of the corpora.

What a corpus holds comes from the best that is known of it: a size given by hand, its tokens where they are in the
store, the bytes of its documents, its local files, or the profile's own estimate (`estimated_bytes`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import ByteSize, TypeAdapter, ValidationError

from pipeline.base.errors import SourceError, SqueezeError
from pipeline.base.suggestions import did_you_mean
from pipeline.curation.documents import DocumentsSummary
from pipeline.curation.settings import CorpusSettings
from pipeline.curation.sources.unit_listing import local_paths
from pipeline.planning.vocabulary import vocabulary_rows
from pipeline.profile.profile import Profile
from pipeline.sharding.schedule.forecast import ForecastRow, estimated_holdings, forecast, holdings_of
from pipeline.store import Store
from pipeline.tokenization.corpus_tokens.encode import TokensSummary
from trainer.data.shards import dtype_for

COMPRESSED: Final = {".gz": 3, ".bz2": 3, ".xz": 4, ".zst": 3, ".zip": 3, ".parquet": 2}
"""Bytes of text in a byte of a file that is packed so, roughly."""


def plan(profile: Profile, store: Store, sizes: Mapping[str, int]) -> tuple[list[ForecastRow], list[str]]:
    """Rows per epoch, stage and corpus, and notes on what was estimated.

    `sizes` are bytes of text by corpus, for what is not in the store. Raises SqueezeError naming a corpus of unknown
    size, ShardError for a schedule that cannot be met.
    """
    mixed = sorted({corpus for stage in profile.schedule.stages for corpus in stage.mixture})
    tokens = {name: store.find_current(f"tokens/{name}") for name in mixed}
    encoded = {name: artifact for name, artifact in tokens.items() if artifact is not None and name not in sizes}
    if len(encoded) == len(mixed):
        dtype = next(iter(encoded.values())).summary_as(TokensSummary).dtype
        holdings = holdings_of(profile.schedule, {name: artifact.path for name, artifact in encoded.items()})
        return forecast(profile.schedule, profile.shards, holdings, dtype), []
    held = {name: sizes.get(name) or text_bytes(profile, name, store) for name in mixed}
    # an estimate knows no languages, so it cannot balance them
    schedule = profile.schedule.model_copy(update={"language_temperature": {}})
    rows = forecast(schedule, profile.shards, estimated_holdings(held), dtype_for(vocabulary_rows(profile)))
    return rows, ["estimated at 4 bytes a token and 1,000 tokens a document; exact once the corpora are tokenized"]


def text_bytes(profile: Profile, name: str, store: Store) -> int:
    """Bytes of a corpus's text, known or estimated. Raises SqueezeError where nothing says how much there is."""
    tokens = store.find_current(f"tokens/{name}")
    if tokens is not None:
        return tokens.summary_as(TokensSummary).train.bytes
    documents = store.find_current(f"documents/{name}")
    if documents is not None:
        return documents.summary_as(DocumentsSummary).bytes
    corpus = profile.corpora[name]
    known = corpus.estimated_bytes or _local_bytes(corpus)
    if not known:
        raise SqueezeError(
            f"the size of the corpus {name} is not known yet: materialize documents/{name}, set its estimated_bytes in "
            f"the profile, or give it, as in `squeeze plan --size {name}=2GB`"
        )
    return known


def _local_bytes(corpus: CorpusSettings) -> int | None:
    """Text in files on this machine; None where a source is elsewhere or the files are not there."""
    if any(not source.files or any("://" in pattern for pattern in source.files) for source in corpus.sources):
        return None
    try:
        return sum(path.stat().st_size * COMPRESSED.get(path.suffix, 1) for _, path in local_paths(corpus.sources))
    except (SourceError, OSError):
        return None


def parse_sizes(words: Sequence[str], corpora: Sequence[str]) -> dict[str, int]:
    """`books=1.5GB` as bytes by corpus. Raises SqueezeError for anything else, and for what is no corpus."""
    sizes = {}
    for word in words:
        name, _, size = word.partition("=")
        if name not in corpora:
            raise SqueezeError(
                f"--size {word}: there is no corpus {name!r}{did_you_mean(name, corpora)}; the profile has "
                f"{', '.join(corpora)}"
            )
        try:
            sizes[name] = int(TypeAdapter(ByteSize).validate_python(size))
        except ValidationError:
            sizes[name] = 0
        if sizes[name] <= 0:
            raise SqueezeError(f"--size {word}: expected CORPUS=SIZE above 0, such as {name}=1.5GB")
    return sizes
