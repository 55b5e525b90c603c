"""Group `ablations`: an asset per arm of the study, what the arms share, and the report over those that are finished.

Arms share token stores, shards and the held-out sample through assets of their own, so an arm that differs in the
model alone builds nothing but its runs. The job runs the arms in the order in which the profile lists them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Final

import dagster as dg

from pipeline.assets.evaluation import items_stage
from pipeline.assets.show import bars, table
from pipeline.assets.stage import Job, Metadata, Stage
from pipeline.assets.tokenization import corpus_inputs, curated
from pipeline.errors import StudyError
from pipeline.profile import Profile, squeeze_home
from pipeline.settings import identity_of
from pipeline.sharding.workers import cpu_count
from pipeline.store import Artifact, Built
from pipeline.study.data import (
    STUDY_DATA_VERSION,
    STUDY_HELDOUT_VERSION,
    STUDY_TOKENS_VERSION,
    build_data,
    encode_corpora,
    sample_heldout,
)
from pipeline.study.report import REPORT_VERSION, ReportSummary, build_report
from pipeline.study.runs import (
    DATA,
    HELDOUT,
    ITEMS,
    SEED_VERSION,
    arm_inputs,
    run_seed,
    seed_identity,
    seed_key,
    side_by_side,
)
from pipeline.study.seed import POOLED, SeedTask
from pipeline.study.settings import ArmRun, StudySettings, resolve
from pipeline.study.tables import SPEED_FILE, collect, read_speed

GROUP: Final = "ablations"
JOB: Final = "ablations"
REPORT: Final = "ablation_report"
ARM_VERSION: Final = "1"


@dataclass(frozen=True)
class ArmSummary:
    """An arm's finished runs."""

    content_hash: str
    arm: str
    seeds: dict[str, dict[str, Any]]
    """What each seed's `result.json` says."""


