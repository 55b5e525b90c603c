"""Loss and bits per byte on held-out documents, shared among the ranks.

In: validation sets in the shards' format. Out: for each corpus, nats per token and bits per byte of the documents'
own text, scored document by document (`trainer.scoring.documents`), never through training windows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.config import ValidationData
from trainer.data.shards import TokenizerRef, read_manifest
from trainer.errors import DataError
from trainer.process.ranks import Ranks
from trainer.scoring.documents import score_documents
from trainer.scoring.evaluation import HeldoutScore
from trainer.scoring.interruption import Each, each_in_turn

if TYPE_CHECKING:
    from trainer.model import GPT

BATCH_TOKENS = 8192


@dataclass(frozen=True)
class HeldoutSet:
    """One corpus's held-out documents: `documents` are ids without the closing end-of-text, `sizes` UTF-8 bytes."""

    name: str
    documents: Sequence[Sequence[int]]
    sizes: Sequence[int]

    def first_tokens(self, most: int | None) -> HeldoutSet:
        """The first documents that together hold about `most` tokens (at least one document); none: all."""
        if most is None:
            return self
        count, tokens = 0, 0
        while count < len(self.documents) and (count == 0 or tokens + len(self.documents[count]) <= most):
            tokens += len(self.documents[count])
            count += 1
        return HeldoutSet(self.name, self.documents[:count], self.sizes[:count])


def read_heldout(sets: Sequence[ValidationData], tokenizer: TokenizerRef) -> list[HeldoutSet]:
    """Read the corpora's held-out documents, all languages of each, in the order of their ids.

    Raises `DataError` for a validation set that is damaged or made with another tokenizer, or a corpus not in it.
    """
    from trainer.data.streams import stage_documents

    result = []
    for item in sets:
        path = Path(item.path)
        manifest = read_manifest(path)
        made_with = manifest.tokenizer.content_hash
        if made_with != tokenizer.content_hash:
            raise DataError(
                f"{path}: made with tokenizer {made_with[:12]}, the shards with {tokenizer.content_hash[:12]}; "
                "materialize the validation set with the shards' tokenizer"
            )
        stages = [stage for stage in manifest.stages if stage.name.split("/")[0] == item.name]
        documents = [document for stage in stages for document in stage_documents(path.parent, stage, tokenizer)]
        if not documents:
            raise DataError(f"{path}: holds no documents of {item.name!r}; leave it out of data.validation")
        # ids are hashes, so the first documents are a sample of all languages
        documents.sort(key=lambda document: document.doc_id)
        ids = [document.tokens[:-1].tolist() for document in documents]
        result.append(HeldoutSet(item.name, ids, [document.bytes for document in documents]))
    return result


def score(
    model: GPT, sets: Sequence[HeldoutSet], *, eot_id: int, context: int, ranks: Ranks, each: Each = each_in_turn
) -> dict[str, HeldoutScore]:
    """Each corpus's score by its name, equal on every rank. `each` as for `score_documents`."""
    results = {}
    for corpus in sets:
        documents = corpus.documents[ranks.rank :: ranks.world_size]
        text, closing = score_documents(
            model, documents, eot_id=eot_id, context=context, batch_tokens=BATCH_TOKENS, each=each
        )
        tokens = sum(map(len, documents)) + len(documents)
        nats_text, nats_closing, all_tokens = ranks.sum([float(text.sum()), float(closing.sum()), tokens])
        size = sum(corpus.sizes)
        results[corpus.name] = HeldoutScore(
            loss=(nats_text + nats_closing) / all_tokens,
            bits_per_byte=nats_text / math.log(2) / size,
            documents=len(corpus.documents),
            tokens=int(all_tokens),
            bytes=size,
        )
    return results
