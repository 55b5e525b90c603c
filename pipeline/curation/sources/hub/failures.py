"""What an error of the hub means: whether it goes away by itself, when, and what the user can do where it does not.

In: an error that a request, or the hub's own libraries, raised. Out: a `Passing` one with the pause that was asked for,
or a `Lasting` one with the message for the user. The libraries wrap errors in others, and some leave out the reason (a
`FileNotFoundError` for a file whose listing was refused with 429), so the errors that led to one are looked at too.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import pyarrow as pa

from pipeline.base.errors import DiskFullError, SourceError, SqueezeError

_PASSING_STATUS: Final = frozenset((408, 421, 425, 429))
_NETWORK: Final = ("httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "requests", "urllib3")
_NEVER_BETTER: Final = ("UnsupportedProtocol", "InvalidURL", "LocalProtocolError", "TooManyRedirects")
"""Errors of HTTP libraries that lie in the address or a header."""
_HIDDEN_LIMIT: Final = re.compile(r"\b429\b|too many requests|rate limit", re.IGNORECASE)
_LIMIT: Final = re.compile(r'"(\w+)"\s*;\s*r\s*=\s*(\d+)\s*;\s*t\s*=\s*(\d+)')
_WINDOW: Final = re.compile(r"\bw\s*=\s*(\d+)")
LOG_IN: Final = "log in with `hf auth login` or set HF_TOKEN to a token that may read it"


class WrongAnswerError(Exception):
    """An answer that no hub gives, which something between here and there made; another request would get it too."""


class BrokenBodyError(Exception):
    """An answer that has not all the bytes it announced, or others."""


@dataclass(frozen=True)
class Passing:
    """An error that is likely to go away."""

    pause: float | None
    """Seconds after which the hub said to ask again; None where it did not."""
    limited: bool = False
    """Whether the hub had enough of requests, and not some other trouble."""
    unreached: bool = False
    """Whether no connection came about: what is misspelled looks the same."""


@dataclass(frozen=True)
class Lasting:
    """An error that another attempt would end in too."""

    error: SqueezeError


def judge(error: Exception, where: str) -> Passing | Lasting:
    """What an error means. where: what was asked for, such as `data set a/b at revision main`.

    Of the errors that led to it the last one that says anything decides: earlier ones may have been dealt with.
    """
    if isinstance(error, SqueezeError):
        return Lasting(error)
    causes = list(_causes(error))
    for cause in causes:
        if type(cause).__name__ == "RemoteEntryNotFoundError" and cause is not error:
            continue  # the libraries look for files that may be there, and go on without them
        lasting = _lasting(cause, where)
        if lasting is not None:
            return Lasting(lasting)
        response = getattr(cause, "response", None)
        status = getattr(response, "status_code", None)
        if response is not None and status is not None:
            if status in _PASSING_STATUS or status >= 500:
                return Passing(asked_pause(response.headers), limited=status == 429)
            return Lasting(SourceError(_refusal(status, cause, where)))
        if isinstance(cause, FileNotFoundError) and _HIDDEN_LIMIT.search(str(cause)):
            return Passing(None, limited=True)
        if _is_of_network(cause):
            return Passing(None, unreached=_never_connected(causes))
    if isinstance(error, ValueError):
        return Lasting(SourceError(f"{where} cannot be opened: {error}"))
    return Lasting(SourceError(f"{where} cannot be read: {type(error).__name__}: {error}"))


def asked_pause(headers: Mapping[str, str]) -> float | None:
    """Seconds that the headers of an answer ask to wait, and never less than none; None where they say nothing.

    `RateLimit` of the IETF's draft 9, as the hub sends it, where nothing remains; else `Retry-After` (RFC 9110, 10.2.3)
    as seconds or a date; else, for who is refused without saying how long, the window of `RateLimit-Policy`.
    """
    named = {name.lower(): value for name, value in headers.items()}
    limit = _LIMIT.search(named.get("ratelimit", ""))
    if limit is not None and int(limit[2]) == 0:
        return float(limit[3])
    after = _seconds(named.get("retry-after", ""))
    if after is not None:
        return after
    window = _WINDOW.search(named.get("ratelimit-policy", "")) if limit is None else None
    return float(window[1]) if window is not None else None


def _seconds(after: str) -> float | None:
    """Seconds of a `Retry-After`; None of one that is malformed."""
    if re.fullmatch(r"\s*\d+(\.\d*)?\s*", after):
        return float(after)
    try:
        when = parsedate_to_datetime(after)
    except (ValueError, TypeError, IndexError):
        return None
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those that led to it, each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _lasting(cause: BaseException, where: str) -> SqueezeError | None:
    """What is said of an error whose kind, whatever its status, says that it stays; None of any other."""
    kind, said = type(cause).__name__, str(cause)
    if getattr(cause, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(
            f"the disk is full while fetching {where}: make room, for example with `squeeze gc`, and run the same "
            f"command again; what was fetched is kept ({said})"
        )
    text = _text_of(kind, said, where)
    if text is None and isinstance(cause, PermissionError) and cause.filename:
        text = f"{cause.filename} may not be written or read: correct its permissions ({cause.strerror})"
    if text is None and isinstance(cause, WrongAnswerError):
        text = f"{where}: {said}"
    if text is None and (isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in said):
        text = (
            f"{where}: the certificate of who answered is not trusted here: behind a proxy that opens connections set "
            f"SSL_CERT_FILE to its authority's certificate ({said})"
        )
    return SourceError(text) if text is not None else None


def _text_of(kind: str, said: str, where: str) -> str | None:
    """The message for an error of the hub's libraries, by its kind or by what it says."""
    if kind == "OfflineModeIsEnabled" or "OfflineModeIsEnabled" in said or "offline mode is enabled" in said.lower():
        return (
            f"{where} is not here, and HF_HUB_OFFLINE is set: unset it, or fetch it on a machine with a network by "
            "`squeeze fetch --into FOLDER` and copy the folder here"
        )
    if kind == "GatedRepoError" or "gated dataset" in said:
        return f"{where} is gated: accept its terms on its page on the hub, then {LOG_IN}"
    if "Invalid credentials" in said or "Invalid user token" in said:
        return f"the hub does not know the token that was sent for {where}: {LOG_IN}"
    if kind == "DisabledRepoError":
        return f"{where} has been taken down by the hub: take another data set"
    if kind == "RevisionNotFoundError" or re.search(r"Revision '.*' doesn't exist", said):
        return f"{where} has no such revision: correct `revision` to a branch, tag or commit that it has"
    if kind in ("RepositoryNotFoundError", "DatasetNotFoundError", "HFValidationError"):
        return (
            f"{where} does not exist, or you may not read it: check `id` and `revision`; where it is private, {LOG_IN}"
        )
    if "Dataset scripts are no longer supported" in said:
        return (
            f"{where} is made by a program in its repository, which `datasets` no longer runs: take a copy of it that "
            "holds files (Parquet), perhaps the revision refs/convert/parquet"
        )
    if kind in _NEVER_BETTER:
        return f"{where} cannot be asked for: correct HF_ENDPOINT, HF_TOKEN and proxy settings ({kind}: {said})"
    if kind == "RemoteEntryNotFoundError":
        return f"{where} has no such file: correct `revision` or `config` ({_first_line(said)})"
    if kind in ("DataFilesNotFoundError", "EmptyDatasetError"):
        return f"{where} holds no file that can be read: check `config` and `revision` ({said})"
    return None


