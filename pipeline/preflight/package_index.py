"""Whether pip would find an archive, asked of the pages of its indexes: a request each, where pip takes a process each.

In: what `pip config list` says, which is one process for all archives. Out: an answer for each archive. Only an index
that wants to know who asks, or whose certificate pip may know and Python does not, is left to pip itself, which alone
has its users' credentials (keyring, netrc) and trust.
"""

from __future__ import annotations

import ast
import base64
import functools
import re
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit, urlunsplit

from pipeline.base.archives import Archive, is_wheel_of

KINDS: Final = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
WHO_ASKS: Final = (401, 403, 407)
SECTIONS: Final = (":env:", "download", "global")
"""Of pip's settings, the strongest first."""
Found = Literal["there", "other versions", "absent", "unreachable", "ask pip"]


@dataclass(frozen=True)
class Answer:
    """What the indexes say of an archive."""

    found: Found
    reason: str = ""
    """Of `unreachable`: what the first index that did not answer said."""


class PackageIndex:
    """The indexes and folders that `pip download` looks into here. Its answers may be asked for in threads."""

    def __init__(self, settings: Mapping[str, str] | None = None, *, seconds: float) -> None:
        """settings: pip's own by their names; by default pip is asked for them, once. seconds: for each request."""
        self._given, self._seconds, self._lock = settings, seconds, threading.Lock()

    def answer(self, archive: Archive) -> Answer:
        """Whether the archive's wheel is on a page or in a folder that pip looks into."""
        answers = []
        for place in self._places(archive):
            answers.append(self._looked(place, archive))
            if answers[-1].found == "there":
                break
        rank = ("there", "ask pip", "other versions", "unreachable", "absent")
        return min(answers, key=lambda answer: rank.index(answer.found), default=Answer("absent"))

    def _places(self, archive: Archive) -> list[str]:
        settings = self._settings
        indexes = [] if settings.get("no-index", "").lower() in ("1", "true", "yes", "on") else self._indexes
        page = re.sub(r"[-_.]+", "-", archive.package).lower()
        return [*settings.get("find-links", "").split(), *(f"{index.rstrip('/')}/{page}/" for index in indexes)]

    @property
    def _indexes(self) -> list[str]:
        from pip._internal.models.index import PyPI  # which pip takes where nothing is set

        settings = self._settings
        return [settings.get("index-url", PyPI.simple_url), *settings.get("extra-index-url", "").split()]

    def _looked(self, place: str, archive: Archive) -> Answer:
        parts = urlsplit(place)
        if parts.scheme not in ("http", "https"):
            return _among(_files_at(Path(unquote(parts.path) if parts.scheme == "file" else place)), archive)
        request = urllib.request.Request(place, headers={"Accept": KINDS})
        if parts.username is not None:
            host = parts.netloc.rpartition("@")[2]
            request = urllib.request.Request(urlunsplit(parts._replace(netloc=host)), headers={"Accept": KINDS})
            word = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            request.add_header("Authorization", f"Basic {base64.b64encode(word.encode()).decode()}")
        try:
            with self._opener.open(request, timeout=self._seconds) as page:
                text = page.read().decode("utf-8", errors="replace")
        except urllib.error.HTTPError as error:
            if error.code in WHO_ASKS:
                return Answer("ask pip")
            return Answer("absent") if error.code in (404, 410) else Answer("unreachable", f"status {error.code}")
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            return Answer("ask pip") if isinstance(reason, ssl.SSLError) else Answer("unreachable", str(reason))
        return _among((unquote(name) for name in re.findall(r"[^\s\"'<>/]+\.(?:whl|tar\.gz|zip)", text)), archive)

    @property
    def _settings(self) -> Mapping[str, str]:
        with self._lock:
            if self._given is None:
                command = [sys.executable, "-P", "-m", "pip", "config", "list"]
                done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
                self._given = settings_of(done.stdout)
            return self._given

    @functools.cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        settings = self._settings
        handlers: list[urllib.request.BaseHandler] = []
        if proxy := settings.get("proxy"):
            handlers.append(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
        if (cert := settings.get("cert")) and Path(cert).is_file():
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=cert)))
        return urllib.request.build_opener(*handlers)


def settings_of(listed: str) -> dict[str, str]:
    """What `pip config list` prints as settings of `pip download`, the strongest of those that say the same thing."""
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in found and value:
            found[section][key] = str(ast.literal_eval(value))
    return found["global"] | found["download"] | found[":env:"]


def _files_at(place: Path) -> list[str]:
    """Names of files in a folder, or that its page or the page itself names."""
    page = place / "index.html" if (place / "index.html").is_file() else place
    try:
        if page.is_dir():
            return [file.name for file in page.iterdir()]
        text = page.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [unquote(name) for name in re.findall(r"[^\s\"'<>/]+\.(?:whl|tar\.gz|zip)", text)]


def _among(names: Iterable[str], archive: Archive) -> Answer:
    wheels = [name for name in names if name.count("-") >= 4]
    if any(is_wheel_of(archive, name) for name in wheels):
        return Answer("there")
    versions = [archive.model_copy(update={"filename": None, "version": name.split("-")[1]}) for name in wheels]
    others = any(is_wheel_of(version, name) for version, name in zip(versions, wheels, strict=True))
    return Answer("other versions" if others else "absent")
