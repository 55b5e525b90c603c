"""One tokenizer from its specification: loaded from a pinned file, or trained on the mixture's sample.

In: the specification, and for a trained one the mixture's folder. Out: the tokenizer's folder (see
`pipeline.tokenization.folder`) with every export it supports. The same specification and sample give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.base.errors import TokenizerError
from pipeline.tokenization.encoders.tokenizer import Tokenizer
from pipeline.tokenization.folder import write_byte_level, write_hugging_face, write_sentencepiece
from pipeline.tokenization.formats.byte_level_vocabulary import BytePairs, merges_of, parse_gpt2, parse_rank_file
from pipeline.tokenization.formats.patterns import PATTERNS
from pipeline.tokenization.specs import BpeSpec, SentencepieceSpec, Spec, TiktokenSpec, TokenizerJsonSpec
from pipeline.tokenization.training.bpe import train_bpe
from pipeline.tokenization.training.sample import sample_texts
from pipeline.tokenization.training.sentence_piece import train_sentencepiece
from pipeline.tokenization.training.sources import read_source

TOKENIZER_VERSION: Final = "2"


@dataclass(frozen=True)
class TokenizerSummary:
    """What was built. `reference` is the library that is right by definition, `files` what the folder holds."""

    content_hash: str
    name: str
    kind: str
    vocab_size: int
    eot_id: int
    dtype: str
    reference: str
    bulk_path: str
    files: tuple[str, ...]
    notes: tuple[str, ...]


def build_tokenizer(
    name: str, spec: Spec, out: Path, *, cache: Path, folder: Path, mixture: Path | None = None
) -> TokenizerSummary:
    """Build the tokenizer into `out`. `cache` holds wheels, `folder` the specifications.

    Raises TokenizerError for a file with the wrong hash, a vocabulary that the text cannot fill, a missing
    end-of-text token, or a trained tokenizer without a mixture.
    """
    identity = spec.identity()
    notes: list[str] = []
    tokenizer: Tokenizer
    if isinstance(spec, TiktokenSpec):
        pairs = _load_ranks(name, spec, cache=cache, folder=folder)
        tokenizer = write_byte_level(out, pairs, reference="tiktoken", spec=identity)
    elif isinstance(spec, BpeSpec):
        pairs, note = train_bpe(name, spec, _needed(name, spec, mixture))
        notes.append(note)
        tokenizer = write_byte_level(out, pairs, reference="tokenizers", spec=identity)
    elif isinstance(spec, TokenizerJsonSpec):
        data = read_source(name, spec.file, cache=cache, folder=folder).decode("utf-8")
        where = f"tokenizer {name}: {spec.file.member or spec.file.path}"
        tokenizer = write_hugging_face(out, data, spec.end_of_text, spec=identity, where=where)
    else:
        if isinstance(spec, SentencepieceSpec):
            model = read_source(name, spec.file, cache=cache, folder=folder)
            where = f"tokenizer {name}: {spec.file.member or spec.file.path}"
        else:
            texts = sample_texts(_needed(name, spec, mixture), spec.temperature, spec.sample_bytes)
            model, where = train_sentencepiece(name, spec, texts), f"tokenizer {name}"
        tokenizer, why = write_sentencepiece(out, model, spec.end_of_text, spec=identity, where=where)
        notes.extend([why] if why else [])
    if tokenizer.dtype == "uint32":
        notes.append(f"vocabulary of {tokenizer.vocab_size:,} is beyond uint16: ids are stored as uint32, 4 bytes each")
    return TokenizerSummary(
        content_hash=tokenizer.content_hash,
        name=name,
        kind=spec.kind,
        vocab_size=tokenizer.vocab_size,
        eot_id=tokenizer.eot_id,
        dtype=tokenizer.dtype,
        reference=tokenizer.reference_name,
        bulk_path=tokenizer.bulk_path,
        files=tuple(sorted(path.name for path in out.iterdir() if path.suffix != ".tmp")),
        notes=tuple(notes),
    )


def _needed(name: str, spec: Spec, mixture: Path | None) -> Path:
    if mixture is None:
        raise TokenizerError(f"tokenizer {name} ({spec.kind}) trains on the mixture: build `mixture` first")
    return mixture


def _load_ranks(name: str, spec: TiktokenSpec, *, cache: Path, folder: Path) -> BytePairs:
    data = read_source(name, spec.ranks, cache=cache, folder=folder)
    where = f"tokenizer {name}: {spec.ranks.member or spec.ranks.path}"
    if spec.encoder is not None:
        ranks = parse_gpt2(data, read_source(name, spec.encoder, cache=cache, folder=folder), where=where)
    else:
        ranks = parse_rank_file(data, where=where)
    tokens = {rank: token for token, rank in ranks.items()}
    highest = max(tokens)
    if spec.end_of_text_id in tokens:
        raise TokenizerError(
            f"{where}: end_of_text_id {spec.end_of_text_id} is the ordinary token {tokens[spec.end_of_text_id]!r}; "
            f"a tokenizer needs an end-of-text token of its own (the highest rank is {highest})"
        )
    if max(highest, spec.end_of_text_id) >= spec.vocab_size:
        raise TokenizerError(
            f"{where}: vocab_size is {spec.vocab_size:,}, but the highest id is {max(highest, spec.end_of_text_id):,}; "
            "set it to that plus one or more"
        )
    return BytePairs(
        tokens=tokens,
        merges=merges_of(ranks, where=where),
        pattern=PATTERNS[spec.pattern],
        end_of_text=spec.end_of_text,
        eot_id=spec.end_of_text_id,
        vocab_size=spec.vocab_size,
    )
