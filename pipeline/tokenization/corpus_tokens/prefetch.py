"""Steps of a stream that overlap: each item is made in a thread of its own while the one before it is used.

For steps whose work releases the interpreter's lock (Parquet, Arrow, the encoders). Order and content are those of the
iterator itself; one item is held ahead, so memory grows by two items a step, whatever the stream's length.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")
_END: Final = object()


def prefetched(items: Iterator[T]) -> Iterator[T]:
    """The same items, the next one being made while one is used. What making an item raises is raised in its place."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, items, _END)
        while (item := following.result()) is not _END:
            following = pool.submit(next, items, _END)
            yield item  # type: ignore[misc]
