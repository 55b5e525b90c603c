"""Why an artifact is built again, in words: what differs from the one that was built before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipeline.base.canonical import canonical_json
from pipeline.store.manifest import Input, Manifest

MISSING: Final = "(none)"
LONGEST_SHOWN: Final = 60
MOST_REASONS: Final = 4


def rebuild_reason(
    before: Manifest, code_version: str, identity: Mapping[str, Any], inputs: Mapping[str, Input]
) -> str:
    """Say what of the code, the settings and the inputs is no longer as it was for `before`."""
    reasons = []
    if before.code_version != code_version:
        reasons.append(f"code version {before.code_version} -> {code_version}")
    plain = json.loads(canonical_json(identity))
    reasons += [f"{path} {short(old)} -> {short(new)}" for path, old, new in differences(before.identity, plain)]
    for label in sorted({*before.inputs, *inputs}):
        if label not in inputs:
            reasons.append(f"input {label} is gone")
        elif label not in before.inputs:
            reasons.append(f"input {label} is new")
        elif before.inputs[label].content_hash != inputs[label].content_hash:
            reasons.append(f"input {label} changed")
    more = f" and {len(reasons) - MOST_REASONS} more" if len(reasons) > MOST_REASONS else ""
    return f"rebuilt because: {', '.join(reasons[:MOST_REASONS])}{more}"


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "config"
) -> Iterator[tuple[str, Any, Any]]:
    """Every leaf that differs between two nested settings, as (dotted path, old value, new value)."""
    for name in sorted({*old, *new}):
        path = f"{prefix}.{name}"
        before, after = old.get(name, MISSING), new.get(name, MISSING)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from differences(before, after, path)
        elif before != after:
            yield path, before, after


def short(value: Any) -> str:
    """A value as it is shown in a reason: JSON, cut in the middle when long."""
    text = value if value is MISSING else json.dumps(value, ensure_ascii=False, default=str)
    if len(text) <= LONGEST_SHOWN:
        return text
    half = LONGEST_SHOWN // 2 - 1
    return f"{text[:half]}…{text[-half:]}"
