"""What must hold of a curated corpus, worked out again from its text and not from what removed the rest.

In: the documents, the selection, and what the selection must be free of. Out: a `Finding` each for the language share,
duplicates and contamination. The methods are others than those of the assets they judge: equal texts by hashing them
afresh, similar ones by sorting the signatures' own bands and comparing sets of words, contamination by comparing items'
words with the text's (`item_words.py`). Where a corpus is large a part is looked at, and the finding says how much.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.base.distinct import among, distinct
from pipeline.curation.contamination import read_items
from pipeline.curation.heldout import iter_heldout
from pipeline.curation.item_words import ItemWords
from pipeline.curation.selected import iter_selected
from pipeline.curation.settings import ContaminationSettings, NearDuplicateSettings
from pipeline.curation.signals.minhash import MINHASH_PERMUTATIONS, SHINGLE_WORDS, minhash
from pipeline.curation.text.segments import words_of

INSPECTION_VERSION: Final = "2"
"""Moves when a finding may come out differently: findings that held are kept."""
_SIGNATURES: Final = 200_000
"""Documents whose signatures are held as a whole (90 MB); of more documents a part of each band's values."""
_PAIRS: Final = 20_000
_BUCKET: Final = 128
"""Documents of a band's value that are compared with each other: thousands of stubs can share one."""
_MOST_PAIRS: Final = 1_000_000
_SEARCHED_BYTES: Final = 32_000_000
"""Text searched for evaluation items: about five seconds."""


@dataclass(frozen=True)
class Finding:
    """Whether it holds, in words, and the numbers behind it."""

    passed: bool
    text: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


def inspect_languages(documents: Path, selection: Path, allowed: Collection[str], least: float) -> Finding:
    """Whether at least a share of the kept bytes is in a language that the corpus is meant to hold.

    Args:
        documents, selection: folders of the corpus's assets.
        allowed: language codes; empty where the corpus names none, and then every language is right.
        least: the share, 0 to 1.
    """
    sizes: Counter[str] = Counter()
    for batch in iter_selected(documents, selection, ("detected", "bytes")):
        for lang, size in zip(batch.column("detected").to_pylist(), batch.column("bytes").to_pylist(), strict=True):
            sizes[lang] += size
    total = sizes.total()
    if not allowed:
        return Finding(True, "the corpus declares no language", {"languages": len(sizes)})
    share = sum(sizes[lang] for lang in allowed) / max(total, 1)
    others = ", ".join(
        f"{lang or '?'} {size / total:.1%}" for lang, size in sizes.most_common(4) if lang not in allowed
    )
    text = f"{share:.2%} of the text is detected as {', '.join(sorted(allowed))}; at least {least:.0%} must be"
    return Finding(share >= least, f"{text} (others: {others})" if others else text, {"share": round(share, 4)})


