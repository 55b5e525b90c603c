"""What errors of the hub mean, and how long is waited for which: without a hub, and without waiting."""

from __future__ import annotations

import errno
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import httpx2
import pytest

from pipeline.base.errors import DiskFullError, SourceError, UnreachableError
from pipeline.curation.sources.hub import patience
from pipeline.curation.sources.hub.failures import Lasting, Passing, asked_pause, judge
from pipeline.curation.sources.hub.patience import Patience


def refused(status: int, **headers: str) -> Exception:
    """An answer of the hub as its library raises it."""
    request = httpx2.Request("GET", "https://hub/api/datasets/a/b")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.HTTPStatusError("no", request=request, response=httpx2.Response(status, headers=named))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, of which none is waited for."""
    made: list[float] = []
    monkeypatch.setattr("time.sleep", made.append)
    monkeypatch.setattr(Patience, "reached", False)
    return made


def test_pauses_are_those_that_the_hub_asks_for() -> None:
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    policy = '"fixed window";"api";q=500;w=300'
    assert asked_pause({"RateLimit": '"api";r=0;t=123', "RateLimit-Policy": policy, "Retry-After": "7"}) == 123
    assert asked_pause({"ratelimit": '"api";r=12;t=123', "retry-after": "7"}) == 7
    assert asked_pause({"Retry-After": " 1.5 "}) == 1.5
    assert asked_pause({"Retry-After": in_a_minute}) == pytest.approx(60, abs=2)
    assert asked_pause({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert asked_pause({"Retry-After": "soon", "RateLimit-Policy": policy}) == 300
    assert asked_pause({"RateLimit": '"api";r=12;t=123', "RateLimit-Policy": policy}) is None
    assert asked_pause({"Retry-After": "-3"}) is None
    assert asked_pause({}) is None


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520])
def test_some_answers_pass(status: int) -> None:
    assert judge(refused(status), "it") == Passing(None, limited=status == 429)


def test_an_error_that_hides_a_limit_is_waited_out_as_one() -> None:
    def hidden() -> Exception:
        try:
            try:
                raise refused(429, Retry_After="40")
            except Exception:
                raise FileNotFoundError("hf://datasets/a/b: no such file") from None
        except FileNotFoundError as error:
            return error

    assert judge(hidden(), "it") == Passing(40, limited=True)
    assert judge(FileNotFoundError("429 Client Error: Too Many Requests"), "it") == Passing(None, limited=True)
    assert isinstance(judge(FileNotFoundError("hf://datasets/a/b: no such file"), "it"), Lasting)


def test_a_file_that_was_looked_for_in_vain_does_not_explain_what_failed_later() -> None:
    from huggingface_hub.errors import RemoteEntryNotFoundError

    answer = httpx2.Response(404, request=httpx2.Request("HEAD", "https://hub/a.py"))
    try:
        try:
            raise RemoteEntryNotFoundError("no a.py", response=answer)
        except RemoteEntryNotFoundError:
            raise ValueError("BuilderConfig 'x' not found") from None
    except ValueError as error:
        verdict = judge(error, "it")
    assert isinstance(verdict, Lasting)
    assert str(verdict.error) == "it cannot be opened: BuilderConfig 'x' not found"


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            DiskFullError,
            "the disk is full while fetching it: make ro",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/cache"),
            SourceError,
            "/cache may not be written or read",
        ),
        (ssl.SSLCertVerificationError("self-signed"), SourceError, "set SSL_CERT_FILE to its authority's certificate"),
        (
            httpx2.UnsupportedProtocol("missing http://"),
            SourceError,
            "correct HF_ENDPOINT, HF_TOKEN and proxy settings",
        ),
        (httpx2.LocalProtocolError("Illegal header value"), SourceError, "correct HF_ENDPOINT, HF_TOKEN and proxy"),
    ],
)
def test_what_this_machine_does_wrong_is_said_at_once(
    pauses: list[float], error: Exception, kind: type[Exception], said: str
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(kind, match=said):
        Patience("it").call(fail)
    assert not pauses


def fails(times: int, error: Exception) -> list[Exception]:
    return [error] * times


def ask(patient: Patience, errors: list[Exception]) -> int:
    """Call what fails so often; the number of calls."""
    calls = 0

    def call() -> int:
        nonlocal calls
        calls += 1
        if errors:
            raise errors.pop()
        return calls

    return patient.call(call)


def test_pauses_grow_and_end(pauses: list[float]) -> None:
    assert ask(Patience("it"), fails(7, refused(503))) == 8
    assert all(later > earlier / 2 for earlier, later in pairwise(pauses))
    assert 0.5 <= pauses[0] <= 1.5
    assert pauses[6] > 30
    with pytest.raises(UnreachableError, match="could not be read in 8 attempts; what was fetched is kept, run again"):
        ask(Patience("it"), fails(8, refused(503)))


def test_windows_are_waited_for_whatever_was_waited_for_before(pauses: list[float]) -> None:
    assert ask(Patience("it"), fails(12, refused(429, RateLimit='"api";r=0;t=300'))) == 13
    assert all(300 <= pause <= 301 for pause in pauses)
    with pytest.raises(UnreachableError, match=r"refused 13 times in a row.*Log in"):
        ask(Patience("it"), fails(13, refused(429)))
    with pytest.raises(UnreachableError, match=r"asks to come back in 2:00:00, after .* UTC"):
        ask(Patience("it"), fails(1, refused(429, Retry_After="7200")))


def test_a_hub_that_was_never_reached_is_given_up_soon(pauses: list[float]) -> None:
    away = httpx2.ConnectError("[Errno -2] Name or service not known")
    with pytest.raises(UnreachableError, match="cannot be reached: check the network, a proxy and HF_ENDPOINT"):
        ask(Patience("it"), fails(9, away))
    assert len(pauses) == 2
    assert sum(pauses) < 5
    pauses.clear()
    assert ask(Patience("it"), []) == 1
    assert ask(Patience("it"), fails(5, away)) == 6, "a network that was there is likely to be there again"


def test_a_success_begins_the_count_anew(pauses: list[float]) -> None:
    patient = Patience("it")
    for _ in range(3):
        assert ask(patient, fails(7, refused(503))) == 8


def test_an_interrupt_while_a_failure_is_dealt_with_is_not_tried_again() -> None:
    calls = []

    def call() -> None:
        calls.append("asked")
        try:
            raise ConnectionError("busy")
        except ConnectionError:
            raise KeyboardInterrupt from None

    with pytest.raises(KeyboardInterrupt):
        Patience("it").call(call)
    assert calls == ["asked"]
    assert patience.LONGEST_PAUSE < patience.WINDOW, "a window is longer than any pause that was not asked for"
