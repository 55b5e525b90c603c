"""A process whose hub is the imitated one, and which builds documents for tests, one after the other.

The hub's libraries read their address when they are imported, which takes seconds: one process does it for all tests of
a file. A build is told on standard input, a line of JSON, and what came of it comes back the same way.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.hub.server import Hub

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Built:
    """What came of a build."""

    documents: int
    content_hash: str
    refused: str
    """The message that it ended with; empty where it did not."""
    kind: str
    said: list[str]
    """Warnings on the log."""
    seconds: float


class Builder:
    """The process, from the test's side."""

    def __init__(self, hub: Hub, home: Path, **environment: str) -> None:
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **hub.environment(home), **environment}

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.hub.builder"]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=self._environment, cwd=ROOT, **pipes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()

    def start(self, out: Path, cache: Path, *, dataset: str, revision: str, workers: int = 1, **source: Any) -> None:
        """Begin a build, of a part for every 60 kB of text; other words are settings of the source."""
        place = {name: source.pop(name) for name in ("config", "split") if name in source}
        told = {
            "source": {"hub": {"id": dataset, "revision": revision} | place, "lang": "en", **source},
            "out": str(out),
            "cache": str(cache),
            "workers": workers,
        }
        assert self.process.stdin is not None
        print(json.dumps(told), file=self.process.stdin, flush=True)

    def wait(self) -> Built:
        """What came of the build that was begun."""
        assert self.process.stdout is not None
        return Built(**json.loads(self.process.stdout.readline()))

    def build(self, *where: Path, **how: Any) -> Built:
        """`start`, and `wait`."""
        self.start(*where, **how)
        return self.wait()


class _Said(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def main() -> None:
    """Build what comes on standard input."""
    from pipeline.curation.sources import unit_listing
    from pipeline.curation.sources.hub import patience, transfer

    patience.FIRST_PAUSE = 0.02  # type: ignore[misc]
    patience.WINDOW = 0.5  # type: ignore[misc]
    transfer.SECONDS = 1.0  # type: ignore[misc]
    unit_listing._HUB_UNIT_BYTES = 60_000  # type: ignore[misc]
    answers, sys.stdout = sys.stdout, sys.stderr
    said = _Said()
    logging.getLogger("pipeline").addHandler(said)
    for line in sys.stdin:
        patience.Patience.reached = False
        said.lines = []
        begun = time.monotonic()
        outcome = _built(json.loads(line))
        outcome |= {"said": said.lines, "seconds": time.monotonic() - begun}
        print(json.dumps(outcome), file=answers, flush=True)


def _built(told: dict[str, Any]) -> dict[str, Any]:
    from pipeline.base.errors import SqueezeError
    from pipeline.base.executor import Processes
    from pipeline.curation.documents import build_documents
    from pipeline.curation.settings import CorpusSettings

    offline(told["source"].pop("offline", False))
    settings = CorpusSettings.model_validate({"sources": [told["source"]]})
    places = {"out": Path(told["out"]), "cache": Path(told["cache"])}
    nothing = {"documents": 0, "content_hash": "", "refused": "", "kind": ""}
    try:
        with Processes(told["workers"]) as executor:
            summary = build_documents("web", settings.documents, executor=executor, **places)
    except SqueezeError as error:
        return nothing | {"refused": str(error), "kind": type(error).__name__}
    return nothing | {"documents": summary.documents, "content_hash": summary.content_hash}


def offline(is_so: bool) -> None:
    """What HF_HUB_OFFLINE says to a process that begins with it."""
    import datasets.config
    import huggingface_hub.constants

    huggingface_hub.constants.HF_HUB_OFFLINE = is_so  # type: ignore[misc]
    datasets.config.HF_HUB_OFFLINE = is_so


if __name__ == "__main__":
    main()
