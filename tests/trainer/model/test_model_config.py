"""A configuration that exists is valid; what does not fit is named."""

import pytest
from pydantic import TypeAdapter, ValidationError

from trainer.errors import ConfigError
from trainer.model.config import GPT2, ModelConfig
from trainer.model.sections import MoEConfig, Recurrence, RopeScaling


def test_settings_survive_json():
    config = ModelConfig(vocab_size=64, mlp="moe", moe=MoEConfig(experts=4), rope_scaling=RopeScaling("yarn", 2.0, 8))
    assert ModelConfig.from_dict(config.to_dict()) == config
    assert ModelConfig.from_dict(GPT2.to_dict()) == GPT2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 5}, r"heads \(5\) must divide width \(768\)"),
        ({"kv_heads": 4}, r"kv_heads \(4\) must divide heads \(6\)"),
        ({"repeats": 5}, r"repeats \(5\) must divide layers \(12\)"),
        ({"layers": 0}, "layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"tied": False, "embedding_width": 64}, "embedding_width"),
        ({"moe": MoEConfig()}, "moe is set but mlp is 'swiglu'"),
        ({"width": 18, "heads": 6}, "head width"),
        ({"canon": ("B", "A")}, "canon names each place once"),
        ({"canon_width": 3}, "canon_width is set but canon names no place"),
        ({"canon": ("D",), "mlp": "moe"}, "canon has D"),
        ({"value_layers": "all"}, "value_layers is set but value_embeddings is 'none'"),
        ({"bigram_width": 8}, "bigram_width is set but bigram_rows is not"),
        ({"bigram_rows": 1}, "bigram_rows must be at least 2, found 1"),
        ({"qk_gain": 2.0, "qk_norm": False}, "qk_gain and learned_qk_gain follow qk_norm"),
        ({"rope_share": 0.5, "position": "learned"}, "rope_share is set but position is 'learned'"),
        ({"rope_share": 0.001}, r"rope_share \(0.001\) leaves RoPE no features of 128 a head"),
        ({"key_offset": True}, "key_offset moves the features that RoPE leaves alone"),
        ({"window_pattern": "S"}, "window_pattern is set but window is not"),
        ({"window": 8, "window_pattern": "SX"}, "window_pattern"),
        ({"ahead_weight": 0.1}, "ahead_weight is set but predict_ahead is 0"),
        ({"predict_ahead": 8, "context": 8}, r"predict_ahead \(8\) must be below context \(8\)"),
        ({"unet": True, "layers": 1}, "unet joins two halves of the layers, but layers is 1"),
        ({"recurrence": Recurrence(1, 12)}, r"recurrence.last \(12\) must be below layers \(12\)"),
        ({"recurrence": Recurrence(1, 2), "repeats": 2}, "recurrence is set but repeats is 2"),
        ({"position": "learned", "rope_scaling": RopeScaling("linear", 2.0, 8)}, "rope_scaling is set"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(ValidationError, match=message):
        ModelConfig(vocab_size=64, **changes)
    with pytest.raises(ConfigError, match=rf"model.*{message}"):
        ModelConfig.from_dict({"vocab_size": 64, **changes})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"vocab_size": 64, "qk_nrom": True}, "did you mean 'qk_norm'"),
        ({"vocab_size": 64, "mlp": "swigul"}, "model.mlp"),
        ({"vocab_size": "64"}, "model.vocab_size"),
        ({"vocab_size": 64, "mlp": "moe", "moe": {"topk": 1}}, "did you mean 'top_k'"),
        ({}, "vocab_size"),
    ],
)
def test_unknown_switches_are_named_with_the_nearest_known(data, message):
    with pytest.raises(ConfigError, match=message):
        ModelConfig.from_dict(data)


def test_a_profile_reports_the_same_mistakes():
    with pytest.raises(ValidationError, match="heads"):
        TypeAdapter(ModelConfig).validate_python({"vocab_size": 64, "heads": 5})
    with pytest.raises(ValidationError, match="unexpected_switch"):
        TypeAdapter(ModelConfig).validate_python({"vocab_size": 64, "unexpected_switch": 5})


def test_widths_left_out_follow_the_rules():
    swiglu = ModelConfig(vocab_size=64, width=768)
    assert swiglu.dense_ff_width == 2048  # 8/3 of 768, a multiple of 64
    assert ModelConfig(vocab_size=64, width=96, heads=3).dense_ff_width == 256
    assert ModelConfig(vocab_size=64, width=768, mlp="gelu").dense_ff_width == 3072


def test_experts_share_the_dense_twins_width():
    config = ModelConfig(vocab_size=64, width=96, heads=3, ff_width=256, mlp="moe", moe=MoEConfig(top_k=2))
    assert config.expert_width * 2 == 256
    with_shared = MoEConfig(top_k=3, shared_expert=True)
    assert ModelConfig(vocab_size=64, width=96, heads=3, ff_width=256, mlp="moe", moe=with_shared).expert_width == 64
