"""The one place where assets, checks, jobs and resources come together.

Read once when the code location loads, from the profile that SQUEEZE_PROFILE names, or from all that SQUEEZE_PROFILES
names, which stand side by side in one web UI. Each is a repository of Dagster's, called by the profile's name: so the
UI shows on every page whose job, run or asset it is, and mixes no histories. Nothing heavy is imported here.
"""

from __future__ import annotations

import os
from typing import Any, Final

import dagster as dg

from pipeline.assets import ablations, race
from pipeline.assets.checks import checks
from pipeline.assets.every import every_asset
from pipeline.assets.naming import Naming
from pipeline.assets.stored_asset import StoreResource, asset_of
from pipeline.automation import schedules, sensors
from pipeline.base.errors import ProfileError
from pipeline.console.logger import CONSOLE, console_logger, prefer_console_of_the_job
from pipeline.console.quiet import spare_the_terminal
from pipeline.jobs import jobs
from pipeline.preflight.in_dagster import executor_with_preflight
from pipeline.profile.profile import Profile, load_profile
from pipeline.store.home import squeeze_home

PROFILES_VARIABLE: Final = "SQUEEZE_PROFILES"
"""Names or paths of several profiles with commas between them, for `dagster dev`."""


def build_definitions(profile: Profile, root: str) -> dg.Definitions:
    """Everything Dagster shows, for one profile and one store."""
    return dg.Definitions(**_parts(profile, Naming(profile.name), root))


def build_repositories(root: str) -> dict[str, dg.RepositoryDefinition]:
    """Everything Dagster shows, as a repository for each profile, by a name that is free in this module.

    Raises ProfileError where two profiles have one name, so one history and one set of pointers.
    """
    named = [name.strip() for name in os.environ.get(PROFILES_VARIABLE, "").split(",") if name.strip()]
    profiles = [load_profile(name) for name in named] or [load_profile()]
    found: dict[str, dg.RepositoryDefinition] = {}
    for profile in profiles:
        naming = Naming(profile.name)
        if (variable := f"profile_{naming.repository}") in found:
            raise ProfileError(
                f"{PROFILES_VARIABLE} names two profiles called {profile.name!r} in Dagster: take one away, or give a "
                "file a `name:` of its own"
            )
        parts = _parts(profile, naming, root)
        found[variable] = dg.create_repository_using_definitions_args(naming.repository, **parts)
    return found


def _parts(profile: Profile, naming: Naming, root: str) -> dict[str, Any]:
    stored = every_asset(profile)
    store = StoreResource(root=root, profile=profile.name, origin=profile.origin)
    return {
        "assets": [asset_of(asset, naming, profile.owners) for asset in stored],
        "asset_checks": checks(profile, naming),
        "jobs": [*jobs(profile, naming), *ablations.jobs(profile, naming), *race.jobs(profile, naming)],
        "sensors": sensors(profile, store),
        "schedules": schedules(),
        "resources": {"store": store},
        "loggers": {CONSOLE: console_logger(root, profile.name)},
        # assets use all cores themselves, and a step process would pay for its imports again
        "executor": executor_with_preflight(profile, stored, naming, store),
    }


spare_the_terminal()
prefer_console_of_the_job()
globals().update(build_repositories(str(squeeze_home())))  # Dagster takes every repository among a module's names
