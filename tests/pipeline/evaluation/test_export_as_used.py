"""An exported model used as its card says, by `AutoTokenizer` and `AutoModelForCausalLM` alone: it is our model."""

import warnings

import pytest
import torch
import transformers

from pipeline.cli.writing.model import Writer
from trainer.export import export_hf
from trainer.model import GPT, ModelConfig
from trainer.sampling import Sampling

CONTEXT = 48
SHAPE = {"vocab_size": 384, "context": CONTEXT, "width": 48, "layers": 2, "heads": 3, "ff_width": 64}
GPT2_LIKE = {"position": "learned", "norm": "layernorm", "mlp": "gelu", "attention_input": "3n"}
ARCHITECTURES = {
    "GPT2LMHeadModel": GPT2_LIKE | {"qk_norm": False, "bias": True},
    "Starcoder2ForCausalLM": GPT2_LIKE | {"qk_norm": False, "position": "rope"},
    "LlamaForCausalLM": {"attention_input": "3n", "qk_norm": False},
    "Qwen3ForCausalLM": {"attention_input": "3n"},
    "Qwen3MoeForCausalLM": {"attention_input": "3n", "mlp": "moe"},
    "Qwen3NextForCausalLM": {},
}


@pytest.fixture(params=ARCHITECTURES)
def used(request, scorer, tokenizer_folder, tmp_path):
    """Our model with its tokenizer, and both as transformers reads the export."""
    torch.manual_seed(1)
    model = GPT(ModelConfig(**SHAPE | ARCHITECTURES[request.param])).eval()
    for parameter in model.parameters():  # far from uniform, so that a token more or less changes what follows
        parameter.data.mul_(3.0)
    export_hf(model, tokenizer_folder, tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    read = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert type(read).__name__ == request.param
    return Writer(model, scorer.tokenizer), tokenizer, read


@pytest.mark.parametrize("prompt", ["the fox and the dog", "", "  The answer\n\tis ☃ ", "1 2"])
def test_greedy_text_is_what_squeeze_generate_gives(used, prompt):
    writer, tokenizer, model = used
    ours = "".join(writer.continued(prompt, Sampling(12, temperature=0)))
    inputs = tokenizer(prompt, return_tensors="pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ids = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0]
    assert tokenizer.decode(ids, skip_special_tokens=True) == prompt + ours
    assert tokenizer.decode(ids[inputs["input_ids"].shape[1] :], skip_special_tokens=True) == ours


@torch.inference_mode()
def test_a_texts_loss_is_ours(used):
    writer, tokenizer, model = used
    text = "the fox jumps over the lazy dog"
    inputs = tokenizer(text, return_tensors="pt")
    ids = torch.tensor([[writer.tokenizer.eot_id, *writer.tokenizer.encode(text)]])
    assert torch.equal(inputs["input_ids"], ids)
    expected = writer.model.loss(ids[:, :-1], ids[:, 1:]).cross_entropy
    torch.testing.assert_close(model(**inputs, labels=ids).loss, expected, atol=1e-5, rtol=1e-5)


def test_prompts_of_different_lengths_are_gone_on_with_in_one_batch_as_alone(used):
    writer, tokenizer, model = used
    prompts = ["the fox and the lazy dog", "a"]
    rows = model.generate(**tokenizer(prompts, return_tensors="pt", padding=True), max_new_tokens=6, do_sample=False)
    for prompt, row in zip(prompts, rows, strict=True):
        ours = "".join(writer.continued(prompt, Sampling(6, temperature=0)))
        assert tokenizer.decode(row, skip_special_tokens=True) == prompt + ours


def test_a_long_text_is_truncated_to_the_context_and_written_no_further_than_it(used):
    _, tokenizer, model = used
    inputs = tokenizer("the cat sat on the mat " * 40, truncation=True, return_tensors="pt")
    assert tokenizer.model_max_length == inputs["input_ids"].shape[1] == CONTEXT
    assert model(**inputs).logits.shape[1] == CONTEXT
    assert len(model.generate(**tokenizer("a", return_tensors="pt"), do_sample=False)[0]) <= CONTEXT


def test_the_tokenizers_own_folder_serves_models_of_any_context(scorer, tokenizer_folder):
    plain = transformers.AutoTokenizer.from_pretrained(tokenizer_folder)
    assert plain("the fox").input_ids == scorer.tokenizer.encode("the fox")
