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

    corpus: str
    lang: str | None

    @property
    def label(self) -> str:
        return self.corpus if self.lang is None else f"{self.corpus}/{self.lang or 'unknown'}"


class StageAmounts(NamedTuple):
    """A stage's size and its parts, in tokens."""

    stage: StageSettings
    tokens: dict[Part, int]


def epoch_amounts(settings: ScheduleSettings, epoch: int, available: Mapping[Part, int]) -> list[StageAmounts]:
    """Tokens asked for in every stage of `epoch`, by part.

    Raises `ShardError` naming the stage and corpus where a corpus is empty or unknown, or the sizes contradict.
    """
    sizes: dict[str, int] = {}
    for part, tokens in available.items():
        sizes[part.corpus] = sizes.get(part.corpus, 0) + tokens
    stages = settings.stages_of(epoch)
    for stage in stages:
        for corpus in stage.mixture:
            if corpus not in sizes:
                raise ShardError(f"schedule: stage {stage.name!r} mixes {corpus!r}, known: {', '.join(sorted(sizes))}")
            if sizes[corpus] == 0:
                raise ShardError(
                    f"schedule: stage {stage.name!r} mixes {corpus!r}, which holds no documents; "
                    "loosen its filters, or leave it out of the mixture"
                )
    size = settings.tokens_per_epoch or sum(sizes[c] for c in {c for stage in stages for c in stage.mixture})
    fixed = {stage.name: _fixed_size(stage, size, sizes) for stage in stages}
    rest = size - sum(tokens for tokens in fixed.values() if tokens is not None)
    result = []
    for stage in stages:
        tokens_of_stage = fixed[stage.name]
        if tokens_of_stage is None and rest <= 0:
            raise ShardError(
                f"schedule: epoch {epoch} of {size} tokens leaves {rest} for stage {stage.name!r}; "
                "raise tokens_per_epoch or lower the other stages' sizes"
            )
        by_corpus = _split(stage, rest if tokens_of_stage is None else tokens_of_stage, sizes)
        asked: dict[Part, int] = {}
        for corpus, amount in by_corpus.items():
            asked |= _by_language(corpus, amount, available, settings.language_temperature.get(corpus))
        result.append(StageAmounts(stage, asked))
    return result


def _fixed_size(stage: StageSettings, epoch_tokens: int, sizes: Mapping[str, int]) -> int | None:
    """Tokens of a stage whose size does not depend on the other stages, else None."""
    if stage.tokens is not None:
        return stage.tokens
    if stage.share is not None:
        return round(stage.share * epoch_tokens)
    if stage.takes_the_rest:
        return None
    return sum(_absolute(stage, sizes).values())


def _absolute(stage: StageSettings, sizes: Mapping[str, int]) -> dict[str, int]:
    amounts = {corpus: mix.tokens for corpus, mix in stage.mixture.items() if mix.tokens is not None}
    repeats = {corpus: mix.repeats for corpus, mix in stage.mixture.items() if mix.repeats is not None}
    return amounts | {corpus: round(times * sizes[corpus]) for corpus, times in repeats.items()}


def _split(stage: StageSettings, size: int, sizes: Mapping[str, int]) -> dict[str, int]:
    """A stage's tokens by corpus: the absolute amounts, then the weights' shares of what they leave."""
    amounts = _absolute(stage, sizes)
    weights = {corpus: mix.weight for corpus, mix in stage.mixture.items() if mix.weight}
    left = size - sum(amounts.values())
    if left < 0 or (left > 0 and not weights):
        raise ShardError(
            f"schedule: stage {stage.name!r} is {size} tokens, but its corpora's tokens and repeats add up to "
            f"{size - left}; drop the stage's share or tokens, or give a corpus a weight"
        )
    return amounts | dict(zip(weights, divide(left, list(weights.values())), strict=True))


def _by_language(corpus: str, amount: int, available: Mapping[Part, int], temperature: float | None) -> dict[Part, int]:
    if temperature is None:
        return {Part(corpus, None): amount}
    parts = sorted(part for part in available if part.corpus == corpus and available[part])
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
