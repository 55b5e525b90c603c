"""The page of `squeeze serve` as somebody uses it: text that streams, a stop, keys, both schemes, a telephone."""

import threading
import time

import pytest

from conftest import SCREENSHOTS  # isort: skip
from pipeline.base.errors import SqueezeError, StoreError
from pipeline.cli.writing.server import Server

pytestmark = pytest.mark.browser

FACTS = {
    "profile": "sample",
    "parameters": "644,160",
    "bits per byte, childrens_books": "1.7953 ± 0.0166",
    "tokenizer": "<b>bpe_2k</b>",
}
CONTRAST = """() => {
    const light = color => {
        const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map(part => part / 255)
            .map(part => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b;
    };
    const between = (a, b) => (Math.max(light(a), light(b)) + .05) / (Math.min(light(a), light(b)) + .05);
    const dark = matchMedia('(prefers-color-scheme: dark)').matches;
    const page = dark ? 'rgb(18, 18, 18)' : 'rgb(255, 255, 255)';
    const style = id => getComputedStyle(document.getElementById(id));
    return {text: between(style('text').color, page), said: between(style('said').color, page),
            border: between(style('text').borderTopColor, page),
            button: between(style('go').color, style('go').backgroundColor)};
}"""


class Writer:
    """Says three pieces, or goes on until nobody listens; where it is told to wait it waits after the first piece."""

    def __init__(self):
        self.waits, self.ended = threading.Event(), threading.Event()
        self.waits.set()

    def continued(self, text, sampling):
        if sampling.seed == 13:
            raise SqueezeError("seed 13 is not to be had")
        return self.pieces(sampling)

    def pieces(self, sampling):
        try:
            yield ", there was"
            self.waits.wait(20)
            for number in range(sampling.max_new_tokens):
                yield f" <i>fox {number}</i>"
                if number >= 2:
                    time.sleep(0.01)
        finally:
            self.ended.set()


@pytest.fixture
def server():
    made = Server(Writer(), FACTS, lambda: "<h1>The newest report</h1><script>document.title = 'ran'</script>", 0)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture(params=[(1440, "light"), (1440, "dark"), (400, "light"), (400, "dark")], ids="{0[0]}_{0[1]}".format)
def page(request, chromium, server):
    width, scheme = request.param
    yield from opened(chromium, server, width, scheme)


@pytest.fixture
def desk(chromium, server):
    yield from opened(chromium, server, 1440, "light")


def opened(chromium, server, width, scheme):
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(server.url)
    page.get_by_text("644,160").wait_for()
    yield page
    page.close()
    assert complaints == []


def becomes(page, text, seconds=20):
    """Wait until the box holds this text."""
    end = time.monotonic() + seconds
    while (held := page.get_by_label("Text").input_value()) != text:
        assert time.monotonic() < end, held
        time.sleep(0.02)


def test_the_page_fits_its_window_and_can_be_read_in_both_schemes(page, request):
    SCREENSHOTS.mkdir(exist_ok=True)
    page.get_by_label("seed").fill("13")
    page.get_by_role("button", name="Go on").click()
    page.get_by_text("seed 13 is not to be had").wait_for()
    page.screenshot(path=SCREENSHOTS / f"serve_{request.node.callspec.id}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    contrast = page.evaluate(CONTRAST)
    assert min(contrast["text"], contrast["said"], contrast["button"]) >= 4.5  # WCAG 2.2, 1.4.3
    assert contrast["border"] >= 3  # 1.4.11


def test_facts_are_beside_the_text_as_text(desk):
    facts = desk.get_by_role("complementary", name="The model")
    for name, value in FACTS.items():
        assert f"{name}\n{value}" in facts.inner_text()
    assert "it does not answer" in facts.inner_text()
    assert desk.title() == "sample - Squeeze"


def test_text_streams_and_the_next_click_goes_on_elsewhere(desk, server):
    server.writer.waits.clear()
    desk.get_by_label("tokens").fill("3")
    desk.get_by_role("button", name="Go on").click()
    becomes(desk, "Once upon a time, there was")
    assert desk.get_by_role("status").inner_text() == "writing …"
    assert not desk.get_by_label("Text").is_editable()
    server.writer.waits.set()
    desk.get_by_text("done", exact=True).wait_for()
    assert desk.get_by_label("Text").input_value().endswith(" was <i>fox 0</i> <i>fox 1</i> <i>fox 2</i>")
    assert desk.get_by_label("Text").is_editable()
    assert desk.get_by_label("seed").input_value() == "2"


def test_stop_ends_the_text_here_and_in_the_model(desk, server):
    desk.get_by_label("tokens").fill("100000")
    desk.get_by_role("button", name="Go on").click()
    desk.get_by_role("button", name="Stop").click()
    desk.get_by_text("stopped", exact=True).wait_for()
    assert server.writer.ended.wait(20)
    kept = desk.get_by_label("Text").input_value()
    time.sleep(0.2)
    assert desk.get_by_label("Text").input_value() == kept != "Once upon a time"


def test_keys_alone_write_stop_and_reach_everything(desk, server):
    assert desk.evaluate("document.activeElement.id") == "text"
    desk.get_by_label("tokens").fill("100000")
    desk.get_by_label("Text").press("Control+Enter")
    desk.get_by_text("writing").wait_for()
    desk.keyboard.press("Escape")
    desk.get_by_text("stopped", exact=True).wait_for()
    desk.get_by_role("button", name="Go on").focus()
    desk.keyboard.press("Enter")
    desk.get_by_text("writing").wait_for()
    assert desk.evaluate("document.activeElement.id") == "stop"  # the button that was pressed is off
    desk.keyboard.press("Enter")
    desk.get_by_text("stopped", exact=True).wait_for()
    assert desk.evaluate("document.activeElement.id") == "go"
    reached = []
    for _ in range(6):
        desk.keyboard.press("Tab")
        reached.append(desk.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert reached == ["clear", "tokens", "temperature", "top_p", "seed", "The report"]


def test_the_report_is_a_click_away_and_runs_nothing(desk, server):
    desk.get_by_role("link", name="The report").click()
    desk.get_by_role("heading", name="The newest report").wait_for()
    assert desk.title() != "ran"


def test_a_report_that_is_not_there_is_read_as_a_sentence(desk, server):
    def missing():
        raise StoreError("report is not in the store; build it with `dagster ...`")

    server.report = missing
    desk.get_by_role("link", name="The report").click()
    desk.get_by_text("report is not in the store; build it with `dagster ...`").wait_for()


def test_a_server_that_is_gone_is_said_so(desk, server):
    desk.route("**/continue", lambda route: route.abort())
    desk.get_by_role("button", name="Go on").click()
    desk.get_by_text("squeeze serve does not answer: start it again").wait_for()
