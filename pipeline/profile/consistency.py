"""What must fit between the sections of a profile, each of which is right by itself.

In: a validated profile. Out: a mistake for everything that the trainer or a build would refuse hours later and that the
profile alone shows, at the key to change. What needs the machine is asked by `pipeline.preflight`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from pipeline.base.suggestions import did_you_mean
from pipeline.curation.settings import CurationSettings
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.launch.settings import LaunchSettings
from pipeline.sharding.settings import ScheduleSettings, ShardSettings, StageSettings
from pipeline.study.settings import StudySettings
from trainer.config import TrainingConfig, idle_settings
from trainer.errors import ConfigError
from trainer.mistakes import Mistake
from trainer.model.config import ModelConfig

CLOSE: Final = 1e-6
WARMUP: Final = ("training", "schedule", "warmup_steps")


class Sections(Protocol):
    """What of a profile is held against one another."""

    @property
    def corpora(self) -> Mapping[str, Any]: ...
    @property
    def curation(self) -> CurationSettings: ...
    @property
    def schedule(self) -> ScheduleSettings: ...
    @property
    def shards(self) -> ShardSettings: ...
    @property
    def model(self) -> ModelConfig: ...
    @property
    def training(self) -> TrainingConfig: ...
    @property
    def launch(self) -> LaunchSettings: ...
    @property
    def evaluation(self) -> EvaluationSettings: ...
    @property
    def study(self) -> StudySettings | None: ...


def mistakes_between(profile: Sections, *, own_warmup: bool) -> Iterator[Mistake]:
    """Every mistake, in the order of the profile's sections.

    own_warmup: the warm-up is the profile's own word, and not that of a recipe that it takes for a short trial.
    """
    yield from _mixtures(profile)
    yield from _quality(profile)
    yield from _domain_caps(profile)
    for epoch in range(1, profile.schedule.epochs + 1):
        found = list(_stage_sizes(profile, epoch))
        if found:
            yield from found
            break
    yield from _packing(profile)
    yield from _batch(profile)
    yield from _steps(profile, own_warmup=own_warmup)
    yield from _weights(profile)
    for place, what in idle_settings(profile.model, profile.training):
        yield Mistake(tuple(place.split(".")), what)


def _mixtures(profile: Sections) -> Iterator[Mistake]:
    there = ", ".join(profile.corpora)
    for number, stage in enumerate(profile.schedule.stages):
        for corpus in stage.mixture.keys() - profile.corpora.keys():
            yield Mistake(
                ("schedule", "stages", number, "mixture", corpus),
                f"stage {stage.name!r} mixes {corpus!r}, which is not in corpora"
                f"{did_you_mean(corpus, profile.corpora)}; there are {there}",
            )
    stages = [stage.name for stage in profile.schedule.stages if stage.searched]
    if stages and (profile.study is None or profile.study.mixture_search is None):
        yield Mistake(
            ("schedule", "stages"),
            f"{', '.join(stages)} takes a searched mixture, and there is no study.mixture_search: describe the search "
            "there, or name weights under mixture",
        )
    for number, corpus in enumerate(profile.schedule.loss_model.corpora):
        if corpus not in profile.corpora:
            yield Mistake(
                ("schedule", "loss_model", "corpora", number),
                f"there is no corpus {corpus!r}{did_you_mean(corpus, profile.corpora)}; there are {there}",
            )
    for key in ("language_temperature", "repeats_by_cluster"):
        for corpus in getattr(profile.schedule, key).keys() - profile.corpora.keys():
            yield Mistake(
                ("schedule", key, corpus),
                f"there is no corpus {corpus!r}{did_you_mean(corpus, profile.corpora)}; there are {there}",
            )


def _quality(profile: Sections) -> Iterator[Mistake]:
    """Quality models of corpora that are not there or have no scores, and thresholds over models that are not there."""
    models, corpora = profile.curation.quality, profile.corpora
    for name, settings in models.items():
        for side in ("like", "unlike", "rated"):
            for number, corpus in enumerate(getattr(settings, side)):
                place = ("curation", "quality", name, side, number)
                if corpus not in corpora:
                    known = did_you_mean(corpus, corpora)
                    yield Mistake(place, f"there is no corpus {corpus!r}{known}; there are {', '.join(corpora)}")
                elif side == "rated" and all(source.score_field is None for source in corpora[corpus].sources):
                    yield Mistake(
                        place, f"no source of {corpus!r} has a `score_field` to learn: name its field of scores"
                    )
    for name, corpus in corpora.items():
        for model in corpus.quality_models:
            if model not in models:
                known = f"{did_you_mean(model, models)}; there are {', '.join(models)}" if models else ""
                yield Mistake(
                    ("corpora", name, "filters", "quality", model),
                    f"there is no model {model!r} under curation.quality{known or ': describe it there'}",
                )


def _domain_caps(profile: Sections) -> Iterator[Mistake]:
    """Caps on domains of text that says no address."""
    for name, corpus in profile.corpora.items():
        if corpus.domain_cap is not None and all(source.url_field is None for source in corpus.sources):
            yield Mistake(
                ("corpora", name, "domain_cap"),
                f"no source of {name!r} has a `url_field`, by which a document's domain is told: name its field of "
                "addresses",
            )


def _stage_sizes(profile: Sections, epoch: int) -> Iterator[Mistake]:
    """Shares that leave a part of an epoch without text, or none of it for the stage that takes the rest."""
    schedule = profile.schedule
    stages = schedule.stages_of(epoch)
    shares = sum(stage.share or 0.0 for stage in stages)
    rest = next((stage for stage in stages if stage.takes_the_rest), None)
    if rest is None and shares and all(stage.share is not None for stage in stages) and shares < 1 - CLOSE:
        yield Mistake(
            ("schedule", "stages"),
            f"the shares of epoch {epoch}'s stages ({_names(stages)}) add up to {shares:.4g}: make them 1, or leave "
            "the share of one stage out, which then takes the rest",
        )
    size = schedule.tokens_per_epoch
    if rest is not None and shares >= 1 - CLOSE:
        yield Mistake(
            ("schedule", "stages"),
            f"the shares of epoch {epoch}'s other stages add up to 1, so {rest.name!r} has nothing left: lower a share",
        )
    elif rest is not None and size is not None:
        taken = sum(stage.tokens or round((stage.share or 0.0) * size) for stage in stages)
        if taken >= size:
            yield Mistake(
                ("schedule", "tokens_per_epoch"),
                f"epoch {epoch} has {size:,} tokens and its stages with a size take {taken:,}, so {rest.name!r} has "
                "nothing left: raise tokens_per_epoch, or lower their tokens or shares",
            )


def _names(stages: list[StageSettings]) -> str:
    return ", ".join(stage.name for stage in stages)


def _packing(profile: Sections) -> Iterator[Mistake]:
    packing = profile.shards.packing
    if packing is not None and packing.context != profile.model.context:
        yield Mistake(
            ("shards", "packing", "context"),
            f"it is {packing.context}, model.context {profile.model.context}: rows are packed for one context; set "
            "both to the same",
        )


def _weights(profile: Sections) -> Iterator[Mistake]:
    """Weights to score that the run does not keep."""
    name, training = profile.evaluation.weights, profile.training
    keeps = {"ema": ("ema_horizon", "average_share"), "lowest_loss": ("evaluate_every",)}.get(name, ())
    if keeps and all(getattr(training, setting) is None for setting in keeps):
        settings = " or ".join(f"training.{setting}" for setting in keeps)
        yield Mistake(
            ("evaluation", "weights"),
            f"it is {name}, which a run keeps only where {settings} is set: set that, or write averaged",
        )


def _batch(profile: Sections) -> Iterator[Mistake]:
    """Batches of whole sequences, and one for every rank."""
    context, batch, ranks = profile.model.context, profile.training.batch_tokens, profile.launch.ranks
    if context > batch:
        yield Mistake(
            ("model", "context"),
            f"a sequence of {context:,} tokens is longer than a batch (training.batch_tokens {batch:,}): lower "
            f"model.context, or set training.batch_tokens to a multiple of it, such as {context:,}",
        )
        return
    try:
        profile.training.sequences_per_batch(context)
    except ConfigError:
        below = batch // context * context
        yield Mistake(
            ("training", "batch_tokens"),
            f"must be a multiple of model.context ({context:,}), found {batch:,}: set it to {below:,} or "
            f"{below + context:,}",
        )
        return
    try:
        sequences = profile.training.smallest_batch(context)
    except ConfigError as error:
        place, text = str(error).split(": ", 1)
        yield Mistake(tuple(place.split(".")), f"{text}: take numbers that divide it")
        return
    nodes = profile.launch.nodes
    least = nodes * (ranks if isinstance(ranks, int) else 1)
    if least > sequences:
        yield Mistake(
            ("launch", "ranks" if isinstance(ranks, int) else "nodes"),
            f"{least} ranks{f' on {nodes} nodes' if nodes > 1 else ''} cannot share a batch of {sequences} sequences: "
            f"set {'it to auto' if nodes == 1 else 'fewer'}, or raise training.batch_tokens",
        )


def _steps(profile: Sections, *, own_warmup: bool) -> Iterator[Mistake]:
    """A run of at least one step, which is longer than its warm-up; where the profile says how long the run is."""
    training, schedule = profile.training, profile.schedule
    lengths = [training.max_steps] if training.max_steps else []
    if schedule.tokens_per_epoch is not None:
        tokens = schedule.tokens_per_epoch * schedule.epochs
        if tokens < training.batch_tokens:
            yield Mistake(
                ("schedule", "tokens_per_epoch"),
                f"{schedule.epochs} epochs of {schedule.tokens_per_epoch:,} tokens do not fill one batch "
                f"(training.batch_tokens {training.batch_tokens:,}): raise tokens_per_epoch, or lower batch_tokens",
            )
            return
        lengths.append(tokens // training.batch_tokens)
    if own_warmup and lengths and training.schedule.warmup_steps >= min(lengths):
        yield Mistake(
            WARMUP,
            f"{training.schedule.warmup_steps:,} steps of warm-up are no shorter than the run of {min(lengths):,}: "
            "lower it below that",
        )