def _refusal(status: int, error: BaseException, where: str) -> str:
    if status == 401:
        return f"{where} may not be read by who is not logged in: {LOG_IN}"
    if status == 403:
        return f"{where} may not be read (403): {LOG_IN} ({_first_line(str(error))})"
    if status == 407:
        return f"{where}: the proxy wants a user and password: write them into HTTPS_PROXY"
    if status == 416:
        return f"{where} is shorter than its own footer says: it is damaged on the hub"
    if status == 451:
        return f"{where} may not be given out for legal reasons (451): take another data set"
    return f"{where} cannot be read: the hub answers with {status} ({_first_line(str(error))})"


def _first_line(said: str) -> str:
    return next((line.strip() for line in said.splitlines() if line.strip()), "no reason is given")


def _is_of_network(cause: BaseException) -> bool:
    if isinstance(cause, ConnectionError | TimeoutError | EOFError | socket.gaierror | BrokenBodyError):
        return True
    return isinstance(cause, pa.ArrowInvalid) or type(cause).__module__.split(".")[0] in _NETWORK


def _never_connected(causes: list[BaseException]) -> bool:
    kinds: set[Any] = {type(cause).__name__ for cause in causes}
    return bool(kinds & {"ConnectError", "gaierror", "ConnectionRefusedError", "ProxyError", "ClientConnectorError"})
