"""A source that changes between its hash and its reading is not stored under the hash of what it was."""

import pytest

from pipeline.assets import curation
from pipeline.assets.stored_asset import Build
from pipeline.assets.unchanged import require_unchanged
from pipeline.base.errors import SourceError
from pipeline.profile.profile import load_profile


def test_what_changed_is_named_and_nothing_of_it_stays(tmp_path):
    (tmp_path / "part").write_text("x")
    (tmp_path / "inner").mkdir()
    require_unchanged("documents/web", tmp_path, {"a.txt": "1"}, {"a.txt": "1"})
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(SourceError, match=r"documents/web: a.txt, b.txt changed while it was read"):
        require_unchanged(
            "documents/web", tmp_path, {"a.txt": "1", "c.txt": "3"}, {"a.txt": "2", "b.txt": "1", "c.txt": "3"}
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("changes", [True, False])
def test_documents_of_a_file_that_is_appended_to_while_it_is_read(tmp_path, monkeypatch, changes):
    text = tmp_path / "web.txt"
    text.write_text("The river walked home before the bread was cold. " * 5)
    profile = tmp_path / "mine.yaml"
    profile.write_text("extends: sample\ncorpora:\n  web: {sources: [{files: web.txt, format: whole, lang: en}]}\n")
    (asset,) = [item for item in curation.stored_assets(load_profile(str(profile))) if item.key == "documents/web"]
    settings = asset.override(asset.settings, {})
    read = curation.build_documents

    def reading(*words, **more):
        made = read(*words, **more)
        if changes:
            text.write_text(text.read_text() + " And more.")
        return made

    monkeypatch.setattr(curation, "build_documents", reading)

    class Cached:
        root = tmp_path
        cache = tmp_path / "cache"

    out = tmp_path / "out"
    out.mkdir()
    build = Build(out, {}, settings, Cached(), None)
    if changes:
        with pytest.raises(SourceError, match=r"web.txt changed while it was read"):
            asset.make(build)
        assert list(out.iterdir()) == []
    else:
        assert asset.make(build).documents == 1
