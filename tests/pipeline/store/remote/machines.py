"""Machines that share a bucket and nothing else: each a store in a folder of its own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.store import Artifact, Built, Outcome, Store
from pipeline.store.remote.objects import Objects
from pipeline.store.remote.shared import SharedBackend

Make = Callable[[Path], Built]


def writes(text: str, *, content: str | None = None, log: str = "") -> Make:
    """Builds an artifact of two files: what it is, and a file that differs from machine to machine."""

    def build(out: Path) -> Built:
        (out / "part").mkdir(exist_ok=True)
        (out / "part" / "data.bin").write_text(text)
        (out / "build.log").write_text(log)
        return Built(content or f"content of {text}", {"characters": len(text)})

    return build


def never(out: Path) -> Built:
    raise AssertionError("this was to be reused")


@dataclass
class Machine:
    """A store in a folder of its own, and how artifacts are asked for in it."""

    root: Path
    objects: Objects
    limit: int | None = None
    profile: str = "tiny"
    backend: SharedBackend = field(init=False)
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.backend = SharedBackend(self.root, self.objects, limit=self.limit, lease_seconds=1.0)
        self.store = Store(self.root, self.profile, backend=self.backend).open()

    def ensure(self, key: str, build: Make, *, words: int = 1, inputs: tuple[str, ...] = ()) -> Outcome:
        parents = {name: self.store.current(name) for name in inputs}
        return self.store.ensure(key, code_version="1", identity={"words": words}, inputs=parents, build=build)

    def read(self, key: str) -> str:
        return (self.store.current(key).path / "part" / "data.bin").read_text()

    def has(self, artifact: Artifact) -> bool:
        """Whether its files are on this machine."""
        return (self.root / artifact.key / artifact.fingerprint / "manifest.json").exists()