def inspect_duplicates(
    documents: Path, selection: Path, heldout: Collection[Path], settings: NearDuplicateSettings
) -> Finding:
    """Whether no two kept documents, and no kept and held-out one, are equal or similar.

    Args:
        documents, selection: folders of the corpus's assets.
        heldout: folders of the held-out documents of all corpora.
        settings: the similarity that counts, and the bands that say which pairs are compared.
    """
    digests = [_digests(batch.column("text").to_pylist()) for batch in iter_selected(documents, selection, ("text",))]
    kept = np.concatenate([np.empty(0, dtype=np.uint64), *digests])
    held_out = [
        _digests(batch.column("text").to_pylist()) for folder in heldout for batch in iter_heldout(folder, ("text",))
    ]
    equal = len(kept) - len(distinct(kept))
    leaked = int(among(kept, distinct(np.concatenate([np.empty(0, dtype=np.uint64), *held_out]))).sum())
    if equal or leaked:
        text = f"{equal:,} kept documents equal another, {leaked:,} equal a held-out one"
        return Finding(False, text, {"exact": equal + leaked, "near": 0})
    if not settings.enabled:
        return Finding(True, "no equal documents; near duplicates are not looked for", {"exact": 0, "near": 0})
    nth = max(1, -(-len(kept) // _SIGNATURES))
    pairs = _pairs(documents, selection, heldout, settings.bands, nth)
    similar = _similar(pairs[:_PAIRS], documents, selection, heldout, settings.similarity)
    looked = f"{min(len(pairs), _PAIRS):,} of {len(pairs):,} pairs that share a band"
    looked += f", in 1/{nth} of the bands' values" if nth > 1 else ""
    text = f"{similar:,} pairs are similar by {settings.similarity:g} or more, of {looked}; no documents are equal"
    return Finding(similar == 0, text, {"exact": 0, "near": similar, "pairs_compared": min(len(pairs), _PAIRS)})


def inspect_contamination(
    documents: Path, selection: Path, contamination: Path, settings: ContaminationSettings
) -> Finding:
    """Whether no kept document holds an evaluation item's words.

    Args:
        documents, selection: folders of the corpus's assets.
        contamination: folder of that asset, with the items.
        settings: length of the n-grams.
    """
    items = _item_words(contamination, settings.ngram, settings.short_item_words)
    if not len(items):
        return Finding(True, "no evaluation items to look for", {"contaminated": 0})
    total = sum(sum(batch.column("bytes").to_pylist()) for batch in iter_selected(documents, selection, ("bytes",)))
    step = max(1, -(-total // _SEARCHED_BYTES))
    searched = contaminated = row = 0
    example = ""
    for batch in iter_selected(documents, selection, ("text",)):
        texts = batch.column("text")[-row % step :: step].to_pylist()
        row += batch.num_rows
        hits = items.shared_with(texts)
        searched, contaminated = searched + len(texts), contaminated + len(hits)
        example = example or next(iter(hits.values()), "")
    text = f"{contaminated:,} of {searched:,} documents searched (of {row:,}) share an n-gram with an evaluation item"
    numbers = {"contaminated": contaminated, "searched": searched}
    return Finding(contaminated == 0, f"{text}: {example}" if example else text, numbers)


@lru_cache(maxsize=1)
def _item_words(contamination: Path, ngram: int, short_item_words: int) -> ItemWords:
    """What to look for, from the asset's folder, which never changes: read once for all corpora of a run."""
    items = ((f"{task} {item}", text) for task, item, text in read_items(contamination))
    return ItemWords(items, ngram, short_item_words)


def _digests(texts: list[str]) -> np.ndarray:
    data = b"".join(hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).digest()[:8] for text in texts)
    return np.frombuffer(data, dtype=np.uint64)


def _signatures(documents: Path, selection: Path, heldout: Collection[Path]) -> Iterator[np.ndarray]:
    """Signatures of the kept documents, which are stored, and then of the held-out ones, which are not."""
    for batch in iter_selected(documents, selection, ("minhash",)):
        values = b"".join(batch.column("minhash").to_pylist())
        yield np.frombuffer(values, dtype="<u4").reshape(-1, MINHASH_PERMUTATIONS)
    yield np.empty((0, MINHASH_PERMUTATIONS), dtype="<u4")
    for folder in heldout:
        yield from _heldout_signatures(folder)


@lru_cache(maxsize=64)
def _heldout_signatures(folder: Path) -> list[np.ndarray]:
    """Of a folder that never changes, against which every corpus of a run is held."""
    return [minhash(batch.column("text").to_pylist()) for batch in iter_heldout(folder, ("text",))]


def _pairs(documents: Path, selection: Path, heldout: Collection[Path], bands: int, nth: int) -> list[tuple[int, int]]:
    """Pairs of kept (numbered from 0) and held-out documents (from -1 down) with an equal band, sorted.

    Only every `nth` value of a band is looked at.
    """
    width = MINHASH_PERMUTATIONS // bands
    values: list[list[np.ndarray]] = [[] for _ in range(bands)]
    numbers: list[list[np.ndarray]] = [[] for _ in range(bands)]
    number, sign = 0, 1
    for signatures in _signatures(documents, selection, heldout):
        if not len(signatures) and sign == 1:
            number, sign = 1, -1
        usable = (signatures != signatures.max(initial=0)).any(axis=1)
        for band in range(bands):
            rows = signatures[:, band * width : (band + 1) * width]
            looked_at = np.flatnonzero(usable & (rows[:, 0] % nth == 0))
            values[band].append(np.ascontiguousarray(rows[looked_at]))
            numbers[band].append(sign * (number + looked_at))
        number += len(signatures)
    pairs: set[tuple[int, int]] = set()
    for band_values, band_numbers in zip(values, numbers, strict=True):
        keys = np.ascontiguousarray(np.concatenate(band_values)).view(f"V{4 * width}").reshape(-1)
        _, which = np.unique(keys, return_inverse=True)
        order = np.argsort(which, kind="stable")
        ordered = np.concatenate(band_numbers)[order]
        for bucket in np.split(ordered, np.flatnonzero(np.diff(which[order])) + 1):
            if len(bucket) > 1 and bucket.max() >= 0:
                compared = np.sort(bucket)[-_BUCKET:].tolist()  # kept documents before held-out ones
                pairs.update((b, a) for a, b in combinations(compared, 2) if b >= 0)
        if len(pairs) > _MOST_PAIRS:
            break
    return sorted(pairs)


def _similar(
    pairs: list[tuple[int, int]], documents: Path, selection: Path, heldout: Collection[Path], similarity: float
) -> int:
    """How many pairs have a Jaccard similarity of at least `similarity`, over sets of tuples of words."""
    wanted = {number for pair in pairs for number in pair}
    sets: dict[int, set[tuple[str, ...]]] = {}
    row = 0
    for batch in iter_selected(documents, selection, ("text",)) if wanted else ():
        for text in batch.column("text").to_pylist():
            if row in wanted:
                sets[row] = _shingles(words_of(text))
            row += 1
    row = -1
    for folder in heldout if wanted else ():
        for batch in iter_heldout(folder, ("text",)):
            for text in batch.column("text").to_pylist():
                if row in wanted:
                    sets[row] = _shingles(words_of(text))
                row -= 1
    jaccards = (len(sets[a] & sets[b]) / max(len(sets[a] | sets[b]), 1) for a, b in pairs)
    return sum(jaccard >= similarity for jaccard in jaccards)


def _shingles(words: list[str]) -> set[tuple[str, ...]]:
    size = min(SHINGLE_WORDS, len(words))
    return {tuple(words[start : start + size]) for start in range(len(words) - size + 1)} if words else set()
