"""Rows of Hugging Face hub data sets, streamed, and retried where the network fails.

In: a pinned data set and the columns that are needed. Out: its shards (files) as units, and a unit's rows as Arrow
batches in order. An answer of 429 or 5xx, a broken connection or a truncated file is tried again with growing pauses,
from the row that was reached; rows are never given twice. Nothing is downloaded as a whole. The hub's own library tries
some requests again a few times; this is for those it gives up on or does not, and waits as long as the hub asks.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import pyarrow as pa

from pipeline.base.errors import SourceError
from pipeline.curation.settings import HubDataset

ATTEMPTS: Final = 8
FIRST_PAUSE: Final = 1.0
"""Seconds before the second attempt; doubled before each further one, up to `LONGEST_PAUSE`, with jitter."""
LONGEST_PAUSE: Final = 120.0
_BATCH_ROWS: Final = 1000
log = logging.getLogger(__name__)


def commit_of(dataset: HubDataset) -> str:
    """The commit that the data set's revision names now: itself, or what its branch or tag points to.

    Raises:
        SourceError: as `count_shards`.
    """
    from huggingface_hub import HfApi

    if re.fullmatch("[0-9a-f]{40}", dataset.revision):
        return dataset.revision
    return str(_retried(dataset, lambda: HfApi().dataset_info(dataset.id, revision=dataset.revision).sha))


def count_shards(dataset: HubDataset, columns: Sequence[str]) -> int:
    """Number of files of the data set, after checking that it has the columns.

    Raises:
        SourceError: the data set does not exist or is gated, has no such configuration, split or column, or the hub
            cannot be reached.
    """
    return int(_retried(dataset, lambda: _checked_shards(dataset, columns)))


def read_shard(dataset: HubDataset, columns: Sequence[str], shard: int) -> Iterator[pa.Table]:
    """The rows of one file, in order, as tables with `columns`."""
    done = 0
    failures = 0
    while True:
        try:
            stream = _open(dataset, columns)
            stream = stream.shard(num_shards=stream.num_shards, index=shard)
            stream = stream.skip(done) if done else stream
            for table in stream.with_format("arrow").iter(batch_size=_BATCH_ROWS):
                failures = 0
                done += table.num_rows
                yield table.select(list(columns))
            return
        except Exception as error:
            failures += 1
            _pause_or_raise(dataset, error, failures)


def _checked_shards(dataset: HubDataset, columns: Sequence[str]) -> int:
    stream = _open(dataset, None)
    names = stream.column_names or next(iter(stream.take(1))).keys()
    missing = [name for name in columns if name not in names]
    if missing:
        raise SourceError(
            f"{dataset.id} has no column {missing[0]!r}; it has {', '.join(names)}. Set the source's `text_field`."
        )
    return int(stream.num_shards)


def _open(dataset: HubDataset, columns: Sequence[str] | None) -> Any:
    from datasets import load_dataset

    def load(**only: Any) -> Any:
        return load_dataset(
            dataset.id, dataset.config, split=dataset.split, revision=dataset.revision, streaming=True, **only
        )

    if columns is None:
        return load()
    try:
        return load(columns=list(columns))
    except (TypeError, ValueError) as error:
        if "columns" not in str(error):
            raise
        return load()  # only Parquet can leave columns unread; of JSON and CSV they are left out afterwards


def _retried(dataset: HubDataset, call: Any) -> Any:
    for failures in range(1, ATTEMPTS + 1):
        try:
            return call()
        except Exception as error:
            _pause_or_raise(dataset, error, failures)
    raise SourceError(f"{dataset.id}: the hub did not answer")


def _pause_or_raise(dataset: HubDataset, error: Exception, failures: int) -> None:
    """Wait before the next attempt, or raise what the user can put right."""
    if isinstance(error, SourceError):
        raise error
    where = f"data set {dataset.id} ({dataset.config or 'default'}, {dataset.split}) at revision {dataset.revision}"
    name = type(error).__name__
    if _is_gated(error):
        raise SourceError(
            f"{where} is gated: accept its terms on its page on the hub, then log in with `hf auth login` or set "
            f"HF_TOKEN to a token that may read it ({error})"
        ) from error
    if name in ("DatasetNotFoundError", "RepositoryNotFoundError", "RevisionNotFoundError"):
        raise SourceError(
            f"{where} does not exist, or you may not read it: check `id` and `revision`; for a private data set log in "
            f"with `hf auth login` ({error})"
        ) from error
    if isinstance(error, ValueError) and not _passing(error):
        raise SourceError(f"{where} cannot be opened: {error}") from error
    if not _passing(error):
        raise SourceError(f"{where} cannot be read: {name}: {error}") from error
    if failures >= ATTEMPTS:
        raise SourceError(
            f"{where} could not be read in {ATTEMPTS} attempts; finished parts are kept, run again later: "
            f"{name}: {error}"
        ) from error
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1)) * (0.5 + random.random())
    pause = max(pause, min(_asked_pause(error), LONGEST_PAUSE))
    log.warning("%s: %s: %s; attempt %d in %.0f s", where, name, error, failures + 1, pause)
    time.sleep(pause)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_gated(error: BaseException) -> bool:
    return any(type(cause).__name__ == "GatedRepoError" or "gated dataset" in str(cause) for cause in _causes(error))


def _asked_pause(error: BaseException) -> float:
    """Seconds that the hub asked to wait (`Retry-After`, RFC 9110 section 10.2.3), 0 where it did not."""
    for cause in _causes(error):
        asked = getattr(getattr(cause, "response", None), "headers", {}).get("Retry-After")
        if asked is not None:
            try:
                return float(asked)
            except ValueError:
                when = parsedate_to_datetime(asked)
                return max(0.0, (when - datetime.now(UTC)).total_seconds())
    return 0.0


def _passing(error: BaseException) -> bool:
    """Whether the error, or one that caused it, is of the kind that goes away: network, rate limit, truncated bytes."""
    for cause in _causes(error):
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if status is not None:
            return bool(status == 429 or status >= 500)
        if isinstance(cause, ConnectionError | TimeoutError | EOFError | pa.ArrowInvalid | pa.ArrowIOError):
            return True
        if type(cause).__module__.split(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "requests"):
            return True
    return False
