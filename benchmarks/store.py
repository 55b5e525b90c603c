"""How the commands about a store grow with what is in it.

    python benchmarks/store.py [--artifacts 1000 5000 20000]

Artifacts are made through the store itself, as chains of five (documents, tokens, shards, model, scores) of 200 other
profiles, beside one chain of the profile that is asked about. Seconds are of CPU, in one process without its start.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.store import Artifact, Built, Store
from pipeline.store.collection import garbage
from pipeline.store.maintenance import damaged_in

CHAIN = ("documents/web", "tokens/web", "shards/epoch_001", "model", "eval/text")
PROFILES = 200


def grow(root: Path, have: int, wanted: int) -> None:
    """Add whole chains until there are as many artifacts as wanted."""
    for family in range(have // len(CHAIN), wanted // len(CHAIN)):
        chain(Store(root, f"p{family % PROFILES}"), family)


def chain(store: Store, family: int) -> None:
    """One chain, current for the store's profile."""
    made: list[Artifact] = []
    for key in CHAIN:
        identity = {"family": family, "settings": {f"setting_{number}": number for number in range(40)}}
        inputs = {item.key: item for item in made[-1:]}
        build = writing(f"{key} {family}")
        made.append(store.ensure(key, code_version="1", identity=identity, inputs=inputs, build=build).artifact)


def writing(text: str) -> Callable[[Path], Built]:
    def write(folder: Path) -> Built:
        (folder / "data.bin").write_bytes(text.encode() * 20)
        return Built(text, {"losses": [1.0] * 50})

    return write


def asked(root: Path) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""

    def shown(profile: str) -> list[Artifact | None]:
        return [item for _, _, item in Store(root, profile).pointers(profile)]

    def reused() -> None:
        run = Store(root, "mine").open().for_run(f"run {time.monotonic_ns()}")
        run.look_ahead(CHAIN)
        chain(run, -1)
        if run.footing is not None:
            run.footing.end()

    return {
        "ls": lambda: shown("mine"),
        "verify --quick": lambda: list(damaged_in(Store(root, "mine"), quick=True)),
        "verify": lambda: list(damaged_in(Store(root, "mine"))),
        "gc, dry": lambda: garbage(Store(root, "mine")),
        "a chain reused by a run": reused,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artifacts", type=int, nargs="+", default=[1000, 5000, 20_000])
    sizes = parser.parse_args(arguments).artifacts
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        chain(Store(root, "mine").open(), -1)
        have = 0
        for size in sizes:
            grow(root, have, size)
            have = size
            for name, ask in asked(root).items():
                begun = time.process_time()
                ask()
                print(f"{size:>7,} artifacts  {name:<24} {time.process_time() - begun:8.2f} s", flush=True)


if __name__ == "__main__":
    main()
