"""A hub on this machine that behaves as the real one does, well or badly: what `datasets` and `huggingface_hub` ask it.

Two servers, as there: the hub answers for data sets, their trees (page by page), commits and small files, and sends
whoever asks for a large file on to a content delivery network, another host, with a signed address that ends after a
while. Both note every request. `Faults` says what goes wrong, `Limits` how many requests a window has. Answers have the
form of the real ones and none of their content.

    with Hub(tmp_path) as hub:
        hub.add("some/stories", {"data/train-00000-of-00001.parquet": path}, readme="---\\nlicense: mit\\n---\\n")
        subprocess.run(command, env=os.environ | hub.environment(tmp_path / "home"))

`python -m tests.hub FOLDER` serves `FOLDER/<owner>/<name>/…` until it is ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.hub.faults import Faults
from tests.hub.limits import Limits
from tests.hub.repository import COMMIT, Repository

TOKEN = "hf_reader"
"""Of somebody who may read everything."""


@dataclass(frozen=True)
class Request:
    """A request that was answered, or was to be."""

    at: float
    """`time.monotonic()` when it came."""
    host: str
    """`hub` or `cdn`."""
    method: str
    path: str
    """With its query, unquoted."""
    range: tuple[int, int] | None
    """First byte and the one after the last, as asked for; the last may be beyond the file."""
    status: int
    sent: int
    """Bytes of the body that were given to the socket."""
    token: str
    """What came as `Authorization`."""


@dataclass
class State:
    """What both servers know."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    limits: Limits = field(default_factory=lambda: Limits(api=10**9, resolvers=10**9))
    readers: set[str] = field(default_factory=lambda: {TOKEN})
    requests: list[Request] = field(default_factory=list)
    at_work: int = 0
    """Requests that are being answered, which are noted only then."""
    changed: threading.Condition = field(default_factory=threading.Condition)
    tree_page: int = 1000
    """Entries of a tree that one answer gives."""
    bytes_per_second: float | None = None
    """What a connection to the content delivery network gives at most."""
    link_seconds: float = 3600.0
    """How long a signed address is good for."""
    cdn: str = ""
    """Address of the content delivery network."""


class Hub:
    """Both servers, in threads of this process."""

    def __init__(self, folder: Path) -> None:
        """folder: where small files that tests give as text are written."""
        from tests.hub.answering import CdnAnswers, HubAnswers

        self._folder = folder / "hub-files"
        self.state = State()
        self._hub = _Server(HubAnswers, self.state)
        self._cdn = _Server(CdnAnswers, self.state)
        self.state.cdn = f"http://localhost:{self._cdn.server_port}"
        self.url = f"http://127.0.0.1:{self._hub.server_port}"

    def __enter__(self) -> Self:
        for server in (self._hub, self._cdn):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in (self._hub, self._cdn):
            server.shutdown()
            server.server_close()

    @property
    def faults(self) -> Faults:
        return self.state.faults

    @property
    def limits(self) -> Limits:
        return self.state.limits

    @property
    def requests(self) -> list[Request]:
        """Those that were answered. Who has just got an answer finds it here: a moment is waited for those at work."""
        with self.state.changed:
            self.state.changed.wait_for(lambda: not self.state.at_work, timeout=1)
        return self.state.requests

    def add(
        self,
        dataset: str,
        files: Mapping[str, Path | str | bytes],
        *,
        readme: str | None = None,
        commit: str = COMMIT,
        gated: bool = False,
        private: bool = False,
        disabled: bool = False,
    ) -> Repository:
        """A data set with one commit on `main`. files: paths in it, and files that are there or what they hold."""
        repository = Repository(dataset, gated=gated, private=private, disabled=disabled)
        self.state.repositories[dataset] = repository
        self.commit(dataset, files if readme is None else {**files, "README.md": readme}, commit)
        return repository

    def commit(self, dataset: str, files: Mapping[str, Path | str | bytes], commit: str, branch: str = "main") -> None:
        """Move a branch on to a new commit."""
        lying = {path: self._lying(dataset, commit, path, content) for path, content in files.items()}
        self.state.repositories[dataset].move(lying, commit, branch)

    def rename(self, before: str, after: str) -> None:
        """Let requests for a data set be sent on to the one that it is called now."""
        self.state.renamed[before] = after

    def add_folder(self, folder: Path) -> None:
        """Every `<owner>/<name>` below a folder."""
        for place in sorted(folder.glob("*/*")):
            files = {str(file.relative_to(place)): file for file in sorted(place.rglob("*")) if file.is_file()}
            self.add(f"{place.parent.name}/{place.name}", files)

    def environment(self, home: Path) -> dict[str, str]:
        """What a program's environment needs for this to be its hub; `home` is its folder of the hub's own files."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    def ranges(self, name: str) -> list[Request]:
        """Requests for the bytes of the files whose path ends so, as the content delivery network got them."""
        return [
            request
            for request in self.requests
            if request.host == "cdn" and request.method == "GET" and request.path.partition("?")[0].endswith(name)
        ]

    def _lying(self, dataset: str, commit: str, path: str, content: Path | str | bytes) -> Path:
        if isinstance(content, Path):
            return content
        place = self._folder / dataset / commit / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        return place


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type, state: State) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.state = state
        self.started = time.monotonic()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away, as a killed one does, is no error here."""
