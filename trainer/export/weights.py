"""A GPT's weights under the names and layouts of the `transformers` classes.

The layouts differ in four ways: GPT-2's matrices are (in, out); the others split our stacked projections into one
matrix each; Qwen3Next interleaves query and gate per head; and its norms hold their weight less 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.errors import ExportError
from trainer.model.attention import Attention
from trainer.model.gpt import GPT, Block
from trainer.model.layers import MLP, RMSNorm
from trainer.model.moe import MoE


@torch.no_grad()
def hf_state(model: GPT, class_name: str) -> dict[str, Tensor]:
    """The state dict for the class `class_name`, float32, on the CPU; a tied head is left out."""
    state = _gpt2_state(model) if class_name == "GPT2LMHeadModel" else _llama_state(model, class_name)
    return {name: tensor.detach().float().cpu().contiguous() for name, tensor in state.items()}


def _token_embedding(model: GPT) -> Tensor:
    """(V, C): the product where it is factorised."""
    return model.embed.weight if model.embed_up is None else model.embed.weight @ model.embed_up.weight.T


def _blocks(model: GPT) -> list[Block]:
    """The layers in the order they run, each as often as it does."""
    blocks = [layer for layer in model.layers if isinstance(layer, Block)]
    return [blocks[layer] for layer in model.config.order]


def _gpt2_state(model: GPT) -> dict[str, Tensor]:
    state = {"transformer.wte.weight": _token_embedding(model)}
    if model.positions is not None:
        state["transformer.wpe.weight"] = model.positions.weight
    for index, block in enumerate(_blocks(model)):
        if isinstance(block.mlp, MoE):
            raise ExportError("GPT2LMHeadModel cannot hold mlp 'moe'")
        modules = {
            "attn.c_attn": block.attention.input,
            "attn.c_proj": block.attention.output,
            "mlp.c_fc": block.mlp.input,
            "mlp.c_proj": block.mlp.output,
        }
        for name, linear in modules.items():
            state[f"transformer.h.{index}.{name}.weight"] = linear.weight.T
            state[f"transformer.h.{index}.{name}.bias"] = _bias(linear)
        for name, norm in (("ln_1", block.attention_norm), ("ln_2", block.mlp_norm)):
            state[f"transformer.h.{index}.{name}.weight"] = norm.weight
            state[f"transformer.h.{index}.{name}.bias"] = _bias(norm)
    state["transformer.ln_f.weight"] = model.final_norm.weight
    state["transformer.ln_f.bias"] = _bias(model.final_norm)
    if model.head is not None:
        state["lm_head.weight"] = model.head.weight
    return state


def _bias(module: nn.Linear | nn.LayerNorm | RMSNorm) -> Tensor:
    """The bias, zeros where there is none: GPT-2's class always has one, Starcoder2's in its norms."""
    bias = getattr(module, "bias", None)
    return module.weight.new_zeros(module.weight.shape[0]) if bias is None else bias


def _llama_state(model: GPT, class_name: str) -> dict[str, Tensor]:
    """The classes that name their tensors as Llama does."""
    shift = 1.0 if class_name == "Qwen3NextForCausalLM" else 0.0
    state = {"model.embed_tokens.weight": _token_embedding(model), "model.norm.weight": model.final_norm.weight - shift}
    if class_name == "Starcoder2ForCausalLM":
        state["model.norm.bias"] = _bias(model.final_norm)
    for index, block in enumerate(_blocks(model)):
        prefix = f"model.layers.{index}."
        state[prefix + "input_layernorm.weight"] = block.attention_norm.weight - shift
        state[prefix + "post_attention_layernorm.weight"] = block.mlp_norm.weight - shift
        for name, tensor in _attention_state(block.attention, class_name, shift).items():
            state[f"{prefix}self_attn.{name}"] = tensor
        if class_name == "Starcoder2ForCausalLM":
            state[prefix + "input_layernorm.bias"] = _bias(block.attention_norm)
            state[prefix + "post_attention_layernorm.bias"] = _bias(block.mlp_norm)
        mlp = _moe_state(block.mlp, class_name) if isinstance(block.mlp, MoE) else _mlp_state(block.mlp)
        state |= {f"{prefix}mlp.{name}": tensor for name, tensor in mlp.items()}
    if model.head is not None:
        state["lm_head.weight"] = model.head.weight
    return state


def _attention_state(attention: Attention, class_name: str, shift: float) -> dict[str, Tensor]:
    state = {"o_proj.weight": attention.output.weight}
    if attention.output.bias is not None:
        state["o_proj.bias"] = attention.output.bias
    if attention.q_norm is not None and attention.k_norm is not None:
        gain = 1.0 if attention.qk_gain is None else attention.qk_gain.gain
        q_weight = attention.q_norm.weight * gain
        state |= {"q_norm.weight": q_weight - shift, "k_norm.weight": attention.k_norm.weight - shift}
    for kind in ("weight", "bias"):
        stacked = getattr(attention.input, kind)
        if stacked is None:
            continue
        q, k, v, *gate = stacked.split(attention.input_parts)
        if class_name == "Qwen3NextForCausalLM":
            # head by head: the query's rows, then the gate's; without a gate a zero one, which halves the output
            heads = [part.unflatten(0, (-1, attention.head_width)) for part in (q, *(gate or [torch.zeros_like(q)]))]
            q = torch.cat(heads, dim=1).flatten(0, 1)
        state |= {f"q_proj.{kind}": q, f"k_proj.{kind}": k, f"v_proj.{kind}": v}
    if class_name == "Qwen3NextForCausalLM" and len(attention.input_parts) == 3:
        state["o_proj.weight"] = attention.output.weight * 2
    return state


def _mlp_state(mlp: MLP) -> dict[str, Tensor]:
    """A dense MLP's: SwiGLU's halves as Llama names them, or one matrix in as Starcoder2 does."""
    if len(mlp.input_parts) == 2:
        return _swiglu_state(mlp)
    both = {"c_fc": mlp.input, "c_proj": mlp.output}
    return {
        f"{name}.{kind}": tensor
        for name, linear in both.items()
        for kind in ("weight", "bias")
        if (tensor := getattr(linear, kind)) is not None
    }


def _swiglu_state(mlp: MLP) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for kind in ("weight", "bias"):
        stacked = getattr(mlp.input, kind)
        if stacked is None:
            continue
        gate, value = stacked.split(mlp.input_parts)
        state |= {f"gate_proj.{kind}": gate, f"up_proj.{kind}": value, f"down_proj.{kind}": getattr(mlp.output, kind)}
    return state


def _moe_state(moe: MoE, class_name: str) -> dict[str, Tensor]:
    scale = moe.settings.top_k if moe.settings.normalize_top_k else 1  # the classes' weights sum to 1
    state = {
        "gate.weight": moe.router.weight,
        "experts.gate_up_proj": moe.experts.input,
        "experts.down_proj": moe.experts.output * scale,
    }
    if class_name != "Qwen3NextForCausalLM":
        return state
    if moe.shared is not None and moe.shared_gate is not None:
        state |= {f"shared_expert.{name}": tensor for name, tensor in _swiglu_state(moe.shared).items()}
        return state | {"shared_expert_gate.weight": moe.shared_gate.weight}
    width, zeros = moe.router.weight.shape[1], moe.router.weight.new_zeros
    state |= {f"shared_expert.{name}.weight": zeros(8, width) for name in ("gate_proj", "up_proj")}
    return state | {"shared_expert.down_proj.weight": zeros(width, 8), "shared_expert_gate.weight": zeros(1, width)}
