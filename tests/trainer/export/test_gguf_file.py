"""A GGUF file read back: by `gguf`, tensor by tensor and piece by piece, and by transformers, whose logits are ours."""

import dataclasses
import json

import gguf
import numpy as np
import pytest
import torch
import transformers
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from pipeline.tokenization.formats.patterns import PATTERNS, pattern_for
from trainer.errors import ExportError
from trainer.export.gguf_file import export_gguf, gguf_tensors
from trainer.export.hf import hf_class, hf_settings
from trainer.model import GPT, ModelConfig, RopeScaling

ROWS = 300
GPT2 = ModelConfig(
    vocab_size=ROWS,
    context=32,
    width=64,
    layers=2,
    heads=2,
    ff_width=96,
    position="learned",
    norm="layernorm",
    mlp="gelu",
    attention_input="3n",
    qk_norm=False,
    bias=True,
)
LLAMA = dataclasses.replace(GPT2, position="rope", norm="rmsnorm", mlp="swiglu", bias=False)
STARCODER2 = dataclasses.replace(GPT2, position="rope", kv_heads=1)
MODELS = {
    "gpt2": GPT2,
    "gpt2, untied, layers run twice": dataclasses.replace(GPT2, tied=False, repeats=2),
    "llama": LLAMA,
    "llama, one key head, factorised": dataclasses.replace(LLAMA, kv_heads=1, embedding_width=16, tied=True),
    "starcoder2": STARCODER2,
    "qwen3": dataclasses.replace(LLAMA, qk_norm=True),
}
END = "<|endoftext|>"


