"""The search for a mixture, in the group `ablations`: `mixture_search`, from small runs over many mixtures, and
`mixture_test`, which holds what it predicted against runs on what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pipeline.assets.metadata import bars, table
from pipeline.assets.stored_asset import Build, Metadata, StoredAsset
from pipeline.sharding.settings import StageSettings
from pipeline.study.data import TokensSummary
from pipeline.study.mixture_settings import MixtureSearch
from pipeline.study.mixtures.search import (
    MIXTURE_SEARCH_VERSION,
    MIXTURE_TEST_VERSION,
    MixtureSummary,
    MixtureTestSummary,
    judge_mixtures,
    proxy_plan,
    search_mixture,
    with_found,
)
from pipeline.study.plan import StudyPlan
from pipeline.study.results.run_result import FINISHED
from pipeline.study.runs.arm import ArmSummary
from pipeline.study.runs.seeds import arm_key

SEARCH: Final = "mixture_search"
TEST: Final = "mixture_test"
_GROUP: Final = "ablations"


def search_inputs(stages: tuple[StageSettings, ...]) -> list[str]:
    """The search's key where a stage takes what it found."""
    return [SEARCH] if any(stage.searched for stage in stages) else []


def found_stages(stages: tuple[StageSettings, ...], build: Build) -> tuple[StageSettings, ...]:
    """Stages with the shares that were found, where they ask for them. Raises StudyError where these do not fit."""
    return with_found(stages, build.summary(SEARCH, MixtureSummary)) if search_inputs(stages) else stages


def search_assets(plan: StudyPlan, search: MixtureSearch) -> list[StoredAsset[Any]]:
    """The search, over the arms of its proxies, and its test where the profile names arms for one."""
    proxies = proxy_plan(plan, search)
    tokens = f"ablation_tokens/{proxies.tokenizer_of(next(iter(proxies.settings.data)))}"

    def find(build: Build) -> MixtureSummary:
        runs = {name: build.summary(arm_key(name), ArmSummary).results[search.seed] for name in proxies.settings.arms}
        finished = {name: run.bits_per_byte for name, run in runs.items() if run.state == FINISHED}
        return search_mixture(search, finished, build.summary(tokens, TokensSummary).tokens)

    def test(build: Build) -> MixtureTestSummary:
        arms = {name: build.summary(arm_key(name), ArmSummary).results for name in search.tests}
        return judge_mixtures(search, build.summary(SEARCH, MixtureSummary), arms)

    found: StoredAsset[Any] = StoredAsset(
        key=SEARCH,
        group=_GROUP,
        description=f"The best mixture of {', '.join(search.corpora)}, by a regression over {search.mixtures} runs.",
        version=MIXTURE_SEARCH_VERSION,
        settings=search,
        inputs=[*map(arm_key, proxies.settings.arms), tokens],
        summary=MixtureSummary,
        make=find,
        metadata=_search_metadata,
        kinds=frozenset({"json"}),
    )
    tested: StoredAsset[Any] = StoredAsset(
        key=TEST,
        group=_GROUP,
        description=f"What {search.tests[0] if search.tests else ''} scored beside what the search predicted.",
        version=MIXTURE_TEST_VERSION,
        settings={"weights": search.weights, "arms": list(search.tests)},
        inputs=[SEARCH, *map(arm_key, search.tests)],
        summary=MixtureTestSummary,
        make=test,
        metadata=_test_metadata,
        kinds=frozenset({"json"}),
    )
    return [found, tested] if search.tests else [found]


def _search_metadata(summary: MixtureSummary, folder: Path) -> Metadata:
    rows = [
        {"corpus": name, "share": share, "95%": f"{summary.low[name]:.3f} to {summary.high[name]:.3f}"}
        for name, share in summary.shares.items()
    ]
    return {
        "mixture": table(rows),
        "predicted": summary.predicted,
        "predicted_95": f"{summary.predicted_low:.4f} to {summary.predicted_high:.4f}",
        "predicted_by_hand": summary.by_hand,
        "form": summary.form,
        "left_out_error": table([{"form": form, "error": error} for form, error in summary.errors.items()]),
        "most_by_repeats": bars(summary.most, "share"),
        "runs": table(summary.runs),
    }


def _test_metadata(summary: MixtureTestSummary, folder: Path) -> Metadata:
    measured = {} if summary.measured_gain is None else {"measured_gain": summary.measured_gain}
    return {"arms": table(summary.arms), "predicted_gain": summary.predicted_gain, **measured}
