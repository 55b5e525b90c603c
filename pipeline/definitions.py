"""The one place where assets, checks, jobs and resources come together.

Read once when the code location loads, from the profile that SQUEEZE_PROFILE names; nothing heavy is imported here.
"""

from __future__ import annotations

from typing import Final

import dagster as dg

from pipeline.assets import curation, evaluation, sharding, tokenization, training
from pipeline.assets.checks import checks
from pipeline.assets.stage import StoreResource, asset_of
from pipeline.profile import Profile, load_profile, squeeze_home

STUDY_GROUP: Final = "ablations"
"""Not part of full_train: the study is a job of its own."""


def build_definitions(profile: Profile, root: str) -> dg.Definitions:
    """Everything Dagster shows, for one profile and one store."""
    modules = (curation, tokenization, sharding, training, evaluation)
    stages = [stage for module in modules for stage in module.stages(profile)]
    return dg.Definitions(
        assets=[asset_of(stage) for stage in stages],
        asset_checks=checks(profile),
        jobs=[
            dg.define_asset_job(
                "full_train",
                selection=dg.AssetSelection.all() - dg.AssetSelection.groups(STUDY_GROUP),
                description="Everything from the sources to the scorecard; what is already built is reused.",
                tags={"profile": profile.name},
            )
        ],
        resources={"store": StoreResource(root=root, profile=profile.name)},
        # stages use all cores themselves, and a step process would pay for its imports again
        executor=dg.in_process_executor,
    )


defs = build_definitions(load_profile(), str(squeeze_home()))
