"""What decides a model is written as it was when training settings were flat: fingerprints of then still fit."""

import json
from pathlib import Path

import pytest

from pipeline.base.canonical import canonical_json
from pipeline.base.settings import identity_of
from pipeline.profile.profile import load_profile
from trainer.config import TrainingConfig, grouped

FLAT = json.loads(Path(__file__).with_name("flat_training.json").read_text())
"""Training identities of profiles and of arms (`study/<arm>`), as the version before groups wrote them."""
SINCE = {"precision": "auto"}
"""Left to the machine since, but for arms."""
SINCE_OF = {"sample": {"batch_tokens": 4096}}


@pytest.mark.parametrize("name", FLAT)
def test_a_profiles_identity_is_that_of_the_flat_settings(name):
    profile, _, arm = name.partition("/")
    loaded = load_profile(profile)
    training = loaded.study_plan.arm(arm).training if arm else loaded.training
    expected = FLAT[name] if arm else FLAT[name] | SINCE | SINCE_OF.get(name, {})
    assert canonical_json(identity_of(training)) == canonical_json(expected)
    assert canonical_json(identity_of({"inside": [training]})) == canonical_json({"inside": [expected]})


def test_flat_settings_are_the_grouped_ones():
    training = TrainingConfig.from_dict(grouped(FLAT["sample"]))
    assert training.identity() == FLAT["sample"]
