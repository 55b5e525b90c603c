"""Which documents a quality model learns from, and which ones judge it.

In: the documents of corpora with their held-out splits. Out: texts with a target each, some of them for validation.
Held-out documents are left out: they judge the language model, and nothing may be chosen on them. Documents are drawn
by a hash of their ids, and groups (books, articles) by a hash of their names, so a draw depends on no order of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.errors import CurationError
from pipeline.base.ids import chain
from pipeline.curation.doc_ids import contains_ids, ids_of
from pipeline.curation.documents import GIVEN_SCORE
from pipeline.curation.heldout import group_keys, heldout_ids
from pipeline.curation.quality.ngrams import Ngrams, joined, ngrams_of
from pipeline.curation.settings import QualityModelSettings
from pipeline.curation.tables import iter_parts

_FEW_GROUPS: Final = 10
"""With fewer groups, validation documents are drawn one by one: a tenth of two books is no book."""
_WHOLE: Final = float(2**64)


@dataclass(frozen=True)
class Sample:
    """N texts of a quality model."""

    ngrams: Ngrams
    targets: np.ndarray
    """float64 [N]: 1 for the good and 0 for the others, or the score that a text was given."""
    validation: np.ndarray
    """bool [N]"""
    bytes: int

    @property
    def importance(self) -> np.ndarray:
        """float64 [N]: what a text counts for so that both sides of a classifier weigh the same."""
        good = self.targets == 1
        share = np.where(good, good.mean(), 1 - good.mean())
        return 0.5 / np.maximum(share, 1e-12)


def read_sample(
    settings: QualityModelSettings,
    documents: Mapping[str, Path],
    heldout: Mapping[str, Path],
    keep: list[str] | None = None,
    view: Callable[[pa.Array], Ngrams] | None = None,
) -> Sample:
    """The texts of a model. documents, heldout: folders of these assets for each of its corpora; keep: takes the texts
    themselves, for who compares; view: what the model sees of some texts, by default their n-grams.

    Raises CurationError where a side has no text, or no scores.
    """
    sides = {"like": settings.like, "unlike": settings.unlike, "rated": settings.rated}
    texts: list[Ngrams] = []
    targets, validation, size = [], [], 0
    for side, corpora in sides.items():
        most = settings.most_bytes
        total = sum(_bytes_of(documents[corpus]) for corpus in corpora)
        for corpus in corpora:
            drawn = 0
            for some in _documents(settings, corpus, documents[corpus], heldout[corpus], most / max(total, 1)):
                if keep is not None:
                    keep += some.texts.to_pylist()
                texts.append(view(some.texts) if view else ngrams_of(some.texts, settings.ngram, settings.bits))
                given = np.full(len(some.texts), float(side == "like"))
                targets.append(some.scores if side == "rated" else given)
                validation.append(some.validation)
                drawn, size = drawn + len(some.texts), size + some.bytes
            if not drawn:
                scores = " with scores" if side == "rated" else ""
                raise CurationError(
                    f"curation.quality: the corpus {corpus!r} has no document{scores} outside its held-out split to "
                    f"learn from: take it from `{side}`, or hold out less"
                )
    return Sample(joined(texts), np.concatenate(targets), np.concatenate(validation), size)


@dataclass(frozen=True, slots=True)
class _Drawn:
    texts: pa.Array
    scores: np.ndarray
    validation: np.ndarray
    bytes: int


def _bytes_of(folder: Path) -> int:
    return sum(pc.sum(batch.column("bytes")).as_py() or 0 for batch in iter_parts(folder, ("bytes",)))


def _documents(
    settings: QualityModelSettings, corpus: str, folder: Path, heldout: Path, share: float
) -> Iterator[_Drawn]:
    """The documents of a corpus that are drawn, a row group at a time."""
    held_out, few = heldout_ids(heldout), _has_few_groups(corpus, folder)
    rated = corpus in settings.rated
    for batch in iter_parts(folder, ("doc_id", "text", "bytes", "group", *((GIVEN_SCORE,) if rated else ()))):
        ids = ids_of(batch)
        keys = chain(ids[:, 0] ^ ids[:, 1], settings.seed)
        scores = batch.column(GIVEN_SCORE).to_numpy().astype(np.float64) if rated else np.zeros(len(ids))
        chosen = np.flatnonzero((keys < min(share, 1.0) * _WHOLE) & ~contains_ids(ids, held_out) & ~np.isnan(scores))
        if not len(chosen):
            continue
        some = batch.take(chosen)
        named = keys[chosen] if few else group_keys(corpus, settings.seed, some.column("group").to_pylist())
        # mixed once more: the lowest keys themselves are the drawn documents, or the groups that are held out
        validation = chain(named, settings.seed) < settings.validation_share * _WHOLE
        size = pc.sum(some.column("bytes")).as_py()
        yield _Drawn(some.column("text"), scores[chosen], validation, size)


def _has_few_groups(corpus: str, folder: Path) -> bool:
    groups: set[str] = set()
    for batch in iter_parts(folder, ("group",)):
        groups.update(batch.column("group").to_pylist())
        if len(groups) >= _FEW_GROUPS:
            return False
    return True
