"""Passages in the graph: between the selections and the corpora, and nowhere where no profile asks for them."""

from __future__ import annotations

from pipeline.assets.every import every_asset
from pipeline.profile.profile import load_profile


def assets_of(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return {asset.key: asset for asset in every_asset(load_profile(str(path)))}


def test_corpora_are_what_passages_leave_of_the_selections(tmp_path) -> None:
    plain = assets_of(tmp_path, "extends: sample\n")
    assets = assets_of(tmp_path, "extends: sample\ncuration: {passages: {lines: {}}}\n")
    assert set(assets) - set(plain) == {
        "passages",
        *(key.replace("corpus/", "selected/") for key in plain if "corpus/" in key),
    }
    assert assets["selected/books"].inputs == plain["corpus/books"].inputs
    assert assets["selected/books"].settings == plain["corpus/books"].settings
    assert {"selected/books", "selected/wikipedia", "heldout/books"} <= set(assets["passages"].inputs)
    assert list(assets["corpus/books"].inputs) == ["documents/books", "selected/books", "passages"]
    assert assets["tokens/books"].inputs == plain["tokens/books"].inputs
