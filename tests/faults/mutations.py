"""What disks, kills and strangers make of a file: mutated JSON, bytes and Arrow files, the same for the same seed."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63) - 1, 10**40, 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", " ", "x", "\0", "\ud800", "é" * 50, "../../etc/passwd", "/dev/null", "a/b", "nan", "1", "[/b]", "{}"),
    *([], {}, [[]], [None], {"": None}, {"a": {"b": []}}, [0, "x", {}], [1] * 500),
]
WORDS = [b"\xff" * 8, b"\0" * 8, b"\xff" * 7 + b"\x7f", b"\x01" + b"\0" * 7, b"\xff" * 4, b"\0\0\0\x80", b"\0" * 512]
TEXTS = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"0",
    b'"x"',
    b"[" * 5000,
    b'{"a":' * 3000,
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\0",
    b"NaN",
]


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    found, waiting = [], [value]
    while waiting:
        item = waiting.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
        for key in list(keys)[:200]:
            found.append((item, key))
            waiting.append(item[key])
    return found


def mutated_json(value: Any, draw: random.Random) -> Any:
    """A copy in which a few values, keys or places are others."""
    value = [copy.deepcopy(value)]
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        found = places(value)
        if not found:
            break
        container, key = draw.choice(found)
        how = draw.randrange(8)
        if how < 4:
            container[key] = copy.deepcopy(draw.choice(ODD))
        elif how == 4 and container is not value:
            del container[key]
        elif how == 5:
            other, there = draw.choice(found)
            container[key] = copy.deepcopy(other[there])
        elif how == 6 and isinstance(container, dict):
            container[draw.choice(["", "x", "format", "version", key.upper()])] = container.pop(key)
        elif isinstance(container[key], bool | int | float):
            container[key] = draw.choice([-1, 2, 1000, 0.1]) * container[key]
        elif isinstance(container[key], str):
            container[key] = mutated(container[key].encode(errors="replace"), draw).decode(errors="replace")
        elif isinstance(container[key], list):
            container[key] = container[key] * draw.choice([0, 2]) or [container[key]]
    return value[0] if value else None


def mutated(data: bytes, draw: random.Random) -> bytes:
    """A copy with flipped, cut, doubled, emptied and inserted bytes, most of them near its ends."""
    out = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 4])):
        size = len(out)
        near = draw.randrange(min(size, 1200)) if size else 0
        place = draw.choice([near, max(size - 1 - near, 0), draw.randrange(size) if size else 0])
        how = draw.randrange(8)
        if how < 3 and size:
            out[place] ^= 1 << draw.randrange(8)
        elif how < 5:
            word = draw.choice(WORDS)
            out[place : place + len(word)] = word
        elif how == 5:
            del out[place : place + draw.choice([1, 2, 8, 100, size])]
        elif how == 6:
            out[place:place] = out[place : place + draw.choice([1, 8, 64])]
        else:
            out[place:place] = draw.choice([b"\0", b"\xff", b'"', b"{", b"[" * 300, b"\\ud800", b"\n", b"1e999", b":"])
    return bytes(out)


def damaged(data: bytes, draw: random.Random) -> bytes:
    """A mutation of a file's bytes, of its value where it is JSON."""
    if draw.random() < 0.02:
        return draw.choice(TEXTS)
    if draw.random() < 0.7:
        try:
            return as_json(mutated_json(json.loads(data), draw))
        except ValueError:
            pass
    return mutated(data, draw)
