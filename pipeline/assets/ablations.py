"""Group `ablations`: an asset per arm of the study, what the arms share, and the report over those that are finished.

Arms share token stores, shards and the held-out sample through assets of their own, so an arm that differs in the
model alone builds nothing but its runs. The job runs the arms in the order in which the profile lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import dagster as dg

from pipeline.assets.evaluation import items_asset
from pipeline.assets.metadata import bars, table
from pipeline.assets.stored_asset import Build, Metadata, StoredAsset
from pipeline.assets.tokenization import corpus_inputs, curated
from pipeline.profile.profile import Profile
from pipeline.store import Artifact
from pipeline.study.data import (
    STUDY_DATA_VERSION,
    STUDY_HELDOUT_VERSION,
    STUDY_TOKENS_VERSION,
    build_data,
    encode_corpora,
    sample_heldout,
)
from pipeline.study.report.page import REPORT_VERSION, ReportSummary, build_report
from pipeline.study.results.runs_table import collect, read_speed
from pipeline.study.runs.arm import ARM_VERSION, arm_identity, arm_key, finished_arms, run_arm, tokenizer_of
from pipeline.study.runs.seeds import DATA, HELDOUT, ITEMS, arm_inputs
from pipeline.study.settings import POOLED, StudySettings, resolve
from pipeline.study.speed import speed_file

GROUP: Final = "ablations"
JOB: Final = "ablations"
REPORT: Final = "ablation_report"


def stored_assets(profile: Profile) -> list[StoredAsset]:
    """The study's assets; none for a profile without a study."""
    study = profile.study
    if study is None:
        return []
    mixed = {name: _stages_of(profile, study, name) for name in study.data}
    corpora = sorted({source for stages in mixed.values() for stage in stages for source in stage.mixture})
    tokenizers = dict.fromkeys(tokenizer_of(profile, study, name) for name in study.data)
    return [
        StoredAsset(
            key=HELDOUT,
            group=GROUP,
            description="The held-out text every arm is scored on: whole documents in the order of a hash.",
            version=STUDY_HELDOUT_VERSION,
            settings=study.heldout,
            inputs=[f"heldout/{name}" for name in study.heldout.bytes],
            make=lambda build: sample_heldout(study.heldout, build.paths("heldout"), build.out),
            metadata=_heldout_metadata,
            kinds=frozenset({"parquet"}),
        ),
        *(_tokens(profile, name, corpora) for name in tokenizers),
        *(_items(profile, study, name) for name in tokenizers if study.benchmarks.tasks),
        *(_data(profile, study, name) for name in study.data),
        # all below 0, or the first arms whose data are there would run before the data of the arms that come first
        *(_arm(profile, study, name, -number) for number, name in enumerate(study.arms, start=1)),
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
            make=lambda build: _report(build, profile, study),
            metadata=_report_metadata,
            kinds=frozenset({"csv"}),
            # the speeds are measured apart, on a quiet machine: what the file says is part of the report
            override=lambda settings, _: settings | {"speed": read_speed(speed_file())},
        ),
    ]


def jobs(profile: Profile) -> list[Any]:
    """The job `ablations`: every arm in its order, and the report; finished arms are reused."""
    if profile.study is None:
        return []
    return [
        dg.define_asset_job(
            JOB,
            selection=dg.AssetSelection.groups(GROUP).upstream(),
            description="The ablation study: every arm in the profile's order, and the report over the finished ones.",
            tags={"profile": profile.name},
        )
    ]


def _stages_of(profile: Profile, study: StudySettings, data: str) -> Any:
    return study.data[data].stages or profile.schedule.stages


def _tokens(profile: Profile, tokenizer: str, corpora: list[str]) -> StoredAsset:
    def make(build: Build) -> Any:
        return encode_corpora(curated(profile, build), build.path(f"tokenizer/{tokenizer}"), build.out)

    return StoredAsset(
        key=f"ablation_tokens/{tokenizer}",
        group=GROUP,
        description=f"The study's corpora encoded with {tokenizer}.",
        version=STUDY_TOKENS_VERSION,
        settings={"corpora": corpora},
        inputs=[f"tokenizer/{tokenizer}", *(key for name in corpora for key in corpus_inputs(name))],
        make=make,
        metadata=_tokens_metadata,
        kinds=frozenset({"arrow"}),
    )


