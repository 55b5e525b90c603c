"""How much of a corpus may come from one domain: which documents go because others of theirs stay.

In: the documents that everything before keeps, with the host that each is from. Out: the rows that go, and how much
of each domain stays. Of a domain documents stay in the order of a hash of their ids, as many as the cap allows, so
the choice depends on no order of files, and a higher cap adds documents and takes none away. Documents without a host
are under no cap.

Memory: about 40 bytes for each document that has a host, and each host once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.ids import chain, name64
from pipeline.curation.doc_ids import ids_of
from pipeline.curation.documents import HOST
from pipeline.curation.settings import DomainCap
from pipeline.curation.text.hosts import registered_domains

DOMAIN_CAP: Final = "domain cap"
"""The step of the waterfall."""
_SHOWN: Final = 20


@dataclass(frozen=True)
class DomainRow:
    """What stays of a domain, and what the cap takes."""

    domain: str
    documents: int
    bytes: int
    removed_documents: int
    removed_bytes: int


@dataclass(frozen=True)
class DomainCounts:
    """The domains of a corpus under a cap."""

    domains: int
    capped: int
    """Domains that lost documents."""
    documents_without: int
    """Documents without a host, which no cap is on."""
    largest: list[DomainRow]
    """The domains that had most text."""


@dataclass(frozen=True)
class OverCap:
    """The rows of a corpus that go, ascending, and the reason of each in words."""

    rows: np.ndarray
    """int64 [R]"""
    domains: list[str]
    """Of each row, [R]"""
    staying: np.ndarray
    """Documents of its domain that stay, int64 [R]"""
    of: np.ndarray
    """Documents that its domain had, int64 [R]"""
    counts: DomainCounts

    def between(self, start: int, stop: int) -> Iterator[tuple[int, str]]:
        """Places of the rows in [start, stop), from 0, and what is said of each."""
        low, high = np.searchsorted(self.rows, [start, stop])
        for number in range(low, high):
            place = int(self.rows[number]) - start
            yield place, f"{self.domains[number]}: {self.staying[number]:,} of {self.of[number]:,} documents stay"


def over_cap(cap: DomainCap, batches: Iterable[tuple[pa.RecordBatch, np.ndarray]]) -> OverCap:
    """The rows over the cap.

    Args:
        cap: what a domain may have.
        batches: documents with `doc_id`, `bytes` and `host`, each batch with the rows (int64 [N]) that its documents
            are in the corpus, of what is left of it.

    Raises:
        CurationError: domains are asked for, and the list that tells them is not installed.
    """
    numbers = _Numbers(registered_domains() if cap.by == "domain" else str)
    found: list[tuple[np.ndarray, ...]] = [
        tuple(np.empty(0, kind) for kind in (np.int64, np.uint64, np.int64, np.int64))
    ]
    without = total = 0
    for batch, rows in batches:
        hosts = batch.column(HOST)
        there = pc.not_equal(hosts, "").to_numpy(zero_copy_only=False)
        ids = ids_of(batch)[there]
        sizes = batch.column("bytes").to_numpy().astype(np.int64)
        keys = chain(ids[:, 0] ^ ids[:, 1], name64(DOMAIN_CAP))
        found.append((rows[there], keys, sizes[there], numbers.of(hosts.filter(pa.array(there)))))
        without += int((~there).sum())
        total += int(sizes.sum())
    rows, keys, sizes, domains = (np.concatenate(columns) for columns in zip(*found, strict=True))
    stays = _staying(cap, keys, sizes, domains, total)
    return _over(rows, sizes, domains, stays, numbers.names, without)


def _staying(cap: DomainCap, keys: np.ndarray, sizes: np.ndarray, domains: np.ndarray, total: int) -> np.ndarray:
    """Which documents stay, bool [N]. A document that is larger than all that its domain may have is passed over."""
    limits = [
        limit
        for limit in (cap.most_bytes, None if cap.most_share is None else int(cap.most_share * total))
        if limit is not None
    ]
    most_bytes = min(limits, default=None)
    fits = np.ones(len(keys), dtype=bool) if most_bytes is None else sizes <= most_bytes
    order = np.flatnonzero(fits)
    order = order[np.lexsort((keys[order], domains[order]))]
    of = domains[order]
    first = np.searchsorted(of, of, side="left")
    before = np.concatenate([[0], np.cumsum(sizes[order])])
    inside = np.ones(len(order), dtype=bool)
    if cap.most_documents is not None:
        inside &= np.arange(len(order)) - first < cap.most_documents
    if most_bytes is not None:
        inside &= before[1:] - before[first] <= most_bytes
    stays = np.zeros(len(keys), dtype=bool)
    stays[order[inside]] = True
    return stays


def _over(
    rows: np.ndarray, sizes: np.ndarray, domains: np.ndarray, stays: np.ndarray, names: list[str], without: int
) -> OverCap:
    count = len(names)
    had, kept = (np.bincount(domains[some], minlength=count) for some in (slice(None), stays))
    had_bytes, kept_bytes = (
        np.bincount(domains[some], weights=sizes[some], minlength=count).astype(np.int64)
        for some in (slice(None), stays)
    )
    largest = sorted(range(count), key=lambda number: (-had_bytes[number], names[number]))[:_SHOWN]
    gone = np.flatnonzero(~stays)  # in the order of the rows, as the documents came
    return OverCap(
        rows=rows[gone],
        domains=[names[number] for number in domains[gone]],
        staying=kept[domains[gone]],
        of=had[domains[gone]],
        counts=DomainCounts(
            domains=count,
            capped=int((had > kept).sum()),
            documents_without=without,
            largest=[
                DomainRow(
                    domain=names[number],
                    documents=int(kept[number]),
                    bytes=int(kept_bytes[number]),
                    removed_documents=int(had[number] - kept[number]),
                    removed_bytes=int(had_bytes[number] - kept_bytes[number]),
                )
                for number in largest
            ],
        ),
    )


class _Numbers:
    """Domains numbered from 0 in the order in which they come; each host is looked up once."""

    def __init__(self, domain_of: Callable[[str], str]) -> None:
        self._domain_of = domain_of
        self._of_host: dict[str, int] = {}
        self._of_domain: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        return list(self._of_domain)

    def of(self, hosts: pa.Array) -> np.ndarray:
        """The number of each host's domain, int64 [N]."""
        encoded = hosts.dictionary_encode()
        for host in encoded.dictionary.to_pylist():
            if host not in self._of_host:
                self._of_host[host] = self._of_domain.setdefault(self._domain_of(host), len(self._of_domain))
        numbers = np.array([self._of_host[host] for host in encoded.dictionary.to_pylist()], dtype=np.int64)
        return numbers[encoded.indices.to_numpy(zero_copy_only=False)]
