"""What only decorates an artifact, such as a picture of it or a table on its page, never costs the artifact.

Hours may have gone into what is decorated, and what is wrong with a picture is wrong again at every try. So whatever
is raised while decorating becomes a warning in the run's log, with the error, and the rest goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def decorating(log: logging.Logger, lost: str) -> Iterator[None]:
    """Run a block that may fail; `lost` says in the warning what there is not, then."""
    try:
        yield
    except Exception as error:
        log.warning(f"{lost}: {type(error).__name__}: {error}", exc_info=True)
