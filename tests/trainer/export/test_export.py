"""Every class of the export table gives the model's own logits; what no class holds is refused by name."""

import dataclasses
import json

import pytest
import torch
import transformers

from trainer.errors import ExportError
from trainer.export import export_hf, from_hf, hf_class, load_hf
from trainer.model import GPT, ModelConfig, MoEConfig, Recurrence, RopeScaling
from trainer.presets import PRESETS

SMALL = ModelConfig(vocab_size=160, context=32, width=48, layers=4, heads=3, ff_width=64)
GPT2_LIKE = {
    "position": "learned",
    "norm": "layernorm",
    "mlp": "gelu",
    "attention_input": "3n",
    "qk_norm": False,
    "bias": True,
}
LLAMA_LIKE = {"attention_input": "3n", "qk_norm": False}
STARCODER2_LIKE = GPT2_LIKE | {"position": "rope"}
SHARED = MoEConfig(experts=4, shared_expert=True)

ARMS = {
    "gpt2": ("GPT2LMHeadModel", GPT2_LIKE),
    "gpt2 without biases, relu2, untied": (
        "GPT2LMHeadModel",
        GPT2_LIKE | {"mlp": "relu2", "bias": False, "tied": False},
    ),
    "gpt2, exact gelu": ("GPT2LMHeadModel", GPT2_LIKE | {"mlp": "gelu_erf"}),
    "starcoder2": ("Starcoder2ForCausalLM", STARCODER2_LIKE),
    "starcoder2, exact gelu": ("Starcoder2ForCausalLM", STARCODER2_LIKE | {"mlp": "gelu_erf"}),
    "starcoder2 without biases, one key head, relu2, untied": (
        "Starcoder2ForCausalLM",
        STARCODER2_LIKE | {"bias": False, "kv_heads": 1, "mlp": "relu2", "tied": False},
    ),
    "starcoder2, factorised, layers shared": (
        "Starcoder2ForCausalLM",
        STARCODER2_LIKE | {"embedding_width": 16, "repeats": 2},
    ),
    "llama": ("LlamaForCausalLM", LLAMA_LIKE),
    "llama, one key head, biases, untied": (
        "LlamaForCausalLM",
        LLAMA_LIKE | {"kv_heads": 1, "bias": True, "tied": False},
    ),
    "qwen3": ("Qwen3ForCausalLM", {"attention_input": "3n"}),
    "qwen3, grouped heads": ("Qwen3ForCausalLM", {"attention_input": "3n", "kv_heads": 1}),
    "gated": ("Qwen3NextForCausalLM", {}),
    "gated, grouped heads, untied": ("Qwen3NextForCausalLM", {"kv_heads": 1, "tied": False}),
    "moe": ("Qwen3MoeForCausalLM", {"mlp": "moe", "attention_input": "3n"}),
    "moe, weights not normalised": (
        "Qwen3MoeForCausalLM",
        {"mlp": "moe", "attention_input": "3n", "moe": MoEConfig(experts=4, top_k=3, normalize_top_k=False)},
    ),
    "moe, gated": ("Qwen3NextForCausalLM", {"mlp": "moe"}),
    "moe, gated, shared expert": ("Qwen3NextForCausalLM", {"mlp": "moe", "moe": SHARED}),
    "moe, shared expert": ("Qwen3NextForCausalLM", {"mlp": "moe", "moe": SHARED, "attention_input": "3n"}),
    "factorised, layers shared": ("Qwen3NextForCausalLM", {"embedding_width": 16, "repeats": 2}),
    "llama, factorised, layers shared": ("LlamaForCausalLM", LLAMA_LIKE | {"embedding_width": 16, "repeats": 4}),
    "partial rope, gain, layers run again": (
        "Qwen3NextForCausalLM",
        {"rope_share": 0.5, "qk_gain": 1.5, "recurrence": Recurrence(1, 2), "attention_input": "3n"},
    ),
    "gpt2, layers run again": ("GPT2LMHeadModel", GPT2_LIKE | {"recurrence": Recurrence(0, 1, 2)}),
    "windows, tokens further ahead": (
        "Qwen3ForCausalLM",
        {"window": 5, "window_pattern": "SL", "predict_ahead": 2, "attention_input": "3n"},
    ),
    "linear scaling": ("Qwen3NextForCausalLM", {"rope_scaling": RopeScaling("linear", 4.0, 16)}),
    "ntk scaling": ("LlamaForCausalLM", LLAMA_LIKE | {"rope_scaling": RopeScaling("ntk", 4.0, 16)}),
    "yarn scaling": ("LlamaForCausalLM", LLAMA_LIKE | {"rope_scaling": RopeScaling("yarn", 2.0, 16)}),
}


