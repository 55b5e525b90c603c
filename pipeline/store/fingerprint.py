"""What a result is named by: the hash of everything that decides it.

A fingerprint covers the asset's key, its code version, its identity settings and the content hashes of its inputs, so
an input that was rebuilt with the same content changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pipeline.base.canonical import canonical_hash

FINGERPRINT_DIGITS: Final = 32  # hexadecimal: 128 bits, short enough for a folder name


def fingerprint_of(key: str, code_version: str, identity: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """The fingerprint of a result, 32 hexadecimal digits. `inputs` maps each input's label to its content hash."""
    basis = {"key": key, "code_version": code_version, "identity": dict(identity), "inputs": dict(inputs)}
    return canonical_hash(basis, where=key)[:FINGERPRINT_DIGITS]
