"""GPT-2 and Llama-shaped checkpoints (GPT-2, Llama, SmolLM2, dense Qwen3, StarCoder2) as a GPT of ours.

In: a `transformers` model, or the folder of one. Out: a GPT with the same logits, to evaluate beside ours by the same
code or to go on training. Weights are read from safetensors alone; a checkpoint that would have to be unpickled is
refused. A setting we have no switch for is refused too, naming it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.errors import ConfigError, ExportError
from trainer.model.config import ModelConfig
from trainer.model.gpt import GPT
from trainer.model.shape import shape_of


def load_hf(folder: Path) -> GPT:
    """Read a folder written by `save_pretrained`. Raises `ExportError` for one that is missing or does not fit."""
    import transformers

    try:
        hf_model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        raise ExportError(f"{folder}: no transformers model with safetensors weights ({error})") from None
    return from_hf(hf_model)


@torch.no_grad()
def from_hf(hf_model: Any) -> GPT:
    """A GPT with the weights of a GPT2LMHeadModel, LlamaForCausalLM, Qwen3ForCausalLM or Starcoder2ForCausalLM, in
    float32."""
    hf_config = hf_model.config
    readers = {"gpt2": (_gpt2_config, _gpt2_weights), "llama": (_llama_config, _llama_weights)}
    readers |= {"qwen3": readers["llama"], "starcoder2": (_starcoder2_config, _llama_weights)}
    if hf_config.model_type not in readers:
        raise ExportError(f"cannot load model_type {hf_config.model_type!r}; known: {', '.join(readers)}")
    read_config, read_weights = readers[hf_config.model_type]
    source = {name: tensor.detach().float() for name, tensor in hf_model.state_dict().items()}
    try:
        config = ModelConfig.from_dict(read_config(hf_config, source))
    except ConfigError as error:
        raise ExportError(f"the {hf_config.model_type} model has settings no switch holds: {error}") from None
    weights = read_weights(source, config)
    if not config.tied:
        weights["head.weight"] = source["lm_head.weight"]
    model = shape_of(config)  # every parameter is replaced
    model.load_state_dict({name: tensor.clone() for name, tensor in weights.items()}, assign=True)
    return model.eval()


_ACTIVATIONS = {"gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "gelu": "gelu_erf", "relu2": "relu2"}


def _gpt2_config(hf: Any, source: dict[str, Tensor]) -> dict[str, Any]:
    if hf.activation_function not in _ACTIVATIONS:
        raise ExportError(f"activation_function {hf.activation_function!r} has no switch; known: {list(_ACTIVATIONS)}")
    for name, expected in {
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
    }.items():
        if getattr(hf, name) != expected:
            raise ExportError(f"{name} {getattr(hf, name)!r} has no switch; only {expected!r} can be loaded")
    return {
        "vocab_size": hf.vocab_size,
        "context": hf.n_positions,
        "width": hf.n_embd,
        "layers": hf.n_layer,
        "heads": hf.n_head,
        "ff_width": hf.n_inner or 4 * hf.n_embd,
        "position": "learned",
        "norm": "layernorm",
        "mlp": _ACTIVATIONS[hf.activation_function],
        "attention_input": "3n",
        "qk_norm": False,
        "bias": True,
        "tied": hf.tie_word_embeddings,
        "norm_eps": hf.layer_norm_epsilon,
    }


def _gpt2_weights(source: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    weights = {
        "embed.weight": source["transformer.wte.weight"],
        "positions.weight": source["transformer.wpe.weight"],
        "final_norm.weight": source["transformer.ln_f.weight"],
        "final_norm.bias": source["transformer.ln_f.bias"],
    }
    names = {
        "attention.input": "attn.c_attn",
        "attention.output": "attn.c_proj",
        "mlp.input": "mlp.c_fc",
        "mlp.output": "mlp.c_proj",
        "attention_norm": "ln_1",
        "mlp_norm": "ln_2",
    }
    for index in range(config.layers):
        for ours, theirs in names.items():
            for kind in ("weight", "bias"):
                tensor = source[f"transformer.h.{index}.{theirs}.{kind}"]
                weights[f"layers.{index}.{ours}.{kind}"] = tensor.T if tensor.ndim == 2 else tensor
    return weights


def _rope_shape(hf: Any) -> dict[str, Any]:
    """The settings that all classes with RoPE name alike."""
    head_dim = getattr(hf, "head_dim", None)
    if head_dim is not None and head_dim * hf.num_attention_heads != hf.hidden_size:
        raise ExportError(f"head_dim {head_dim} is not hidden_size / num_attention_heads; that has no switch")
    return {
        "vocab_size": hf.vocab_size,
        "context": hf.max_position_embeddings,
        "width": hf.hidden_size,
        "layers": hf.num_hidden_layers,
        "heads": hf.num_attention_heads,
        "kv_heads": None if hf.num_key_value_heads == hf.num_attention_heads else hf.num_key_value_heads,
        "ff_width": hf.intermediate_size,
        "attention_input": "3n",
        "tied": hf.tie_word_embeddings,
        "rope_base": float(hf.rope_parameters["rope_theta"]),
        "rope_scaling": _rope_scaling(hf.rope_parameters),
    }


def _llama_config(hf: Any, source: dict[str, Tensor]) -> dict[str, Any]:
    if hf.hidden_act != "silu":
        raise ExportError(f"hidden_act {hf.hidden_act!r} has no switch; only 'silu' (swiglu) can be loaded")
    bias = "model.layers.0.self_attn.q_proj.bias" in source
    if bias != ("model.layers.0.mlp.up_proj.bias" in source):
        raise ExportError("attention_bias and mlp_bias differ; the switch bias sets both")
    return dict(
        **_rope_shape(hf),
        qk_norm="model.layers.0.self_attn.q_norm.weight" in source,
        bias=bias,
        norm_eps=hf.rms_norm_eps,
    )


def _starcoder2_config(hf: Any, source: dict[str, Tensor]) -> dict[str, Any]:
    if hf.hidden_act not in _ACTIVATIONS:
        raise ExportError(f"hidden_act {hf.hidden_act!r} has no switch; known: {list(_ACTIVATIONS)}")
    if hf.sliding_window is not None and hf.sliding_window < hf.max_position_embeddings:
        raise ExportError(f"sliding_window {hf.sliding_window} has no switch; only full attention can be loaded")
    return dict(
        **_rope_shape(hf),
        norm="layernorm",
        mlp=_ACTIVATIONS[hf.hidden_act],
        qk_norm=False,
        bias=hf.use_bias,
        norm_eps=hf.norm_epsilon,
    )


def _rope_scaling(rope: dict[str, Any]) -> dict[str, Any] | None:
    kind = rope.get("rope_type", "default")
    if kind == "default":
        return None
    if kind == "linear":
        return {"kind": "linear", "factor": rope["factor"], "original_context": 1}
    if kind == "yarn" and not {"attention_factor", "mscale", "truncate"} & set(rope):
        return {
            "kind": "yarn",
            "factor": rope["factor"],
            "original_context": rope["original_max_position_embeddings"],
            "beta_fast": rope.get("beta_fast") or 32,
            "beta_slow": rope.get("beta_slow") or 1,
        }
    raise ExportError(f"rope_parameters {rope} have no switch; known: default, linear, plain yarn")


def _llama_weights(source: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    weights = {
        "embed.weight": source["model.embed_tokens.weight"],
        "final_norm.weight": source["model.norm.weight"],
    }
    if "model.norm.bias" in source:
        weights["final_norm.bias"] = source["model.norm.bias"]
    stacks = {
        "attention.input": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "attention.output": ("self_attn.o_proj",),
        "attention.q_norm": ("self_attn.q_norm",),
        "attention.k_norm": ("self_attn.k_norm",),
        "mlp.input": ("mlp.gate_proj", "mlp.up_proj", "mlp.c_fc"),
        "mlp.output": ("mlp.down_proj", "mlp.c_proj"),
        "attention_norm": ("input_layernorm",),
        "mlp_norm": ("post_attention_layernorm",),
    }
    for index in range(config.layers):
        for ours, theirs in stacks.items():
            for kind in ("weight", "bias"):
                parts = [source.get(f"model.layers.{index}.{name}.{kind}") for name in theirs]
                found = [part for part in parts if part is not None]
                if found:
                    weights[f"layers.{index}.{ours}.{kind}"] = torch.cat(found)
    if config.norm == "layernorm" and not config.bias:  # the class has them all the same
        biases = [name for name in weights if name.endswith("norm.bias")]
        if any(weights.pop(name).any() for name in biases):
            raise ExportError("the norms have biases and use_bias is False; the switch bias sets both")
    return weights
