"""Where the store is: SQUEEZE_HOME, or `.squeeze` in the working folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

HOME_VARIABLE: Final = "SQUEEZE_HOME"
PROFILE_VARIABLE: Final = "SQUEEZE_PROFILE"
"""Whose store it is: a built-in profile's name or a file."""
DEFAULT_HOME: Final = ".squeeze"


def squeeze_home() -> Path:
    """The store's root folder, which need not be there yet."""
    return Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).expanduser().absolute()
