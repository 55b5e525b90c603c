"""Export to one GGUF file, which llama.cpp and what is built on it read: weights, settings and tokenizer.

In: a GPT and its tokenizer's folder. Out: a file laid out as llama.cpp's own converter (`convert_hf_to_gguf.py`) does
from the stock class that `trainer.export.hf` maps the model to. What llama.cpp has no architecture, activation or
pre-tokenizer for is refused, naming it: a file that loads and means something else would write nonsense.

Matrices are in 32 or 16 bits, or in blocks of 32 columns with a half-precision scale each (Q8_0 and Q4_0, rounded to
nearest by `gguf`); a matrix whose rows are no whole blocks stays in 16 bits, as llama.cpp's quantizer leaves it. Norms,
biases and learned positions stay in 32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from torch import Tensor

from trainer.errors import ExportError
from trainer.export.hf import hf_class, hf_settings
from trainer.export.tokenizer import end_of_text
from trainer.export.weights import hf_state
from trainer.model.config import ModelConfig
from trainer.model.gpt import GPT
from trainer.records import read_json

ARCHITECTURES: Final = {
    "GPT2LMHeadModel": "gpt2",
    "Starcoder2ForCausalLM": "starcoder2",
    "LlamaForCausalLM": "llama",
    "Qwen3ForCausalLM": "qwen3",
}
"""llama.cpp's names of what it knows, by `transformers` class."""
TYPES: Final = {32: "F32", 16: "F16", 8: "Q8_0", 4: "Q4_0"}
"""Names of ggml's types, by bits of a matrix's weight."""
FILE_TYPES: Final = {32: "ALL_F32", 16: "MOSTLY_F16", 8: "MOSTLY_Q8_0", 4: "MOSTLY_Q4_0"}
BLOCK: Final = 32
POSITIONS: Final = "position_embd.weight"
_GPT2_MATRICES: Final = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
_LETTERS: Final = r"[^\r\n\p{L}\p{N}]?"
PRE_TOKENIZERS: Final = (
    ("gpt-2", r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"),
    ("qwen2", _LETTERS + r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
    ("llama-bpe", _LETTERS + r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
)
"""llama.cpp's names of pre-tokenizers, by how their pattern ends; what comes before are the English suffixes."""


@dataclass(frozen=True)
class GgufSummary:
    """What was written."""

    architecture: str
    bytes: int
    tensors: dict[str, int]
    """How many tensors are of each of ggml's types."""


def export_gguf(model: GPT, tokenizer_folder: Path, out: Path, bits: int = 32) -> GgufSummary:
    """Write `model` and its tokenizer to the file `out`, with `bits` a weight of its matrices: 32, 16, 8 or 4.

    Raises `ExportError` where `gguf` is not installed, or naming what llama.cpp does not have.
    """
    gguf = _package()
    if bits not in TYPES:
        raise ExportError(f"bits: found {bits}; a GGUF file is written in {', '.join(map(str, TYPES))}")
    name = hf_class(model.config)
    architecture = _architecture(model.config, name)
    writer = gguf.GGUFWriter(None, architecture)
    _add_settings(writer, gguf, model.config, name, bits)
    _add_tokenizer(writer, gguf, tokenizer_folder, model.config.vocab_size)
    counts: dict[str, int] = {}
    for key, array in gguf_tensors(model).items():
        kind = _type_of(gguf, key, array, bits)
        raw = None if kind.name in ("F32", "F16") else kind
        writer.add_tensor(key, gguf.quants.quantize(array, kind), raw_dtype=raw)
        counts[kind.name] = counts.get(kind.name, 0) + 1
    writer.write_header_to_file(out)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return GgufSummary(architecture, out.stat().st_size, counts)


def gguf_tensors(model: GPT) -> dict[str, np.ndarray]:
    """The weights by GGUF's names and in its layouts, float32; matrices are (out, in), and a tied head is left out."""
    gguf = _package()
    name = hf_class(model.config)
    kind = {text: number for number, text in gguf.MODEL_ARCH_NAMES.items()}[_architecture(model.config, name)]
    names = gguf.get_tensor_name_map(kind, len(model.config.order))
    found = {}
    for key, tensor in _with_biases(hf_state(model, name), name).items():
        own = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if own is None:
            raise ExportError(f"llama.cpp has no tensor for {key!r} in the architecture {ARCHITECTURES[name]!r}")
        found[own] = np.ascontiguousarray(_laid_out(key, tensor, model.config, name).numpy())
    return found


def _package() -> Any:
    try:
        import gguf
    except ImportError:
        raise ExportError("GGUF files are written by the package `gguf`: pip install 'squeeze-gpt[gguf]'") from None
    return gguf


def _architecture(config: ModelConfig, name: str) -> str:
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ExportError(f"a GGUF file is written of {known}; this model is a {name}: export it with transformers")
    if config.mlp in ("gelu_erf", "relu2"):  # its GELU is the tanh form
        raise ExportError(
            f"llama.cpp's {ARCHITECTURES[name]} cannot hold mlp {config.mlp!r}; no GGUF file for this model"
        )
    if config.window is not None:
        raise ExportError(f"llama.cpp's {ARCHITECTURES[name]} cannot hold window {config.window!r}")
    if config.rope_scaling is not None and config.rope_scaling.kind == "yarn":
        raise ExportError("rope_scaling 'yarn' is not written to GGUF files; use 'linear' or 'ntk'")
    return ARCHITECTURES[name]


def _with_biases(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Starcoder2's tensors with zeros for the biases that a model has not: llama.cpp asks for all of them."""
    if name != "Starcoder2ForCausalLM":
        return dict(state)
    zeros = {
        key.replace(".weight", ".bias"): tensor.new_zeros(tensor.shape[0])
        for key, tensor in state.items()
        if "_proj.weight" in key or "c_fc.weight" in key
    }
    return zeros | dict(state)


def _laid_out(key: str, tensor: Tensor, config: ModelConfig, name: str) -> Tensor:
    if name == "GPT2LMHeadModel" and key.endswith(_GPT2_MATRICES):
        return tensor.T
    if name == "LlamaForCausalLM" and ".self_attn.q_proj." in key:
        return _interleaved(tensor, config.heads)
    if name == "LlamaForCausalLM" and ".self_attn.k_proj." in key:
        return _interleaved(tensor, config.key_value_heads)
    return tensor


def _interleaved(tensor: Tensor, heads: int) -> Tensor:
    """Rows of queries or keys as llama.cpp rotates Llama's: the pair of a frequency side by side, not half a head
    apart."""
    return tensor.unflatten(0, (heads, 2, -1)).transpose(1, 2).reshape(tensor.shape)


def _type_of(gguf: Any, key: str, array: np.ndarray, bits: int) -> Any:
    types = gguf.GGMLQuantizationType
    if array.ndim < 2 or key == POSITIONS:
        return types.F32
    if bits in (8, 4) and array.shape[-1] % BLOCK:
        return types.F16
    return types[TYPES[bits]]


def _add_settings(writer: Any, gguf: Any, config: ModelConfig, name: str, bits: int) -> None:
    settings = hf_settings(config, name, None)
    writer.add_block_count(len(config.order))
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_feed_forward_length(config.dense_ff_width)
    writer.add_head_count(config.heads)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType[FILE_TYPES[bits]])
    if name in ("GPT2LMHeadModel", "Starcoder2ForCausalLM"):
        writer.add_layer_norm_eps(config.norm_eps)
    else:
        writer.add_layer_norm_rms_eps(config.norm_eps)
    if name == "GPT2LMHeadModel":
        return
    writer.add_head_count_kv(config.key_value_heads)
    writer.add_key_length(config.head_width)
    writer.add_value_length(config.head_width)
    writer.add_rope_dimension_count(config.head_width)
    rope = settings["rope_parameters"]
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])


def _add_tokenizer(writer: Any, gguf: Any, folder: Path, rows: int) -> None:
    """Byte-level BPE as llama.cpp knows it from GPT-2: pieces in printable characters, merges in order of priority."""
    file = folder / "tokenizer.json"
    what = "a byte-level BPE's tokenizer.json"
    if not file.is_file():
        raise ExportError(
            f"{folder}: has no tokenizer.json; GGUF files are written with byte-level BPE tokenizers alone"
        )
    data = read_json(file, ExportError, what=what, cure="give a tokenizer's folder")
    pattern = _pattern(data)
    if data.get("model", {}).get("type") != "BPE" or pattern is None:
        raise ExportError(f"{file}: not {what}; GGUF files are written with byte-level BPE tokenizers alone")
    opening = end_of_text(folder)
    ids = {**data["model"]["vocab"], opening.text: opening.id}
    tokens = [f"[PAD{i}]" for i in range(rows)]
    types = [gguf.TokenType.UNUSED] * rows
    for token, i in ids.items():
        tokens[i] = token
        types[i] = gguf.TokenType.CONTROL if i == opening.id else gguf.TokenType.NORMAL
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in data["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer(pattern))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(opening.id)
    writer.add_eos_token_id(opening.id)
    writer.add_add_bos_token(True)


def _pattern(data: Mapping[str, Any]) -> str | None:
    """The pattern that a byte-level tokenizer cuts text by first; none of another kind."""
    steps = (data.get("pre_tokenizer") or {}).get("pretokenizers", [])
    kinds = [step.get("type") for step in steps]
    return str(steps[0]["pattern"]["Regex"]) if kinds == ["Split", "ByteLevel"] else None


def _pre_tokenizer(pattern: str) -> str:
    for name, ending in PRE_TOKENIZERS:
        if pattern.endswith(ending):
            return name
    raise ExportError(
        f"llama.cpp has no pre-tokenizer for the pattern {pattern!r}; it has gpt2, and cl100k with one or three digits"
    )
