"""What a hub, a network and a setting can do wrong, one after the other: what passes is waited for, what stays is said.

Each case is a data set of its own on the imitated hub, read by a process whose pauses are short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hub.builder import Builder, Built
from tests.hub.faults import Damage, Fault
from tests.hub.repository import COMMIT
from tests.hub.server import Hub

FILE = "data/train-00000-of-00001.parquet"
ROWS = 900
Setup = Callable[[Hub, str, Path], None]


@dataclass(frozen=True)
class Case:
    """One way to go wrong."""

    name: str
    setup: Setup
    refused: str = ""
    """What the user is told; empty where it passes."""
    said: str = ""
    """What the log says on the way."""
    source: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 60.0
    """In which it is over, however long the pauses of a real hub are."""


def fault(pattern: str, *how: Any, **more: Any) -> Setup:
    """A fault of requests for the data set whose path fits; `FILE` is its file with the content delivery network."""

    def setup(hub: Hub, dataset: str, file: Path) -> None:
        hub.add(dataset, {FILE: file})
        found = pattern.replace("FILE", f"GET /{dataset}/{COMMIT}/{FILE}").replace("HUB", f"/datasets/{dataset}")
        hub.faults.add(Fault(found, *how, **more))

    return setup


def with_files(**of_hub: Any) -> Setup:
    return lambda hub, dataset, file: void(hub.add(dataset, {FILE: file}, **of_hub))


def void(_: object) -> None:
    return


def nothing(hub: Hub, dataset: str, file: Path) -> None:
    return


def script(hub: Hub, dataset: str, file: Path) -> None:
    hub.add(dataset, {f"{dataset.partition('/')[2]}.py": "import datasets", FILE: file})


def renamed(hub: Hub, dataset: str, file: Path) -> None:
    hub.add(f"{dataset}-now", {FILE: file})
    hub.rename(dataset, f"{dataset}-now")


def short_links(hub: Hub, dataset: str, file: Path) -> None:
    """Signed addresses that have ended when they are used, twice."""
    hub.add(dataset, {FILE: file})
    hub.faults.add(Fault(f"GET /{dataset}/", 403, body=b"<Error>Request has expired</Error>", times=2))


def limit(**headers: str) -> dict[str, Any]:
    return {"headers": {name.replace("_", "-"): value for name, value in headers.items()}, "times": 1}


SOON = format_datetime(datetime.now(UTC) + timedelta(seconds=-5), usegmt=True)
NEVER_AGAIN = [
    Case("no such data set", nothing, "does not exist, or you may not read it: check `id` and `revision`"),
    Case("a private one", with_files(private=True), "where it is private, log in with `hf auth login`"),
    Case("a gated one", with_files(gated=True), "is gated: accept its terms on its page on the hub, then log in"),
    Case("one that was taken down", with_files(disabled=True), "has been taken down by the hub"),
    Case("no such branch", with_files(), "has no such revision: correct `revision`", source={"revision": "nope"}),
    Case("no such commit", with_files(), "has no such revision: correct `revision`", source={"revision": "e" * 40}),
    Case("made by a program", script, "is made by a program in its repository, which `datasets` no longer runs"),
    Case("no such configuration", with_files(), "BuilderConfig 'other' not found", source={"config": "other"}),
    Case("no such split", with_files(), "has no split 'test'; it has train", source={"split": "test"}),
    Case("no such column", with_files(), "has no column 'body'; it has text, score", source={"text_field": "body"}),
    Case("no files", lambda hub, dataset, file: void(hub.add(dataset, {"README.md": "# x"})), "holds no file that can"),
    Case(
        "a token that is not known",
        fault("HEAD HUB/.*train", 401, {"X-Error-Message": "Invalid credentials in Authorization header"}, times=None),
        "the hub does not know the token that was sent",
    ),
    Case("not permitted", fault("HEAD HUB/.*train", 403, times=None), "may not be read (403)"),
    Case("legal reasons", fault("HEAD HUB/.*train", 451, times=None), "may not be given out for legal reasons"),
    Case("a proxy's password", fault("HEAD HUB/.*train", 407, times=None), "user and password: write them into HTTPS_"),
    Case("a file that is gone", fault("HEAD HUB/.*train", 404, {"X-Error-Code": "EntryNotFound"}), "has no such file"),
    Case("a page to log in at", fault("FILE", damage=Damage.PAGE, times=None), "a page came in the place of the file"),
    Case("one in the hub's place", fault("HEAD HUB/.*train", damage=Damage.PAGE, times=None), "answers in the hub's"),
    Case("a proxy without ranges", fault("FILE", damage=Damage.WHOLE, times=None), "does not know ranges of bytes"),
    Case("a circle of redirects", fault("HEAD HUB/.*train", damage=Damage.LOOP, times=None), "around in a circle"),
    Case(
        "no Parquet file",
        lambda hub, dataset, file: void(hub.add(dataset, {FILE: b"not one" * 9})),
        "is no Parquet file, or is cut off",
    ),
    Case(
        "damaged for good", fault("FILE", damage=Damage.SCRAMBLED, times=None, after=1), "fetched twice and cannot be"
    ),
    Case(
        "a day's pause", fault("HEAD HUB/.*train", 429, **limit(Retry_After="86400")), "asks to come back in 24:00:00"
    ),
    Case("offline", with_files(), "HF_HUB_OFFLINE is set: unset it, or fetch it", source={"offline": True}),
]
PASSING = [
    Case("a full window", fault("FILE", 429, **limit(RateLimit='"api";r=0;t=1')), said="asking again in 0:01"),
    Case("a full window of the API", fault("GET /apiHUB", 429, **limit(RateLimit='"api";r=0;t=1')), said="429"),
    Case("Retry-After in seconds", fault("FILE", 429, **limit(Retry_After="1")), said="asking again in 0:01"),
    Case("Retry-After as a date", fault("FILE", 429, **limit(Retry_After=SOON)), said="429"),
    Case("a malformed Retry-After", fault("FILE", 429, **limit(Retry_After="soon")), said="429"),
    Case(
        "the policy alone", fault("FILE", 429, **limit(RateLimit_Policy='"fixed window";"api";q=500;w=1')), said="429"
    ),
    Case("too slow for the hub", fault("FILE", 408, times=2), said="408"),
    Case("busy", fault("FILE", 503, times=3), said="503"),
    Case("a bad gateway", fault("HEAD HUB/.*train", 502, times=3), said="502"),
    Case("a reset connection", fault("FILE", damage=Damage.REFUSED, times=2), said="asking again"),
    Case("reset in the middle", fault("FILE", damage=Damage.RESET, times=2), said="asking again"),
    Case("cut short", fault("FILE", damage=Damage.TRUNCATED, times=2), said="asking again"),
    Case("silent", fault("FILE", damage=Damage.SILENT, seconds=1.5), said="asking again"),
    Case("silent in the middle", fault("FILE", damage=Damage.STALLED, seconds=1.5), said="asking again"),
    Case("another range", fault("FILE", damage=Damage.OTHER_RANGE, after=1), said="asked for bytes"),
    Case("addresses that ended", short_links, said="the address that the hub gave for it has ended"),
    Case("damaged once", fault("FILE", damage=Damage.SCRAMBLED, after=1)),
    Case("another name", renamed),
    Case(
        "away", fault("FILE", 503, times=None), "could not be read in 8 attempts; what was fetched is kept, run again"
    ),
]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Case], Built]]:
    """A build from a data set with which a case goes wrong."""
    folder = tmp_path_factory.mktemp("misbehaviour")
    file = folder / "train.parquet"
    texts = [f"Story {row}. {row * 'The cat sat on the mat and looked at it. '}"[:999] for row in range(ROWS)]
    table = pa.table({"text": texts, "score": [1.0] * ROWS})
    pq.write_table(table, file, row_group_size=300, compression="none", use_dictionary=False)
    with Hub(folder) as hub, Builder(hub, folder / "hf") as builder:

        def built(case: Case) -> Built:
            dataset = f"some/{case.name.replace(' ', '-').replace(chr(39), '')}"
            case.setup(hub, dataset, file)
            place = folder / case.name
            where = {"dataset": dataset, "revision": COMMIT} | case.source
            return builder.build(place / "out", place / "cache", **where)

        yield built


@pytest.mark.parametrize("case", NEVER_AGAIN, ids=lambda case: case.name)
def test_what_cannot_get_better_ends_at_once_and_says_what_to_do(build: Callable[[Case], Built], case: Case) -> None:
    built = build(case)
    assert case.refused in built.refused
    assert "asking again" not in "".join(built.said)
    assert built.seconds < case.seconds


@pytest.mark.fault
@pytest.mark.parametrize("case", PASSING, ids=lambda case: case.name)
def test_what_passes_is_waited_for_and_said(build: Callable[[Case], Built], case: Case) -> None:
    built = build(case)
    assert case.refused in built.refused
    assert built.documents == (0 if case.refused else ROWS)
    assert case.said in "\n".join(built.said)
    assert built.seconds < case.seconds
