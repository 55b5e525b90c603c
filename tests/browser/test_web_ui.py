"""What somebody does in the web UI on the first day, in that order; each test builds on those before it."""

import time

import pytest

pytestmark = pytest.mark.browser

ASSETS = (
    "documents/web",
    "heldout/web",
    "near_duplicates",
    "corpus/web",
    "mixture",
    "tokenizer_comparison",
    "tokenizer",
)
ASSETS += (
    "tokens/web",
    "schedule",
    "shards/epoch_001",
    "model",
    "model_hf",
    "eval/bits_per_byte",
    "scorecard",
    "report",
)
GROUPS = tuple(f"tiny_{group}" for group in ("sources", "curation", "tokenizers", "shards", "training", "evaluation"))


def test_the_graph_opens_on_the_groups_in_the_order_of_the_pipeline(ui):
    ui.open("/asset-groups")
    for group in GROUPS:
        ui.wait_for(group, seconds=30)
    time.sleep(2)
    ui.picture("graph")
    canvas = [ui.page.get_by_text(group, exact=True).last.bounding_box()["x"] for group in GROUPS]
    assert canvas == sorted(canvas)
    assert ui.console() == []


def test_a_part_of_the_graph_runs_and_the_corpus_shows_its_chart(ui):
    ui.launch("curate")
    assert ui.ended() == "Success"
    ui.open("/assets/tiny/corpus/web")
    ui.wait_for("waterfall")
    time.sleep(2)
    assert ui.page.locator("img[src^='data:image/png']").count() or ui.page.get_by_text("Show Markdown").count()
    ui.wait_for("first build")
    ui.picture("corpus")
    assert ui.console() == []


def test_the_same_corpus_again_is_reused(ui):
    ui.open("/assets/tiny/corpus/web")
    ui.page.get_by_role("button", name="Materialize").first.click()
    time.sleep(3)
    end = time.monotonic() + 90
    while time.monotonic() < end:
        ui.open("/assets/tiny/corpus/web?view=events")
        time.sleep(3)
        if ui.page.get_by_text("reused", exact=True).count() and ui.page.get_by_text("true", exact=True).count():
            break
    ui.picture("reused")
    assert ui.page.get_by_text("true", exact=True).count()


def test_full_train_with_another_learning_rate_from_the_launchpad(ui):
    ui.launch("full_train", ("learning_rate: 0.003", "learning_rate: 0.005"))
    assert ui.ended() == "Success"
    ui.open("/assets/tiny/model")
    ui.wait_for("loss_curve")
    time.sleep(2)
    ui.picture("model")
    manifest = next(ui.project.folder.glob(".squeeze/model/*/manifest.json")).read_text()
    assert '"learning_rate": 0.005' in manifest


def test_every_asset_page_renders_without_an_error_in_the_console(ui):
    for asset in ASSETS:
        ui.open(f"/assets/tiny/{asset}")
        ui.wait_for("Latest materialization", seconds=30)
        time.sleep(1.5)
        ui.picture("asset_" + asset.replace("/", "_"))
        assert ui.page.get_by_text("fingerprint", exact=True).count(), asset
    assert ui.console() == []


def test_a_broken_setting_is_refused_in_words(ui):
    ui.launch("train_only", ("learning_rate: 0.003", "learning_rate: -1.0"))
    assert ui.ended() == "Failure"
    ui.wait_for("learning_rate: must be above 0, found -1.0")
    ui.picture("broken_setting")


def test_a_terminated_training_run_goes_on_from_its_checkpoint(ui):
    ui.launch("train_only", ("learning_rate: 0.003", "learning_rate: 0.002"))
    end = time.monotonic() + 90
    while not (found := list(ui.project.folder.glob(".squeeze/model/.building-*/checkpoints/step_*[0-9]"))):
        assert time.monotonic() < end, "no checkpoint"
        time.sleep(0.1)
    assert found
    ui.page.get_by_role("button", name="Terminate").first.click()
    time.sleep(1)
    ui.picture("terminate")
    ui.page.get_by_role("dialog").get_by_role("button", name="Terminate").click()
    ui.page.get_by_text("Canceled", exact=False).first.wait_for(timeout=90_000)
    ui.picture("terminated")
    ui.launch("train_only")  # the launchpad keeps what was edited
    assert ui.ended() == "Success"
    manifests = [file.read_text() for file in ui.project.folder.glob(".squeeze/model/*/manifest.json")]
    (mine,) = [text for text in manifests if '"learning_rate": 0.002' in text]
    assert '"resumed_from": []' not in mine
