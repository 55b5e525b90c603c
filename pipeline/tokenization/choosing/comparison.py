"""Every candidate on the same text: what it saves in tokens, what it costs in parameters, what it gets wrong.

In: the candidates' folders, the curated corpora, the mixture. Out: `comparison.json`. Token counts are of held-out
text, which trained no candidate; the use of the vocabulary is counted on the mixture's sample, which is what a model
will see. Speeds are measured and so differ from run to run: they are in the summary and in no file.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.arrow import as_strings, list_parts, text_bytes
from pipeline.base.errors import TokenizerError
from pipeline.base.parquet import reading
from pipeline.base.settings import Settings
from pipeline.curation.corpus import CuratedCorpus
from pipeline.tokenization.choosing.candidates import Candidate, Comparison, Group
from pipeline.tokenization.corpus_tokens.chunks import chunks
from pipeline.tokenization.encoders.tokenizer import Tokenizer
from pipeline.tokenization.folder import load_tokenizer
from pipeline.tokenization.settings import ComparisonSettings
from pipeline.tokenization.training.mixture import SAMPLE_FILE, CorpusCounts, Mixture

log = logging.getLogger(__name__)

COMPARISON_VERSION: Final = "2"
ENGLISH: Final = "en"
CHUNK_BYTES: Final = 16_000_000


class ModelShape(Settings):
    """What of the profile's model decides the price of a vocabulary."""

    width: int
    """Width of the embedding (n_embd)."""
    body_parameters: int
    """Parameters of everything but the token embedding and the output projection."""
    body_flops: float | None = None
    """FLOPs of a trained token apart from the output projection; none: 6 a body parameter (Kaplan et al. 2020)."""
    tied: bool = True
    """Whether the output projection is the embedding itself."""

    def embedding_parameters(self, vocab_size: int) -> int:
        """Parameters of the token embedding and, where it is not tied, the output projection."""
        return vocab_size * self.width * (1 if self.tied else 2)

    def training_flops(self, vocab_size: int, tokens: float) -> float:
        """6 FLOPs a weight of the output projection and token, and the body's; the lookup costs nothing."""
        body = 6.0 * self.body_parameters if self.body_flops is None else self.body_flops
        return (body + 6.0 * vocab_size * self.width) * tokens


@dataclass(frozen=True)
class ComparisonSummary:
    """`tokenizers`: one row a candidate. `groups`: one row a candidate, corpus and language."""

    content_hash: str
    tokenizers: dict[str, Candidate]
    groups: list[Group]
    encode_mb_per_second: dict[str, float]
    """Bulk encoding of the mixture's sample in this build, gate included; machine-dependent."""


def compare_tokenizers(
    settings: ComparisonSettings,
    tokenizers: Mapping[str, Path],
    corpora: Mapping[str, CuratedCorpus],
    mixture: Path,
    out: Path,
    *,
    shape: ModelShape,
    proxy: Callable[[Mapping[str, Path], list[pa.Array]], Mapping[str, float]] | None = None,
) -> ComparisonSummary:
    """Compare the candidates and write `comparison.json`.

    `proxy` trains a small model a candidate and gives its bits per byte on the held-out text it is handed (see
    `pipeline.tokenization.choosing.proxy`); without it that column is empty.

    Raises TokenizerError where there is no held-out text to compare on.
    """
    texts = heldout_groups(settings, corpora)
    if not texts:
        raise TokenizerError(f"no held-out text in {', '.join(sorted(corpora))}: tokenizers cannot be compared")
    counted = Mixture.read(mixture).corpora
    candidates: dict[str, Candidate] = {}
    groups: list[Group] = []
    speeds: dict[str, float] = {}
    for name, folder in tokenizers.items():
        tokenizer = load_tokenizer(folder)
        measured = with_parity([measure(name, tokenizer, *group, text) for group, text in sorted(texts.items())])
        usage, speeds[name] = sample_usage(tokenizer, mixture / SAMPLE_FILE)
        candidates[name] = _candidate(tokenizer, measured, usage, settings.rare_below, shape, counted)
        groups += measured
        log.info(
            "%s: %.3f bytes per token, %s rows, %.1f MB/s",
            name,
            candidates[name].bytes_per_token,
            f"{tokenizer.vocab_size:,}",
            speeds[name],
        )
    bits = proxy(tokenizers, [text for _, text in sorted(texts.items())]) if proxy else {}
    cheapest = min(candidate.training_flops for candidate in candidates.values())
    candidates = {
        name: replace(candidate, proxy_bits_per_byte=bits.get(name), relative_cost=candidate.training_flops / cheapest)
        for name, candidate in candidates.items()
    }
    content_hash = Comparison(candidates, groups).write(out)
    return ComparisonSummary(content_hash, candidates, groups, speeds)


def heldout_groups(
    settings: ComparisonSettings, corpora: Mapping[str, CuratedCorpus]
) -> dict[tuple[str, str], pa.Array]:
    """Held-out documents a corpus and language, in order, until `bytes_per_group` is reached (`large_string`)."""
    groups: dict[tuple[str, str], list[pa.Array]] = {}
    sizes: dict[tuple[str, str], int] = {}
    for name, corpus in sorted(corpora.items()):
        for batch in corpus.iter_heldout(columns=("text", "lang")):
            for lang in sorted({value or "" for value in batch.column("lang").unique().to_pylist()}):
                key = (name, lang)
                rows = batch.filter(pc.equal(pc.fill_null(batch.column("lang"), ""), lang))
                strings = as_strings(rows.column("text"))
                before = sizes.get(key, 0) + np.concatenate([[0], np.cumsum(text_bytes(strings))[:-1]])
                kept = strings.slice(0, int(np.searchsorted(before, settings.bytes_per_group, side="left")))
                groups.setdefault(key, []).append(kept)
                sizes[key] = sizes.get(key, 0) + int(text_bytes(kept).sum())
    return {key: pa.concat_arrays(parts) for key, parts in groups.items() if sizes[key]}


