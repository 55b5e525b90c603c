"""Whether pip would find an archive, asked of a server and of folders of the test's own, with pip's own settings."""

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from pipeline.base.archives import Archive
from pipeline.preflight import package_index, reach
from pipeline.preflight.package_index import Answer, PackageIndex, settings_of

ARCHIVE = Archive(package="Fine_Texts", version="1.0", sha256="0" * 64)
PAGE = '<a href="../../f/fine_texts-1.0-py3-none-any.whl#sha256=0">fine_texts-1.0-py3-none-any.whl</a>'


@pytest.fixture
def server():
    """An index whose answers are set by the test: a status and a page for each path."""
    said = SimpleNamespace(pages={}, asked=[])

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self):
            said.asked.append((self.path, self.headers.get("Authorization")))
            status, text = said.pages.get(self.path, (404, ""))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        said.address = f"127.0.0.1:{running.server_port}"
        said.url = f"http://{said.address}/simple"
        yield said
        running.shutdown()


def index(**settings):
    return PackageIndex({name.replace("_", "-"): value for name, value in settings.items()}, seconds=5)


def test_a_wheel_on_the_page_of_its_package_is_there(server):
    server.pages["/simple/fine-texts/"] = (200, PAGE)
    assert index(index_url=server.url).answer(ARCHIVE) == Answer("there")
    assert server.asked == [("/simple/fine-texts/", None)]


def test_a_page_in_json_says_the_same(server):
    server.pages["/simple/fine-texts/"] = (200, '{"files": [{"filename": "fine_texts-1.0-py3-none-any.whl"}]}')
    assert index(index_url=server.url).answer(ARCHIVE) == Answer("there")


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ((200, PAGE.replace("1.0", "1.1")), "other versions"),
        ((200, PAGE.replace("-py3-none-any.whl", ".tar.gz")), "absent"),  # only wheels are fetched
        ((200, PAGE.replace("fine_texts", "fine_texts_more")), "absent"),
        ((404, ""), "absent"),
        ((503, ""), "unreachable"),
        ((401, ""), "ask pip"),
        ((407, ""), "ask pip"),
    ],
)
def test_anything_else_is_another_answer(server, page, found):
    server.pages["/simple/fine-texts/"] = page
    assert index(index_url=server.url).answer(ARCHIVE).found == found


def test_the_file_name_decides_where_a_release_has_several_wheels(server):
    server.pages["/simple/fine-texts/"] = (200, PAGE)
    other = ARCHIVE.model_copy(update={"filename": "fine_texts-1.0-cp311-cp311-win32.whl"})
    assert index(index_url=server.url).answer(other).found == "other versions"


def test_every_index_and_folder_that_pip_knows_is_asked(server, tmp_path):
    (tmp_path / "wheels").mkdir()
    settings = {"index_url": f"{server.url}/a", "extra_index_url": f"{server.url}/b\n{server.url}/c"}
    server.pages["/simple/c/fine-texts/"] = (200, PAGE)
    assert index(**settings).answer(ARCHIVE).found == "there"
    assert len(server.asked) == 3
    for file in (tmp_path / "wheels", (tmp_path / "wheels").as_uri()):
        assert index(find_links=str(file), no_index="true").answer(ARCHIVE).found == "absent"
    (tmp_path / "wheels" / "fine_texts-1.0-py3-none-any.whl").touch()
    for file in (tmp_path / "wheels", (tmp_path / "wheels").as_uri()):
        assert index(find_links=str(file), no_index="true").answer(ARCHIVE).found == "there"
    (tmp_path / "simple" / "fine-texts").mkdir(parents=True)
    (tmp_path / "simple" / "fine-texts" / "index.html").write_text(PAGE)
    assert index(index_url=(tmp_path / "simple").as_uri()).answer(ARCHIVE).found == "there"


def test_a_name_and_password_in_the_address_are_sent_and_not_shown(server):
    server.pages["/simple/fine-texts/"] = (200, PAGE)
    assert index(index_url=f"http://me:a%40b@{server.address}/simple").answer(ARCHIVE).found == "there"
    assert server.asked[0][1] == f"Basic {base64.b64encode(b'me:a@b').decode()}"


def test_where_nobody_answers_the_run_is_refused_with_what_was_said(monkeypatch, tmp_path):
    packages = reach._Packages(tmp_path, index(index_url="http://127.0.0.1:9/simple"))
    verdict, text = reach._archive_answer(ARCHIVE, "corpora.mine.sources.0", packages, needed=True)
    assert verdict == "refused"
    assert "pip's index cannot be reached" in text
    assert f"put the wheel of Fine_Texts==1.0 into {tmp_path} by hand" in text
    assert reach._archive_answer(ARCHIVE, "a", packages, needed=False)[0] == "note"


def test_pip_is_asked_where_the_index_wants_to_know_who_asks(server, monkeypatch, tmp_path):
    server.pages["/simple/fine-texts/"] = (401, "")
    monkeypatch.setattr(reach, "_of_pip", lambda archive: Answer("there"))
    packages = reach._Packages(tmp_path, index(index_url=server.url))
    assert reach._archive_answer(ARCHIVE, "a", packages, needed=True) == ("ok", "pip can fetch it, for a")


def test_settings_are_pips_the_strongest_of_each():
    listed = "global.index-url='https://a/simple'\nglobal.timeout='3'\ndownload.index-url='https://b/simple'\n"
    assert settings_of(listed) == {"index-url": "https://b/simple", "timeout": "3"}
    more = ":env:.index-url='https://c/simple'\nglobal.extra-index-url='\\nhttps://d\\nhttps://e'\ninstall.user='1'\n"
    assert settings_of(listed + more)["index-url"] == "https://c/simple"
    assert settings_of(listed + more)["extra-index-url"].split() == ["https://d", "https://e"]
    assert settings_of("WARNING: no such file\n") == {}


def test_pip_itself_says_where_it_looks_and_once(server, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", server.url)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    server.pages["/simple/fine-texts/"] = (200, PAGE)
    asked = PackageIndex(seconds=5)
    assert asked.answer(ARCHIVE).found == "there"
    monkeypatch.setattr(package_index.subprocess, "run", None)
    assert asked.answer(ARCHIVE).found == "there"
