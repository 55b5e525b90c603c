"""Credentials in addresses, which belong in no record, log or message.

In: a text with addresses such as `https://me:secret@host/file?token=secret`. Out: the same with `***` in the place of
what lets somebody in, so that the name of a source stays as it is when a token is renewed. The address itself is kept
in this process alone, for whoever opens it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

HIDDEN: Final = "***"
_USER: Final = re.compile(r"(?<=://)[^/?#@\s'\"<>]+@")
"""`user:password@` of an address; a password with a slash must be written with %2F, as in every address."""
_NAMES: Final = (
    r"[\w.-]*(?:token|secret|password|passwd|signature|credential|api[_-]?key|apikey|access[_-]?key(?:[_-]?id)?)"
    r"|x-(?:amz|goog|oss|cos|ms)-[\w-]+|sig|sign|pwd|pass|auth|authorization|key-pair-id|policy|expires|jwt"
    r"|googleaccessid|s[etprv]|spr|sk[toevs]|skoid|sktid"
)
"""Names of what a query lets in by, and of what changes with it: when a signature of S3, Google or Azure ends."""
_QUERY: Final = re.compile(rf"(?<=[?&;])({_NAMES})=[^&;#\s'\"<>]+", re.IGNORECASE)
_KEY: Final = re.compile(r"(?<=[?&;])(key)=[\w~+-]{16,}(?=$|[&;#\s'\"<>])", re.IGNORECASE)
"""A query's `key` may also be the name of a file, which is shorter or has a full stop."""
_ADDRESS: Final = re.compile(r"\w://[^\s'\"<>]+")
_TOKEN: Final = re.compile(r"\bhf_[A-Za-z0-9]{16,}\b")

_addresses: Final[dict[str, str]] = {}
"""Addresses of this process with their credentials, by what is shown of them."""


def redact(text: str) -> str:
    """The text without the credentials of the addresses in it."""
    if "://" in text:
        text = _ADDRESS.sub(_without, text)
    return _TOKEN.sub(HIDDEN, text) if "hf_" in text else text


def _without(address: re.Match[str]) -> str:
    plain = _USER.sub(f"{HIDDEN}@", address[0])
    return _KEY.sub(rf"\1={HIDDEN}", _QUERY.sub(rf"\1={HIDDEN}", plain))


def hidden(address: str) -> str:
    """An address as it may be shown and kept; `address_of` gives it back in this process."""
    shown = redact(address)
    if shown != address:
        _addresses[shown] = address
    return shown


def address_of(shown: str) -> str:
    """The address to open for one that `hidden` gave."""
    return _addresses.get(shown, shown)


def speakable(error: BaseException) -> BaseException | None:
    """The error, if it may be written down with all that led to it; None where credentials are in it."""
    return error if all(redact(text) == text for text in _said(error)) else None


def _said(error: BaseException) -> Iterator[str]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        item = waiting.pop()
        if item is not None and id(item) not in seen:
            seen.add(id(item))
            yield f"{item} {item.args!r}"
            waiting += [item.__cause__, item.__context__]