def measure(name: str, tokenizer: Tokenizer, corpus: str, lang: str, texts: pa.Array) -> Group:
    """Counts and ratios of the candidate `name` on one group's documents."""
    encoded = tokenizer.encode_arrow(texts)
    tokens = len(list_parts(encoded)[1])
    size, words = int(text_bytes(texts).sum()), int(pc.sum(pc.count_substring_regex(texts, r"\S+")).as_py() or 0)
    return Group(
        tokenizer=name,
        corpus=corpus,
        lang=lang,
        documents=len(texts),
        bytes=size,
        characters=int(pc.sum(pc.utf8_length(texts)).as_py() or 0),
        words=words,
        tokens=tokens,
        bytes_per_token=size / max(1, tokens),
        tokens_per_word=tokens / max(1, words),
        round_trip_failures=round_trip_failures(tokenizer, texts, encoded),
    )


def round_trip_failures(tokenizer: Tokenizer, texts: pa.Array, encoded: pa.Array) -> int:
    """Documents that decoding does not give back byte for byte."""
    decoded = tokenizer.decode_arrow(encoded)
    return int(pc.sum(pc.not_equal(decoded, texts.cast(pa.large_binary()))).as_py() or 0)


def heldout_round_trip(
    folder: Path, settings: ComparisonSettings, corpora: Mapping[str, CuratedCorpus]
) -> tuple[int, int]:
    """Of the held-out documents by which a tokenizer is compared: those that it changes, and all."""
    tokenizer, groups = load_tokenizer(folder), heldout_groups(settings, corpora)
    failures = sum(round_trip_failures(tokenizer, texts, tokenizer.encode_arrow(texts)) for texts in groups.values())
    return failures, sum(map(len, groups.values()))


def with_parity(groups: list[Group]) -> list[Group]:
    """The groups with `parity`: tokens per character against English, over all corpora (2 = twice the tokens).

    Petrov et al. 2023 take the same sentences in both languages; corpora are not parallel, so this is per character.
    """
    english = [group for group in groups if group.lang == ENGLISH]
    characters = sum(group.characters for group in english)
    base = sum(group.tokens for group in english) / characters if characters else None
    return [replace(group, parity=group.tokens / max(1, group.characters) / base if base else None) for group in groups]


def sample_usage(tokenizer: Tokenizer, sample: Path) -> tuple[np.ndarray, float]:
    """How often each id occurs in the mixture's sample (int64, vocab_size), and the speed of encoding it in MB/s."""
    import pyarrow.parquet as pq

    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    seconds, size = 0.0, 0
    with reading(sample, TokenizerError), pq.ParquetFile(sample) as file:
        for chunk in chunks(file.iter_batches(columns=["text", "bytes"]), CHUNK_BYTES):
            start = time.perf_counter()
            encoded = tokenizer.encode_arrow(chunk.column("text"))
            seconds += time.perf_counter() - start
            size += pc.sum(chunk.column("bytes")).as_py() or 0
            counts += np.bincount(list_parts(encoded)[1], minlength=tokenizer.vocab_size)
    return counts, size / 1e6 / max(seconds, 1e-9)


def _candidate(
    tokenizer: Tokenizer,
    groups: list[Group],
    usage: np.ndarray,
    rare_below: int,
    shape: ModelShape,
    counted: Mapping[str, CorpusCounts],
) -> Candidate:
    """A candidate's groups added up, its use of the vocabulary, and its price.

    The price is parameters, and FLOPs of one pass over the curated text at each group's bytes per token.
    """
    size, count = sum(group.bytes for group in groups), sum(group.tokens for group in groups)
    overall = size / max(1, count)
    ratios = {(group.corpus, group.lang): group.bytes_per_token for group in groups}
    tokens = sum(
        text.bytes / ratios.get((corpus, lang), overall) + text.documents
        for corpus, counts in counted.items()
        for lang, text in counts.languages.items()
    )
    embedding = shape.embedding_parameters(tokenizer.vocab_size)
    return Candidate(
        compared_bytes=size,
        compared_tokens=count,
        bytes_per_token=overall,
        tokens_per_word=count / max(1, sum(group.words for group in groups)),
        round_trip_failures=sum(group.round_trip_failures for group in groups),
        compared_documents=sum(group.documents for group in groups),
        vocab_size=tokenizer.vocab_size,
        vocabulary_used=int((usage > 0).sum()) / tokenizer.vocab_size,
        rare_rows=int((usage < rare_below).sum()),
        rare_below=rare_below,
        sample_tokens=int(usage.sum()),
        embedding_parameters=embedding,
        embedding_share=embedding / (embedding + shape.body_parameters),
        training_tokens=round(tokens),
        training_flops=shape.training_flops(tokenizer.vocab_size, tokens),
        content_hash=tokenizer.content_hash,
        kind=tokenizer.kind,
        dtype=tokenizer.dtype,
        reference=tokenizer.reference_name,
        bulk_path=tokenizer.bulk_path,
    )