def _items(profile: Profile, study: StudySettings, tokenizer: str) -> StoredAsset:
    return items_asset(
        profile,
        study.benchmarks,
        key=f"{ITEMS}/{tokenizer}",
        group=GROUP,
        tokenizer=f"tokenizer/{tokenizer}",
        description=f"Benchmarks' items as {tokenizer}'s token ids, on which every run is scored at its end.",
    )


def _data(profile: Profile, study: StudySettings, name: str) -> StoredAsset:
    data, stages = study.data[name], _stages_of(profile, study, name)
    tokens = f"ablation_tokens/{tokenizer_of(profile, study, name)}"

    def make(build: Build) -> Any:
        stores = {folder.name: folder for folder in build.path(tokens).iterdir() if folder.is_dir()}
        return build_data(data, stages, stores, build.out, profile.shards.workers)

    return StoredAsset(
        key=f"{DATA}/{name}",
        group=GROUP,
        description=f"Shards that arms train on: {data.epochs} epoch(s) of {data.tokens:,} tokens.",
        version=STUDY_DATA_VERSION,
        settings={"data": data, "stages": stages},
        inputs=[tokens],
        make=make,
        metadata=_data_metadata,
        kinds=frozenset({"arrow"}),
    )


def _arm(profile: Profile, study: StudySettings, name: str, priority: int) -> StoredAsset:
    run, arm = resolve(study, name, profile.model, profile.training), study.arms[name]
    tokenizer = tokenizer_of(profile, study, run.data)
    return StoredAsset(
        key=arm_key(name),
        group=GROUP,
        description=f"{arm.title or name} (idea {arm.idea})" if arm.idea else arm.title or name,
        version=ARM_VERSION,
        settings=arm_identity(study, run),
        inputs=arm_inputs(study, run, tokenizer),
        make=lambda build: run_arm(run, study, tokenizer, build.inputs, build.store, build.context.log),
        metadata=_arm_metadata,
        kinds=frozenset({"pytorch"}),
        priority=priority,
    )


def _report(build: Build, profile: Profile, study: StudySettings) -> ReportSummary:
    found = finished_arms(profile, study, build.store)
    for key in sorted(build.inputs.keys() - {arm_key(name) for name in found}):
        build.context.log.warning(f"{key} is of other settings than the study's; materialize it again")
    return build_report(collect(study, found), build.settings["speed"], study, build.out)


def _report_metadata(artifact: Artifact) -> Metadata:
    facts = artifact.summary
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
        **{name: facts[name] for name in ("arms", "finished", "runs")},
        "effects": table([{name: row.get(name) for name in shown} for row in facts["effects"]]),
        "report": dg.MetadataValue.md(facts["markdown"]),
    }


def _heldout_metadata(artifact: Artifact) -> Metadata:
    facts = artifact.summary
    return {
        "bytes": sum(facts["bytes"]["final"].values()),
        "curve_bytes": sum(facts["bytes"]["curve"].values()),
        "corpora": bars({name: size / 1e3 for name, size in facts["bytes"]["final"].items()}, "kB"),
    }


def _tokens_metadata(artifact: Artifact) -> Metadata:
    facts = artifact.summary
    rows = [
        {"corpus": name, "tokens": count, "bytes per token": facts["bytes_per_token"][name]}
        for name, count in facts["tokens"].items()
    ]
    return {"tokens": sum(facts["tokens"].values()), "corpora": table(rows)}


def _data_metadata(artifact: Artifact) -> Metadata:
    facts = artifact.summary
    sources = {name: float(count) for name, count in facts["sources"].items()}
    return {
        "tokens": facts["tokens"],
        "bytes_per_token": facts["bytes"] / facts["tokens"],
        "epochs": len(facts["epochs"]),
        "sources": bars(sources, "tokens"),
    }


def _arm_metadata(artifact: Artifact) -> Metadata:
    seeds: Mapping[str, Mapping[str, Any]] = artifact.summary["seeds"]
    rows = [
        {"seed": seed, "state": run["state"], **{f"{name}": value for name, value in run["bits_per_byte"].items()}}
        for seed, run in seeds.items()
    ]
    first = next(iter(seeds.values()))
    finished = [run["bits_per_byte"][POOLED] for run in seeds.values() if run["state"] == "finished"]
    return {
        **({"bits_per_byte": sum(finished) / len(finished)} if finished else {}),
        "parameters": first["parameters"]["total"],
        "tokens": first["tokens"],
        "flops": float(first["flops_per_token"] * first["tokens"]),
        "runs": table([row for row in rows if row["state"] == "finished"]),
    }
