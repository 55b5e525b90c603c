"""Rows of Hugging Face hub data sets, streamed, and retried where the network fails.

In: a pinned data set and the columns that are needed. Out: how many shards (files) it has, and a shard's rows as Arrow
tables in order. An answer of 429 or 5xx, a broken connection or a truncated file is tried again with growing pauses,
from the row that was reached; rows are never given twice. Nothing is downloaded as a whole. The hub's own library tries
some requests again a few times; this is for those it gives up on or does not, and waits as long as the hub asks.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import pyarrow as pa
import tenacity

from pipeline.base.errors import SourceError
from pipeline.curation.sources.settings import HubDataset

ATTEMPTS: Final = 8
FIRST_PAUSE: Final = 1.0
"""Seconds before the second attempt; doubled before each further one, up to `LONGEST_PAUSE`, with jitter."""
LONGEST_PAUSE: Final = 120.0
_BATCH_ROWS: Final = 1000
R = TypeVar("R")
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
    """The rows of one file, in order, as tables with `columns`. Raises as `count_shards`."""
    rows = 0
    tables: Iterator[pa.Table] | None = None

    def next_table() -> pa.Table | None:
        nonlocal tables
        if tables is None:
            tables = _tables(dataset, columns, shard, rows)
        try:
            return next(tables, None)
        except Exception:
            tables = None  # the next attempt opens the file anew, at the row that was reached
            raise

    while (table := _retried(dataset, next_table)) is not None:
        rows += table.num_rows
        yield table.select(list(columns))


def _tables(dataset: HubDataset, columns: Sequence[str], shard: int, first: int) -> Iterator[pa.Table]:
    """The rows of a file from row `first` on."""
    stream = _open(dataset, columns)
    stream = stream.shard(num_shards=stream.num_shards, index=shard)
    stream = stream.skip(first) if first else stream
    return iter(stream.with_format("arrow").iter(batch_size=_BATCH_ROWS))


def _checked_shards(dataset: HubDataset, columns: Sequence[str]) -> int:
    stream = _open(dataset, None)
    names = stream.column_names or next(iter(stream.take(1))).keys()
    missing = [name for name in columns if name not in names]
    if missing:
        raise SourceError(
            f"{dataset.id} has no column {missing[0]!r}; it has {', '.join(names)}. "
            "Set the source's `text_field`, `group_field` or `lang_field`."
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


def _retried(dataset: HubDataset, call: Callable[[], R]) -> R:
    """What `call` returns, in up to `ATTEMPTS` attempts. Raises SourceError: what is wrong for good, or all failed."""
    attempts = tenacity.Retrying(
        # tenacity catches all that is raised: an interrupt, often during a failure's handling, is not tried again
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, Exception) and not _lasting(dataset, error)),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=_pause,
        before_sleep=lambda state: _say(dataset, state),
        reraise=True,
    )
    try:
        return attempts(call)
    except SourceError:
        raise
    except Exception as error:
        raise (_lasting(dataset, error) or _given_up(dataset, error)) from error


def _lasting(dataset: HubDataset, error: Exception) -> SourceError | None:
    """What the user can put right, where another attempt would end in the same way; None where it might not."""
    if isinstance(error, SourceError):
        return error
    where, kind = _where(dataset), type(error).__name__
    if _is_gated(error):
        return SourceError(
            f"{where} is gated: accept its terms on its page on the hub, then log in with `hf auth login` or set "
            f"HF_TOKEN to a token that may read it ({error})"
        )
    if kind in ("DatasetNotFoundError", "RepositoryNotFoundError", "RevisionNotFoundError"):
        return SourceError(
            f"{where} does not exist, or you may not read it: check `id` and `revision`; for a private data set log in "
            f"with `hf auth login` ({error})"
        )
    if _is_passing(error):
        return None
    if isinstance(error, ValueError):
        return SourceError(f"{where} cannot be opened: {error}")
    return SourceError(f"{where} cannot be read: {kind}: {error}")


def _given_up(dataset: HubDataset, error: Exception) -> SourceError:
    return SourceError(
        f"{_where(dataset)} could not be read in {ATTEMPTS} attempts; finished parts are kept, run again later: "
        f"{type(error).__name__}: {error}"
    )


def _where(dataset: HubDataset) -> str:
    return f"data set {dataset.id} ({dataset.config or 'default'}, {dataset.split}) at revision {dataset.revision}"


def _pause(state: tenacity.RetryCallState) -> float:
    """Seconds before the next attempt: growing, or as many as the hub asks for."""
    growing = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (state.attempt_number - 1)) * (0.5 + random.random())
    return max(growing, min(_asked_pause(_error_of(state)), LONGEST_PAUSE))


def _say(dataset: HubDataset, state: tenacity.RetryCallState) -> None:
    error, attempt, pause = _error_of(state), state.attempt_number + 1, state.upcoming_sleep
    where, kind = _where(dataset), type(error).__name__
    log.warning("%s: %s: %s; attempt %d in %.0f s", where, kind, error, attempt, pause)


def _error_of(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_gated(error: BaseException) -> bool:
    return any(type(cause).__name__ == "GatedRepoError" or "gated dataset" in str(cause) for cause in _causes(error))


def _asked_pause(error: BaseException | None) -> float:
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


def _is_passing(error: BaseException) -> bool:
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
