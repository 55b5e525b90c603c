"""Group `evaluation`: the scorecard that puts every score beside everybody else's, and the report about the model."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import dagster as dg

from pipeline.assets.evaluation import GROUP
from pipeline.assets.metadata import chart, table
from pipeline.assets.stored_asset import Build, Metadata, StoredAsset, from_here
from pipeline.base.canonical import canonical_hash
from pipeline.base.files import sha256_of, write_text
from pipeline.evaluation.lm_eval.gold_answers import ANSWER_BITS, ANSWER_MARGIN
from pipeline.evaluation.scores.scorecard import SCORECARD_VERSION, Earlier, Scorecard, build_scorecard
from pipeline.evaluation.scores.tells import SIGNAL_TABLE
from pipeline.profile.profile import Profile
from pipeline.profile.yaml import DEFAULT_PROFILE
from pipeline.reporting.card import model_card
from pipeline.reporting.facts import COMPARISON, collect
from pipeline.reporting.page import report_html
from pipeline.reporting.scores import (
    BITS_PER_BYTE,
    headline,
    not_possible_rows,
    numbers_of,
    plottable,
    rows_beside,
    score_name,
)
from pipeline.reporting.served import REPORT_FILE, REPORT_URL
from pipeline.store import Artifact, Store
from pipeline.store.missing import as_named

REPORT_VERSION: Final = "5"
CARD_FILE: Final = "README.md"
MOST_NUMBERS: Final = 60
"""Scores that are kept as numbers to plot: a group of tasks may have hundreds."""
EARLIER_MODELS: Final = 4
"""Most earlier models that stand beside a score: the latest that were scored by one of the same suites."""


def stored_assets(profile: Profile) -> list[StoredAsset[Any]]:
    """The scorecard over every suite, and the report."""
    suites = [f"eval/{name}" for name in profile.evaluation.suites]
    return [
        StoredAsset(
            key="scorecard",
            group=GROUP,
            description="Every score beside chance, compressors, earlier models and published baselines, with its "
            "lineage.",
            version=SCORECARD_VERSION,
            settings={
                "signal_table": sha256_of(SIGNAL_TABLE),
                **({"leave_out_noise": True} if (without := profile.evaluation.leave_out_noise) else {}),
            },
            inputs=["model", *suites],
            summary=Scorecard,
            make=partial(_scorecard, leave_out_noise=without),
            metadata=_scorecard_metadata,
            missing=lambda card: "; ".join(f"{suite}: {why}" for suite, why in card.not_possible.items()),
            pictures=_scorecard_pictures,
        ),
        StoredAsset(
            key="report",
            group=GROUP,
            description="One self-contained HTML page: what was trained on what, cost, curves, scores, lineage; and "
            "the model card.",
            version=REPORT_VERSION,
            settings={"name": profile.name},
            inputs=["model", "scorecard", *suites],
            optional=[COMPARISON],  # where the tokenizer is named, nothing of the model depends on it
            summary=ReportSummary,
            make=lambda build: _report(build, profile.name),
            metadata=lambda summary, folder: _report_metadata(summary, folder, profile.name),
            kinds=frozenset({"html"}),
        ),
    ]


def _scorecard(build: Build, *, leave_out_noise: bool) -> Scorecard:
    ancestors: dict[str, Artifact] = {}
    for item in build.inputs.values():
        ancestors |= build.store.ancestry(item)
    keys = Counter(item.key for item in ancestors.values())
    # an ancestry may hold several artifacts of a key, such as the schedules of a reused and of a new epoch
    lineage = {
        item.key if keys[item.key] == 1 else f"{item.key} {item.fingerprint[:8]}": {
            "fingerprint": item.fingerprint,
            "content_hash": item.content_hash,
        }
        for item in sorted(ancestors.values(), key=lambda item: (item.key, item.fingerprint))
    }
    model = build.inputs["model"]
    earlier = earlier_models(build.store, model, list(build.paths("eval")))
    return build_scorecard(
        build.paths("eval"),
        lineage,
        build.out,
        earlier=earlier,
        model=model.summary["run"],
        leave_out_noise=leave_out_noise,
    )


def earlier_models(store: Store, model: Artifact, suites: Sequence[str]) -> dict[str, Earlier]:
    """Models of the store that were trained before this one and scored by any of these suites, latest first.

    Looked up when a scorecard is built, and no input of it: training another model rebuilds no scorecard.
    """
    scored: dict[str, tuple[Artifact, dict[str, Artifact]]] = {}
    for suite in suites:
        for result in sorted(store.artifacts(f"eval/{suite}"), key=lambda item: item.manifest.built.at):
            parent = result.manifest.inputs["model"]
            other = store.get(parent.key, parent.fingerprint)
            if other is None or other.content_hash == model.content_hash:
                continue
            if other.manifest.built.at < model.manifest.built.at:
                scored.setdefault(other.fingerprint, (other, {}))[1][suite] = result
    latest = sorted(scored.values(), key=lambda pair: pair[0].manifest.built.at, reverse=True)[:EARLIER_MODELS]
    return {
        f"{other.manifest.built.profile} {other.fingerprint[:8]}": Earlier(
            other.fingerprint, {suite: result.path for suite, result in results.items()}
        )
        for other, results in latest
    }


@dataclass(frozen=True)
class ReportSummary:
    """The page and the model card."""

    content_hash: str
    bytes: int


def _report(build: Build, name: str) -> ReportSummary:
    model = build.inputs["model"]
    facts = collect(
        *(model, build.store.ancestry(model)),
        name=name,
        suites=build.paths("eval"),
        scorecard=build.path("scorecard"),
        comparison=build.inputs.get(COMPARISON),
    )
    page, card = report_html(facts), model_card(facts)
    write_text(build.out / REPORT_FILE, page)
    write_text(build.out / CARD_FILE, card)
    return report_summary(page, card, {key: item.content_hash for key, item in build.inputs.items()})


def report_summary(page: str, card: str, shown: Mapping[str, str]) -> ReportSummary:
    """A page says when and how fast a model was trained, and its pictures are matplotlib's: both may differ where
    nothing of the model does, so its content is the card and what it shows, by content hash."""
    return ReportSummary(canonical_hash({"card": card, "shown": dict(shown)}), len(page.encode()))


def _report_metadata(summary: ReportSummary, folder: Path, profile: str) -> Metadata:
    option = "" if profile == DEFAULT_PROFILE else f" --profile {shlex.quote(as_named(profile))}"
    return {
        "page": dg.MetadataValue.url(REPORT_URL),
        "start_it_with": f"squeeze serve{option}",
        "or_open_a_copy_with": f"squeeze report --open{option}",
        "file": dg.MetadataValue.path(from_here(folder / REPORT_FILE)),
        "card": dg.MetadataValue.md((folder / CARD_FILE).read_text(encoding="utf-8")),
        "bytes": summary.bytes,
    }


def _scorecard_metadata(card: Scorecard, folder: Path) -> Metadata:
    text = [row for row in card.rows if row.metric == BITS_PER_BYTE]
    other = [row for row in card.rows if row.metric != BITS_PER_BYTE]
    shown = headline(card.rows)
    amounts = {"this model": shown.value} if shown else {}
    amounts |= {item.name: item.value for item in shown.comparisons if item.comparable} if shown else {}
    return {
        "at_a_glance": chart(amounts, score_name(shown)) if shown else "no scores",
        "bits_per_byte_table": table(rows_beside(text)),
        "scores": table(rows_beside(other)),
        **dict(list(numbers_of(card).items())[:MOST_NUMBERS]),
        **({"not_possible_here": table(not_possible_rows(card))} if card.not_possible else {}),
    }


def _scorecard_pictures(card: Scorecard, folder: Path) -> Mapping[str, bytes]:
    from pipeline.reporting.plots.scores import scores_png

    pictures = {}
    wanted_by_name = {
        "bits_per_byte": {"bits_per_byte"},
        "accuracy": {"acc", "acc_norm"},
        "answers": {ANSWER_BITS},
        "margins": {ANSWER_MARGIN},
    }
    for name, wanted in wanted_by_name.items():
        rows = [row for row in card.rows if row.metric in wanted]
        if rows:
            pictures[name] = scores_png(plottable(rows))
    return pictures
