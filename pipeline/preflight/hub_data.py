"""The hub's data sets that a run reads, sources and benchmarks alike: whether each is as the profile says.

In: a flight, and the hub. Out: probes, two for a source (the data set, and the columns of its first file) and one for
each data set of benchmarks, whose columns are lm-eval's business. A wrong source is refused; a benchmark that cannot be
had is a note, as it ends no run, unless `needed`: then it is refused too, before hours go into a model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pipeline.base.errors import NotPossibleError, SqueezeError
from pipeline.base.suggestions import did_you_mean_or_known
from pipeline.curation.sources.settings import HubDataset, Source
from pipeline.evaluation.lm_eval.task_data import task_data
from pipeline.preflight.finding import Finding, Verdict, only_if_made
from pipeline.preflight.flight import Flight
from pipeline.preflight.hub import Card, Hub, offline

Said = tuple[Verdict, str]
Probe = Callable[[], Said | None]
"""Looks, and says what it found; None where another probe says all there is to say."""
BRANCH = "main"
"""What lm-eval reads of a data set."""


@dataclass(frozen=True)
class Benchmark:
    """Tasks that an asset scores, of the hub."""

    key: str
    """The asset."""
    where: str
    """In the profile."""
    tasks: tuple[str, ...]
    include: Path | None
    needed: bool
    """Whether the run ends where they cannot be had."""


@dataclass
class _Wanted:
    """A data set of the hub and who needs what of it."""

    id: str
    revision: str
    of: list[_Use] = field(default_factory=list)


@dataclass(frozen=True)
class _Use:
    where: str
    key: str
    config: str | None
    split: str | None
    needed: bool
    license: str | None = None
    """What the profile says of a source's; None of a benchmark."""


def probes_of_sources(flight: Flight, hub: Hub) -> dict[str, Probe]:
    """Of the sources of corpora whose documents are to be made."""
    wanted: dict[str, _Wanted] = {}
    columns: dict[str, Probe] = {}
    for name in flight.made("documents"):
        corpus = flight.profile.corpora[name]
        for position, source in enumerate(corpus.sources):
            if (dataset := source.hub) is None:
                continue
            where, title = f"corpora.{name}.sources.{position}", f"data set {dataset.id}"
            if title in wanted and wanted[title].revision != dataset.revision:
                title = f"{title} at {dataset.revision}"
            use = _Use(where, f"documents/{name}", dataset.config, dataset.split, True, corpus.license or "")
            wanted.setdefault(title, _Wanted(dataset.id, dataset.revision)).of.append(use)
            columns[f"columns for {where}"] = _columns_probe(where, source, dataset, hub, flight)
    return {title: _card_probe(item, hub, flight) for title, item in wanted.items()} | columns


def probes_of_benchmarks(benchmarks: Sequence[Benchmark], flight: Flight, hub: Hub) -> dict[str, Probe]:
    """Of the tasks' data sets."""
    wanted: dict[str, _Wanted] = {}
    probes: dict[str, Probe] = {}
    for benchmark in benchmarks:
        try:
            found = task_data(benchmark.tasks, benchmark.include)
        except NotPossibleError as error:
            probes[benchmark.where] = partial(_lost, str(error), needed=benchmark.needed)
            continue
        for item in found:
            where = f"{benchmark.where} ({_some(item.tasks)})"
            use = _Use(where, benchmark.key, item.config, item.split, benchmark.needed)
            wanted.setdefault(f"items of {item.path}", _Wanted(item.path, BRANCH)).of.append(use)
    return probes | {title: _card_probe(item, hub, flight) for title, item in wanted.items()}


def _card_probe(wanted: _Wanted, hub: Hub, flight: Flight) -> Probe:
    def look() -> Said | None:
        found = [only_if_made(Finding("", *said), use.key, flight.may_reuse) for use, said in _look(wanted, hub)]
        wrong = [finding for finding in found if finding.verdict != "ok"]
        if not found:
            return None
        verdict: Verdict = "refused" if any(item.verdict == "refused" for item in wrong) else "note"
        texts = dict.fromkeys(item.text for item in wrong or found)
        return verdict if wrong else "ok", "; ".join(texts)

    return look


def _look(wanted: _Wanted, hub: Hub) -> Iterator[tuple[_Use, Said]]:
    """What is to be said to each who needs the data set; nothing but one line where all is well."""
    first, places = wanted.of[0], _some([use.where for use in wanted.of])
    what = f"{wanted.id} at {wanted.revision}"
    if (variable := offline()) is not None:
        if first.license is None:
            kept = f"as {variable} is set, {places} reads {what} from the cache in HF_HOME"
            yield first, ("note", f"{kept}; it is marked as not possible here where it is not there")
        return
    try:
        card = hub.card(wanted.id, wanted.revision)
    except Exception as error:
        for use in wanted.of:
            yield use, _failed(error, places, what, needed=use.needed)
        return
    well = True
    for use in wanted.of:
        for problem in _problems(card, wanted, use):
            well = False
            yield use, problem
    if card.id.lower() != wanted.id.lower():
        yield first, ("note", f"{places}: {wanted.id} is called {card.id} now: write that name")
    elif well:
        license = ", ".join(card.licenses) or "no licence named"
        yield first, ("ok", f"{card.id} at {card.commit[:12]} ({license}), for {places}")


