"""On real text the mixture of experts trains balanced and beats its dense twin of equal active parameters."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from benchmarks.model_quality import MOE, MUON, encoded, train
from trainer.model import ModelConfig

TEXT = Path(__file__).parents[4] / "shared" / "data" / "fineweb_edu.jsonl.gz"
DENSE = ModelConfig(vocab_size=2048, context=128, width=64, layers=3, heads=2, ff_width=192)
STEPS = 200


@pytest.mark.slow
@pytest.mark.skipif(not TEXT.exists(), reason=f"no real text at {TEXT}")
@pytest.mark.parametrize("seed", [1, 2])
def test_experts_stay_balanced_and_beat_the_dense_twin(seed: int) -> None:
    text = encoded(TEXT, documents=1000)
    optimizer = dataclasses.replace(MUON.optimizer, learning_rate=0.02, adam_learning_rate=0.012)
    training = dataclasses.replace(MUON, batch_tokens=4096, optimizer=optimizer)
    experts = dataclasses.replace(DENSE, mlp="moe", moe=MOE)
    assert experts.expert_width * MOE.top_k == DENSE.ff_width
    dense, _ = train("dense twin", DENSE, training, text, STEPS, seed)
    loss, busiest = train("experts", experts, training, text, STEPS, seed)
    assert loss < dense
    assert busiest < 3
