"""Group `ablations`: an asset per arm of the study, what the arms share, and the report over those that are finished.

Arms share token stores, shards and the held-out sample through assets of their own, so an arm that differs in the
model alone builds nothing but its runs. The job runs the arms in the order in which the profile lists them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import dagster as dg

from pipeline.assets.curation import WORKERS
from pipeline.assets.evaluation import items_asset
from pipeline.assets.losses import losses_asset
from pipeline.assets.metadata import bars, table
from pipeline.assets.mixture_search import found_stages, search_assets, search_inputs
from pipeline.assets.naming import TRAINING_POOL, Naming
from pipeline.assets.sharding import cluster_folder, cluster_inputs
from pipeline.assets.stored_asset import Build, Metadata, StoredAsset
from pipeline.assets.tokenization import corpus_inputs, curated
from pipeline.engine.settings import ProcessesEngine
from pipeline.profile.profile import Profile
from pipeline.sharding.settings import MEMORY_SETTINGS
from pipeline.store.home import squeeze_home
from pipeline.study.data import (
    STUDY_DATA_VERSION,
    STUDY_HELDOUT_VERSION,
    STUDY_TOKENS_VERSION,
    DataSummary,
    HeldoutSummary,
    TokensSummary,
    build_data,
    encode_corpora,
    sample_heldout,
)
from pipeline.study.mixtures.search import proxy_plan
from pipeline.study.plan import StudyPlan
from pipeline.study.report.report import REPORT_VERSION, ReportSummary, build_report
from pipeline.study.results.results import Results
from pipeline.study.results.run_result import FINISHED, POOLED
from pipeline.study.results.runs_table import SPEED_FILE, collect, read_speed
from pipeline.study.runs.arm import ARM_VERSION, ArmSummary, arm_identity, finished_arms, run_arm
from pipeline.study.runs.seeds import DATA, HELDOUT, ITEMS, arm_inputs, arm_key

GROUP: Final = "ablations"
JOB: Final = "ablations"
SEEDS_AT_ONCE: Final = "study.seeds_at_once"
REPORT: Final = "ablation_report"
LOSSES: Final = "ablation_losses"


def stored_assets(profile: Profile) -> list[StoredAsset[Any]]:
    """The study's assets; none for a profile without a study."""
    plan = profile.study_plan
    if plan is None:
        return []
    study = plan.settings
    search = study.mixture_search
    proxies = proxy_plan(plan, search) if search is not None else None
    plans = [each for each in (plan, proxies) if each is not None]
    mixed = {
        corpus
        for each in plans
        for name in each.settings.data
        for stage in each.stages_of(name)
        for corpus in (*stage.mixture, *each.settings.data[name].loss_model.corpora)
    }
    corpora = sorted(mixed)
    tokenizers = dict.fromkeys(each.tokenizer_of(name) for each in plans for name in each.settings.data)
    return [
        StoredAsset(
            key=HELDOUT,
            group=GROUP,
            description="The held-out text every arm is scored on: whole documents in the order of a hash.",
            version=STUDY_HELDOUT_VERSION,
            settings=study.heldout,
            inputs=[f"heldout/{name}" for name in study.heldout.bytes],
            summary=HeldoutSummary,
            make=lambda build: sample_heldout(study.heldout, build.paths("heldout"), build.out),
            metadata=_heldout_metadata,
            kinds=frozenset({"parquet"}),
        ),
        *(_tokens(profile, name, corpora) for name in tokenizers),
        *(_items(profile, plan, name) for name in tokenizers if study.benchmarks.tasks),
        *(_losses(profile, each, name) for each in plans for name in dict.fromkeys(_sorted_as(each).values())),
        *(_data(profile, each, name) for each in plans for name in each.settings.data),
        # all below 0, or the first arms whose data are there would run before the data of the arms that come first
        *(_arm(profile, plan, name, -number) for number, name in enumerate(study.arms, start=1)),
        # the small runs first: arms may be trained on what they find
        *(_arm(profile, proxies, name, -1) for name in (proxies.settings.arms if proxies else ()) if proxies),
        *(search_assets(plan, search) if search is not None else ()),
        StoredAsset(
            key=REPORT,
            group=GROUP,
            description="What each idea is worth, over the arms that are finished: tables, forest plot, curves.",
            version=REPORT_VERSION,
            settings={
                "study": study,
                "titles": {name: [arm.idea, arm.title, arm.against] for name, arm in study.arms.items()},
            },
            inputs=[],
            optional=[arm_key(name) for name in study.arms],
            summary=ReportSummary,
            make=lambda build: _report(build, plan),
            metadata=_report_metadata,
            kinds=frozenset({"csv"}),
            # the speeds are measured apart, on a quiet machine: what the file says is part of the report
            override=lambda settings, _: settings | {"speed": read_speed(squeeze_home() / SPEED_FILE)},
        ),
    ]


