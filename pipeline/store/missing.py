"""The one command that builds what is missing: an artifact with all that it is built from and is not there yet."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from pipeline.store.home import PROFILE_VARIABLE


def as_named(profile: str) -> str:
    """A profile as a command line names it: what SQUEEZE_PROFILE holds if that is this profile's file, or the name."""
    given = os.environ.get(PROFILE_VARIABLE, "")
    return given if Path(given).stem == profile else profile


def building(key: str, profile: str, named: str | None) -> str:
    """A line for a shell. `named` is the profile as the user names it, such as its file, where somebody said so."""
    named = named or as_named(profile)
    asset = shlex.quote(f'+key:"{profile}/{key}"')  # with all that is before it; what is in the store is reused
    return f"{PROFILE_VARIABLE}={shlex.quote(named)} dagster asset materialize --select {asset}"
