"""Quality models in the graph: made from their corpora, scores for the corpora that ask, selections that read them."""

from __future__ import annotations

import pytest

from pipeline.assets.every import every_asset
from pipeline.base.errors import ProfileError
from pipeline.profile.profile import load_profile

OWN = """
extends: sample
curation: {quality: {edu: {like: [wikipedia], unlike: [fineweb_edu]}}}
corpora: {fineweb_edu: {filters: {quality: {edu: {least_quantile: 0.2}}}}}
"""


def assets_of(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return {asset.key: asset for asset in every_asset(load_profile(str(path)))}


def test_only_corpora_that_ask_are_scored_and_every_selection_knows_the_scores(tmp_path) -> None:
    assets = assets_of(tmp_path, OWN)
    assert [key for key in assets if key.startswith("quality")] == ["quality_model/edu", "quality/edu/fineweb_edu"]
    learned = {f"{asset}/{corpus}" for corpus in ("wikipedia", "fineweb_edu") for asset in ("documents", "heldout")}
    assert set(assets["quality_model/edu"].inputs) == learned
    assert all("quality/edu/fineweb_edu" in assets[key].inputs for key in assets if key.startswith("corpus/"))


def test_without_a_model_no_selection_has_another_input_than_before(tmp_path) -> None:
    assert not [
        key for asset in assets_of(tmp_path, "extends: sample\n").values() for key in asset.inputs if "quality" in key
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            OWN.replace("[wikipedia]", "[wikipedai]"),
            r"line 3: curation.quality.edu.like.0: there is no corpus 'wikipedai'; did you mean 'wikipedia'\?",
        ),
        (
            OWN.replace("quality: {edu: {least", "quality: {edo: {least"),
            r"line 4: corpora.fineweb_edu.filters.quality.edo: there is no model 'edo' under curation.quality; did you",
        ),
        (
            "extends: sample\ncuration: {quality: {edu: {rated: [fineweb_edu]}}}\n",
            r"line 2: curation.quality.edu.rated.0: no source of 'fineweb_edu' has a `score_field` to learn",
        ),
    ],
)
def test_names_that_are_none_are_told_with_their_line(tmp_path, text, message) -> None:
    with pytest.raises(ProfileError, match=message):
        assets_of(tmp_path, text)
