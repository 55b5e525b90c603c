"""Credentials that are in a source's address or in the environment are in nothing that a run leaves or says."""

import base64
import gzip
import http.server
import re
import sqlite3
import threading
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
USER, PASSWORD, TOKEN = "planted-user", "planted-password-5e1f", "planted-token-93c7"
IN_THE_ENVIRONMENT = {
    "HF_TOKEN": "hf_PlantedTokenOfTheHub0123456789",
    "WANDB_API_KEY": "planted-wandb-key-77ab",
    "AWS_SECRET_ACCESS_KEY": "planted-aws-secret-40d2",
}
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
PLANTED = [value.encode() for value in (PASSWORD, TOKEN, BASIC, *IN_THE_ENVIRONMENT.values())]
MISTAKEN = TOKEN[:-1]
"""A token that the server refuses: what is said of the refusal holds no part of it either."""


@pytest.fixture
def address(fresh_project):
    """Where the project's text is served to who has the password and the token; without them it is refused."""
    data = (fresh_project.folder / "web.jsonl").read_bytes()
    (fresh_project.folder / "web.jsonl").unlink()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer()

        def do_HEAD(self):
            self.answer()

        def answer(self):
            let_in = self.headers.get("Authorization") == f"Basic {BASIC}" and self.path.endswith(f"token={TOKEN}")
            self.send_response(200 if let_in else 403)
            self.send_header("Content-Length", str(len(data) if let_in else 0))
            self.end_headers()
            if let_in and self.command == "GET":
                self.wfile.write(data)

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{USER}:{PASSWORD}@127.0.0.1:{server.server_port}/web.jsonl?token="
    server.shutdown()


def contents(file):
    """A file's bytes, and those of what is packed in it."""
    data = file.read_bytes()
    yield data
    if data.startswith(b"SQLite format 3\0"):
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as base:
            for (table,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for row in base.execute(f'SELECT * FROM "{table}"'):
                    yield repr(row).encode()
                    yield from (zlib.decompress(cell) for cell in row if isinstance(cell, bytes) and cell[:1] == b"x")
    elif data.startswith(b"PAR1"):
        yield repr((pq.read_table(file).to_pydict(), pq.read_schema(file).metadata)).encode()
    elif data.startswith(b"ARROW1"):
        yield repr(pa.ipc.open_file(file).read_all().to_pydict()).encode()
    elif data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)


def with_planted(folder, but):
    """Every file below the folder that has something planted in it, but for the profiles, where it was written."""
    files = [file for file in folder.rglob("*") if file.is_file() and file not in but and not file.is_symlink()]
    assert len(files) > 100
    return [
        (str(file.relative_to(folder)), secret)
        for file in files
        for data in contents(file)
        for secret in [*PLANTED, MISTAKEN.encode()]
        if secret in data
    ]


def test_no_file_message_or_export_has_them(fresh_project, address):
    project = fresh_project
    there = f"{project.folder}/web.jsonl"
    faster = ("ranks: 2", "ranks: 1")
    sound = project.variant("planted", (there, f'"{address}{TOKEN}"'), faster)
    mistaken = project.variant("mistaken", (there, f'"{address}{MISTAKEN}"'), faster)
    environment = IN_THE_ENVIRONMENT | {"DAGSTER_HOME": str(project.folder / "history"), "SQUEEZE_LOG_LEVEL": "DEBUG"}
    (project.folder / "history").mkdir()
    said = []

    def run(*words, profile=sound, status=0):
        done = project.run(*words, profile=profile, check=status == 0, timeout=1500, **environment)
        assert (done.returncode != 0) == (status != 0), done.stdout + done.stderr
        said.append(done.stdout + done.stderr)

    run("dagster", "job", "execute", "-j", "full_train", profile=mistaken, status=1)
    assert "403" in said[0], "the refusal is what ended it"
    run("dagster", "job", "execute", "-j", "full_train")
    run("squeeze", "export", "--out", "exported")
    for words in ("report", "lineage scorecard", "scorecard --json", "ls"):
        run("squeeze", *words.split())
    lineage = next(project.folder.glob(".squeeze/corpus/web/*/lineage.json"))
    assert re.search(r"://\*\*\*@127.0.0.1:\d+/web.jsonl\?token=\*\*\*", lineage.read_text()), "it came from there"
    assert (project.folder / "exported" / "model.safetensors").exists()
    assert with_planted(project.folder, but={sound, mistaken}) == []
    assert [secret for text in said for secret in PLANTED if secret in text.encode()] == []
