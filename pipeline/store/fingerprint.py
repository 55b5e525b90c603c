"""What a result is named by: the hash of everything that decides it, and the words for what changed between two.

A fingerprint covers the asset's key, its code version, its identity settings and the content hashes of its inputs, so
an input that was rebuilt with the same content changes nothing. Values without one stable form are refused rather
than hashed: an object's repr holds an address, a set has no order, and a NaN is not equal to itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipeline.base.canonical import canonical_hash

FINGERPRINT_DIGITS: Final = 32  # hexadecimal: 128 bits, short enough for a folder name
MISSING: Final = "(none)"
LONGEST_SHOWN: Final = 60


def fingerprint(key: str, code_version: str, identity: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """The name of a result, 32 hexadecimal digits. `inputs` maps each input's name to its content hash."""
    basis = {"key": key, "code_version": code_version, "identity": dict(identity), "inputs": dict(inputs)}
    return canonical_hash(basis, where=key)[:FINGERPRINT_DIGITS]


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
    """A value as it is shown in the reason for a rebuild: JSON, cut in the middle when long."""
    text = value if value is MISSING else json.dumps(value, ensure_ascii=False, default=str)
    if len(text) <= LONGEST_SHOWN:
        return text
    half = LONGEST_SHOWN // 2 - 1
    return f"{text[:half]}…{text[-half:]}"
