"""What the imitated hub does wrong, and how often: given before a test, and used up by the requests that fit."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Damage(StrEnum):
    """What is done to an answer that would have been right."""

    TRUNCATED = "truncated"
    """Half of the body, then the end."""
    RESET = "reset"
    """Half of the body, then a reset connection."""
    REFUSED = "refused"
    """A reset connection in the place of an answer."""
    SILENT = "silent"
    """Nothing, for `seconds`, then a closed connection."""
    STALLED = "stalled"
    """Half of the body, nothing for `seconds`, then a closed connection."""
    WHOLE = "whole"
    """The whole file with 200, as a proxy that knows no ranges gives it."""
    OTHER_RANGE = "other range"
    """Bytes of another place, named truly in `Content-Range`."""
    SCRAMBLED = "scrambled"
    """As many bytes as asked for, but not those."""
    PAGE = "page"
    """A page to log in at, with 200, as the network of a hotel gives it."""
    LOOP = "loop"
    """A redirect to itself."""


@dataclass
class Fault:
    """One way to fail, for the first `times` requests whose `METHOD path` its pattern is found in."""

    pattern: str
    status: int = 0
    """An answer with this status in the place of the right one; 0 where `damage` says what is done."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    damage: Damage | None = None
    times: int | None = 1
    """None: always."""
    seconds: float = 0.0
    after: int = 0
    """Requests that fit and are answered rightly before."""


class Faults:
    """All that is still to go wrong."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def met(self, request: str) -> Fault | None:
        """The first fault that a request (`GET /path`) meets; it counts as used."""
        with self._lock:
            for fault in self._faults:
                if fault.times == 0 or not re.search(fault.pattern, request):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None
