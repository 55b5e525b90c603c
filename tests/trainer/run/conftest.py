"""Tiny shards that a tiny model learns within a few steps, and runs on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_shards import MODEL, TRAINING, write_epoch, write_shards

from trainer.presets import laid_over


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two epochs of about 8,000 tokens and held-out documents; nobody writes to it again."""
    return write_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors this small are computed faster, and always in the same order, by one thread."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(shards: Path, tmp_path: Path) -> MakeRun:
    """`make_run("name", model={…}, training settings…)` writes `name.json`, whose `out` is the folder `name` beside."""

    def make(name: str, model: dict[str, Any] | None = None, validate: bool = False, **training: Any) -> Path:
        validation = [{"name": "numbers", "path": str(shards / "validation" / "shards.json")}] if validate else []
        run = {
            "model": {**MODEL, **(model or {})},
            "training": laid_over(TRAINING, training),
            "data": {
                "epochs": [str(shards / f"epoch_{epoch:03d}" / "shards.json") for epoch in (1, 2)],
                "validation": validation,
            },
            "out": name,
        }
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(run))
        return path

    return make


@pytest.fixture
def run_shards() -> Callable[..., Path]:
    """`write_epoch`, for tests that need shards of their own."""
    return write_epoch
