"""`squeeze plan`: the schedule as a table before anything is built.

What a corpus holds comes from the best that is known of it: a size given on the command line, its tokens where they are
in the store, the bytes of its documents, or the profile's own estimate (`estimated_bytes`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import ByteSize, TypeAdapter, ValidationError

from pipeline.base.errors import SqueezeError
from pipeline.curation.documents import DocumentsSummary
from pipeline.profile.profile import Profile
from pipeline.sharding.schedule.forecast import ForecastRow, estimated_holdings, forecast, holdings_of
from pipeline.store import Artifact, Store
from pipeline.tokenization.corpus_tokens.encode import TokensSummary
from trainer.config import DataConfig, RunConfig
from trainer.data.shards import dtype_for

if TYPE_CHECKING:
    from trainer.plan import TrainingPlan


def plan(profile: Profile, store: Store, sizes: Mapping[str, int]) -> tuple[list[ForecastRow], list[str]]:
    """Rows per epoch, stage and corpus, and notes on what was estimated.

    `sizes` are bytes of text by corpus, for what is not in the store. Raises SqueezeError naming a corpus of unknown
    size, ShardError for a schedule that cannot be met.
    """
    mixed = sorted({corpus for stage in profile.schedule.stages for corpus in stage.mixture})
    tokens = {name: store.find_current(f"tokens/{name}") for name in mixed}
    encoded = {name: artifact for name, artifact in tokens.items() if artifact is not None and name not in sizes}
    if len(encoded) == len(mixed):
        dtype = next(iter(encoded.values())).summary_as(TokensSummary).dtype
        holdings = holdings_of(profile.schedule, {name: artifact.path for name, artifact in encoded.items()})
        return forecast(profile.schedule, profile.shards, holdings, dtype), []
    text_bytes = {name: sizes.get(name) or _text_bytes(profile, name, encoded.get(name), store) for name in mixed}
    # an estimate knows no languages, so it cannot balance them
    schedule = profile.schedule.model_copy(update={"language_temperature": {}})
    rows = forecast(schedule, profile.shards, estimated_holdings(text_bytes), dtype_for(profile.model.vocab_size))
    return rows, ["estimated at 4 bytes a token and 1,000 tokens a document; exact once the corpora are tokenized"]


def training_figures(profile: Profile, rows: Sequence[ForecastRow], *, devices: int, mfu: float) -> TrainingPlan:
    """What training on a planned schedule takes, as `trainer.plan.plan` says it."""
    from trainer.plan import plan as plan_run

    tokens = sum(row.tokens for row in rows if row.is_total)
    most = profile.training.max_steps
    steps = max(1, min(tokens // profile.training.batch_tokens, most or tokens))
    training = dataclasses.replace(profile.training, max_steps=steps)
    run = RunConfig(model=profile.model, training=training, data=DataConfig(epochs=("not built yet",)), out=".")
    return plan_run(run, devices=devices, mfu=mfu)


def devices_here() -> int:
    """This machine's GPUs, or one where it has none: what training is worked out for."""
    from trainer.process.ranks import choose_device, devices_of

    return max(1, devices_of(choose_device("auto")))


def _text_bytes(profile: Profile, name: str, tokens: Artifact | None, store: Store) -> int:
    if tokens is not None:
        return tokens.summary_as(TokensSummary).train.bytes
    documents = store.find_current(f"documents/{name}")
    if documents is not None:
        return documents.summary_as(DocumentsSummary).bytes
    stated = profile.corpora[name].estimated_bytes
    if stated is None:
        raise SqueezeError(
            f"the size of the corpus {name} is not known yet: materialize documents/{name}, set its estimated_bytes in "
            f"the profile, or give it, as in `squeeze plan --size {name}=2GB`"
        )
    return stated


def parse_sizes(words: Sequence[str]) -> dict[str, int]:
    """`books=1.5GB` as bytes by corpus. Raises SqueezeError for anything else."""
    sizes = {}
    for word in words:
        name, _, size = word.partition("=")
        try:
            sizes[name] = int(TypeAdapter(ByteSize).validate_python(size))
        except ValidationError:
            raise SqueezeError(f"--size {word}: expected CORPUS=SIZE, such as books=1.5GB") from None
    return sizes
