"""RoPE and its scalings are those of transformers, and do what they say."""

import dataclasses

import pytest
import torch
import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from trainer.model import ModelConfig, RopeScaling
from trainer.model.rope import rope_frequencies, rope_tables, rotate

BASE = ModelConfig(vocab_size=8, width=128, heads=2, context=4096)
CPU = torch.device("cpu")


@pytest.mark.parametrize("factor", [1.0, 2.0, 4.0, 8.0])
@pytest.mark.parametrize("kind", ["linear", "yarn"])
def test_scalings_equal_transformers(kind, factor):
    scaling = RopeScaling(kind, factor, original_context=1024)
    config = dataclasses.replace(BASE, rope_scaling=scaling)
    parameters = {
        "rope_type": kind,
        "rope_theta": config.rope_base,
        "factor": factor,
        "original_max_position_embeddings": 1024,
    }
    theirs = transformers.LlamaConfig(hidden_size=128, num_attention_heads=2, rope_parameters=parameters)
    frequencies, attention_factor = ROPE_INIT_FUNCTIONS[kind](theirs, CPU)
    ours, our_factor = rope_frequencies(config, CPU)
    torch.testing.assert_close(ours, frequencies)
    assert our_factor == pytest.approx(attention_factor)


def test_ntk_stretches_the_slowest_frequency_by_the_factor_and_the_fastest_not_at_all():
    plain, _ = rope_frequencies(BASE, CPU)
    scaled, _ = rope_frequencies(dataclasses.replace(BASE, rope_scaling=RopeScaling("ntk", 4.0, 1024)), CPU)
    assert scaled[0] == plain[0]
    torch.testing.assert_close(scaled[-1] * 4, plain[-1])


def test_scores_depend_on_the_distance_alone():
    torch.manual_seed(0)
    q, k = torch.randn(1, 1, 2, 64), torch.randn(1, 1, 2, 64)

    def score(at_q: int, at_k: int) -> torch.Tensor:
        cos_q, sin_q = rope_tables(BASE, torch.tensor([[at_q]]))
        cos_k, sin_k = rope_tables(BASE, torch.tensor([[at_k]]))
        return (rotate(q, cos_q, sin_q) * rotate(k, cos_k, sin_k)).sum(-1)

    torch.testing.assert_close(score(9, 4), score(105, 100), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(score(7, 7), (q * k).sum(-1), atol=1e-4, rtol=1e-4)
