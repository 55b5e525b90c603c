"""Credentials of a source's address open it and are in nothing that is kept."""

import base64
import http.server
import json
import pickle
import threading

import pytest

from pipeline.base.canonical import canonical_json
from pipeline.base.executor import InProcess
from pipeline.base.settings import identity_of
from pipeline.curation.documents import build_documents
from pipeline.curation.settings import DocumentsSettings
from pipeline.curation.sources.settings import Source
from pipeline.curation.sources.unit_listing import list_units

SECRET = "PLANTED"


@pytest.fixture
def server(tmp_path):
    """Serves a file to who has the password or the token; yields its host."""
    (tmp_path / "served").mkdir()
    row = json.dumps({"text": "The river walked home before the bread was cold. " * 5})
    (tmp_path / "served" / "web.jsonl").write_text(row)
    basic = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *words, **more):
            super().__init__(*words, directory=str(tmp_path / "served"), **more)

        def log_message(self, *words):
            """Says nothing."""

        def send_head(self):
            if self.headers.get("Authorization") != basic and f"token={SECRET}" not in self.path:
                self.send_error(401)
                return None
            return super().send_head()

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{running.server_port}"
    running.shutdown()


@pytest.mark.parametrize("address", ["http://me:{}@HOST/web.jsonl", "http://HOST/web.jsonl?token={}"])
def test_the_address_opens_and_its_credentials_are_nowhere(server, tmp_path, address):
    url = address.replace("HOST", server)
    renewed = DocumentsSettings(sources=[Source(files=url.format("RENEWED"), lang="en")])
    settings = DocumentsSettings(sources=[Source(files=url.format(SECRET), lang="en")])
    assert identity_of(settings) == identity_of(renewed)
    (unit,) = list_units(settings.sources, tmp_path / "cache").units
    assert SECRET not in repr(unit) + unit.place + unit.entry + canonical_json(identity_of(settings), where="here")
    with pickle.loads(pickle.dumps(unit)).open() as file:
        assert file.read(), "a worker opens it too"
    out = tmp_path / "out"
    out.mkdir()
    build_documents("web", settings, out, cache=tmp_path / "cache", executor=InProcess())
    kept = [file for file in out.rglob("*") if file.is_file()]
    assert kept
    assert not [file for file in kept if SECRET.encode() in file.read_bytes()]


def test_files_that_differ_in_their_credentials_alone_are_refused():
    with pytest.raises(ValueError, match="differ in their credentials alone"):
        Source(files=["https://host/a?token=1", "https://host/a?token=2"])
