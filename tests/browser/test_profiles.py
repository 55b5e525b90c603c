"""Two profiles in one web UI, what runs at the terminal left in it, and text that would like to be more than text."""

import json
import re
import time

import pytest

from tiny_project import Project  # isort: skip
from web_server import dagster_dev  # isort: skip

pytestmark = pytest.mark.browser

PICTURE = "http://127.0.0.1:9/x.png"
HOSTILE = [
    f"![x]({PICTURE}) <script>document.title='owned'</script> <img src={PICTURE} onerror=alert(1)>",
    "| a | b |\n|---|---|\n| `c` | **d** |",
    f"[click]({PICTURE}) {PICTURE} ```code",
    f"{'<b>bold</b> ' * 3}![y]({PICTURE}) &lt;i&gt;",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Two profiles that differ in a learning rate, run by the documented command, then shown side by side."""
    project = Project(tmp_path_factory.mktemp("profiles"))
    text = project.folder / "web.jsonl"
    copies = [{"text": words, "page": f"hostile {n} {m}"} for n, words in enumerate(HOSTILE) for m in range(3)]
    text.write_text("\n".join([*map(json.dumps, copies), text.read_text()]))
    project.profile.write_text(f"owners: ['team:data', me@example.org]\n{project.profile.read_text()}")
    other = project.variant("other", ("learning_rate: 3e-3", "learning_rate: 5e-3"))
    project.full_train()
    project.full_train(other)
    project.run("dagster", "asset", "materialize", "--select", "tiny/corpus/web")
    with dagster_dev(project, SQUEEZE_PROFILES=f"{project.profile},{other}") as running:
        yield running


def shown(ui, path, *texts, seconds=2):
    ui.open(path)
    for text in texts:
        ui.wait_for(text, seconds=40)
    time.sleep(seconds)
    return ui.page.inner_text("body")


def test_each_profile_has_its_own_groups_and_its_own_numbers(ui):
    shown(ui, "/asset-groups", "tiny_training", "other_training")
    ui.picture("two_profiles_graph")
    for profile in ("tiny", "other"):
        page = shown(ui, f"/assets/{profile}/model", "final_train_loss")
        assert f"{profile}@pipeline" in page
        ui.picture(f"two_profiles_{profile}")
    losses = []
    for profile in ("tiny", "other"):
        page = shown(ui, f"/assets/{profile}/model", "final_train_loss")
        losses.append(re.search(r"final_train_loss\b.*?(\d+\.\d{3,})", page, re.DOTALL)[1])
    assert losses[0] != losses[1]


def test_a_run_of_the_command_is_on_the_page_of_its_profiles_job_and_on_the_timeline(ui):
    page = shown(ui, "/locations/tiny@pipeline/jobs/full_train/runs", "profile: tiny")
    ui.picture("runs_of_a_job")
    assert page.count("profile: tiny") == 1
    assert "profile: other" not in page
    page = shown(ui, "/runs", "profile: other")
    assert page.count("profile: tiny") == 2  # the job, and the asset alone
    page = shown(ui, "/timeline", "full_train")
    ui.picture("timeline")
    assert ui.page.get_by_role("link", name="full_train").count() >= 2  # the UI draws names again to measure them
    assert "No runs" not in page


def test_documents_are_shown_with_their_number_columns_beginnings_and_owners(ui):
    page = shown(ui, "/assets/tiny/documents/web", "Row count", "language_score", "me@example.org")
    assert "begins with" in page
    ui.page.get_by_text("preview", exact=True).first.scroll_into_view_if_needed()
    ui.picture("preview")


def test_hostile_text_stays_text_on_every_page_that_shows_documents(ui):
    fetched = []
    ui.page.on("request", lambda request: fetched.append(request.url) if "127.0.0.1:9/" in request.url else None)
    page = shown(ui, "/assets/tiny/documents/web", "begins with")
    assert "<script>document.title='owned'</script>" in page
    shown(ui, "/assets/tiny/corpus/web", "removed_examples")
    row = ui.page.get_by_role("row").filter(has_text="removed_examples")
    if row.get_by_text("[Show Markdown]").count():
        row.get_by_text("[Show Markdown]").click()
        time.sleep(1)
    ui.picture("hostile_examples")
    assert PICTURE.removeprefix("http://") in ui.page.inner_text("body")
    assert ui.page.locator("a[href*='127.0.0.1:9']").count() == 0
    assert ui.page.locator("img[src*='127.0.0.1:9']").count() == 0
    assert "owned" not in ui.page.title()
    assert fetched == []


@pytest.mark.parametrize("asset", ["corpus/web", "schedule", "shards/epoch_001", "tokenizer_comparison", "model"])
def test_a_page_of_1440_pixels_cuts_no_table_and_shows_a_picture_without_a_click(ui, asset):
    ui.page.set_viewport_size({"width": 1440, "height": 1600})
    shown(ui, f"/assets/tiny/{asset}", "fingerprint")
    ui.picture(f"at_1440_{asset.replace('/', '_')}")
    cut = ui.page.evaluate(
        """() => [...document.querySelectorAll('td table')].filter(table => {
            let box = table;
            while (box && getComputedStyle(box).overflowX != 'auto') box = box.parentElement;
            return box && table.getBoundingClientRect().right > box.getBoundingClientRect().right + 1;
        }).map(table => table.innerText.slice(0, 80))"""
    )
    assert cut == []
    assert ui.page.locator("td img[src^='data:image/svg']").count() or ui.page.get_by_text("█").count()
