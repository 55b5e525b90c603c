"""Ranges of bytes of a file of the hub, over HTTP, as they come, and gone on with where an answer broke off.

In: a data set's file at a commit, and a range. Out: its bytes in pieces, every one of them once and in order. The hub
is asked once where the file is (its address with the content delivery network, signed and good for a while) and not
again for each range: what counts against its limits is the first question alone. What an answer says about the file's
size and about the bytes in it is checked, since proxies and captive networks answer in the hub's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin

from pipeline.curation.sources.hub.failures import BrokenBodyError, WrongAnswerError
from pipeline.curation.sources.hub.patience import Patience

SECONDS: Final = 30.0
"""Without a byte, after which an answer counts as broken off."""
_PIECE: Final = 1 << 20
_REDIRECTS: Final = 5
_HERE: Final = frozenset((200, 206))
_ELSEWHERE: Final = frozenset((301, 302, 303, 307, 308))
_STALE: Final = frozenset((401, 403))
"""What a content delivery network says of a signed address that has ended."""


@dataclass(frozen=True)
class HubFile:
    """A file of a data set at a commit."""

    dataset: str
    commit: str
    path: str

    def __str__(self) -> str:
        return f"{self.path} of data set {self.dataset} at {self.commit[:12]}"


@dataclass(frozen=True)
class _Location:
    url: str
    size: int
    signed: bool
    """Whether it is on another host, with an address that ends."""


class Transfer:
    """The requests for files of one process; it remembers where files are."""

    def __init__(self) -> None:
        self._known: dict[HubFile, _Location] = {}

    def size(self, file: HubFile) -> int:
        """Bytes of the file. Raises SourceError."""
        return Patience(str(file)).call(lambda: self._location(file)).size

    def read(self, file: HubFile, first: int, stop: int) -> bytes:
        """The bytes from `first` up to `stop`. Raises SourceError."""
        return b"".join(self.stream(file, first, stop))

    def stream(self, file: HubFile, first: int, stop: int) -> Iterator[bytes]:
        """The bytes from `first` up to `stop`, in pieces as they come; none is asked for twice.

        Raises:
            SourceError: the file cannot be read, for good or after many attempts.
        """
        patience = Patience(str(file))
        while first < stop:
            try:
                with self._answer(file, first, stop) as pieces:
                    for piece in pieces:
                        first += len(piece)
                        yield piece
                        patience.succeeded()
                if first < stop:
                    raise BrokenBodyError(f"the answer ended {stop - first:,} bytes too early")
            except GeneratorExit:
                raise
            except Exception as error:
                patience.failed(error)

    @contextmanager
    def _answer(self, file: HubFile, first: int, stop: int) -> Iterator[Iterator[bytes]]:
        """One request, and the pieces of its answer's body."""
        from huggingface_hub.utils import hf_raise_for_status

        location = self._location(file)
        headers = {"Range": f"bytes={first}-{stop - 1}", "Accept-Encoding": "identity"}
        if not location.signed:
            headers |= _headers()
        with _session().stream("GET", location.url, headers=headers, timeout=SECONDS) as answer:
            if location.signed and answer.status_code in _STALE:
                self._known.pop(file, None)
                raise BrokenBodyError(f"the address that the hub gave for it has ended ({answer.status_code})")
            if answer.status_code >= 400:
                answer.read()
            hf_raise_for_status(answer)
            _check_range(answer, first, stop, location.size)
            yield _counted(answer.iter_raw(_PIECE), stop - first)

    def _location(self, file: HubFile) -> _Location:
        """Where the file is, asked for once."""
        location = self._known.get(file)
        if location is None:
            location = self._known[file] = _located(file)
        return location


def _located(file: HubFile) -> _Location:
    """Ask the hub where a file is, following it to a data set's new name, but not to the file."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import hf_raise_for_status

    url = hf_hub_url(file.dataset, file.path, repo_type="dataset", revision=file.commit)
    for _ in range(_REDIRECTS):
        answer = _session().head(url, headers=_headers(), timeout=SECONDS, follow_redirects=False)
        hf_raise_for_status(answer)
        size = answer.headers.get("X-Linked-Size")
        if answer.status_code in _ELSEWHERE:
            target = urljoin(url, answer.headers["Location"])
            if size is not None:
                return _Location(target, int(size), signed=True)
            url = target
        elif answer.status_code in _HERE and "X-Repo-Commit" in answer.headers:
            return _Location(url, int(size or answer.headers["Content-Length"]), signed=False)
        else:
            raise WrongAnswerError(
                "another server answers in the hub's place: log in to this network on a page of it, or correct "
                f"HF_ENDPOINT and proxy settings (it says {answer.status_code}, {_kind(answer)})"
            )
    raise WrongAnswerError(
        f"the hub sends the request around in a circle of {_REDIRECTS} redirects: correct HF_ENDPOINT"
    )


def _check_range(answer: Any, first: int, stop: int, size: int) -> None:
    """Raise what is wrong with an answer that should hold these bytes of a file of this size."""
    if answer.status_code == 200:
        if _kind(answer).startswith("text/html"):
            raise WrongAnswerError(
                "a page came in the place of the file: log in to this network, or correct proxy settings"
            )
        if first == 0 and stop == size:
            return
        raise WrongAnswerError(
            "what is between here and the hub does not know ranges of bytes and gives whole files: let requests to "
            "the hub pass the proxy by (NO_PROXY)"
        )
    said = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", ""))
    if said is None or int(said[1]) != first or int(said[2]) >= stop:
        found = answer.headers.get("Content-Range", "no Content-Range")
        raise BrokenBodyError(f"asked for bytes {first}-{stop - 1}, and got {found}")
    if said[3] not in ("*", str(size)):
        raise BrokenBodyError(f"it has {size:,} bytes by the hub and {int(said[3]):,} by who gives it out")


def _counted(pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    """The pieces, of which no more may come than were asked for."""
    for piece in pieces:
        most -= len(piece)
        if most < 0:
            raise BrokenBodyError("more bytes came than were asked for")
        yield piece


def _kind(answer: Any) -> str:
    return str(answer.headers.get("Content-Type", "no content type"))


def _headers() -> dict[str, str]:
    """The user's token, for the hub alone."""
    from huggingface_hub.utils import build_hf_headers

    return dict(build_hf_headers(library_name="squeeze"))


def _session() -> Any:
    """The hub library's own client: offline mode, proxies and certificates as its users set them."""
    from huggingface_hub.utils import get_session

    return get_session()
