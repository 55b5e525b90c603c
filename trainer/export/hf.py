"""Export to stock `transformers` classes, without remote code; and the way back for GPT-2 and Llama-shaped weights.

In: a GPT and, optionally, its tokenizer's folder. Out: a folder that `AutoModelForCausalLM.from_pretrained` reads,
whose logits are the model's own. Which class holds what:

    GPT2LMHeadModel       learned positions, layernorm, gelu or relu2, 3n
    Starcoder2ForCausalLM RoPE, layernorm, gelu or relu2, 3n, no QK-norm
    LlamaForCausalLM      RoPE, rmsnorm, swiglu, 3n, no QK-norm
    Qwen3ForCausalLM      the same with QK-norm; windows
    Qwen3MoeForCausalLM   QK-norm and swiglu experts, 3n
    Qwen3NextForCausalLM  QK-norm and the 4n gate (full attention in every layer), dense or MoE, shared expert or not;
                          partial RoPE

Layers are written out as often as they run, factorised embeddings as their product. What no class can hold is
refused, naming the switch: a wrong export would score as a bad model.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from trainer.errors import ExportError
from trainer.export.tokenizer import end_of_text, export_tokenizer
from trainer.export.weights import hf_state
from trainer.model.config import ModelConfig
from trainer.model.gpt import GPT
from trainer.model.rope import ntk_base
from trainer.settings import turned


@dataclass(frozen=True)
class ExportSummary:
    """What was written."""

    class_name: str
    """The `transformers` class that reads it."""
    parameters: int
    content_hash: str
    """sha256 over the names, shapes and bytes of the exported tensors, in the order of their names."""


def export_hf(model: GPT, tokenizer_folder: Path | None, out: Path) -> ExportSummary:
    """Write `model` in float32, and its tokenizer's files, into `out` for `AutoModelForCausalLM.from_pretrained`.

    Raises `ExportError` naming the switch that no stock class has, or a tokenizer folder without its description.
    """
    import transformers

    name = hf_class(model.config)
    eot_id = None if tokenizer_folder is None else end_of_text(tokenizer_folder).id
    settings = hf_settings(model.config, name, eot_id)
    hf_model_class = getattr(transformers, name)
    hf_model = hf_model_class(hf_model_class.config_class(**settings))
    state = hf_state(model, name)
    if model.config.tied:
        state["lm_head.weight"] = state["transformer.wte.weight" if name == "GPT2LMHeadModel" else _EMBED]
    hf_model.load_state_dict(state)
    if hf_model.generation_config is not None:
        hf_model.generation_config.update(
            bos_token_id=eot_id, eos_token_id=eot_id, pad_token_id=eot_id, max_length=model.config.context
        )
    out.mkdir(parents=True, exist_ok=True)
    _save(hf_model, out)
    if tokenizer_folder is not None:
        export_tokenizer(tokenizer_folder, model.config.context, out)
    return ExportSummary(name, sum(p.numel() for p in hf_model.parameters()), _content_hash(state))


def _save(hf_model: Any, out: Path) -> None:
    """`save_pretrained` without its progress bar, which would fill a log."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        hf_model.save_pretrained(out)
    finally:
        if shown:
            logging.enable_progress_bar()


_EMBED = "model.embed_tokens.weight"
_HELD_BY_ALL = ("qk_gain", "recurrence", "predict_ahead", "ahead_weight")
"""Switches of the speedruns that an export writes as something else, a gain as larger norms and layers that run again
as more layers, or leaves to training."""
_HELD_BY = {"Qwen3NextForCausalLM": ("rope_share",), "Qwen3ForCausalLM": ("window", "window_pattern")}
_ACTIVATIONS = {"gelu": "gelu_new", "gelu_erf": "gelu", "relu2": "relu2"}


def hf_class(config: ModelConfig) -> str:
    """Name of the `transformers` class that holds such a model; raises `ExportError` naming the switch in the way."""
    name = _class_of_shape(config)
    held = (*_HELD_BY_ALL, *_HELD_BY.get(name, ()))
    _refuse(config, {switch: on for switch, on in turned(config).items() if switch not in held}, name)
    return name