def perturbed(config: ModelConfig) -> GPT:
    """A model none of whose weights is 0 or 1, as they would be in a fresh one's norms and biases."""
    torch.manual_seed(1)
    model = GPT(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("arm", ARMS)
@torch.inference_mode()
def test_exported_logits_are_the_models_own_after_reading_back(arm, tmp_path):
    class_name, changes = ARMS[arm]
    model = perturbed(dataclasses.replace(SMALL, **changes))
    ids = torch.randint(0, SMALL.vocab_size, (2, SMALL.context))

    summary = export_hf(model, None, tmp_path)
    read = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()

    assert summary.class_name == type(read).__name__ == class_name
    torch.testing.assert_close(read(ids).logits, model(ids), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("arm", ["gpt2", "starcoder2", "llama, one key head, biases, untied", "gated", "moe"])
@torch.inference_mode()
def test_exports_generate_with_their_cache_what_they_compute_without(arm, tmp_path):
    model = perturbed(dataclasses.replace(SMALL, **ARMS[arm][1]))
    export_hf(model, None, tmp_path)
    read = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    settings = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    ids = torch.tensor([[5, 6, 7]])
    assert torch.equal(read.generate(ids, **settings), read.generate(ids, use_cache=False, **settings))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"norm": "layernorm"}, "norm 'layernorm'"),
        ({"mlp": "relu2"}, "mlp 'relu2'"),
        ({"qk_norm": False}, "qk_norm False"),
        ({"bias": True}, "bias True"),
        ({"bias": True, "attention_input": "3n"}, "bias True"),
        (GPT2_LIKE | {"attention_input": "4n"}, "attention_input '4n'"),
        (GPT2_LIKE | {"norm": "rmsnorm"}, "norm 'rmsnorm'"),
        (GPT2_LIKE | {"kv_heads": 1}, "kv_heads 1"),
        (STARCODER2_LIKE | {"attention_input": "4n"}, "attention_input '4n'"),
        (STARCODER2_LIKE | {"qk_norm": True}, "qk_norm True"),
        ({"mlp": "moe", "moe": MoEConfig(balance="bias")}, "moe.balance 'bias'"),
        ({"mlp": "moe", "moe": MoEConfig(activation="gelu")}, "moe.activation 'gelu'"),
        ({"mlp": "moe", "qk_norm": False}, "qk_norm False"),
        ({"smear": True}, "Qwen3NextForCausalLM cannot hold smear True"),
        ({"canon": ("A",)}, "canon"),
        ({"residual_scalars": True}, "residual_scalars True"),
        ({"x0_scalars": True}, "x0_scalars True"),
        ({"value_embeddings": "projected"}, "value_embeddings 'projected'"),
        ({"value_residual": True}, "value_residual True"),
        ({"bigram_rows": 64}, "bigram_rows 64"),
        (GPT2_LIKE | {"logit_cap": 15.0}, "logit_cap 15.0"),
        ({"unet": True}, "unet True"),
        ({"window": 8}, "window 8"),
        ({"head_gate": True}, "head_gate True"),
        ({"learned_qk_gain": True}, "learned_qk_gain True"),
        ({"key_offset": True, "rope_share": 0.5}, "key_offset True"),
        ({"parallel_residual": True}, "parallel_residual True"),
        (STARCODER2_LIKE | {"rope_share": 0.5}, "rope_share 0.5"),
        (LLAMA_LIKE | {"rope_share": 0.5}, "qk_norm False"),
    ],
)
def test_what_no_class_holds_is_refused_naming_the_switch(changes, named, tmp_path):
    config = dataclasses.replace(SMALL, **changes)
    with pytest.raises(ExportError, match=named):
        export_hf(GPT(config), None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_tokenizer_goes_along_and_end_of_text_ends_generation(tmp_path):
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}")
    (folder / "squeeze_tokenizer.json").write_text(json.dumps({"eot_id": 7, "end_of_text": "<end>"}))
    export_hf(GPT(SMALL), folder, tmp_path / "out")
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"]) == (7, 7)
    generation = json.loads((tmp_path / "out/generation_config.json").read_text())
    assert (generation["eos_token_id"], generation["pad_token_id"], generation["max_length"]) == (7, 7, SMALL.context)
    written = json.loads((tmp_path / "out/tokenizer_config.json").read_text())
    assert (written["bos_token"], written["model_max_length"]) == ("<end>", SMALL.context)
    assert (folder / "tokenizer.json").read_text() == "{}"


