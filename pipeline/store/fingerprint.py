"""What a result is named by: the hash of everything that decides it, and the words for what changed between two.

A fingerprint covers the asset's key, its code version, its identity settings and the content hashes of its inputs, so
an input that was rebuilt with the same content changes nothing. Values without one stable form are refused rather
than hashed: an object's repr holds an address, a set has no order, and a NaN is not equal to itself.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipeline.base.errors import StoreError

FINGERPRINT_DIGITS: Final = 32  # hexadecimal: 128 bits, short enough for a folder name
MISSING: Final = "(none)"
LONGEST_SHOWN: Final = 60


def canonical_json(value: Any, *, where: str = "$") -> str:
    """One text for one value: sorted keys, no spaces, finite numbers.

    Raises StoreError, naming the place, for anything that is not a JSON value with a stable form.
    """
    _refuse_unstable(value, where)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(key: str, code_version: str, identity: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """The name of a result, 32 hexadecimal digits. `inputs` maps each input's name to its content hash."""
    basis = {"key": key, "code_version": code_version, "identity": dict(identity), "inputs": dict(inputs)}
    text = canonical_json(basis, where=key)
    return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT_DIGITS]


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


def _refuse_unstable(value: Any, where: str) -> None:
    if value is None or isinstance(value, bool | int | str):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise StoreError(f"{where}: {value} cannot be part of a fingerprint; use a finite number or null")
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise StoreError(
                    f"{where}: the key {key!r} is a {type(key).__name__}; only strings have one stable form"
                )
            _refuse_unstable(item, f"{where}.{key}")
        return
    if isinstance(value, list | tuple):
        for position, item in enumerate(value):
            _refuse_unstable(item, f"{where}[{position}]")
        return
    raise StoreError(
        f"{where}: a {type(value).__name__} has no stable form and cannot be part of a fingerprint; "
        "pass plain numbers, strings, lists and mappings"
    )
