"""Buckets to test with: in memory, in a folder, and behind a server of S3's on loopback that may be troubled."""

import http.client
import http.server
import os
import threading
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager

from pipeline.store.remote.address import open_objects
from pipeline.store.remote.objects import Objects

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


def make_bucket(endpoint: str, name: str) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT"), timeout=120)


def behind(endpoint: str, address: str, *, patience: float = 20.0) -> Objects:
    """The objects of an S3 address behind an endpoint, as a process with that environment opens them."""
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT, AWS_ENDPOINT_URL=endpoint)
    try:
        return open_objects.__wrapped__(address, patience=patience)
    finally:
        os.environ.clear()
        os.environ.update(before)


Trouble = Callable[[str, str, int], int | str | None]
"""(method, path, how many of that method came before) -> a status to answer without asking the server, "lose" to let
the server do it and drop its answer, "damage" to flip a byte of its answer, or None to be in nobody's way."""


@contextmanager
def proxy(endpoint: str, trouble: Trouble):
    """An endpoint before the server that loses, refuses or damages answers; yields its address."""
    server = endpoint.removeprefix("http://")
    seen: dict[str, int] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words) -> None:
            pass

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            count = seen.get(self.command, 0)
            seen[self.command] = count + 1
            what = trouble(self.command, self.path, count)
            if isinstance(what, int):
                return self.answer(what, {}, b"<Error><Code>InternalError</Code></Error>")
            ask = http.client.HTTPConnection(server, timeout=30)
            headers = {key: value for key, value in self.headers.items() if key.lower() != "transfer-encoding"}
            ask.request(self.command, self.path, body=body, headers=headers)
            got = ask.getresponse()
            data = got.read()
            if what == "lose":
                self.close_connection = True
                return None
            if what == "damage" and data:
                data = bytes([data[0] ^ 1]) + data[1:]
            kept = {key: value for key, value in got.getheaders() if key.lower() not in _OWN}
            return self.answer(got.status, kept, data, size=got.getheader("Content-Length"))

        def answer(self, status: int, headers: dict[str, str], data: bytes, size: str | None = None) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            head = self.command == "HEAD"
            self.send_header("Content-Length", (size or "0") if head else str(len(data)))
            self.end_headers()
            if not head:
                self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_one  # noqa: N815

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{running.server_address[1]}"
    finally:
        running.shutdown()
        running.server_close()


_OWN = {"content-length", "transfer-encoding", "connection"}
