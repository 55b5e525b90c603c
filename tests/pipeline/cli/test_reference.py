"""The generated pages of the documentation are those that the settings and profiles give now."""

import pytest

from pipeline.cli import reference
from pipeline.profile.profile import Profile


def test_every_section_of_a_profile_is_on_the_settings_page():
    page = reference.settings_page()
    for heading in ("corpora.NAME.sources[].hub", "schedule.stages[]", "model", "training", "launch"):
        assert f"\n## {heading}\n" in page
    assert "| `max_minutes` | number or null | `null` | End after so many minutes" in page
    assert [key.name for key in reference.keys_of(Profile)][:4] == ["name", "description", "owners", "preset"]


@pytest.mark.parametrize("page", ["settings", "profiles"])
def test_the_committed_page_is_current(page):
    written = (reference.DOCS / f"{page}.md").read_text(encoding="utf-8")
    assert written == getattr(reference, f"{page}_page")(), "run `python -m pipeline.cli.reference` and commit docs/"