def test_a_folder_without_a_tokenizer_is_named(tmp_path):
    with pytest.raises(ExportError, match=r"squeeze_tokenizer\.json"):
        export_hf(GPT(SMALL), tmp_path, tmp_path / "out")


def test_the_content_hash_follows_the_weights_alone(tmp_path):
    model = perturbed(SMALL)
    first = export_hf(model, None, tmp_path / "a")
    assert export_hf(model, None, tmp_path / "b") == first
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()
    with torch.no_grad():
        model.final_norm.weight[0] += 1
    assert export_hf(model, None, tmp_path / "c").content_hash != first.content_hash


# ---- the way back ----


def hf_gpt2() -> transformers.GPT2LMHeadModel:
    config = transformers.GPT2Config(vocab_size=160, n_positions=32, n_embd=48, n_layer=3, n_head=4)
    return transformers.GPT2LMHeadModel(config)


def hf_smollm(**changes) -> transformers.LlamaForCausalLM:
    """SmolLM2-135M's shape, smaller: 3 query heads a key head, tied, base 100,000."""
    settings = {
        "vocab_size": 160,
        "hidden_size": 48,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100_000.0},
    }
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**(settings | changes)))


def hf_starcoder2(**changes) -> transformers.Starcoder2ForCausalLM:
    settings = {"hidden_size": 48, "intermediate_size": 128, "num_hidden_layers": 3, "max_position_embeddings": 32}
    settings |= {"vocab_size": 160, "num_attention_heads": 6, "num_key_value_heads": 2}
    return transformers.Starcoder2ForCausalLM(transformers.Starcoder2Config(**(settings | changes)))


@pytest.mark.parametrize(
    "make",
    [
        hf_gpt2,
        hf_starcoder2,
        hf_smollm,
        lambda: hf_smollm(tie_word_embeddings=False, attention_bias=True, mlp_bias=True),
    ],
)
@torch.inference_mode()
def test_checkpoints_of_transformers_load_with_the_same_logits(make, tmp_path):
    torch.manual_seed(2)
    theirs = make().eval()
    for parameter in theirs.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    theirs.save_pretrained(tmp_path)
    ids = torch.randint(0, 160, (2, 32))
    torch.testing.assert_close(load_hf(tmp_path)(ids), theirs(ids).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "arm",
    [
        *("gpt2", "gpt2, exact gelu", "starcoder2", "starcoder2, exact gelu"),
        "starcoder2 without biases, one key head, relu2, untied",
        *("llama, one key head, biases, untied", "qwen3, grouped heads", "yarn scaling"),
    ],
)
def test_export_and_load_are_inverse(arm, tmp_path):
    model = perturbed(dataclasses.replace(SMALL, **ARMS[arm][1]))
    export_hf(model, None, tmp_path)
    back = load_hf(tmp_path)
    assert back.config == model.config
    for name, tensor in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor), name


def test_loaded_weights_can_be_trained():
    model = from_hf(hf_gpt2()).train()
    ids = torch.randint(0, 160, (2, 17))
    model.loss(ids[:, :-1], ids[:, 1:]).total.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: hf_smollm(hidden_act="gelu"), "hidden_act 'gelu'"),
        (lambda: hf_smollm(attention_bias=True), "attention_bias and mlp_bias"),
        (lambda: hf_smollm(head_dim=16), "head_dim 16"),
        (lambda: hf_starcoder2(hidden_act="silu"), "hidden_act 'silu'"),
        (lambda: hf_starcoder2(sliding_window=16), "sliding_window 16"),
        (lambda: hf_smollm(rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}), "dynamic"),
        (
            lambda: hf_smollm(rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 0.5}),
            "model.rope_scaling: factor must be at least 1",
        ),
    ],
)
def test_settings_without_a_switch_are_named(make, named):
    with pytest.raises(ExportError, match=named):
        from_hf(make())


def test_biases_of_norms_alone_are_refused():
    theirs = hf_starcoder2(use_bias=False)
    from_hf(theirs)
    torch.nn.init.ones_(theirs.model.layers[1].input_layernorm.bias)
    with pytest.raises(ExportError, match="use_bias is False"):
        from_hf(theirs)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(ExportError, match="nothing"):
        load_hf(tmp_path / "nothing")


def test_the_presets_have_a_class_to_go_to():
    classes = {name: hf_class(ModelConfig.from_dict(dict(preset["model"]))) for name, preset in PRESETS.items()}
    assert classes == {
        "s": "Starcoder2ForCausalLM",
        "m": "Qwen3NextForCausalLM",
        "l": "Qwen3NextForCausalLM",
        "gpt2": "GPT2LMHeadModel",
        "gpt2_3x": "GPT2LMHeadModel",
    }
