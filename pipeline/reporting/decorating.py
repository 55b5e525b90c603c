"""What only decorates an artifact, such as a picture of it or a table on its page, never costs the artifact.

Hours may have gone into what is decorated, and what is wrong with a picture is wrong again at every try. So whatever
is raised while decorating becomes one line of warning in the run's log, with its traceback for who looks at the log
in debug, and the rest goes on.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def decorating(log: logging.Logger, lost: str) -> Iterator[list[str]]:
    """Run a block that may fail; `lost` says in the warning what there is not, then.

    What is given is empty while the block runs, and holds why it failed after it did.
    """
    failed: list[str] = []
    try:
        yield failed
    except Exception as error:
        failed.append(f"{type(error).__name__}: {error}")
        log.warning(f"{lost}: {failed[0]}")
        log.debug(f"{lost}:\n{traceback.format_exc()}")