def stages(profile: Profile) -> list[Stage]:
    """The study's stages; none for a profile without a study."""
    study = profile.study
    if study is None:
        return []
    mixed = {name: _stages_of(profile, study, name) for name in study.data}
    corpora = sorted({source for stages in mixed.values() for stage in stages for source in stage.mixture})
    tokenizers = dict.fromkeys(tokenizer_of(profile, study, name) for name in study.data)
    return [
        Stage(
            key=HELDOUT,
            group=GROUP,
            description="The held-out text every arm is scored on: whole documents in the order of a hash.",
            version=STUDY_HELDOUT_VERSION,
            settings=study.heldout,
            inputs=[f"heldout/{name}" for name in study.heldout.bytes],
            build=lambda job: sample_heldout(study.heldout, job.paths("heldout"), job.out),
            metadata=_heldout_metadata,
            kinds=frozenset({"parquet"}),
        ),
        *(_tokens(profile, name, corpora) for name in tokenizers),
        *(_items(profile, study, name) for name in tokenizers if study.benchmarks.tasks),
        *(_data(profile, study, name) for name in study.data),
        # all below 0, or the first arms whose data are there would run before the data of the arms that come first
        *(_arm(profile, study, name, -number) for number, name in enumerate(study.arms, start=1)),
        Stage(
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
            build=lambda job: _report(job, profile, study),
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


def arm_key(name: str) -> str:
    """`ablation/rope` for the arm `rope`."""
    return f"ablation/{name}"


def arm_identity(study: StudySettings, run: ArmRun) -> dict[str, Any]:
    """What decides an arm's results, apart from its data."""
    return {
        "model": run.model,
        "training": {
            name: value for name, value in identity_of(run.training).items() if name not in ("seed", "max_steps")
        },
        "budget": run.budget,
        "points": study.points,
        "apart": list(study.heldout.apart),
        "seeds": list(run.seeds),
    }


def tokenizer_of(profile: Profile, study: StudySettings, data: str) -> str:
    """Name of the tokenizer of a data set. Raises StudyError where the profile chooses it by comparison."""
    name = study.data[data].tokenizer or profile.tokenizers.select
    if name not in profile.tokenizers.candidates:
        raise StudyError(
            f"study.data.{data}: tokenizers.select is {name!r}, no candidate's name; set the data set's tokenizer"
        )
    return name


def _stages_of(profile: Profile, study: StudySettings, data: str) -> Any:
    return study.data[data].stages or profile.schedule.stages


def _tokens(profile: Profile, tokenizer: str, corpora: list[str]) -> Stage:
    def build(job: Job) -> Any:
        return encode_corpora(curated(profile, job), job.path(f"tokenizer/{tokenizer}"), job.out)

    return Stage(
        key=f"ablation_tokens/{tokenizer}",
        group=GROUP,
        description=f"The study's corpora encoded with {tokenizer}.",
        version=STUDY_TOKENS_VERSION,
        settings={"corpora": corpora},
        inputs=[f"tokenizer/{tokenizer}", *(key for name in corpora for key in corpus_inputs(name))],
        build=build,
        metadata=_tokens_metadata,
        kinds=frozenset({"arrow"}),
    )


def _items(profile: Profile, study: StudySettings, tokenizer: str) -> Stage:
    return items_stage(
        profile,
        study.benchmarks,
        key=f"{ITEMS}/{tokenizer}",
        group=GROUP,
        tokenizer=f"tokenizer/{tokenizer}",
        description=f"Benchmarks' items as {tokenizer}'s token ids, on which every run is scored at its end.",
    )


def _data(profile: Profile, study: StudySettings, name: str) -> Stage:
    data, stages = study.data[name], _stages_of(profile, study, name)
    tokens = f"ablation_tokens/{tokenizer_of(profile, study, name)}"

    def build(job: Job) -> Any:
        stores = {folder.name: folder for folder in job.path(tokens).iterdir() if folder.is_dir()}
        return build_data(data, stages, stores, job.out, profile.shards.workers)

    return Stage(
        key=f"{DATA}/{name}",
        group=GROUP,
        description=f"Shards that arms train on: {data.epochs} epoch(s) of {data.tokens:,} tokens.",
        version=STUDY_DATA_VERSION,
        settings={"data": data, "stages": stages},
        inputs=[tokens],
        build=build,
        metadata=_data_metadata,
        kinds=frozenset({"arrow"}),
    )


def _arm(profile: Profile, study: StudySettings, name: str, priority: int) -> Stage:
    run, arm = resolve(study, name, profile.model, profile.training), study.arms[name]
    tokenizer = tokenizer_of(profile, study, run.data)
    return Stage(
        key=arm_key(name),
        group=GROUP,
        description=f"{arm.title or name} (idea {arm.idea})" if arm.idea else arm.title or name,
        version=ARM_VERSION,
        settings=arm_identity(study, run),
        inputs=arm_inputs(study, run, tokenizer),
        build=lambda job: run_arm(job, run, study, tokenizer),
        metadata=_arm_metadata,
        kinds=frozenset({"pytorch"}),
        priority=priority,
    )


def run_arm(job: Job, run: ArmRun, study: StudySettings, tokenizer: str) -> ArmSummary:
    """Every seed of an arm; each is an artifact of its own, `ablation_seed/<arm>/<seed>`, reused when it is there.

    Raises StudyError in the words of the first run that fails.
    """
    data = job.inputs[f"{DATA}/{run.data}"]
    items = job.path(f"{ITEMS}/{tokenizer}") if study.benchmarks.tasks else None

    def seed(number: int, stop: Event) -> Artifact:
        identity = seed_identity(study, run, number)
        task = SeedTask(
            model=run.model.to_dict(),
            training=dataclasses.asdict(run.training) | {"seed": number, "max_steps": None},
            budget=run.budget.model_dump(),
            points=study.points,
            epochs=[str(data.path / epoch) for epoch in data.summary["epochs"]],
            tokenizer=str(job.path(f"tokenizer/{tokenizer}")),
            heldout=str(job.path(HELDOUT)),
            apart=list(study.heldout.apart),
            benchmarks={name: str(items / f"{name}.json") for name in study.benchmarks.tasks} if items else {},
        )

        def build(out: Path) -> Built:
            return run_seed(task, out, stop)

        job.context.log.info(f"{run.name}: seed {number}")
        outcome = job.store.ensure(
            seed_key(run.name, number),
            code_version=SEED_VERSION,
            identity=identity,
            inputs=job.inputs,
            build=build,
        )
        found = outcome.artifact.summary
        job.context.log.info(f"{run.name}: seed {number}: {found['bits_per_byte'].get(POOLED, found['state'])}")
        return outcome.artifact

    tasks: list[Callable[[Event], Artifact]] = [partial(seed, number) for number in run.seeds]
    artifacts = dict(zip(run.seeds, side_by_side(tasks, study.seeds_at_once or cpu_count()), strict=True))
    hashes = "\n".join(f"{number} {item.content_hash}" for number, item in artifacts.items())
    return ArmSummary(
        hashlib.sha256(hashes.encode()).hexdigest(),
        run.name,
        {str(number): dict(item.summary) for number, item in artifacts.items()},
    )


def speed_file() -> Path:
    """Where `python -m pipeline.study speed --out <store>` leaves the arms' speeds for the report."""
    return squeeze_home() / SPEED_FILE


def _report(job: Job, profile: Profile, study: StudySettings) -> ReportSummary:
    """Over the arms that the study as it is now would reuse: others may have been made with another budget or data."""
    found = {}
    for name in study.arms:
        run = resolve(study, name, profile.model, profile.training)
        item = job.store.find_fresh(
            arm_key(name),
            code_version=ARM_VERSION,
            identity=identity_of(arm_identity(study, run)),
            inputs=arm_inputs(study, run, tokenizer_of(profile, study, run.data)),
        )
        if item is not None:
            found[name] = item.summary
        elif arm_key(name) in job.inputs:
            job.context.log.warning(f"{arm_key(name)} is of other settings than the study's; materialize it again")
    return build_report(collect(study, found), job.settings["speed"], study, job.out)


def _report_metadata(artifact: Artifact) -> Metadata:
    facts = artifact.summary
    shown = (
        "arm",
        "against",
        "seeds",
        "bits_per_byte",
        "equal_tokens",
        "equal_tokens_low",
        "equal_tokens_high",
        "verdict",
    )
    return {
        **{name: facts[name] for name in ("arms", "finished", "runs")},
        "effects": table([{name: row[name] for name in shown} for row in facts["effects"]]),
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
