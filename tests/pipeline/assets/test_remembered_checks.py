"""What a check found is kept where it held, and looked at again where it did not or where the artifacts are others."""

from pathlib import Path

import pytest

from pipeline.assets.remembered_checks import remembered
from pipeline.curation.inspection import Finding
from pipeline.store import Artifact, Built, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, "tiny").open()


def artifact(store: Store, content: str) -> Artifact:
    built = store.ensure(
        "corpus/web", code_version="1", identity={"text": content}, inputs={}, build=lambda out: Built(content, {})
    )
    return built.artifact


def test_a_finding_that_held_is_kept_for_the_same_artifacts_and_settings(store: Store) -> None:
    looks: list[str] = []

    def finding(content: str, settings: dict[str, float], *, passed: bool) -> Finding:
        def look() -> Finding:
            looks.append(content)
            return Finding(passed, f"of {content}", {"share": 0.5})

        return remembered(store, "language_share", settings, [artifact(store, content)], look)

    first = finding("a", {"least": 0.9}, passed=True)
    assert finding("a", {"least": 0.9}, passed=False) == first, "not looked at again"
    finding("b", {"least": 0.9}, passed=True)
    finding("a", {"least": 0.8}, passed=True)
    assert looks == ["a", "b", "a"]


def test_what_did_not_hold_is_looked_at_every_time(store: Store) -> None:
    kept = [artifact(store, "a")]
    assert not remembered(store, "no_duplicates", {}, kept, lambda: Finding(False, "2 documents are equal")).passed
    assert remembered(store, "no_duplicates", {}, kept, lambda: Finding(True, "none is equal")).passed