def _class_of_shape(config: ModelConfig) -> str:
    """That of a model without the switches of the speedruns, but for `rope_share`."""
    if config.position == "learned":
        wrong = {
            "norm": config.norm != "layernorm",
            "mlp": config.mlp not in _ACTIVATIONS,
            "attention_input": config.attention_input != "3n",
            "qk_norm": config.qk_norm,
            "kv_heads": config.key_value_heads != config.heads,
        }
        _refuse(config, wrong, "GPT2LMHeadModel, the class with position 'learned',")
        return "GPT2LMHeadModel"
    if config.norm == "layernorm" and config.mlp in _ACTIVATIONS:
        wrong = {"attention_input": config.attention_input != "3n", "qk_norm": config.qk_norm}
        _refuse(config, wrong, "Starcoder2ForCausalLM, the class with RoPE and layernorm,")
        return "Starcoder2ForCausalLM"
    wrong = {"norm": config.norm != "rmsnorm", "mlp": config.mlp not in ("swiglu", "moe")}
    _refuse(config, wrong, "the classes with position 'rope'")
    if config.mlp == "moe":
        moe = config.experts
        if moe.activation != "swiglu":
            raise ExportError(f"no transformers class has moe.activation {moe.activation!r} in its experts; use swiglu")
        if moe.balance == "bias":
            raise ExportError("no transformers class in use here has moe.balance 'bias' in its router; use 'aux'")
        _refuse(config, {"qk_norm": not config.qk_norm}, "Qwen3MoeForCausalLM and Qwen3NextForCausalLM")
        plain = config.attention_input == "3n" and not moe.shared_expert and config.rope_share == 1
        return "Qwen3MoeForCausalLM" if plain else "Qwen3NextForCausalLM"
    if config.attention_input == "4n" or config.rope_share != 1:
        who = "Qwen3NextForCausalLM, with the 4n gate or partial RoPE,"
        _refuse(config, {"qk_norm": not config.qk_norm, "bias": config.bias}, who)
        return "Qwen3NextForCausalLM"
    if config.qk_norm:
        _refuse(config, {"bias": config.bias}, "Qwen3ForCausalLM, with qk_norm,")
        return "Qwen3ForCausalLM"
    return "LlamaForCausalLM"


def _refuse(config: ModelConfig, wrong: dict[str, bool], who: str) -> None:
    for switch, is_wrong in wrong.items():
        if is_wrong:
            raise ExportError(f"{who} cannot hold {switch} {getattr(config, switch)!r}; no export for this model")


def hf_settings(config: ModelConfig, name: str, eot_id: int | None) -> dict[str, Any]:
    """Keyword arguments for the configuration of the class `name`."""
    common: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tied,
        "bos_token_id": eot_id,
        "eos_token_id": eot_id,
        "dtype": "float32",
    }
    if name == "GPT2LMHeadModel":
        return common | {
            "n_positions": config.context,
            "n_embd": config.width,
            "n_layer": len(config.order),
            "n_head": config.heads,
            "n_inner": config.dense_ff_width,
            "activation_function": _ACTIVATIONS[config.mlp],
            "layer_norm_epsilon": config.norm_eps,
            **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), config.dropout),
        }
    settings = common | {
        "hidden_size": config.width,
        "intermediate_size": config.dense_ff_width,
        "num_hidden_layers": len(config.order),
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.key_value_heads,
        "head_dim": config.head_width,
        "max_position_embeddings": config.context,
        "rope_parameters": _rope_parameters(config),
    }
    if name == "Starcoder2ForCausalLM":
        dropouts = dict.fromkeys(("residual_dropout", "embedding_dropout", "attention_dropout"), config.dropout)
        norms = {"norm_epsilon": config.norm_eps, "use_bias": config.bias}
        return settings | norms | dropouts | {"hidden_act": _ACTIVATIONS[config.mlp]}
    settings |= {"rms_norm_eps": config.norm_eps, "attention_bias": config.bias}
    if name == "LlamaForCausalLM":
        settings["mlp_bias"] = config.bias
    if name == "Qwen3ForCausalLM" and config.window is not None:
        kinds = ["sliding_attention" if config.is_windowed(layer) else "full_attention" for layer in config.order]
        settings |= {"layer_types": kinds, "use_sliding_window": True, "sliding_window": config.window}
    if name == "Qwen3NextForCausalLM":
        settings["layer_types"] = ["full_attention"] * len(config.order)
        settings["rope_parameters"]["partial_rotary_factor"] = _share_above(config.rotated_width, config.head_width)
        settings["mlp_only_layers"] = [] if config.mlp == "moe" else list(range(len(config.order)))
    if config.mlp == "moe":
        moe = config.experts
        settings |= {
            "num_experts": moe.experts,
            "num_experts_per_tok": moe.top_k,
            "moe_intermediate_size": config.expert_width,
            "norm_topk_prob": moe.normalize_top_k,
            "router_aux_loss_coef": moe.aux_weight,
        }
        if name == "Qwen3NextForCausalLM":  # the class always has a shared expert: a zero one where there is none
            settings["shared_expert_intermediate_size"] = config.expert_width if moe.shared_expert else 8
    return settings


def _share_above(part: int, whole: int) -> float:
    """part / whole, rounded so that the whole number below whole * share is the part."""
    return math.nextafter(part / whole, 1.0)


def _rope_parameters(config: ModelConfig) -> dict[str, Any]:
    scaling = config.rope_scaling
    if scaling is None:
        return {"rope_type": "default", "rope_theta": config.rope_base}
    if scaling.kind == "ntk":  # a static NTK scaling is another base
        return {"rope_type": "default", "rope_theta": ntk_base(config)}
    if scaling.kind == "linear":
        return {"rope_type": "linear", "rope_theta": config.rope_base, "factor": scaling.factor}
    return {
        "rope_type": "yarn",
        "rope_theta": config.rope_base,
        "factor": scaling.factor,
        "original_max_position_embeddings": scaling.original_context,
        "beta_fast": scaling.beta_fast,
        "beta_slow": scaling.beta_slow,
    }


def _content_hash(state: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
