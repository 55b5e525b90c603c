"""One text for one value: canonical JSON, and hashes over it.

What a fingerprint or a content hash is taken over. Values without one stable form are refused rather than hashed: an
object's repr holds an address, a set has no order, and a NaN is not equal to itself.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from pipeline.base.errors import StoreError


def canonical_json(value: Any, *, where: str = "$") -> str:
    """JSON with sorted keys, no spaces, and finite numbers only.

    Raises StoreError, naming the place, for anything that is not a JSON value with a stable form.
    """
    _refuse_unstable(value, where)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_hash(value: Any, *, where: str = "$") -> str:
    """SHA-256, in hexadecimal, of the canonical JSON of `value`. Raises as `canonical_json` does."""
    return text_hash(canonical_json(value, where=where))


def text_hash(text: str) -> str:
    """SHA-256, in hexadecimal, of a text's UTF-8 bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


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
