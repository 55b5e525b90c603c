"""lm-eval's templates compiled once instead of at every item.

lm-eval renders an item's prompt, choices and answer from Jinja templates that it parses and compiles anew each time,
about ten times an item: for short items that takes longer than scoring them with a small model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


@contextmanager
def templates_once() -> Iterator[None]:
    """Within it, lm-eval's environment gives the same compiled template for the same text; nothing else changes."""
    from lm_eval.utils import env

    before = env.from_string
    env.from_string = cache(before)
    try:
        yield
    finally:
        env.from_string = before
