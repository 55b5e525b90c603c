"""Checks that held are not worked out again while what they looked at is the same.

In: the artifacts that a check looks at, its settings, and how to look. Out: its finding, from the store's cache where
it held for the same artifacts before. Artifacts never change (`squeeze verify` is what notices a disk that does), so
neither does what was found in them. What did not hold is looked at every time.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipeline.base.files import write_text
from pipeline.curation.inspection import INSPECTION_VERSION, Finding
from pipeline.store import Artifact, Store
from pipeline.store.fingerprint import fingerprint_of


def remembered(
    store: Store, check: str, settings: Mapping[str, Any], looked_at: Sequence[Artifact], look: Callable[[], Finding]
) -> Finding:
    """The finding of `check` on these artifacts under these settings; `look` is called where none is kept."""
    inputs = {f"{artifact.key}/{artifact.fingerprint}": artifact.content_hash for artifact in looked_at}
    name = fingerprint_of(check, INSPECTION_VERSION, settings, inputs)
    file = store.cache / "findings" / f"{name}.json"
    if file.exists():
        return Finding(**json.loads(file.read_text(encoding="utf-8")))
    finding = look()
    if finding.passed:
        write_text(file, json.dumps(asdict(finding), ensure_ascii=False))
    return finding
