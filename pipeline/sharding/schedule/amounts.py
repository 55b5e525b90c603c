"""From settings to tokens: how many tokens of each part every stage of an epoch asks for.

In: `ScheduleSettings` and the tokens there are, by part (a corpus, or one language of a corpus whose languages are
balanced). Out: whole numbers of tokens. Pure arithmetic on counts, so `squeeze plan` can use it before any text exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pipeline.base.errors import ShardError
from pipeline.sharding.settings import ScheduleSettings, StageSettings


class Part(NamedTuple):
    """What is counted and repeated as one: a corpus (`lang` None), or one language of it."""

    source: str
    lang: str | None

    @property
    def label(self) -> str:
        return self.source if self.lang is None else f"{self.source}/{self.lang or 'unknown'}"


class StageAmounts(NamedTuple):
    """A stage's size and its parts, in tokens."""

    stage: StageSettings
    tokens: dict[Part, int]


def epoch_amounts(settings: ScheduleSettings, epoch: int, available: Mapping[Part, int]) -> list[StageAmounts]:
    """Tokens asked for in every stage of `epoch`, by part.

    Raises `ShardError` naming the stage and corpus where a corpus is empty or unknown, or the sizes contradict.
    """
    corpora: dict[str, int] = {}
    for part, tokens in available.items():
        corpora[part.source] = corpora.get(part.source, 0) + tokens
    stages = settings.stages_of(epoch)
    used = {
        source for stage in stages for source, mix in stage.mixture.items() if (mix.weight, mix.tokens, mix.repeats)
    }
    for stage in stages:
        for source in stage.mixture:
            if source not in corpora:
                raise ShardError(
                    f"schedule: stage {stage.name!r} mixes {source!r}, known: {', '.join(sorted(corpora))}"
                )
            if corpora[source] == 0:
                raise ShardError(
                    f"schedule: stage {stage.name!r} mixes {source!r}, which holds no documents; "
                    "loosen its filters, or leave it out of the mixture"
                )
    size = settings.tokens_per_epoch or sum(corpora[source] for source in used)
    taken = {stage.name: _own_size(stage, size, corpora) for stage in stages}
    rest = size - sum(tokens for tokens in taken.values() if tokens is not None)
    result = []
    for stage in stages:
        own = taken[stage.name]
        if own is None and rest <= 0:
            raise ShardError(
                f"schedule: epoch {epoch} of {size} tokens leaves {rest} for stage {stage.name!r}; "
                "raise tokens_per_epoch or lower the other stages' sizes"
            )
        by_source = _split(stage, rest if own is None else own, corpora)
        asked: dict[Part, int] = {}
        for source, amount in by_source.items():
            asked |= _by_language(source, amount, available, settings.language_temperature.get(source))
        result.append(StageAmounts(stage, asked))
    return result


def _own_size(stage: StageSettings, epoch_tokens: int, corpora: Mapping[str, int]) -> int | None:
    """Tokens of a stage whose size does not depend on the other stages, else None."""
    if stage.tokens is not None:
        return stage.tokens
    if stage.share is not None:
        return round(stage.share * epoch_tokens)
    if stage.takes_the_rest:
        return None
    return sum(_absolute(stage, corpora).values())


def _absolute(stage: StageSettings, corpora: Mapping[str, int]) -> dict[str, int]:
    amounts = {source: mix.tokens for source, mix in stage.mixture.items() if mix.tokens is not None}
    repeats = {source: mix.repeats for source, mix in stage.mixture.items() if mix.repeats is not None}
    return amounts | {source: round(times * corpora[source]) for source, times in repeats.items()}


def _split(stage: StageSettings, size: int, corpora: Mapping[str, int]) -> dict[str, int]:
    """A stage's tokens by corpus: the absolute amounts, then the weights' shares of what they leave."""
    amounts = _absolute(stage, corpora)
    weights = {source: mix.weight for source, mix in stage.mixture.items() if mix.weight}
    left = size - sum(amounts.values())
    if left < 0 or (left > 0 and not weights):
        raise ShardError(
            f"schedule: stage {stage.name!r} is {size} tokens, but its corpora's tokens and repeats add up to "
            f"{size - left}; drop the stage's share or tokens, or give a corpus a weight"
        )
    return amounts | dict(zip(weights, divide(left, list(weights.values())), strict=True))


def _by_language(source: str, amount: int, available: Mapping[Part, int], temperature: float | None) -> dict[Part, int]:
    if temperature is None:
        return {Part(source, None): amount}
    parts = sorted(part for part in available if part.source == source and available[part])
    shares = [available[part] ** (1 / temperature) for part in parts]
    return dict(zip(parts, divide(amount, shares), strict=True))


def divide(total: int, weights: list[float]) -> list[int]:
    """Whole numbers in proportion to `weights` that add up to `total` (largest remainder)."""
    scale = sum(weights)
    exact = [total * weight / scale for weight in weights]
    result = [int(value) for value in exact]
    order = sorted(range(len(weights)), key=lambda i: (result[i] - exact[i], i))
    for i in order[: total - sum(result)]:
        result[i] += 1
    return result
