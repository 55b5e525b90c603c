"""`squeeze serve`: a page on this machine's loopback that shows a model's text as it is written.

`GET /` is one self-contained page, `GET /facts` what is known of the model, `GET /report` the report's page as the
store has it by now, and `POST /continue` takes JSON and answers with server-sent events: `data: {"text": ...}` a piece,
then `event: end`, or `event: error` with a sentence. The model writes one text at a time. A request must name this
address as its host, and a page of another origin is refused, so that no web site can reach the model through a name
that it points at 127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.base.errors import SqueezeError
from pipeline.cli.writing.model import BASE_MODEL
from pipeline.reporting.served import ADDRESS, REPORT_ROUTE
from trainer.errors import TrainerError
from trainer.mistakes import explain
from trainer.sampling import Sampling

if TYPE_CHECKING:
    from pipeline.cli.writing.model import Writer

HOSTS: Final = frozenset({"127.0.0.1", "localhost"})
MOST_BYTES: Final = 1_000_000
"""Of a request: a text far longer than any context."""
MOST_PASSED_OVER: Final = 64 * MOST_BYTES
PAGE: Final = Path(__file__).with_name("page.html")
POLICY: Final = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
REPORT_POLICY: Final = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Wanted(BaseModel):
    """What a page asks for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str
    tokens: int = 200
    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = 0
    seed: int = 1

    def sampling(self) -> Sampling:
        """The settings, checked. Raises ConfigError."""
        return Sampling(self.tokens, self.temperature, self.top_p, self.top_k, self.seed).checked()


class Server(ThreadingHTTPServer):
    """Serves one model until it is closed; texts that are being written then end."""

    daemon_threads = True

    def __init__(self, writer: Writer, facts: Mapping[str, str], report: Callable[[], str], port: int) -> None:
        """`report` gives a page, or raises SqueezeError. Raises SqueezeError for a port that cannot be used."""
        self.writer = writer
        self.report = report
        self.facts = {"kind": BASE_MODEL, **facts}
        self.writes = threading.Lock()
        self.closing = threading.Event()
        try:
            super().__init__((ADDRESS, port), Handler)
        except OSError as error:
            raise SqueezeError(
                f"--port {port}: cannot be used ({error.strerror}); give another, or --port 0 for any free one"
            ) from error

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_port}"

    def server_close(self) -> None:
        self.closing.set()
        super().server_close()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    timeout = 30  # seconds for a request to arrive
    server_version = "squeeze"
    sys_version = ""

    def do_GET(self) -> None:
        if self._is_foreign():
            return
        if self.path == "/":
            nonce = secrets.token_urlsafe(16)
            page = PAGE.read_text(encoding="utf-8").replace("NONCE", nonce)
            self._answer(page, "text/html", {"Content-Security-Policy": POLICY.format(nonce=nonce)})
        elif self.path == "/facts":
            self._answer(json.dumps(self.server.facts), "application/json")
        elif self.path == REPORT_ROUTE:
            self._show_report()
        else:
            self._refuse(HTTPStatus.NOT_FOUND, f"there is no page {self.path}")

    def _show_report(self) -> None:
        try:
            page = self.server.report()
        except SqueezeError as error:  # for somebody who followed a link: words, not JSON
            self._answer(f"{error}\n", "text/plain", status=HTTPStatus.NOT_FOUND)
        else:
            self._answer(page, "text/html", {"Content-Security-Policy": REPORT_POLICY})

    def do_POST(self) -> None:
        if self._is_foreign():
            return
        if self.path != "/continue":
            self._refuse(HTTPStatus.NOT_FOUND, f"there is no page {self.path}")
        elif self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send JSON, with Content-Type: application/json")
        else:
            try:
                wanted = self._wanted()
                pieces = self.server.writer.continued(wanted.text, wanted.sampling())
            except (SqueezeError, TrainerError) as error:
                self._refuse(HTTPStatus.BAD_REQUEST, str(error))
                return
            self._stream(pieces)

    def _wanted(self) -> Wanted:
        said = self.headers.get("Content-Length", "")
        length = int(said) if said.isdecimal() else 0
        content = self.rfile.read(min(length, MOST_BYTES))
        if not 0 < length <= MOST_BYTES:
            self._pass_over(length - MOST_BYTES)
            raise SqueezeError(f"a request says its length and has at most {MOST_BYTES:,} bytes")
        try:
            data = json.loads(content)
            return Wanted.model_validate(data)
        except (ValueError, RecursionError) as error:
            if isinstance(error, ValidationError):
                mistakes = explain(error, Wanted, data)
                raise SqueezeError("; ".join(f"{item.key or 'request'}: {item.text}" for item in mistakes)) from None
            raise SqueezeError(f"not JSON: {error}") from None

    def _pass_over(self, length: int) -> None:
        """Read what is too much, as far as a person may have pasted it: who still writes does not hear an answer."""
        left = min(length, MOST_PASSED_OVER)
        while left > 0:
            left -= len(self.rfile.read(min(left, MOST_BYTES))) or left

    def _stream(self, pieces: Iterator[str]) -> None:
        """Send the pieces as they come; ends with the connection, and with the server."""
        self._head("text/event-stream")
        try:
            with self.server.writes:
                for piece in pieces:
                    if self.server.closing.is_set():
                        return
                    self._event({"text": piece})
            self._event({}, "end")
        except (SqueezeError, TrainerError) as error:
            self._event({"error": str(error)}, "error")
        except ConnectionError:  # the page was closed or its Stop was pressed
            return

    def _event(self, data: Any, kind: str | None = None) -> None:
        name = f"event: {kind}\n" if kind else ""
        self.wfile.write(f"{name}data: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()

    def _is_foreign(self) -> bool:
        """Whether a request was made to another name than this machine's, or by a page from elsewhere; refuses it."""
        names = [f"//{self.headers.get('Host', '')}", *filter(None, [self.headers.get("Origin")])]
        if all(_is_here(name, self.server.server_port) for name in names):
            return False
        self._refuse(HTTPStatus.FORBIDDEN, f"only {self.server.url} is served")
        return True

    def _answer(
        self, text: str, kind: str, more: Mapping[str, str] | None = None, status: HTTPStatus = HTTPStatus.OK
    ) -> None:
        content = text.encode()
        self._head(f"{kind}; charset=utf-8", {"Content-Length": str(len(content)), **(more or {})}, status)
        self.wfile.write(content)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        content = json.dumps({"error": why}).encode()
        self._head("application/json", {"Content-Length": str(len(content))}, status)
        self.wfile.write(content)

    def _head(self, kind: str, more: Mapping[str, str] | None = None, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        standing = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Connection": "close"}
        for name, value in {"Content-Type": kind, **standing, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed of a request: the terminal is the person's."""


def _is_here(address: str, port: int) -> bool:
    try:
        parts = urlsplit(address)
        return parts.hostname in HOSTS and (parts.port or 80) == port
    except ValueError:
        return False
