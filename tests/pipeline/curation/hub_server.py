"""A local server that speaks enough of the hub's protocol for `datasets` to stream Parquet files from it.

Run as a program with a folder of files (`<folder>/<data set id>/…`) and a file for its log; it prints its port. The
first requests for a file's bytes fail as a busy or broken hub does: two answers of 429, one of 503, one truncated body.
Requests about a data set itself, which the hub's library does not try again, fail as a third argument says:
`429:2,503:` answers the first with 429 and `Retry-After: 2`, the second with 503; `calm` leaves out all faults. The
data set `some/gated` is gated.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FAULTS = ["429", "503", "truncated", "429"]


class Hub(BaseHTTPRequestHandler):
    """Answers for the API, the file tree and the files."""

    protocol_version = "HTTP/1.1"
    root: Path
    log: Path
    refusals: ClassVar[list[tuple[int, str]]] = []

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        asked = json.loads(self.rfile.read(length) or b"{}").get("paths", [])
        match = re.match(r"/api/datasets/([^/]+/[^/]+)/paths-info/", urlsplit(self.path).path)
        if match is None:
            self.send(404, b"{}")
            return
        folder = self.root / match[1]
        paths = [path for path in asked if (folder / path).is_file()]
        self.send_json([self.described(folder, folder / path) for path in paths])

    def answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        with self.log.open("a") as file:
            file.write(f"{time.monotonic():.3f} {self.command} {path} {self.headers.get('Range', '')}\n")
        if match := re.match(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self.file(self.root / match[1] / match[3], body=body)
        elif match := re.match(r"/api/datasets/([^/]+/[^/]+)/tree/([^/]+)/?(.*)", path):
            folder = self.root / match[1]
            self.send_json([self.described(folder, item) for item in sorted((folder / match[3]).rglob("*"))])
        elif match := re.match(r"/api/datasets/([^/]+/[^/]+)(/revision/[^/]+)?$", path):
            folder = self.root / match[1]
            if self.refusals:
                status, pause = self.refusals.pop(0)
                self.send(status, b"", {"Retry-After": pause} if pause else {})
                return
            if match[1] == "some/gated":
                self.send(403, b'{"error": "gated"}', {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
                return
            if not folder.is_dir():
                self.send(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
                return
            files = [{"rfilename": str(item.relative_to(folder))} for item in folder.rglob("*") if item.is_file()]
            self.send_json({"id": match[1], "sha": COMMIT, "siblings": files, "private": False, "tags": []})
        else:
            self.send(404, b'{"error": "not here"}', {"X-Error-Code": "EntryNotFound"})

    def described(self, folder: Path, item: Path) -> dict[str, object]:
        name = str(item.relative_to(folder))
        if item.is_dir():
            return {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
        return {
            "type": "file",
            "path": name,
            "oid": hashlib.sha1(name.encode()).hexdigest(),
            "size": item.stat().st_size,
        }

    def file(self, path: Path, *, body: bool) -> None:
        if not path.is_file():
            self.send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        data = path.read_bytes()
        headers = {"ETag": '"abc"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if not body:
            self.send(200, b"", headers | {"Content-Length": str(len(data))})
            return
        fault = FAULTS.pop() if FAULTS and path.suffix == ".parquet" else ""
        if fault in ("429", "503"):
            self.send(int(fault), b"", {"Retry-After": "0"})
            return
        status = 200
        if match := re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, stop = int(match[1]), min(int(match[2] or len(data) - 1), len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{stop}/{len(data)}"
            data, status = data[start : stop + 1], 206
        if fault == "truncated":
            self.send(status, data[: len(data) // 2], headers | {"Content-Length": str(len(data))})
            self.close_connection = True
            return
        self.send(status, data, headers)

    def send_json(self, value: object) -> None:
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json", "X-Repo-Commit": COMMIT})

    def send(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    Hub.root, Hub.log = Path(sys.argv[1]), Path(sys.argv[2])
    if sys.argv[3] == "calm":
        FAULTS.clear()
        sys.argv[3] = ""
    for refusal in sys.argv[3].split(",") if sys.argv[3] else []:
        Hub.refusals.append((int(refusal.split(":")[0]), refusal.split(":")[1]))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    print(server.server_port, flush=True)
    server.serve_forever()
