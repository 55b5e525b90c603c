"""The web UI on the tiny project, in a real browser. Skipped with a reason where Chromium or playwright is missing.

    pip install -e '.[test,browser]' && apt-get install chromium && pytest -m browser

Pictures of every page that a test asks for land in `screenshots/` here, which is not committed.
"""

import shutil
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "end_to_end"))
from tiny_project import Project  # noqa: E402
from web_server import PATIENCE, dagster_dev  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
SCREENSHOTS = ROOT / "screenshots"
BENIGN = ("favicon", "Failed to load resource: net::ERR_")  # pages that leave while a request is under way


@pytest.fixture(scope="session")
def chromium():
    """A browser for the whole session."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the extra `browser`")
    if CHROMIUM is None:
        pytest.skip("no chromium on the PATH: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Ui:
    """A `dagster dev` on a project, and a page of the browser that looks at it."""

    def __init__(self, project, address, page):
        self.project, self.address, self.page = project, address, page
        self.complaints = []
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, path):
        self.page.goto(self.address + path, wait_until="domcontentloaded")

    def picture(self, name):
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def wait_for(self, text, seconds=PATIENCE):
        self.page.get_by_text(text).first.wait_for(timeout=seconds * 1000)

    def launch(self, job, *changes, profile="tiny"):
        """Launch a job from its launchpad with (old, new) text of the configuration replaced; opens the run's page."""
        self.open(f"/locations/{profile}@pipeline/jobs/{job}/playground")
        self.page.locator(".CodeMirror").first.wait_for(timeout=60_000)
        time.sleep(1)  # the editor is filled after it is drawn
        for old, new in changes:
            editor = "document.querySelector('.CodeMirror').CodeMirror"
            text = self.page.evaluate(f"{editor}.getValue()")
            assert old in text
            self.page.evaluate(f"text => {editor}.setValue(text)", text.replace(old, new))
            time.sleep(1)
        button = self.page.get_by_role("button", name="Launch Run")
        button.click()
        self.page.wait_for_url("**/runs/**", timeout=60_000)

    def ended(self):
        """The state in which the run on the page ended."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for state in ("Success", "Failure", "Canceled"):
                if self.page.get_by_text(state, exact=True).count():
                    return state
            time.sleep(0.5)
        self.picture("no_end")
        raise AssertionError(f"the run did not end in {PATIENCE} s")

    def console(self):
        """What the pages complained about, without what leaving a page makes of requests under way."""
        return [text for text in self.complaints if not any(word in text for word in BENIGN)]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """(project, address) of a running `dagster dev`, ended with all it started."""
    project = Project(tmp_path_factory.mktemp("ui"))
    project.profile.write_text(
        project.profile.read_text().replace("tokens_per_epoch: 24_000", "tokens_per_epoch: 60_000")
    )
    with dagster_dev(project) as running:
        yield running


@pytest.fixture
def ui(chromium, server):
    page = chromium.new_page(viewport={"width": 1500, "height": 950})
    yield Ui(*server, page)
    page.close()
