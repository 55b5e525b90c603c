"""What a flight needs from elsewhere beside its corpora's data sets: pinned packages, and items of benchmarks."""

from __future__ import annotations

from pipeline.base.archives import Archive
from pipeline.evaluation.lm_eval.tasks import load_tasks
from pipeline.evaluation.suites.few_shot import FewShotSuite
from pipeline.evaluation.suites.fresh_text import FreshTextSuite
from pipeline.evaluation.suites.lm_eval import LmEvalSuite
from pipeline.preflight.flight import Flight
from pipeline.preflight.reach import tokenizer_archives


def packages_of(flight: Flight) -> list[Archive]:
    """Archives that sources, tokenizers and evaluation read, each once."""
    profile = flight.profile
    sources = (source for name in flight.made("documents") for source in profile.corpora[name].sources)
    archives = [source.archive for source in sources if source.archive is not None]
    archives += tokenizer_archives(flight)
    judges = (profile.curation.quality[name].embedding for name in flight.made("quality_model"))
    archives += [embedding.archive for embedding in judges if embedding is not None]
    made = [profile.evaluation.suites[name] for name in flight.made("eval") if name in profile.evaluation.suites]
    domains = [domain for suite in made if isinstance(suite, FreshTextSuite) for domain in suite.domains.values()]
    of_domains = (source for domain in domains for source in domain.sources)
    archives += [source.archive for source in of_domains if source.archive is not None]
    trains = flight.trains and profile.evaluation.while_training.data == "archive"
    decontaminates = bool(profile.curation.decontaminate_against) and "contamination" in flight.makes
    if trains or decontaminates or any(suite.reads_archive() for suite in made):
        archives.append(profile.evaluation.archive)
    return list(dict.fromkeys(archives))


def benchmarks_of(flight: Flight) -> dict[str, LmEvalSuite]:
    """Suites whose items `datasets` fetches from the hub, by name."""
    found = {}
    for name in flight.made("eval"):
        suite = flight.profile.evaluation.suites.get(name)
        if isinstance(suite, FewShotSuite):
            suite = suite.at(suite.shots[-1])
        if isinstance(suite, LmEvalSuite) and not suite.reads_archive():
            found[name] = suite
    return found


def fetch_benchmark(suite: LmEvalSuite) -> None:
    """Have `datasets` prepare a suite's items in its own cache. Raises NotPossibleError where they cannot be had."""
    load_tasks(suite.tasks, shots=suite.shots, include=suite.own_tasks)
