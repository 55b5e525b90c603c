"""What each switch of the speedruns computes, beside its formula written out."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from switched import SMALL, model_of, some_ids

from trainer.model import Recurrence, attention
from trainer.model.ahead import targets_ahead
from trainer.model.attention import Attention
from trainer.model.bigrams import bigram_rows
from trainer.model.gates import HeadGate
from trainer.model.mixing import ShortConvolution, Smear
from trainer.model.past import Past
from trainer.model.stream import Stream
from trainer.model.values import ValueEmbedding


@torch.no_grad()
def test_smear_adds_a_gated_share_of_the_token_before():
    smear, x = Smear(16), torch.randn(2, 5, 16)
    smear.gate.normal_()
    smear.share.fill_(0.7)
    found = smear(x, Past())
    torch.testing.assert_close(found[:, 0], x[:, 0])
    for t in range(1, 5):
        gate = torch.sigmoid(x[:, t, :12] @ smear.gate[0])
        torch.testing.assert_close(found[:, t], x[:, t] + 0.7 * gate[:, None] * x[:, t - 1])


@pytest.mark.parametrize("positions", [None, torch.arange(9)[None]], ids=["in place", "tap by tap"])
def test_a_convolution_is_torchs_with_its_gradients(positions):
    layer, x = ShortConvolution(6, 4), torch.randn(3, 9, 6, requires_grad=True)
    torch.nn.init.normal_(layer.kernel)
    found = layer(x, Past(positions_BT=positions), "here")
    weight_C1W = layer.kernel.flip(0).T[:, None]
    expected = x + F.conv1d(F.pad(x.mT, (3, 0)), weight_C1W, groups=6).mT
    torch.testing.assert_close(found, expected)
    seed = torch.randn_like(found)
    for one, other in zip(
        torch.autograd.grad(found, (x, layer.kernel), seed),
        torch.autograd.grad(expected, (x, layer.kernel), seed),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_what_comes_before_stays_within_documents_and_continuations():
    x = torch.tensor([[10, 11, 12, 13, 14, 15, 16]])
    assert [tap.tolist() for tap in Past().before(x, 2, "a", fill=-1)] == [
        [[-1, 10, 11, 12, 13, 14, 15]],
        [[-1, -1, 10, 11, 12, 13, 14]],
    ]
    documents = Past(positions_BT=torch.tensor([[0, 1, 2, 0, 1, 0, 1]]))
    assert [tap.tolist() for tap in documents.before(x, 2, "a", fill=-1)] == [
        [[-1, 10, 11, -1, 13, -1, 15]],
        [[-1, -1, 10, -1, -1, -1, -1]],
    ]
    # a prompt of three, then two continuations of two
    mask = torch.ones(7, 7, dtype=torch.bool).tril()
    mask[5:, 3:5] = False
    beside = Past(positions_BT=torch.tensor([[0, 1, 2, 3, 4, 3, 4]]), mask=mask[None, None])
    assert [tap.tolist() for tap in beside.before(x, 3, "a", fill=-1)] == [
        [[-1, 10, 11, 12, 13, 12, 15]],
        [[-1, -1, 10, 11, 12, 11, 12]],
        [[-1, -1, -1, 10, 11, 10, 11]],
    ]


def test_bigrams_are_hashed_pairs_with_a_row_for_those_that_begin():
    ids, before = torch.tensor([[5, 7, 7]]), torch.tensor([[-1, 5, 7]])
    expected = [30, ((36313 * 7) ^ (27191 * 5)) % 30, ((36313 * 7) ^ (27191 * 7)) % 30]
    assert bigram_rows(ids, before, 31).tolist() == [expected]
    model = model_of(bigram_rows=31)
    with torch.no_grad():
        model.bigrams.table.weight.normal_()
    x = model.bigrams(ids, Past())
    torch.testing.assert_close(x[0], model.bigrams.table.weight[expected])


def test_the_stream_is_scaled_and_given_its_start_again():
    stream = Stream(dataclasses.replace(SMALL, residual_scalars=True, x0_scalars=True))
    with torch.no_grad():
        stream.kept[2], stream.start[2] = 0.5, 3.0
    x, x0 = torch.randn(1, 2, 4), torch.randn(1, 2, 4)
    torch.testing.assert_close(stream(x, x0, 2, {}), 0.5 * x + 3 * x0)
    torch.testing.assert_close(stream(x, x0, 1, {}), x)


@torch.no_grad()
def test_the_second_half_of_a_unet_is_given_what_the_first_put_out():
    model, ids = model_of(unet=True, recurrence=Recurrence(0, 0)).eval(), some_ids(1, 5)
    model.stream.skip.copy_(torch.tensor([0.5, 3.0]))
    frame, positions = model._frame(ids, None)
    first = model.layers[0](model._start(ids, positions, frame), frame, 0)
    second = model.layers[1](model.layers[0](first, frame, 1), frame, 2)
    third = model.layers[2](second + 3 * second, frame, 3)
    fourth = model.layers[3](third + 0.5 * first, frame, 4)
    torch.testing.assert_close(model.hidden(ids), model.final_norm(fourth))


@torch.inference_mode()
def test_layers_that_run_again_are_more_layers_or_none_yet():
    ids = some_ids()
    model = model_of(recurrence=Recurrence(1, 2, 2))
    assert model.config.order == (0, 1, 2, 1, 2, 1, 2, 3)
    longer, plain = model_of(layers=8), model_of()
    for other, order in ((longer, model.config.order), (plain, range(4))):
        other.embed = model.embed
        for place, layer in enumerate(order):
            other.layers[place] = model.layers[layer]
    torch.testing.assert_close(model(ids), longer(ids))
    assert model.flops_per_token() == longer.flops_per_token()
    model.recurs = False
    torch.testing.assert_close(model(ids), plain(ids))
    assert model.flops_per_token() == plain.flops_per_token()


@torch.inference_mode()
def test_a_parallel_layer_reads_the_stream_for_both_its_parts():
    model, ids = model_of(parallel_residual=True), some_ids(1, 5)
    frame, _ = model._frame(ids, None)
    block, x = model.layers[0], torch.randn(1, 5, 32)
    expected = x + block.attention(block.attention_norm(x), frame, 0) + block.mlp(block.mlp_norm(x), frame, 0)
    torch.testing.assert_close(block(x, frame, 0), expected)


@torch.no_grad()
def test_a_head_gate_scales_each_heads_output():
    gate, x = HeadGate(3, 16), torch.randn(2, 5, 16)
    assert torch.equal(gate(x), torch.ones(2, 5, 3))
    gate.weight.normal_()
    torch.testing.assert_close(gate(x), 2 * torch.sigmoid(x[..., :12] @ gate.weight.T))


@torch.inference_mode()
def test_keys_that_know_no_position_are_those_of_the_token_before(monkeypatch):
    seen, attend = [], Attention._attend

    def watched(self, q, k, v, frame):
        seen.append((q, k))
        return attend(self, q, k, v, frame)

    monkeypatch.setattr(Attention, "_attend", watched)
    for changes in ({}, {"key_offset": True}, {"qk_gain": 2.0}):
        model_of(**{"rope_share": 0.5, "layers": 1} | changes)(some_ids(1, 6))
    (q, plain), (_, moved), (sharper, _) = seen
    torch.testing.assert_close(moved[..., :4], plain[..., :4])
    torch.testing.assert_close(moved[:, :, 1:, 4:], plain[:, :, :-1, 4:])
    assert not moved[:, :, 0, 4:].any()
    torch.testing.assert_close(sharper, 2 * q)


@torch.no_grad()
def test_value_embeddings_are_gated_rows_of_the_tokens():
    model, ids = model_of(value_embeddings="table", kv_heads=2), some_ids(1, 3)
    assert [block.attention.values is not None for block in model.layers] == [False, True, False, True]
    values: ValueEmbedding = model.layers[1].attention.values
    values.table.weight.normal_()
    values.gate.weight.normal_()
    frame, _ = model._frame(ids, None)
    x = torch.randn(1, 3, 32)
    found = values(x, frame)
    for t in range(3):
        rows = values.table.weight[ids[0, t]].view(2, 8)
        gate = 2 * torch.sigmoid(values.gate.weight @ x[0, t, :12])
        torch.testing.assert_close(found[0, t], gate[:, None] * rows)


@torch.no_grad()
def test_value_residual_mixes_in_the_first_layers_values():
    from trainer.model.frame import Frame
    from trainer.model.values import ValueResidual

    first, second, frame = torch.randn(1, 2, 1, 4), torch.randn(1, 2, 1, 4), Frame(some_ids())
    layers = ValueResidual(), ValueResidual()
    layers[1].share.fill_(0.25)
    torch.testing.assert_close(layers[0](first, frame), first)
    torch.testing.assert_close(layers[1](second, frame), 0.75 * second + 0.25 * first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_short_attention_sees_its_window(dtype, monkeypatch):
    """In blocks of queries, too, of which each reads no more keys than it needs."""
    monkeypatch.setattr(attention, "QUERY_BLOCK", 4)
    layer = model_of(window=3, window_pattern="S").layers[0].attention
    frame, _ = model_of(window=3)._frame(some_ids(1, 11), None)
    q, k, v = (torch.randn(1, 4, 11, 8, dtype=dtype) for _ in range(3))
    found = layer._attend(q, k, v, frame)
    for t in range(11):
        near = slice(max(0, t - 2), t + 1)
        weights = (q[0, :, t, None].float() @ k[0, :, near].float().mT / 8**0.5).softmax(-1)
        expected = (weights @ v[0, :, near].float())[:, 0]
        torch.testing.assert_close(found[0, :, t].float(), expected, atol=3e-2, rtol=3e-2)


def test_layers_follow_the_pattern_and_the_last_sees_all():
    def short(**changes):
        return [block.attention.windowed for block in model_of(window=4, **changes).layers]

    assert short() == [True, True, True, False]
    assert short(window_pattern="SL", layers=5) == [True, False, True, False, False]
    assert not any(block.attention.windowed for block in model_of().layers)


def test_training_predicts_tokens_further_ahead_within_documents():
    model, ids = model_of(predict_ahead=2, ahead_weight=0.25), some_ids()
    plain = model_of().loss(ids[:, :-1], ids[:, 1:], reduction="sum").total
    for matrix in model.ahead.matrices:
        torch.nn.init.normal_(matrix.weight, std=0.1)
    found = model.loss(ids[:, :-1], ids[:, 1:], reduction="sum")
    hidden, expected = model.hidden(ids[:, :-1]), plain
    for number, matrix in enumerate(model.ahead.matrices, start=1):
        logits = model.logits(hidden + hidden @ matrix.weight.T)[:, :-number].flatten(0, 1)
        expected = expected + 0.25**number * F.cross_entropy(logits, ids[:, 1 + number :].flatten(), reduction="sum")
    torch.testing.assert_close(found.total, expected)
    torch.testing.assert_close(found.cross_entropy, plain)
    torch.testing.assert_close(model.eval().loss(ids[:, :-1], ids[:, 1:], reduction="sum").total, plain)

    targets, documents = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[0, 0, 1, 1]])
    assert targets_ahead(targets, 1, None).tolist() == [[2, 3, 4, -100]]
    assert targets_ahead(targets, 1, documents).tolist() == [[2, -100, 4, -100]]


@torch.inference_mode()
def test_logits_are_bounded_by_their_cap():
    plain, capped, ids = model_of(), model_of(logit_cap=0.01), some_ids()
    torch.testing.assert_close(capped(ids), 0.01 * torch.tanh(plain(ids) / 0.01))
