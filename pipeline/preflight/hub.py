"""What the hub says of a data set in one call of its API, and how many calls it still allows.

In: a data set and a revision. Out: its `Card`: the commit, the licences, the configurations and splits that its README
names, and the paths of its files. Each is asked once, however many sources and tasks read the data set, by the client
of the hub's own library, so with the token, proxies and certificates that the run will use.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

OFFLINE: Final = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
_README: Final = "README.md"


@dataclass(frozen=True)
class Card:
    """A data set at a commit."""

    id: str
    """As it is called now."""
    commit: str
    licenses: tuple[str, ...]
    """The hub's tags for them, such as odc-by."""
    configs: Mapping[str, frozenset[str]]
    """Splits by configuration, as far as the README names them; none where it leaves them to the files' names."""
    default: str | None
    """The configuration that is taken where none is named."""
    files: frozenset[str]

    @property
    def script(self) -> str | None:
        """The program in the place of data, which `datasets` refuses to run since its version 4."""
        name = f"{self.id.rpartition('/')[2]}.py"
        return name if name in self.files else None


@dataclass(frozen=True)
class Quota:
    """What is left of the calls that the hub allows in a window."""

    left: int
    of: int | None
    seconds: int
    """Until the next window."""


class Hub:
    """The hub, asked about each data set once."""

    def __init__(self, seconds: float) -> None:
        """seconds: for an answer."""
        self.seconds = seconds
        self.quota: Quota | None = None
        self._asked: dict[tuple[str, str], Future[Card]] = {}
        self._lock = threading.Lock()

    def card(self, dataset: str, revision: str) -> Card:
        """What the hub says of the data set. Raises what the hub's library raises, for every caller alike."""
        with self._lock:
            first = (dataset, revision) not in self._asked
            future = self._asked.setdefault((dataset, revision), Future())
        if first:
            try:
                future.set_result(self._ask(dataset, revision))
            except BaseException as error:
                future.set_exception(error)
        return future.result()

    def _ask(self, dataset: str, revision: str) -> Card:
        from urllib.parse import quote

        info: dict[str, Any] = self._get(f"/api/datasets/{dataset}/revision/{quote(revision, safe='')}").json()
        card = card_of(info)
        if info.get("gated") or info.get("private"):  # which the API tells everybody; the files it does not
            path = _README if _README in card.files else min(card.files, default=_README)
            self._get(f"/datasets/{card.id}/resolve/{card.commit}/{quote(path)}", method="HEAD")
        return card

    def _get(self, path: str, method: str = "GET") -> Any:
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        headers = build_hf_headers(library_name="squeeze")
        answer = get_session().request(
            method, f"{endpoint()}{path}", headers=headers, timeout=self.seconds, follow_redirects=method == "GET"
        )
        self._note(answer.headers, path)
        hf_raise_for_status(answer)
        return answer

    def _note(self, headers: Mapping[str, str], path: str) -> None:
        from huggingface_hub.utils import parse_ratelimit_headers

        said = parse_ratelimit_headers(headers) if path.startswith("/api/") else None
        if said is None:
            return
        with self._lock:
            if self.quota is None or said.remaining < self.quota.left:
                self.quota = Quota(said.remaining, said.limit, said.reset_in_seconds)


def card_of(info: Mapping[str, Any]) -> Card:
    """The card in the hub's answer about a data set."""
    header = info.get("cardData") or {}
    licenses = header.get("license") or ()
    configs = [item for item in header.get("configs") or () if isinstance(item, Mapping) and "config_name" in item]
    names = [str(item["config_name"]) for item in configs]
    marked = [str(item["config_name"]) for item in configs if item.get("default")]
    default = next(iter(marked), "default" if "default" in names or not names else None)
    return Card(
        id=str(info["id"]),
        commit=str(info["sha"]),
        licenses=(licenses,) if isinstance(licenses, str) else tuple(map(str, licenses)),
        configs={str(item["config_name"]): _splits(item.get("data_files")) for item in configs},
        default=default or (names[0] if len(names) == 1 else None),
        files=frozenset(str(item["rfilename"]) for item in info.get("siblings") or ()),
    )


def _splits(files: object) -> frozenset[str]:
    """The splits of a configuration's `data_files`; none where it names patterns alone."""
    if isinstance(files, Mapping):
        return frozenset(map(str, files))
    if isinstance(files, list):
        return frozenset(str(item["split"]) for item in files if isinstance(item, Mapping) and "split" in item)
    return frozenset()


def offline() -> str | None:
    """The variable that forbids asking, where one is set."""
    return next((name for name in OFFLINE if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")), None)


def endpoint() -> str:
    """The hub's address."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
