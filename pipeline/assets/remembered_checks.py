"""Checks that held are not worked out again while what they looked at is the same.

In: the artifacts that a check looks at, its settings, and how to look. Out: its finding, from the store's cache where
it held for the same artifacts before. Artifacts never change (`squeeze verify` is what notices a disk that does), so
neither does what was found in them. What did not hold is looked at every time.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import StoreError
from pipeline.curation.inspection import INSPECTION_VERSION, Finding
from pipeline.store import Artifact, Store
from pipeline.store.fingerprint import fingerprint_of
from trainer.records import read_record

FINDINGS: Final = ".cache/findings"
"""Folder of the records, one a finding; machines that share a bucket share them."""


def read_finding(file: Path) -> Finding:
    """A finding that is kept. Raises StoreError where the file is damaged."""
    return read_record(file, Finding, StoreError, what="the finding of a check", cure="delete it")


def remembered(
    store: Store, check: str, settings: Mapping[str, Any], looked_at: Sequence[Artifact], look: Callable[[], Finding]
) -> Finding:
    """The finding of `check` on these artifacts under these settings; `look` is called where none is kept."""
    inputs = {f"{artifact.key}/{artifact.fingerprint}": artifact.content_hash for artifact in looked_at}
    name = fingerprint_of(check, INSPECTION_VERSION, settings, inputs)
    record = f"{FINDINGS}/{name}.json"
    file = store.root / record
    with suppress(StoreError):  # what is damaged is found again
        if store.backend.read(record) is not None:
            return read_finding(file)
    finding = look()
    if finding.passed:
        with suppress(OSError):  # on a disk that cannot be written it is worked out each time
            store.backend.write(record, json.dumps(asdict(finding), ensure_ascii=False))
    return finding