def jobs(profile: Profile, naming: Naming) -> list[Any]:
    """The job `ablations`: every arm in its order, and the report; finished arms are reused."""
    if profile.study is None:
        return []
    return [
        dg.define_asset_job(
            JOB,
            selection=dg.AssetSelection.groups(naming.group(GROUP)).upstream(),
            description="The ablation study: every arm in the profile's order, and the report over the finished ones.",
            tags=naming.run_tags,
        )
    ]


def _tokens(profile: Profile, tokenizer: str, corpora: list[str]) -> StoredAsset[Any]:
    def make(build: Build) -> TokensSummary:
        folder = build.path(f"tokenizer/{tokenizer}")
        with build.executor(profile.engine, profile.curation.workers, WORKERS) as executor:
            return encode_corpora(curated(profile, build), folder, build.out, executor)

    return StoredAsset(
        key=f"ablation_tokens/{tokenizer}",
        group=GROUP,
        description=f"The study's corpora encoded with {tokenizer}.",
        version=STUDY_TOKENS_VERSION,
        settings={"corpora": corpora},
        inputs=[f"tokenizer/{tokenizer}", *(key for name in corpora for key in corpus_inputs(name))],
        summary=TokensSummary,
        make=make,
        metadata=_tokens_metadata,
        kinds=frozenset({"arrow"}),
    )


def _items(profile: Profile, plan: StudyPlan, tokenizer: str) -> StoredAsset[Any]:
    return items_asset(
        profile,
        plan.settings.benchmarks,
        key=f"{ITEMS}/{tokenizer}",
        group=GROUP,
        tokenizer=f"tokenizer/{tokenizer}",
        description=f"Benchmarks' items as {tokenizer}'s token ids, on which every run is scored at its end.",
    )


def _data(profile: Profile, plan: StudyPlan, name: str) -> StoredAsset[Any]:
    data, stages = plan.settings.data[name], plan.stages_of(name)
    tokens = f"ablation_tokens/{plan.tokenizer_of(name)}"
    losses = _losses_of(plan, name)

    def make(build: Build) -> DataSummary:
        with build.executor(profile.engine, profile.shards.workers, MEMORY_SETTINGS) as executor:
            clusters = cluster_folder(data.repeats_by_cluster, build)
            lost = build.path(losses[0]) if losses else None
            found = found_stages(stages, build)
            return build_data(data, found, _stores(build, tokens), build.out, executor, clusters, lost)

    return StoredAsset(
        key=f"{DATA}/{name}",
        group=GROUP,
        description=f"Shards that arms train on: {data.epochs} epoch(s) of {data.tokens:,} tokens.",
        version=STUDY_DATA_VERSION,
        settings={"data": data, "stages": stages},
        inputs=[tokens, *search_inputs(stages), *cluster_inputs(data.repeats_by_cluster), *losses],
        summary=DataSummary,
        make=make,
        metadata=_data_metadata,
        kinds=frozenset({"arrow"}),
    )


def _sorted_as(plan: StudyPlan) -> dict[str, str]:
    """The data sets that go from easy to hard, each with the first that sorts the same documents by the same model."""
    first: dict[object, str] = {}
    found = {}
    for name, data in plan.settings.data.items():
        stages = plan.stages_of(name)
        scored = frozenset(corpus for stage in stages if stage.takes_losses for corpus in stage.mixture)
        learned = frozenset(data.loss_model.learned(corpus for stage in stages for corpus in stage.mixture))
        if scored:
            what = (plan.tokenizer_of(name), data.loss_model.model_copy(update={"corpora": ()}), scored, learned)
            found[name] = first.setdefault(what, name)
    return found


def _losses_of(plan: StudyPlan, name: str) -> list[str]:
    """Key of the losses that a data set is sorted by; none where it is not."""
    first = _sorted_as(plan).get(name)
    return [f"{LOSSES}/{first}"] if first is not None else []


