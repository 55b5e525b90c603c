"""What the report's page in the web UI says of the page that it cannot show, and what the report's content is."""

import pytest

from pipeline.assets import scorecard
from pipeline.profile.profile import load_profile


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("sample", ""),
        ("laptop", " --profile laptop"),
        ("my own.yaml", " --profile 'my own.yaml'"),
    ],
)
def test_it_links_to_the_page_that_the_command_beside_it_serves(tmp_path, monkeypatch, name, option):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my own.yaml").write_text("extends: sample\n")
    (tmp_path / "README.md").write_text("# sample\n")
    monkeypatch.setenv("SQUEEZE_PROFILE", name)
    (report,) = [asset for asset in scorecard.stored_assets(load_profile(name)) if asset.key == "report"]
    shown = report.metadata(scorecard.ReportSummary("hash", 10), tmp_path)
    assert shown["page"].value == "http://127.0.0.1:8017/report"
    assert shown["start_it_with"] == f"squeeze serve{option}"
    assert shown["or_open_a_copy_with"] == f"squeeze report --open{option}"


def test_two_machines_that_train_one_model_make_one_report_whatever_their_clocks_say():
    one = scorecard.report_summary("2026-11-29, 16,256 tokens a second", "# a model", {"model": "1"})
    other = scorecard.report_summary("2026-11-30, 16,666 tokens a second", "# a model", {"model": "1"})
    assert one == other
    for card, model in (("# another model", "1"), ("# a model", "2")):
        assert scorecard.report_summary("", card, {"model": model}).content_hash != one.content_hash
