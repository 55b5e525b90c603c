"""What a compiler makes of the model: dropout leaves it one graph with the same masks; and grouped heads off a CPU."""

import dataclasses

import pytest
import torch
import torch._dynamo
import torch.nn.functional as F

from trainer.model import GPT, ModelConfig
from trainer.model.attention import with_all_heads
from trainer.model.dropout import SequenceDropout

SMALL = ModelConfig(vocab_size=97, context=24, width=32, layers=2, heads=4, ff_width=48)


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def dropped(x_BTC, seeds_B):
    dropout = SequenceDropout(0.3, seeds_B, torch.device("cpu"))
    return dropout(x_BTC), dropout(x_BTC.bfloat16()), dropout(x_BTC[:, :2])


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_masks_are_the_same_bits_compiled(backend):
    x_BTC, seeds_B = torch.randn(3, 5, 7), torch.tensor([5, 2**62, 0])
    expected = dropped(x_BTC, seeds_B)
    found = torch.compile(dropped, backend=backend, fullgraph=True)(x_BTC, seeds_B)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_gradients_with_dropout_are_the_same_compiled():
    torch.manual_seed(1)
    model = GPT(dataclasses.replace(SMALL, dropout=0.2))
    ids = torch.randint(0, 97, (3, 13))

    def gradients(run):
        model.zero_grad()
        run(ids[:, :-1], ids[:, 1:], sequence_seeds_B=torch.tensor([3, 4, 5])).total.backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    for one, other in zip(
        gradients(torch.compile(model.loss, backend="aot_eager")), gradients(model.loss), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_dropout_adds_no_break_to_the_graph():
    def breaks(dropout):
        torch._dynamo.reset()
        model = GPT(dataclasses.replace(SMALL, dropout=dropout))
        ids = torch.randint(0, 97, (3, 13))
        seeds = torch.tensor([3, 4, 5]) if dropout else None
        return torch._dynamo.explain(model.loss)(ids[:, :-1], ids[:, 1:], sequence_seeds_B=seeds).graph_break_count

    assert breaks(0.2) == breaks(0.0)


def test_keys_for_each_query_head_attend_as_grouped_ones_do():
    q_BHTd, k_BHTd, v_BHTd = torch.randn(2, 6, 5, 8), torch.randn(2, 2, 5, 8), torch.randn(2, 2, 5, 8)
    mask = (torch.rand(2, 1, 5, 5) > 0.5) | torch.eye(5, dtype=torch.bool)
    grouped = F.scaled_dot_product_attention(q_BHTd, k_BHTd, v_BHTd, attn_mask=mask, enable_gqa=True)
    keys, values = with_all_heads(q_BHTd, k_BHTd, v_BHTd)
    assert keys.shape == values.shape == q_BHTd.shape
    torch.testing.assert_close(F.scaled_dot_product_attention(q_BHTd, keys, values, attn_mask=mask), grouped)


def test_a_mask_over_grouped_heads_is_given_all_heads_off_the_cpu():
    from torch.utils._python_dispatch import TorchDispatchMode

    heads = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if "scaled_dot_product" in str(func) or "_safe_softmax" in str(func):
                heads.append(
                    args[1].shape[1] if len(args) > 1 and isinstance(args[1], torch.Tensor) else args[0].shape[1]
                )
            return func(*args, **(kwargs or {}))

    with torch.device("meta"):
        model = GPT(dataclasses.replace(SMALL, kv_heads=2))
    ids = torch.zeros(1, 8, dtype=torch.long, device="meta")
    with Watch(), torch.no_grad():
        model.hidden(ids, documents_BT=ids)
    assert heads
    assert set(heads) == {4}