def _losses(profile: Profile, plan: StudyPlan, name: str) -> StoredAsset[Any]:
    data, stages = plan.settings.data[name], plan.stages_of(name)
    learned = data.loss_model.learned(corpus for stage in stages for corpus in stage.mixture)
    scored = {corpus for stage in stages if stage.takes_losses for corpus in stage.mixture}
    tokens = f"ablation_tokens/{plan.tokenizer_of(name)}"
    return losses_asset(
        profile,
        key=f"{LOSSES}/{name}",
        group=GROUP,
        model=data.loss_model.model_copy(update={"corpora": tuple(sorted(set(learned)))}),
        setting=f"study.data.{name}.loss_model",
        scored=scored,
        inputs=[tokens],
        stores=lambda build: {corpus: _stores(build, tokens)[corpus] for corpus in sorted({*scored, *learned})},
    )


def _stores(build: Build, tokens: str) -> dict[str, Path]:
    """The token stores of the study's corpora, by name."""
    return {folder.name: folder for folder in build.path(tokens).iterdir() if folder.is_dir()}


def _arm(profile: Profile, plan: StudyPlan, name: str, priority: int) -> StoredAsset[Any]:
    arm, settings = plan.arm(name), plan.settings.arms[name]
    title = settings.title or name

    def make(build: Build) -> ArmSummary:
        with build.executor(profile.engine, 1, SEEDS_AT_ONCE) as executor:
            return run_arm(plan, arm, build.inputs, build.store, executor, build.context.log)

    return StoredAsset(
        key=arm_key(name),
        group=GROUP,
        description=f"{title} (idea {settings.idea})" if settings.idea else title,
        version=ARM_VERSION,
        settings=arm_identity(plan, arm),
        inputs=arm_inputs(plan, arm),
        summary=ArmSummary,
        make=make,
        metadata=_arm_metadata,
        kinds=frozenset({"pytorch"}),
        pool=TRAINING_POOL if isinstance(profile.engine, ProcessesEngine) else None,
        priority=priority,
    )


def _report(build: Build, plan: StudyPlan) -> ReportSummary:
    finished = finished_arms(plan, build.store)
    for key in sorted(build.inputs.keys() - {arm_key(name) for name in finished}):
        build.context.log.warning(f"{key} is of other settings than the study's; materialize it again")
    design = plan.settings.design()
    return build_report(Results(design, collect(design, finished), build.settings["speed"]), plan.settings, build.out)


def _report_metadata(summary: ReportSummary, folder: Path) -> Metadata:
    shown = (
        "arm",
        "against",
        "seeds",
        "bits_per_byte",
        "at_end",
        "at_end_low",
        "at_end_high",
        "verdict",
    )
    return {
        "arms": summary.arms,
        "finished": summary.finished,
        "runs": summary.runs,
        "effects": table([{name: row.get(name) for name in shown} for row in summary.effects]),
        "report": dg.MetadataValue.md(summary.markdown),
    }


def _heldout_metadata(summary: HeldoutSummary, folder: Path) -> Metadata:
    return {
        "bytes": sum(summary.bytes["final"].values()),
        "curve_bytes": sum(summary.bytes["curve"].values()),
        "corpora": bars({name: size / 1e3 for name, size in summary.bytes["final"].items()}, "kB"),
    }


def _tokens_metadata(summary: TokensSummary, folder: Path) -> Metadata:
    rows = [
        {"corpus": name, "tokens": count, "bytes per token": summary.bytes_per_token[name]}
        for name, count in summary.tokens.items()
    ]
    return {"tokens": sum(summary.tokens.values()), "corpora": table(rows)}


def _data_metadata(summary: DataSummary, folder: Path) -> Metadata:
    sources = {name: float(count) for name, count in summary.sources.items()}
    return {
        "tokens": summary.tokens,
        "bytes_per_token": summary.bytes / summary.tokens,
        "epochs": len(summary.epochs),
        "sources": bars(sources, "tokens"),
    }


def _arm_metadata(summary: ArmSummary, folder: Path) -> Metadata:
    results = summary.results
    finished = {seed: result for seed, result in results.items() if result.state == FINISHED}
    pooled = [result.bits_per_byte[POOLED] for result in finished.values()]
    any_result = next(iter(results.values()))
    return {
        **({"bits_per_byte": sum(pooled) / len(pooled)} if pooled else {}),
        "parameters": any_result.parameters["total"],
        "tokens": any_result.tokens,
        "flops": float(any_result.flops_per_token * any_result.tokens),
        "runs": table([{"seed": str(seed), "state": run.state, **run.bits_per_byte} for seed, run in finished.items()]),
    }