def perturbed(config):
    """A model none of whose weights is 0 or 1, as they would be in a fresh one's norms and biases."""
    torch.manual_seed(1)
    model = GPT(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def tokenizer_in(folder, pattern=None):
    """A byte-level BPE of fewer rows than the model's, trained by `tokenizers`; returns its vocabulary and merges."""
    folder.mkdir()
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(pattern or pattern_for("cl100k", 1)), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=280, special_tokens=[END], initial_alphabet=letters, show_progress=False)
    tokenizer.train_from_iterator(["the king of the fairy tale, the sea and the moon"] * 20, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "squeeze_tokenizer.json").write_text(json.dumps({"eot_id": 0, "end_of_text": END}))
    return json.loads(tokenizer.to_str())["model"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gguf") / "tokenizer"
    return folder, tokenizer_in(folder)


def tensors_in(reader):
    return {
        item.name: torch.from_numpy(gguf.quants.dequantize(item.data, item.tensor_type).copy()).view(
            *item.shape.tolist()[::-1]
        )
        for item in reader.tensors
    }


@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_transformers_reads_the_models_own_logits_from_it(name, tokenizer, tmp_path):
    model = perturbed(MODELS[name])
    written = export_gguf(model, tokenizer[0], tmp_path / "model.gguf")
    assert written.architecture == name.partition(",")[0]
    read_by = getattr(transformers, hf_class(model.config))
    settings = read_by.config_class(**hf_settings(model.config, read_by.__name__, None))
    read = read_by.from_pretrained(tmp_path, gguf_file="model.gguf", config=settings, dtype="float32").eval()
    ids = torch.randint(0, ROWS, (2, 32))
    torch.testing.assert_close(read(ids).logits, model(ids), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("bits", "kind", "step"), [(32, "F32", 0), (16, "F16", 2**-11), (8, "Q8_0", 1 / 127), (4, "Q4_0", 1 / 8)]
)
def test_every_tensor_comes_back_as_near_as_its_bits_allow(bits, kind, step, tokenizer, tmp_path):
    model = perturbed(GPT2)
    file = tmp_path / "model.gguf"
    export_gguf(model, tokenizer[0], file, bits)
    reader = gguf.GGUFReader(file)
    kept, found = gguf_tensors(model), tensors_in(reader)
    assert found.keys() == kept.keys()
    for item in reader.tensors:
        whole = torch.from_numpy(kept[item.name])
        assert found[item.name].shape == whole.shape
        matrix = whole.ndim == 2 and item.name != "position_embd.weight"
        assert item.tensor_type.name == (kind if matrix else "F32")
        off = (found[item.name] - whole).abs()
        if not matrix:
            assert not off.any()
        elif bits >= 16:
            assert bool((off <= step * whole.abs() + 2**-25).all())  # half a step of the smallest halves
        else:  # a whole step where the greatest weight's side has one code less
            greatest = whole.abs().view(len(whole), -1, 32).amax(2, keepdim=True)
            assert bool((off.view(len(whole), -1, 32) <= 1.01 * step * greatest).all())


def test_the_settings_are_the_models(tokenizer, tmp_path):
    config = dataclasses.replace(
        LLAMA, kv_heads=1, rope_base=5e4, rope_scaling=RopeScaling("linear", 4.0, 16), repeats=2
    )
    export_gguf(GPT(config), tokenizer[0], tmp_path / "model.gguf", 16)
    fields = {name: field.contents() for name, field in gguf.GGUFReader(tmp_path / "model.gguf").fields.items()}
    assert fields["general.architecture"] == "llama"
    found = {name.removeprefix("llama."): value for name, value in fields.items() if name.startswith("llama.")}
    assert found.pop("attention.layer_norm_rms_epsilon") == pytest.approx(config.norm_eps)
    assert found == {
        "block_count": 2,
        "context_length": 32,
        "embedding_length": 64,
        "feed_forward_length": 96,
        "vocab_size": ROWS,
        "attention.head_count": 2,
        "attention.head_count_kv": 1,
        "attention.key_length": 32,
        "attention.value_length": 32,
        "rope.dimension_count": 32,
        "rope.freq_base": 5e4,
        "rope.scaling.type": "linear",
        "rope.scaling.factor": 4.0,
    }


def test_rows_that_are_no_whole_blocks_stay_in_sixteen_bits(tokenizer, tmp_path):
    model = perturbed(dataclasses.replace(GPT2, width=48, heads=3))
    written = export_gguf(model, tokenizer[0], tmp_path / "model.gguf", 4)
    kinds = {item.name: item.tensor_type.name for item in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    assert kinds["blk.0.attn_qkv.weight"] == kinds["token_embd.weight"] == "F16"  # rows of 48
    assert kinds["blk.0.ffn_down.weight"] == "Q4_0"  # rows of 96
    assert written.tensors == {kind: list(kinds.values()).count(kind) for kind in ("F16", "F32", "Q4_0")}


def test_the_vocabulary_the_merges_and_the_opening_token_are_the_tokenizers(tokenizer, tmp_path):
    folder, vocabulary = tokenizer
    export_gguf(perturbed(GPT2), folder, tmp_path / "model.gguf")
    fields = {name: field.contents() for name, field in gguf.GGUFReader(tmp_path / "model.gguf").fields.items()}
    tokens = fields["tokenizer.ggml.tokens"]
    assert {token: tokens.index(token) for token in vocabulary["vocab"]} == vocabulary["vocab"]
    assert tokens[280:] == [f"[PAD{i}]" for i in range(280, ROWS)]
    assert fields["tokenizer.ggml.merges"] == [" ".join(pair) for pair in vocabulary["merges"]]
    assert vocabulary["merges"]
    types = np.array(fields["tokenizer.ggml.token_type"])
    assert (types[0], set(types[1:280]), set(types[280:])) == (3, {1}, {5})  # control, normal, unused
    assert fields["tokenizer.ggml.model"] == "gpt2"
    assert fields["tokenizer.ggml.pre"] == "qwen2"
    assert fields["tokenizer.ggml.bos_token_id"] == fields["tokenizer.ggml.eos_token_id"] == 0
    assert fields["tokenizer.ggml.add_bos_token"] is True


@pytest.mark.parametrize(
    ("pattern", "name"),
    [(PATTERNS["gpt2"], "gpt-2"), (pattern_for("cl100k", 1), "qwen2"), (PATTERNS["cl100k"], "llama-bpe")],
)
def test_a_pattern_has_llama_cpps_name(pattern, name, tmp_path):
    tokenizer_in(tmp_path / "tokenizer", pattern)
    export_gguf(perturbed(GPT2), tmp_path / "tokenizer", tmp_path / "model.gguf")
    assert gguf.GGUFReader(tmp_path / "model.gguf").get_field("tokenizer.ggml.pre").contents() == name


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mlp": "gelu_erf"}, "llama.cpp's gpt2 cannot hold mlp 'gelu_erf'"),
        ({"mlp": "relu2"}, "llama.cpp's gpt2 cannot hold mlp 'relu2'"),
        ({"position": "rope", "rope_scaling": RopeScaling("yarn", 2.0, 16)}, "rope_scaling 'yarn' is not written"),
        ({"smear": True}, "cannot hold smear True"),
        (
            {"position": "rope", "norm": "rmsnorm", "mlp": "moe", "qk_norm": True, "bias": False},
            "this model is a Qwen3MoeForCausalLM: export it with transformers",
        ),
    ],
)
def test_what_llama_cpp_does_not_have_is_refused_by_name(changes, said, tokenizer, tmp_path):
    model = GPT(dataclasses.replace(GPT2, **changes))
    with pytest.raises(ExportError, match=said):
        export_gguf(model, tokenizer[0], tmp_path / "model.gguf")
    assert not (tmp_path / "model.gguf").exists()


def test_bits_and_tokenizers_it_cannot_write_are_refused(tokenizer, tmp_path):
    model = GPT(GPT2)
    with pytest.raises(ExportError, match="bits: found 6; a GGUF file is written in 32, 16, 8, 4"):
        export_gguf(model, tokenizer[0], tmp_path / "model.gguf", 6)
    tokenizer_in(tmp_path / "two", pattern_for("cl100k", 2))
    with pytest.raises(ExportError, match=r"llama\.cpp has no pre-tokenizer for the pattern"):
        export_gguf(model, tmp_path / "two", tmp_path / "model.gguf")
    (tmp_path / "unigram").mkdir()
    with pytest.raises(ExportError, match=r"has no tokenizer\.json; GGUF files are written with byte-level BPE"):
        export_gguf(model, tmp_path / "unigram", tmp_path / "model.gguf")
