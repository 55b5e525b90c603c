"""Being the only one at something over all machines that share a bucket, for as long as one is alive.

In: a name. Out: a `Lease`, held until the block ends. The holder renews it by compare-and-swap every third of its time.
Who waits judges by his own clock, from when he saw the holder's last renewal: no two clocks are compared, and a holder
that was killed is followed by the next within the time of a lease. A holder that was frozen, or cut off from the
bucket, may be followed while it thinks that it holds: it notices when it is back, and says so. A lease therefore saves
work; who wins is decided by creating the manifest, which only one can.

A lease that ends is marked free, not deleted: no bucket deletes on a condition.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from pipeline.base.errors import BucketError
from pipeline.store.remote.objects import Objects, Version
from trainer.records import parse_json

log = logging.getLogger(__name__)

LEASES: Final = "leases"
LEASE_SECONDS: Final = 60.0
"""After which a holder that renews no more is followed."""
SAY_EVERY_SECONDS: Final = 30.0


def lease_name(name: str) -> str:
    """Where the lease of what `name` stands for is in a bucket."""
    return f"{LEASES}/{name}"


def is_free(objects: Objects, name: str) -> bool:
    """Whether the object of a lease says that nobody holds it; a holder that died has not said so."""
    return bool(_decoded(objects.read(name) or b"").get("free", True))


class Lease:
    """What its holder knows of it."""

    def __init__(self, objects: Objects, name: str, text: dict[str, Any], version: Version, seconds: float) -> None:
        self.lost = threading.Event()
        """Set once somebody else may hold it."""
        self._objects, self._name, self._text, self._version, self._seconds = objects, name, text, version, seconds
        self._ended = threading.Event()
        self._renewals = threading.Thread(target=self._renew, name=f"lease {name}", daemon=True)
        self._renewals.start()

    def _renew(self) -> None:
        held = time.monotonic()
        while not self._ended.wait(self._seconds / 3):
            try:
                self._text["renewal"] += 1
                asked = time.monotonic()
                version = self._objects.replace(self._name, _encoded(self._text), self._version)
            except BucketError as error:
                if time.monotonic() - held > self._seconds:
                    return self._lose(str(error))
                continue
            if version is None:
                return self._lose("another process holds it by now")
            held, self._version = asked, version
        return None

    def _lose(self, why: str) -> None:
        self.lost.set()
        log.warning(
            "%s: this process was away for too long and has lost this lease (%s); whoever is done first decides what "
            "is kept, and nothing is kept twice",
            self._objects.where(self._name),
            why,
        )

    def end(self) -> None:
        """Let the next one have it."""
        self._ended.set()
        self._renewals.join()
        if not self.lost.is_set():
            self._objects.replace(self._name, _encoded(self._text | {"free": True}), self._version)


@contextmanager
def lease(objects: Objects, name: str, purpose: str, *, seconds: float = LEASE_SECONDS) -> Iterator[Lease]:
    """Hold the lease of `name`, waiting for whoever has it and saying so in the log.

    purpose: what for, said to those who wait. seconds: after which a holder that renews no more is followed; the same
    for all who ask. Raises BucketError where the bucket cannot be asked; ending a lease raises nothing.
    """
    held = _take(objects, lease_name(name), purpose, seconds)
    try:
        yield held
    finally:
        try:
            held.end()
        except BucketError as error:  # the next one waits until it runs out
            log.warning("%s", error)


def _take(objects: Objects, name: str, purpose: str, seconds: float) -> Lease:
    holder = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(8)}"
    text = {
        "holder": holder,
        "host": socket.gethostname(),
        "process": os.getpid(),
        "purpose": purpose,
        "renewal": 0,
        "free": False,
    }
    seen: Version | None = None
    since = said = -float("inf")
    while True:
        found = objects.read_version(name)
        there = _decoded(found[0]) if found else {}
        version = found[1] if found else None
        now = time.monotonic()
        if version != seen:
            seen, since = version, now
        if found is None or there.get("free", True) or now - since > seconds:
            taken = objects.replace(name, _encoded(text), version)
            if taken is not None:
                return Lease(objects, name, text, taken, seconds)
            continue
        if now - said > SAY_EVERY_SECONDS:
            said = now
            log.info(
                "waiting for process %s of %s, which is %s",
                *(there.get(part, "?") for part in ("process", "host", "purpose")),
            )
        time.sleep(min(seconds / 12, 5.0))


def _encoded(text: dict[str, Any]) -> bytes:
    return json.dumps(text, sort_keys=True).encode()


def _decoded(data: bytes) -> dict[str, Any]:
    """What a lease says; nothing, and so a free one, where it cannot be read."""
    try:
        found = parse_json(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
