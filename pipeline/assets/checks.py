"""Asset checks that stop a run before it spends hours on something broken."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import dagster as dg

from pipeline.assets.logged import logged
from pipeline.assets.naming import Naming, op_name
from pipeline.assets.remembered_checks import remembered
from pipeline.assets.tokenization import all_corpora, corpus_inputs
from pipeline.assets.training import ModelSummary
from pipeline.base.settings import identity_of
from pipeline.curation.corpus import CuratedCorpus
from pipeline.curation.inspection import Finding, inspect_contamination, inspect_duplicates, inspect_languages
from pipeline.curation.selection import SelectionSummary
from pipeline.profile.profile import Profile
from pipeline.sharding.output.commit import EpochSummary
from pipeline.sharding.schedule.build import ScheduleSummary
from pipeline.store import Store
from pipeline.tokenization.choosing.choice import ChoiceSummary
from pipeline.tokenization.choosing.comparison import heldout_round_trip

Verdict = tuple[bool, str, Mapping[str, Any]]


def checks(profile: Profile, naming: Naming) -> list[dg.AssetChecksDefinition]:
    """The blocking checks of every asset that has any."""
    epochs = [f"shards/epoch_{epoch:03d}" for epoch in range(1, profile.schedule.epochs + 1)]
    return [
        *(check for name in profile.corpora for check in _corpus_checks(profile, naming, name)),
        _check(
            naming,
            "tokenizer",
            "round_trip",
            "Held-out text survives encoding and decoding.",
            partial(_round_trip, profile),
            deps=all_corpora(profile),
        ),
        *(
            _check(naming, key, "documents_as_scheduled", "The epoch holds what the schedule says.", _as_scheduled)
            for key in epochs
        ),
        _check(
            naming,
            "model",
            "loss_is_finite",
            "Training ended with a finite loss below a uniform guess's.",
            _finite_loss,
        ),
    ]


def _check(
    naming: Naming,
    key: str,
    name: str,
    description: str,
    judge: Callable[[Store, str], Verdict],
    deps: Sequence[str] = (),
) -> dg.AssetChecksDefinition:
    """deps: keys of what it looks at beside the asset and what that is made from."""
    spec = dg.AssetCheckSpec(
        name,
        asset=naming.asset_key(key),
        description=description,
        blocking=True,
        additional_deps=[naming.asset_key(other) for other in deps],
    )

    # no `dg.asset_check`: there the step would be called by the whole key, with the profile in front
    @dg.multi_asset_check(name=f"{op_name(key)}_{name}", specs=[spec], required_resource_keys={"store"})
    def check(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        with logged(context.log, f"{key} {name}"):
            passed, text, numbers = judge(context.resources.store.open(context.run), key)
        yield dg.AssetCheckResult(passed=passed, description=text, metadata=dict(numbers))

    return check


def _corpus_checks(profile: Profile, naming: Naming, name: str) -> list[dg.AssetChecksDefinition]:
    """Documents are left, in the corpus's languages, without duplicates and contamination: looked at afresh."""
    key, corpus, curation = f"corpus/{name}", profile.corpora[name], profile.curation

    def languages(store: Store, key: str) -> Verdict:
        documents, kept = store.current(f"documents/{name}"), store.current(key)
        allowed, least = corpus.allowed_languages, corpus.language_share
        settings = {"allowed": sorted(allowed), "least": least}

        def look() -> Finding:
            return inspect_languages(documents.path, kept.path, allowed, least)

        return _verdict(remembered(store, "language_share", settings, (documents, kept), look))

    def duplicates(store: Store, key: str) -> Verdict:
        documents, kept = store.current(f"documents/{name}"), store.current(key)
        heldout = [store.current(f"heldout/{other}") for other in profile.corpora]
        settings = curation.near_duplicates

        def look() -> Finding:
            return inspect_duplicates(documents.path, kept.path, [part.path for part in heldout], settings)

        looked_at = (documents, kept, *heldout)
        return _verdict(remembered(store, "no_duplicates", identity_of(settings), looked_at, look))

    def contamination(store: Store, key: str) -> Verdict:
        documents, kept = store.current(f"documents/{name}"), store.current(key)
        items, settings = store.current("contamination"), curation.contamination

        def look() -> Finding:
            return inspect_contamination(documents.path, kept.path, items.path, settings)

        looked_at = (documents, kept, items)
        return _verdict(remembered(store, "no_contamination", identity_of(settings), looked_at, look))

    return [
        _check(naming, key, "not_empty", "Documents are left after curation.", _not_empty),
        _check(naming, key, "language_share", "The text is in the languages that the corpus declares.", languages),
        _check(
            naming, key, "no_duplicates", "No two documents are equal or similar, held-out ones included.", duplicates
        ),
        _check(naming, key, "no_contamination", "No document holds an evaluation item's words.", contamination),
    ]


def _verdict(finding: Finding) -> Verdict:
    return finding.passed, finding.text, finding.numbers


def _not_empty(store: Store, key: str) -> Verdict:
    documents = store.current(key).summary_as(SelectionSummary).documents
    return documents > 0, f"{documents:,} documents", {"documents": documents}


def _round_trip(profile: Profile, store: Store, key: str) -> Verdict:
    tokenizer, settings = store.current(key), profile.tokenizers.comparison
    parts = {part: store.current(part) for part in all_corpora(profile)}
    corpora = {name: CuratedCorpus(*(parts[part].path for part in corpus_inputs(name))) for name in profile.corpora}

    def look() -> Finding:
        failures, documents = heldout_round_trip(tokenizer.path, settings, corpora)
        said = f"{failures:,} of {documents:,} documents come back changed"
        return Finding(failures == 0, said, {"failures": failures, "documents": documents})

    return _verdict(remembered(store, "round_trip", identity_of(settings), (tokenizer, *parts.values()), look))


def _as_scheduled(store: Store, key: str) -> Verdict:
    epoch = int(key.rsplit("_", 1)[1])
    rows = store.current("schedule").summary_as(ScheduleSummary).rows
    planned = sum(row.documents for row in rows if row.epoch == epoch)
    there = store.current(key).summary_as(EpochSummary).documents
    return there == planned, f"{there:,} documents, {planned:,} scheduled", {"documents": there, "scheduled": planned}


def _finite_loss(store: Store, key: str) -> Verdict:
    import math

    loss = store.current(key).summary_as(ModelSummary).run.final_train_loss
    uniform = math.log(store.current("tokenizer").summary_as(ChoiceSummary).vocab_size)
    passed = loss is not None and math.isfinite(loss) and loss < uniform
    return passed, f"final training loss {loss}, a uniform guess has {uniform:.3f}", {"uniform_loss": uniform}
