"""What the report's page in the web UI says of the page that it cannot show."""

import pytest

from pipeline.assets import scorecard
from pipeline.profile.profile import load_profile


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sample", "`squeeze serve`; or `squeeze report --open`"),
        ("laptop", "`squeeze serve --profile laptop`; or `squeeze report --open --profile laptop`"),
        ("my own.yaml", "`squeeze serve --profile 'my own.yaml'`; or `squeeze report --open --profile 'my own.yaml'`"),
    ],
)
def test_it_links_to_the_page_that_the_command_beside_it_serves(tmp_path, monkeypatch, name, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my own.yaml").write_text("extends: sample\n")
    (tmp_path / "README.md").write_text("# sample\n")
    monkeypatch.setenv("SQUEEZE_PROFILE", name)
    (report,) = [asset for asset in scorecard.stored_assets(load_profile(name)) if asset.key == "report"]
    shown = report.metadata(scorecard.ReportSummary("hash", 10), tmp_path)
    assert shown["page"].value == "http://127.0.0.1:8017/report"
    assert shown["to_open_the_page"] == f"start it with {said}"