def _failed(error: Exception, places: str, what: str, *, needed: bool) -> Said:
    """What a failed request means: for good, or not now."""
    from pipeline.curation.sources.hub.failures import Lasting, judge

    verdict = judge(error, f"data set {what}")
    if isinstance(verdict, Lasting):
        return _lost(f"{places}: {verdict.error}", needed=needed)
    if verdict.unreached:
        return _lost(
            f"{places}: {what} cannot be reached ({_first_line(error)}): check the network, a proxy, HF_ENDPOINT",
            needed=needed,
        )
    pause = f"; it asks to come back in {verdict.pause:.0f} s" if verdict.pause else ""
    why = "too many requests from here" if verdict.limited else _first_line(error)
    return "note", f"{what} cannot be looked at now ({why}{pause}); the run tries again"


def _problems(card: Card, wanted: _Wanted, use: _Use) -> Iterator[Said]:
    """What does not fit the data set's card."""
    is_source = use.license is not None
    if card.script is not None:
        instead = "take a copy of it that holds files" if is_source else "take the task out of the suite"
        yield _lost(
            f"{use.where}: {wanted.id} is made by a script ({card.script}), which datasets no longer runs since its "
            f"version 4: {instead}",
            needed=use.needed,
        )
        return
    config = use.config if use.config is not None else card.default
    if card.configs and config is None:
        known = ", ".join(sorted(card.configs)[:8])
        yield _lost(f"{use.where}: {wanted.id} has several configurations: set `config` ({known})", needed=use.needed)
    elif card.configs and config not in card.configs:
        near = did_you_mean_or_known(str(config), card.configs)
        yield _lost(f"{use.where}: {wanted.id} has no configuration {config!r}{near}", needed=use.needed)
    elif (splits := card.configs.get(config or "")) and use.split is not None and use.split not in splits:
        known = ", ".join(sorted(splits))
        yield _lost(
            f"{use.where}: {wanted.id} ({config}) has no split {use.split!r}; it has {known}", needed=use.needed
        )
    if is_source:
        yield from _license_problem(card, use)


def _license_problem(card: Card, use: _Use) -> Iterator[Said]:
    corpus = use.where.rpartition(".sources.")[0]
    missing = [tag for tag in card.licenses if not _says(use.license or "", tag)]
    if missing and not use.license:
        yield "note", f"{corpus}.license says nothing; {card.id} is under {', '.join(card.licenses)} by its card"
    elif missing:
        said = use.license
        yield "note", f"{corpus}.license says {said!r}; {card.id} is under {', '.join(missing)} by its card"


def _says(text: str, tag: str) -> bool:
    """Whether words name the licence of a tag: `CC BY-SA 3.0` cc-by-sa-3.0, `ODC-By 1.0` odc-by."""
    letters, of_tag = (re.sub(r"[^a-z0-9]", "", item.lower()) for item in (text, tag))
    return of_tag in letters


def _columns_probe(where: str, source: Source, dataset: HubDataset, hub: Hub, flight: Flight) -> Probe:
    """Opens the data set as the run will, which finds its files there again."""

    def look() -> Said | None:
        try:
            commit = _commit(dataset, hub, flight.store.cache)
            if commit is None:
                return None
            files, seen = _first_file(source, dataset.model_copy(update={"revision": commit}), flight.store.cache)
        except SqueezeError as error:  # also a disk that is full: what is looked at is kept
            key = f"documents/{where.split('.')[1]}"
            finding = only_if_made(Finding("", "refused", f"{where}: {error}"), key, flight.may_reuse)
            return finding.verdict, finding.text
        return "ok", f"{seen}, {files:,} file{'s' if files > 1 else ''}, for {where}"

    return look


def _first_file(source: Source, dataset: HubDataset, cache: Path) -> tuple[int, str]:
    """How many files there are, and what was seen of the first. Raises SourceError."""
    from pipeline.curation.sources.hub.catalog import catalog_of
    from pipeline.curation.sources.hub.row_groups import open_parquet
    from pipeline.curation.sources.hub.transfer import HubFile

    catalog = catalog_of(dataset, cache)
    if not catalog.is_parquet or not catalog.files:
        return len(catalog.files), f"{catalog.kind}, whose columns are looked at when it is read"
    first = HubFile(dataset.id, dataset.revision, catalog.files[0])
    open_parquet(first, tuple(source.columns), source.text_field, cache)
    return len(catalog.files), f"{', '.join(source.columns)} {'are' if len(source.columns) > 1 else 'is'} there"


def _commit(dataset: HubDataset, hub: Hub, cache: Path) -> str | None:
    """What the revision names; None where the data set's own probe says what is wrong. Raises SourceError."""
    from pipeline.curation.sources.hub.catalog import commit_of

    if offline() is not None:
        return commit_of(dataset, cache)  # of what was fetched before
    try:
        card = hub.card(dataset.id, dataset.revision)
    except Exception:
        return None
    return card.commit if card.script is None else None


def _some(names: Sequence[str]) -> str:
    """The first two of them, and how many more."""
    each = list(dict.fromkeys(names))
    more = f" and {len(each) - 2} more" if len(each) > 2 else ""
    return ", ".join(each[:2]) + more


def _lost(text: str, *, needed: bool) -> Said:
    """A refusal; of a benchmark that may be left out, a note: it is marked as not possible here."""
    return ("refused", text) if needed else ("note", f"{text}; else it is marked as not possible here")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
