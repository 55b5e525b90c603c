"""Every recipe of a profile, group by group."""

from typing import Any

from pipeline.assets import ablations, curation, evaluation, race, scorecard, sharding, tokenization, training
from pipeline.assets.ablations import GROUP as STUDY
from pipeline.assets.race import GROUP as RACE
from pipeline.assets.stored_asset import StoredAsset
from pipeline.profile.profile import Profile


def every_asset(profile: Profile) -> list[StoredAsset[Any]]:
    """The assets of all groups, the study's among them."""
    modules = (curation, tokenization, sharding, training, evaluation, scorecard, ablations, race)
    return [asset for module in modules for asset in module.stored_assets(profile)]


def full_train_assets(profile: Profile) -> list[StoredAsset[Any]]:
    """What the job `full_train` makes: everything but the study and the race, which are jobs of their own."""
    return [asset for asset in every_asset(profile) if asset.group not in (STUDY, RACE)]
