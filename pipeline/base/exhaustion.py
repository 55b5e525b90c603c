"""Memory that ran out, as one error that says what to do, by whatever name a library reports it.

Under a hard limit (`ulimit -v`, a batch system's) allocations fail, threads cannot be started and libraries cannot be
loaded. None of it means that a file is damaged: what reads files lets such errors pass.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pipeline.base.errors import NoMemoryError, SqueezeError
from pipeline.base.memory import address_limit, available_memory
from pipeline.base.numbers import size
from trainer.errors import TrainerError

_SIGNS: Final = (
    "can't start new thread",  # Python, whose stacks are mapped
    "Failed to launch worker thread",  # Arrow
    "failed to map segment",  # a library that is loaded
    "can't allocate memory",  # torch
    "Cannot allocate memory",
    "std::bad_alloc",
)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that there was no memory."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        if any(sign in str(error) for sign in _SIGNS):
            return True
        error = error.__cause__ or error.__context__
    return False


def has_room(count: int) -> bool:
    """Whether that many bytes can be had now; they are not touched, so it costs no time."""
    try:
        bytearray(count)
    except MemoryError:
        return False
    return True


@contextmanager
def naming_want_of_memory(what: str) -> Iterator[None]:
    """Turn what says that memory ran out in the block, which builds `what`, into a NoMemoryError that says what to do.
    Errors of the project's own pass: they know better."""
    try:
        yield
    except (SqueezeError, TrainerError):
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        limit = address_limit()
        bound = (
            f"`ulimit -v` lets a process have {size(limit)}" if limit else f"{size(available_memory())} are free now"
        )
        why = f": {error}" if str(error) else ""
        raise NoMemoryError(
            f"memory ran out while building {what} ({bound}{why}): raise the limit, end what else runs, or lower "
            "curation.workers and shards.workers; then run the same command again: finished parts are kept"
        ) from None
