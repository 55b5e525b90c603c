"""`squeeze serve`: a page, facts and a stream on loopback, for this machine's own pages alone."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from pipeline.base.errors import SqueezeError, StoreError
from pipeline.cli.writing.server import MOST_BYTES, Server


class Writer:
    """Says a few pieces, or for ever."""

    def __init__(self):
        self.said = 0
        self.heard = None

    def continued(self, text, sampling):
        self.heard = (text, sampling)
        if text == "bad":
            raise SqueezeError("text holds the lone surrogate U+D800")
        return self.pieces(text)

    def pieces(self, text):
        pieces = iter(lambda: "x" * 1000, None) if text == "for ever" else ["one", " two\n\n", "‘three’"]
        for piece in pieces:
            self.said += 1
            yield piece


@pytest.fixture
def server():
    made = Server(Writer(), {"parameters": "644,160"}, lambda: "<h1>sample</h1>", 0)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def ask(server, method="GET", path="/", body=None, **headers):
    """(status, headers, text) of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    given = {"Content-Type": "application/json"} if body is not None else {}
    connection.request(method, path, body, given | {name.replace("_", "-"): text for name, text in headers.items()})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, text


def go_on(server, **wanted):
    return ask(server, "POST", "/continue", json.dumps(wanted))


def test_the_page_is_whole_in_itself(server):
    status, headers, page = ask(server)
    assert status == 200
    assert re.findall(r"(?:src|href)=\S+|https?://|@import", page) == ['href="/report">The']
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', page))
    assert f"'nonce-{nonce}'" in headers["Content-Security-Policy"]
    assert nonce not in ask(server)[2]


def test_facts_say_that_it_is_a_base_model(server):
    facts = json.loads(ask(server, path="/facts")[2])
    assert facts["parameters"] == "644,160"
    assert "does not answer" in facts["kind"]


def test_the_report_is_the_newest_one_and_may_run_and_load_nothing(server):
    status, headers, page = ask(server, path="/report")
    assert (status, headers.get_content_type(), page) == (200, "text/html", "<h1>sample</h1>")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; img-src data:;")
    server.report = lambda: "<h1>newer</h1>"
    assert ask(server, path="/report")[2] == "<h1>newer</h1>"


def test_a_report_that_is_not_there_is_a_sentence_for_people(server):
    def missing():
        raise StoreError("report is not in the store: build it")

    server.report = missing
    status, headers, text = ask(server, path="/report")
    assert (status, headers.get_content_type()) == (404, "text/plain")
    assert text == "report is not in the store: build it\n"


def test_a_text_comes_in_pieces_and_its_end_is_told(server):
    status, headers, text = go_on(server, text="Once", tokens=7, temperature=0, seed=3)
    assert (status, headers["Content-Type"]) == (200, "text/event-stream")
    *pieces, end = text.strip().split("\n\n")
    assert [json.loads(piece.removeprefix("data: "))["text"] for piece in pieces] == ["one", " two\n\n", "‘three’"]
    assert end.startswith("event: end")
    assert server.writer.heard[0] == "Once"
    assert (server.writer.heard[1].max_new_tokens, server.writer.heard[1].seed) == (7, 3)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "request"),
        ('{"tokens": 3}', "text: missing"),
        ('{"text": 3}', "text: "),
        ('{"text": "x", "tokns": 3}', "tokns: unknown key; did you mean"),
        ('{"text": "x", "temperature": -1}', "temperature must be"),
        ('{"text": "bad"}', "lone surrogate"),
        (json.dumps({"text": "x" * MOST_BYTES}), "at most 1,000,000 bytes"),
    ],
)
def test_a_request_that_cannot_be_met_gets_a_sentence(server, body, said):
    status, _, text = ask(server, "POST", "/continue", body)
    assert status == 400
    assert said in json.loads(text)["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:PORT"},
        {"Host": "127.0.0.1.evil.example:PORT"},
        {"Host": "127.0.0.1:1"},
        {"Host": "[:PORT"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/facts"), ("GET", "/report"), ("POST", "/continue")]
)
def test_another_host_and_another_origin_are_refused(server, headers, method, path):
    given = {name: text.replace("PORT", str(server.server_port)) for name, text in headers.items()}
    body = '{"text": "x"}' if method == "POST" else None
    assert ask(server, method, path, body, **given)[0] == 403
    assert server.writer.heard is None


def test_this_machines_own_names_are_served(server):
    for name in ("localhost", "127.0.0.1"):
        here = f"{name}:{server.server_port}"
        assert ask(server, "POST", "/continue", '{"text": "x"}', Host=here, Origin=f"http://{here}")[0] == 200


def test_a_form_of_another_page_cannot_send_json(server):
    assert ask(server, "POST", "/continue", '{"text": "x"}', Content_Type="text/plain")[0] == 415


def test_no_other_path_is_served(server):
    assert ask(server, path="/../pyproject.toml")[0] == ask(server, "POST", "/facts", "{}")[0] == 404


def test_a_page_that_goes_away_ends_its_text(server):
    with socket.create_connection(("127.0.0.1", server.server_port)) as page:
        body = b'{"text": "for ever"}'
        head = f"Host: localhost:{server.server_port}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        page.sendall(b"POST /continue HTTP/1.1\r\n" + head.encode() + b"\r\n\r\n" + body)
        page.recv(1000)
    assert go_on(server, text="after")[0] == 200  # one text at a time: the other one has ended


def test_a_taken_port_is_a_sentence(server):
    with pytest.raises(SqueezeError, match=rf"--port {server.server_port}: cannot be used .*--port 0 for any free one"):
        Server(Writer(), {}, lambda: "", server.server_port)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_a_model_and_stops_cleanly(model_home, number):
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "squeeze"), "serve", "--port", "0"],
        env=os.environ | {"SQUEEZE_HOME": str(model_home), "SQUEEZE_PROFILE": "sample", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # which tests in the background ignore
    )
    port = int(re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())[1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/continue", '{"text": "the fox", "tokens": 5}', {"Content-Type": "application/json"})
    assert "event: end" in connection.getresponse().read().decode()
    connection.request("GET", "/report")
    answer = connection.getresponse()
    assert (answer.status, answer.read().decode().split(" in the store")[0]) == (404, "report is not")
    process.send_signal(number)
    out, complaint = process.communicate(timeout=60)
    assert (process.returncode, complaint) == (0, "")
    assert "stopped" in out
