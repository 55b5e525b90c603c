"""What a process frees stays with it, in huge pages where the kernel has them, instead of going back to the kernel and
coming again a moment later.

glibc gives blocks beyond a threshold back as soon as they are freed, and the free end of its heap too. A training step
on a CPU frees all of its activations and asks for as much again a moment later, so the kernel hands out and clears the
same pages at every step. And it hands them out by 4 KiB, unless a process asks for 2 MiB (`madvise`, which is how most
distributions set transparent huge pages up): to find a page a virtual machine looks through two sets of tables, and
where those are not in the cache that takes longer than the arithmetic. Both together were up to three quarters of a
step's time (docs/benchmarks/training.md). What a process holds at its peak is the same; it holds it between peaks as
well.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# of mallopt(3), as glibc's malloc.h numbers them
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
NEVER: Final = -1
LARGEST_KEPT: Final = 1 << 30
"""Bytes of a block that still goes back at once: such a hole in the heap might never be filled again."""
LARGEST_OF_OLD_GLIBC: Final = 32 << 20

MADV_HUGEPAGE: Final = 14  # of madvise(2), as Linux numbers it
HUGE_PAGE: Final = 2 << 20
HUGE_PAGES: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")
OVERCOMMIT: Final = Path("/proc/sys/vm/overcommit_memory")
ADVISED_SHARE: Final = 0.5
"""Of the machine's memory, at most, for which addresses are laid out; the memory itself comes as it is used."""
MOST_ADVISED: Final = 64 << 30


def keep_freed_memory() -> bool:
    """Have malloc keep what this process frees, and use huge pages; whether it does: where malloc is not glibc's, or
    somebody has set it by its environment, nothing is changed. A second call changes nothing either."""
    chosen = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
    if any(name in os.environ for name in chosen):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # macOS, musl, Windows
        return False
    largest = next((size for size in (LARGEST_KEPT, LARGEST_OF_OLD_GLIBC) if mallopt(M_MMAP_THRESHOLD, size)), 0)
    if not largest or not mallopt(M_TRIM_THRESHOLD, NEVER):
        return False
    if not _laid_out.is_set() and huge_pages_are_for_the_asking():
        _lay_out_in_huge_pages(largest)
        _laid_out.set()
    return True


_laid_out = threading.Event()
"""Set in a process that has all of its heap in huge pages."""


@contextlib.contextmanager
def freed_memory_kept() -> Iterator[None]:
    """As `keep_freed_memory`, for a part of what a process does: what is free at its end goes back to the kernel."""
    kept = keep_freed_memory()
    try:
        yield
    finally:
        if kept:
            ctypes.CDLL(None).malloc_trim(0)
            _laid_out.clear()  # the end of the heap went with it


def huge_page_mode() -> str | None:
    """To whom the kernel gives huge pages by itself: `always`, `madvise` (who asks), `never`; none where there are no
    such pages."""
    try:
        words = HUGE_PAGES.read_text(encoding="ascii").split()
    except OSError:
        return None
    return next((word.strip("[]") for word in words if word.startswith("[")), None)


def huge_pages_are_for_the_asking() -> bool:
    """Whether the kernel gives huge pages to those who ask, and addresses may be had without memory behind them."""
    if huge_page_mode() != "madvise":
        return False
    import resource  # not on Windows

    try:
        strict = OVERCOMMIT.read_text(encoding="ascii").strip() == "2"
    except OSError:
        return False
    limits = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    return not strict and all(resource.getrlimit(limit)[0] == resource.RLIM_INFINITY for limit in limits)


def _lay_out_in_huge_pages(largest: int) -> None:
    """Have the heap reach as far as this process may ever need, and ask for huge pages there: it grows before anything
    is in it, so nothing has to be asked again. Takes no memory but a page a block."""
    library = ctypes.CDLL(None)
    library.malloc.argtypes, library.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    library.free.argtypes, library.free.restype = [ctypes.c_void_p], None
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    size = largest - (1 << 12)  # with what malloc adds it stays below what would be mapped apart
    blocks: list[int] = []
    for _ in range(int(min(memory * ADVISED_SHARE, MOST_ADVISED)) // largest):
        block = library.malloc(size)
        if not block:
            break
        blocks.append(block)
        begin, end = -(-block // HUGE_PAGE) * HUGE_PAGE, (block + size) // HUGE_PAGE * HUGE_PAGE
        library.madvise(begin, end - begin, MADV_HUGEPAGE)
    for block in reversed(blocks):
        library.free(block)
