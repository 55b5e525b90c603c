"""A local server that speaks enough of the hub's protocol to receive a model: repository, pre-upload, LFS, commit.

Run as a program with an empty folder; it prints its port, and writes what it receives to `<folder>/<ORG/NAME>/…`, and
each commit's header to `<folder>/commits.jsonl`. Safetensors go through git-LFS, everything else in the commit itself.
Only the token `good` may write.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Answers for the parts of the API that an upload uses."""

    protocol_version = "HTTP/1.1"
    root: Path

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path
        if self.headers.get("Authorization") != "Bearer good":
            self.send({"error": "You don't have the rights to create a model under this namespace"}, 403)
        elif path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            (self.root / name).mkdir(parents=True, exist_ok=True)
            (self.root / name / ".asked").write_text(json.dumps(asked))
            self.send({"url": f"{self.here}/{name}", "name": name, "id": name})
        elif path == "/api/validate-yaml":
            self.send({"errors": [], "warnings": []})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            files = json.loads(body)["files"]
            self.send({"files": [self.mode(item["path"]) for item in files]})
        elif match := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            objects = json.loads(body)["objects"]
            self.send({"transfer": "basic", "objects": [self.place(item) for item in objects]})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            self.commit(match[1], [json.loads(line) for line in body.splitlines()])
            url = f"{self.here}/{match[1]}/commit/{COMMIT}"
            self.send({"success": True, "commitOid": COMMIT, "commitUrl": url, "hookOutput": ""})
        else:
            self.send({"error": f"not here: {path}"}, 404)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        oid = self.path.rpartition("/")[2]
        assert hashlib.sha256(body).hexdigest() == oid
        (self.root / ".lfs").mkdir(exist_ok=True)
        (self.root / ".lfs" / oid).write_bytes(body)
        self.send({})

    def do_GET(self) -> None:
        match = re.match(r"/api/models/([^/]+/[^/]+)", urlsplit(self.path).path)
        if match and (self.root / match[1]).is_dir():
            self.send({"id": match[1], "sha": COMMIT, "siblings": [], "private": False, "tags": []})
        else:
            self.send({"error": "Repository not found"}, 404)

    @property
    def here(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def mode(self, path: str) -> dict[str, object]:
        return {
            "path": path,
            "uploadMode": "lfs" if path.endswith(".safetensors") else "regular",
            "shouldIgnore": False,
            "oid": None,
        }

    def place(self, item: dict[str, object]) -> dict[str, object]:
        return item | {"actions": {"upload": {"href": f"{self.here}/lfs/{item['oid']}"}}}

    def commit(self, name: str, lines: list[dict[str, object]]) -> None:
        folder = self.root / name
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                with (self.root / "commits.jsonl").open("a") as file:
                    file.write(json.dumps(value) + "\n")
            elif line["key"] == "file":
                (folder / value["path"]).parent.mkdir(parents=True, exist_ok=True)
                (folder / value["path"]).write_bytes(base64.b64decode(value["content"]))
            elif line["key"] == "lfsFile":
                (folder / value["path"]).write_bytes((self.root / ".lfs" / value["oid"]).read_bytes())

    def send(self, value: object, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        print(self.command, self.path, args[1:2], file=sys.stderr)


if __name__ == "__main__":
    Hub.root = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    print(server.server_port, flush=True)
    server.serve_forever()
