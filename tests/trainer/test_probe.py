"""The processor's speed is measured with real passes, as long as one takes no more than seconds."""

import pytest

pytest.importorskip("torch")

from trainer.config import DataConfig, RunConfig, TrainingConfig
from trainer.model import ModelConfig
from trainer.probe import tokens_per_second

RUN = RunConfig(
    model=ModelConfig(vocab_size=64, context=16, layers=1, width=16, heads=2, ff_width=32),
    training=TrainingConfig(batch_tokens=64),
    data=DataConfig(epochs=("none",)),
    out=".",
)


def test_it_is_a_speed_of_all_ranks():
    assert tokens_per_second(RUN, 10_000, ranks=2, threads=1) > 0


def test_a_pass_that_takes_long_is_not_tried():
    assert tokens_per_second(RUN, 10**12, ranks=1, threads=1) is None
