"""How the two servers of the imitated hub answer a request."""

from __future__ import annotations

import json
import math
import re
import socket
import struct
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar, cast
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from tests.hub.faults import Damage, Fault
from tests.hub.repository import Files, Repository, entry, etag, is_large, tree
from tests.hub.server import Request, State

_ID = r"([^/]+/[^/]+)"
_PIECE = 1 << 18
Headers = dict[str, str]


class Answers(BaseHTTPRequestHandler):
    """What both servers do: note, fail where they have to, send a file or a part of it."""

    protocol_version = "HTTP/1.1"
    host: ClassVar[str]

    @property
    def state(self) -> State:
        return cast(State, self.server.state)  # type: ignore[attr-defined]

    def do_HEAD(self) -> None:
        self.handle_request(b"")

    def do_GET(self) -> None:
        self.handle_request(b"")

    def do_POST(self) -> None:
        self.handle_request(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def handle_request(self, given: bytes) -> None:
        self.begun, self.sent, self.status = time.monotonic(), 0, 0
        self.fault: Fault | None = None
        parts = urlsplit(self.path)
        self.place, self.query = unquote(parts.path), {k: v[-1] for k, v in parse_qs(parts.query).items()}
        with self.state.changed:
            self.state.at_work += 1
        try:
            self.fault = self.state.faults.met(f"{self.command} {self.place}")
            if not self.fails():
                self.answer(given)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            request = Request(
                self.begun,
                self.host,
                self.command,
                unquote(self.path),
                self.asked_range(),
                self.status,
                self.sent,
                self.headers.get("Authorization", ""),
            )
            with self.state.changed:
                self.state.requests.append(request)
                self.state.at_work -= 1
                self.state.changed.notify_all()

    def answer(self, given: bytes) -> None:
        raise NotImplementedError

    def fails(self) -> bool:
        """Whether a fault took the place of the answer."""
        fault = self.fault
        if fault is None:
            return False
        if fault.status:
            self.send(fault.status, fault.body, dict(fault.headers))
            return True
        if fault.damage is Damage.SILENT:
            time.sleep(fault.seconds)
            self.close_connection = True
            return True
        if fault.damage is Damage.REFUSED:
            self.reset()
            return True
        if fault.damage is Damage.PAGE:
            self.send(200, b"<!doctype html><title>Log in to the network</title>", {"Content-Type": "text/html"})
            return True
        if fault.damage is Damage.LOOP:
            self.send(307, b"", {"Location": self.path})
            return True
        return False

    def asked_range(self) -> tuple[int, int] | None:
        match = re.match(r"bytes=(\d+)-(\d*)$", self.headers.get("Range", ""))
        return (int(match[1]), int(match[2]) + 1 if match[2] else 1 << 62) if match else None

    def send_file(self, file: Path, headers: Headers) -> None:
        """A file or the range of it that is asked for, damaged where the fault says so."""
        size, damage = file.stat().st_size, self.fault.damage if self.fault else None
        asked = self.asked_range()
        first, stop, status = 0, size, 200
        headers = {"Accept-Ranges": "bytes", **headers}
        if asked is not None and damage is not Damage.WHOLE:
            first, stop, status = asked[0], min(asked[1], size), 206
            if damage is Damage.OTHER_RANGE and first:
                first, stop = first - 1, stop - 1
            if first >= size:
                self.send(416, b"", {"Content-Range": f"bytes */{size}"})
                return
            headers["Content-Range"] = f"bytes {first}-{stop - 1}/{size}"
        self.head(status, stop - first, headers)
        if self.command == "HEAD":
            return
        if damage is Damage.SCRAMBLED:
            self.give(bytes(stop - first))
            return
        broken = damage in (Damage.TRUNCATED, Damage.RESET, Damage.STALLED)
        self.give_file(file, first, first + (stop - first) // 2 if broken else stop)
        if damage is Damage.STALLED and self.fault is not None:
            time.sleep(self.fault.seconds)
        if damage is Damage.RESET:
            self.reset()
        self.close_connection = self.close_connection or broken

    def give_file(self, file: Path, first: int, stop: int) -> None:
        speed = self.state.bytes_per_second if self.host == "cdn" else None
        began, given = time.monotonic(), 0
        with file.open("rb") as stream:
            stream.seek(first)
            while given < stop - first:
                piece = min(_PIECE, stop - first - given)
                given += self.connection.sendfile(stream, first + given, piece) or 0
                self.sent = given
                if speed is not None:
                    time.sleep(max(0.0, began + given / speed - time.monotonic()))

    def give(self, data: bytes) -> None:
        self.wfile.write(data)
        self.sent += len(data)

    def reset(self) -> None:
        """End the connection as a machine that forgot it does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
        raise ConnectionResetError

    def head(self, status: int, length: int, headers: Headers) -> None:
        self.status = status
        self.send_response(status)
        for name, value in ({"Content-Length": str(length)} | headers).items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, status: int, data: bytes, headers: Headers | None = None) -> None:
        self.head(status, len(data), headers or {})
        if self.command != "HEAD":
            self.give(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


class HubAnswers(Answers):
    """The hub: its API, and files or where they are."""

    host = "hub"

    def answer(self, given: bytes) -> None:
        resolving = re.match(rf"/datasets/{_ID}/resolve/(.+)", self.place)
        asking = re.match(rf"/api/datasets/{_ID}(?:/(.*))?$", self.place)
        passes, self.limited = self.state.limits.ask("resolvers" if resolving else "api")
        match = resolving or asking
        if not passes:
            self.send(429, b"We had to rate limit your address.", self.limited)
        elif match is None:
            self.refuse(404, "not found", "Sorry, we can't find the page you are looking for.")
        elif match[1] in self.state.renamed:
            self.send(307, b"", self.limited | {"Location": self.path.replace(match[1], self.state.renamed[match[1]])})
        elif (repository := self.readable(match[1])) is not None:
            raw = urlsplit(self.path).path.split(match[1], 1)[-1]
            if resolving:
                self.resolve(repository, *self.revision(raw.removeprefix("/resolve/")))
            else:
                self.describe(repository, raw.strip("/"), given)

    def readable(self, dataset: str) -> Repository | None:
        """The data set, if it is there for whoever asks; else the answer is given here."""
        repository = self.state.repositories.get(dataset)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        may = token in self.state.readers
        if token and not may and token != "hf_other":
            self.refuse(401, "", "Invalid credentials in Authorization header")
        elif repository is None or (repository.private and not may):
            # who is nobody is not told which data sets there are
            self.refuse(404 if token else 401, "RepoNotFound", "Repository not found")
        elif repository.disabled:
            self.refuse(403, "", "Access to this resource is disabled.")
        elif repository.gated and not may and "/resolve/" in self.place:
            why = "ask for access" if token else "have access to it and be authenticated to access it. Please log in"
            said = f"Access to dataset {dataset} is restricted. You must {why}."
            self.refuse(403 if token else 401, "GatedRepo", said)
        else:
            return repository
        return None

    @staticmethod
    def revision(raw: str) -> tuple[str, str]:
        """The revision and what follows it, of a path where a slash in a revision is quoted."""
        revision, _, rest = raw.partition("/")
        return unquote(revision), unquote(rest)

    def describe(self, repository: Repository, raw: str, given: bytes) -> None:
        kind, _, rest = raw.partition("/")
        if kind == "refs":
            self.send_json(repository.refs())
            return
        revision, path = self.revision(rest) if rest else ("main", "")
        found = repository.at(revision)
        if kind not in ("", "revision", "tree", "paths-info", "commits"):
            self.refuse(404, "", "Not found")
        elif found is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif kind == "tree":
            self.list(found[1], path)
        elif kind == "paths-info":
            asked = json.loads(given or b"{}").get("paths", []) or parse_qs(given.decode()).get("paths", [])
            self.send_json([entry(path, found[1][path]) for path in asked if path in found[1]])
        elif kind == "commits":
            self.send_json([{"id": found[0], "title": "Update", "date": "2025-01-31T12:00:00.000Z", "authors": []}])
        else:
            self.send_json(repository.info(*found))

    def list(self, files: Files, folder: str) -> None:
        """A page of a tree, and in `Link` where the next one is."""
        entries = tree(files, folder, recursive=self.query.get("recursive", "").lower() in ("true", "1"))
        if entries is None:
            self.refuse(404, "EntryNotFound", f"{folder} does not exist")
            return
        first = int(self.query.get("cursor", 0))
        stop = first + min(int(self.query.get("limit", self.state.tree_page)), self.state.tree_page)
        headers = {}
        if stop < len(entries):
            again = urlencode({**self.query, "cursor": str(stop)})
            address = f"http://{self.headers['Host']}{urlsplit(self.path).path}?{again}"
            headers["Link"] = f'<{address}>; rel="next"'
        self.send_json(entries[first:stop], headers)

    def resolve(self, repository: Repository, revision: str, path: str) -> None:
        found = repository.at(revision)
        if found is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        commit, files = found
        if path not in files:
            self.refuse(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
            return
        file = files[path]
        headers = self.limited | {"X-Repo-Commit": commit}
        if not is_large(path):
            self.send_file(file, headers | {"ETag": f'"{etag(path, file)}"'})
            return
        headers["X-Linked-Size"] = str(file.stat().st_size)
        headers["X-Linked-ETag"] = f'"{etag(path, file)}"'
        until = math.ceil(time.time() + self.state.link_seconds)
        address = f"{self.state.cdn}/{quote(repository.id)}/{commit}/{quote(path)}?Expires={until}&Signature=signed"
        self.send(302, b"", headers | {"Location": address})

    def refuse(self, status: int, code: str, message: str, headers: Headers | None = None) -> None:
        said = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.send(status, json.dumps({"error": message}).encode(), self.limited | said | (headers or {}))

    def send_json(self, value: Any, headers: Headers | None = None) -> None:
        as_json = {"Content-Type": "application/json; charset=utf-8"}
        self.send(200, json.dumps(value).encode(), self.limited | as_json | (headers or {}))


class CdnAnswers(Answers):
    """The content delivery network: bytes, for who has a signed address."""

    host = "cdn"

    def answer(self, given: bytes) -> None:
        owner, name, commit, path = self.place.lstrip("/").split("/", 3)
        if float(self.query.get("Expires", 0)) < time.time() or "Signature" not in self.query:
            self.send(403, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
            return
        file = self.state.repositories[f"{owner}/{name}"].commits[commit][path]
        self.send_file(file, {"ETag": f'"{etag(path, file)}"', "Content-Type": "application/octet-stream"})
