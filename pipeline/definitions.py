"""The one place where assets, checks, jobs and resources come together.

Read once when the code location loads, from the profile that SQUEEZE_PROFILE names; nothing heavy is imported here.
"""

from __future__ import annotations

import dagster as dg

from pipeline.assets import ablations, curation, evaluation, scorecard, sharding, tokenization, training
from pipeline.assets.checks import checks
from pipeline.assets.stored_asset import StoreResource, asset_of
from pipeline.automation import schedules, sensors
from pipeline.jobs import jobs
from pipeline.profile.profile import Profile, load_profile
from pipeline.store.home import squeeze_home


def build_definitions(profile: Profile, root: str) -> dg.Definitions:
    """Everything Dagster shows, for one profile and one store."""
    modules = (curation, tokenization, sharding, training, evaluation, scorecard, ablations)
    stored = [asset for module in modules for asset in module.stored_assets(profile)]
    store = StoreResource(root=root, profile=profile.name)
    return dg.Definitions(
        assets=[asset_of(asset) for asset in stored],
        asset_checks=checks(profile),
        jobs=[*jobs(profile), *ablations.jobs(profile)],
        sensors=sensors(profile, store),
        schedules=schedules(),
        resources={"store": store},
        # assets use all cores themselves, and a step process would pay for its imports again
        executor=dg.in_process_executor,
    )


defs = build_definitions(load_profile(), str(squeeze_home()))
