"""Generation: the same tokens with the cache as without, and settings that do what they say."""

import dataclasses

import pytest
import torch

from trainer.errors import ConfigError
from trainer.generate import generate, sample
from trainer.model import GPT, ModelConfig
from trainer.sampling import SEEDS, Sampling

SMALL = ModelConfig(vocab_size=97, context=16, width=32, layers=2, heads=4, ff_width=48)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = GPT(dataclasses.replace(SMALL, init="kaiming"))
    with torch.no_grad():
        made.embed.weight.mul_(20)
    return made


def test_greedy_text_is_that_of_the_whole_forward_pass(model):
    tokens = [1, 2, 3]
    expected = list(tokens)
    for _ in range(10):
        expected.append(int(model.eval()(torch.tensor([expected]))[0, -1].argmax()))
    assert list(generate(model, tokens, max_new_tokens=10, temperature=0)) == expected[3:]


def test_a_seed_gives_one_text_and_another_seed_another(model):
    def text(seed):
        return list(generate(model, [1], max_new_tokens=12, temperature=5.0, seed=seed))

    assert text(1) == text(1)
    assert text(1) != text(2)


def test_text_goes_on_past_the_context(model):
    assert len(list(generate(model, [1, 2], max_new_tokens=50, seed=3))) == 50
    assert len(list(generate(model, list(range(40)), max_new_tokens=5, seed=3))) == 5


def test_end_of_text_ends_it_and_is_not_yielded(model):
    first = next(generate(model, [1, 2], max_new_tokens=1, temperature=0))
    assert list(generate(model, [1, 2], max_new_tokens=5, temperature=0, eot_id=first)) == []


def test_an_empty_prompt_starts_a_document(model):
    assert list(generate(model, [], max_new_tokens=4, eot_id=7, seed=1)) == list(
        generate(model, [7], max_new_tokens=4, eot_id=7, seed=1)
    )


def test_top_p_keeps_the_likeliest_tokens_that_reach_it():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    generator = torch.Generator().manual_seed(0)

    def drawn(top_p):
        return {sample(logits, Sampling(1, top_p=top_p), generator) for _ in range(300)}

    assert drawn(0.4) == {0}
    assert drawn(0.7) == {0, 1}
    assert drawn(1.0) == {0, 1, 2, 3}


def test_top_k_keeps_so_many_of_the_likeliest_tokens():
    logits = torch.tensor([0.05, 0.5, 0.15, 0.3]).log()
    generator = torch.Generator().manual_seed(0)

    def drawn(top_k):
        return {sample(logits, Sampling(1, top_k=top_k), generator) for _ in range(300)}

    assert [drawn(number) for number in (1, 2, 9)] == [{1}, {1, 3}, {0, 1, 2, 3}]
    assert drawn(0) == drawn(4)


@pytest.mark.parametrize("temperature", [1e-5, 1e-40, 5e-324])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_tiny_temperature_is_as_none(temperature, dtype):
    logits = torch.tensor([1.0, 30.0, -20.0, 29.0], dtype=dtype)
    assert sample(logits, Sampling(1, temperature), torch.Generator()) == 1


def test_a_tiny_top_p_leaves_the_likeliest_token():
    assert sample(torch.tensor([1.0, 3.0]), Sampling(1, top_p=1e-45), torch.Generator()) == 1


def test_scores_that_are_no_numbers_are_told():
    with pytest.raises(ConfigError, match="its training diverged"):
        sample(torch.tensor([1.0, float("nan")]), Sampling(1), torch.Generator())


@pytest.mark.parametrize("seed", SEEDS)
def test_every_seed_that_is_allowed_works(model, seed):
    assert len(list(generate(model, [1], max_new_tokens=1, seed=seed))) == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"seed": 2**64}, "seed"),
        ({"prompt_ids": [97]}, "vocabulary of 97"),
        ({"prompt_ids": []}, "prompt is empty"),
    ],
)
def test_settings_out_of_range_are_named_at_once(model, changes, named):
    with pytest.raises(ConfigError, match=named):
        generate(model, **({"prompt_ids": [1], "max_new_tokens": 3} | changes))


def test_the_model_is_left_in_the_mode_it_was_in(model):
    model.train()
    list(generate(model, [1], max_new_tokens=2))
    assert model.training
