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
    reasons += [f"{path}: {change(old, new)}" for path, old, new in differences(before.identity, plain)]
    for label in sorted({*before.inputs, *inputs}):
        if label not in inputs:
            reasons.append(f"input {label} is gone")
        elif label not in before.inputs:
            reasons.append(f"input {label} is new")
        elif before.inputs[label].content_hash != inputs[label].content_hash:
            reasons.append(f"input {label} changed")
    more = f" and {len(reasons) - MOST_REASONS} more" if len(reasons) > MOST_REASONS else ""
    return f"rebuilt because: {'; '.join(reasons[:MOST_REASONS])}{more}"


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "config"
) -> Iterator[tuple[str, Any, Any]]:
    """Every leaf that differs between two nested settings, as (dotted path, old value, new value)."""
    for name in sorted({*old, *new}):
        path = f"{prefix}.{name}"
        before, after = old.get(name, MISSING), new.get(name, MISSING)
        yield from _of_values(before, after, path)


def _of_values(before: Any, after: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from differences(before, after, path)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _of_values(old, new, f"{path}[{place}]")
    elif before != after:
        yield path, before, after


def change(old: Any, new: Any) -> str:
    """`old -> new`, each in a few words; what long ones begin with alike is left out."""
    words = tuple(in_words(value).split(" ") for value in (old, new))
    same = 0
    if max(len(" ".join(text)) for text in words) > LONGEST_SHOWN:
        shortest = min(map(len, words))
        same = next((place for place in range(shortest) if words[0][place] != words[1][place]), shortest)
    return " -> ".join(_cut(text[same:], begun=same > 0) for text in words)


def _cut(words: list[str], *, begun: bool) -> str:
    """Whole words of a text up to the longest that is shown, with a mark where something is left out."""
    shown: list[str] = []
    for word in words:
        if shown and len(" ".join([*shown, word])) > LONGEST_SHOWN:
            shown.append("…")
            break
        shown.append(word if len(word) <= LONGEST_SHOWN else f"{word[: LONGEST_SHOWN // 2]}…")
    return " ".join(["…", *shown] if begun else shown)


def in_words(value: Any) -> str:
    """A value as one writes it in a profile."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {in_words(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(in_words, value))}]"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
