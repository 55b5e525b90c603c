"""The configuration GPT2 is GPT-2: logits, loss and every gradient are those of transformers' GPT2LMHeadModel."""

import dataclasses

import pytest
import torch
import transformers

from trainer.export import from_hf
from trainer.model import GPT, GPT2

SHAPE = {"vocab_size": 211, "context": 48, "width": 64, "layers": 3, "heads": 4}


@pytest.fixture(scope="module")
def pair():
    """The field's model with random weights, and ours with the same."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=211, n_positions=64, n_embd=64, n_layer=3, n_head=4, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0
    )
    theirs = transformers.GPT2LMHeadModel(config)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return theirs, from_hf(theirs).train()


@pytest.fixture(scope="module")
def ids():
    return torch.randint(0, 211, (3, 49), generator=torch.Generator().manual_seed(1))


def test_logits(pair, ids):
    theirs, ours = pair
    torch.testing.assert_close(ours(ids[:, :-1]), theirs(ids[:, :-1]).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("logit_rows", [None, 7, 10_000])
def test_loss_and_every_gradient(pair, ids, logit_rows):
    theirs, ours = pair
    theirs.zero_grad()
    ours.zero_grad()
    expected = theirs(ids, labels=ids).loss
    expected.backward()
    found = ours.loss(ids[:, :-1], ids[:, 1:], logit_rows=logit_rows)
    found.total.backward()
    torch.testing.assert_close(found.cross_entropy, expected, atol=1e-5, rtol=1e-5)
    gradients = dict(from_hf_gradients(theirs, ours.config))
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-5, rtol=1e-5, msg=name)


def from_hf_gradients(theirs, config):
    """The field's gradients under our names: load them as if they were weights."""
    with_gradients = transformers.GPT2LMHeadModel(theirs.config)
    with torch.no_grad():
        for target, source in zip(with_gradients.parameters(), theirs.parameters(), strict=True):
            target.copy_(source.grad)
    return from_hf(with_gradients).named_parameters()


def test_the_parameter_count_is_gpt2s():
    with torch.device("meta"):
        model = GPT(GPT2)
    assert model.parameter_counts()["total"] == 124_439_808


def test_initial_weights_have_gpt2s_spread():
    torch.manual_seed(0)
    model = GPT(dataclasses.replace(GPT2, **SHAPE | {"width": 256}))
    block = model.layers[0]
    assert block.attention.input.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.attention.output.weight.std().item() == pytest.approx(0.02 / 6**0.5, rel=0.05)
    assert block.mlp.output.weight.std().item() == pytest.approx(0.02 / 6**0.5, rel=0.05)
    assert block.attention.input.bias.abs().max() == 0
