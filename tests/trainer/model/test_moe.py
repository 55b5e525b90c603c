"""The mixture of experts: what a token gets, what keeps the load even, what the twin is."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from trainer.model import GPT, ModelConfig, MoEConfig
from trainer.model.frame import Frame
from trainer.model.moe import MoE, has_grouped_kernel, one_by_one

SMALL = ModelConfig(vocab_size=97, context=24, width=32, layers=2, heads=4, ff_width=48, mlp="moe")


def a_frame() -> Frame:
    return Frame(torch.zeros(1, 1, dtype=torch.int64))


def layer_of(**changes) -> MoE:
    torch.manual_seed(0)
    config = dataclasses.replace(SMALL, moe=MoEConfig(**({"experts": 6, "top_k": 2} | changes)))
    layer = GPT(config).layers[0].mlp
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(std=0.2)
    return layer


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_output_is_the_weighted_sum_of_the_chosen_experts(shared, normalize):
    """Token by token and expert by expert, in plain loops: the grouped products change nothing, nothing is dropped."""
    layer = layer_of(normalize_top_k=normalize, shared_expert=shared)
    x_BTC = torch.randn(2, 5, 32, requires_grad=True)
    found = layer(x_BTC, a_frame(), 0)

    rows = []
    for x in x_BTC.flatten(0, 1):
        probabilities = (layer.router.weight @ x).softmax(-1)
        weights, chosen = probabilities.topk(2)
        weights = 2 * weights / weights.sum() if normalize else weights
        y = torch.zeros(32)
        for weight, expert in zip(weights, chosen.tolist(), strict=True):
            gate, value = (layer.experts.input[expert] @ x).chunk(2)
            y = y + weight * (layer.experts.output[expert] @ (F.silu(gate) * value))
        if shared:
            y = y + layer.shared(x, a_frame(), 0) * (layer.shared_gate.weight @ x).sigmoid()
        rows.append(y)
    expected = torch.stack(rows).view_as(x_BTC)

    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    parameters = [x_BTC, *layer.parameters()]
    seed = torch.randn_like(found)
    for one, other in zip(
        torch.autograd.grad(found, parameters, seed), torch.autograd.grad(expected, parameters, seed), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_experts_run_in_bf16_under_autocast():
    layer, x_BTC = layer_of(), torch.randn(2, 8, 32)
    plain = layer(x_BTC, a_frame(), 0)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(x_BTC, a_frame(), 0)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), plain, atol=0.05, rtol=0.05)


def test_an_expert_without_tokens_is_no_trouble():
    layer = layer_of(top_k=1)
    layer.expert_bias[3] = -10.0
    frame = a_frame()
    layer(torch.randn(2, 8, 32), frame, 0).sum().backward()
    assert layer.counts[3] == 0
    assert layer.experts.input.grad[3].abs().max() == 0


def test_the_auxiliary_loss_is_least_when_the_load_is_even():
    layer = layer_of(aux_weight=0.5, z_weight=0.0, top_k=1)
    frame = a_frame()
    layer(torch.randn(2, 8, 32), frame, 0)
    (loss,) = frame.auxiliary
    assert loss > 0.5 * 16 * 0.99  # weight * tokens * 1, the value of an even load
    torch.nn.init.zeros_(layer.router.weight)  # even probabilities give exactly 1, however ties are broken
    frame = a_frame()
    layer(torch.randn(2, 8, 32), frame, 0)
    torch.testing.assert_close(frame.auxiliary[0], torch.tensor(0.5 * 16))


def test_counts_are_kept_in_training_alone():
    layer = layer_of()
    layer(torch.randn(2, 8, 32), a_frame(), 0)
    assert layer.counts.sum() == 2 * 8 * 2
    layer.eval()(torch.randn(2, 8, 32), a_frame(), 0)
    assert layer.counts.sum() == 2 * 8 * 2


def test_the_bias_moves_against_the_load_and_is_part_of_the_checkpoint():
    model = GPT(dataclasses.replace(SMALL, moe=MoEConfig(experts=4, top_k=1, balance="bias", bias_rate=0.25)))
    first, second = (block.mlp for block in model.layers)
    first.counts += torch.tensor([30, 6, 4, 0])
    second.counts += torch.tensor([10, 10, 10, 10])
    load = model.balance_experts()
    assert first.expert_bias.tolist() == [-0.25, 0.25, 0.25, 0.25]
    assert second.expert_bias.tolist() == [0, 0, 0, 0]
    assert load.shares == ((0.75, 0.15, 0.1, 0.0), (0.25, 0.25, 0.25, 0.25))
    assert load.max_over_mean == 3.0
    assert first.counts.sum() == 0
    assert "layers.0.mlp.expert_bias" in model.state_dict()


def test_the_bias_chooses_but_does_not_weigh():
    layer = layer_of(top_k=1, normalize_top_k=False, balance="bias")
    layer.expert_bias[5] = 10.0
    x_BTC = torch.randn(1, 4, 32)
    found = layer.eval()(x_BTC, a_frame(), 0)
    weight = (x_BTC[0] @ layer.router.weight.T).softmax(-1)[:, 5:]
    gate, value = (x_BTC[0] @ layer.experts.input[5].T).chunk(2, -1)
    torch.testing.assert_close(found[0], weight * ((F.silu(gate) * value) @ layer.experts.output[5].T))


def test_ranks_that_share_their_counts_move_alike():
    """What all_reduce adds is what the other rank counted."""
    models = [GPT(dataclasses.replace(SMALL, moe=MoEConfig(experts=4, balance="bias"))) for _ in range(2)]
    seen = []
    for model, counts in zip(models, ([8, 0, 0, 0], [0, 8, 8, 8]), strict=True):
        for block in model.layers:
            block.mlp.counts += torch.tensor(counts)
        seen.append(torch.stack([block.mlp.counts.clone() for block in model.layers]))
    loads = [
        model.balance_experts(lambda tensor, other=other: tensor.add_(other))
        for model, other in zip(models, seen[::-1], strict=True)
    ]
    assert loads[0].shares == loads[1].shares
    assert torch.equal(models[0].layers[0].mlp.expert_bias, models[1].layers[0].mlp.expert_bias)


@pytest.mark.parametrize("init", ["gpt2", "xavier", "kaiming", "scaled"])
def test_experts_start_like_the_dense_mlp_they_replace(init):
    torch.manual_seed(0)
    config = dataclasses.replace(SMALL, width=128, ff_width=256, init=init)
    experts = GPT(config).layers[0].mlp.experts
    dense = GPT(dataclasses.replace(config, mlp="swiglu", moe=None)).layers[0].mlp
    assert experts.input.std().item() == pytest.approx(dense.input.weight.std().item(), rel=0.03)
    assert experts.output.std().item() == pytest.approx(dense.output.weight.std().item(), rel=0.03)


def test_experts_one_by_one_are_the_grouped_product_and_its_gradients():
    torch.manual_seed(0)
    sizes = [3, 0, 5, 1]
    ends_E = torch.tensor(sizes).cumsum(0).to(torch.int32)
    results = []
    for product in (
        lambda rows, weights: F.grouped_mm(rows, weights, offs=ends_E),
        lambda rows, weights: one_by_one(rows, weights, sizes),
    ):
        generator = torch.Generator().manual_seed(1)
        rows_NK = torch.randn(9, 8, generator=generator).requires_grad_()
        weights_EKM = torch.randn(4, 8, 16, generator=generator).requires_grad_()
        y_NM = product(rows_NK, weights_EKM)
        y_NM.square().sum().backward()
        results.append((y_NM, rows_NK.grad, weights_EKM.grad))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("capability", "dtype", "grouped"),
    [
        ((9, 0), torch.bfloat16, True),
        ((10, 0), torch.bfloat16, True),
        ((9, 0), torch.float32, False),
        ((8, 0), torch.bfloat16, False),
        ((12, 0), torch.bfloat16, False),
    ],
)
def test_a_card_without_a_grouped_kernel_is_known_without_asking_it_for_results(
    monkeypatch, capability, dtype, grouped
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert has_grouped_kernel(torch.device("cuda"), dtype) is grouped
    assert has_grouped_kernel(torch.device("cpu"), dtype)


def test_experts_without_a_grouped_kernel_give_the_same(monkeypatch):
    torch.manual_seed(0)
    model, ids = GPT(SMALL), torch.randint(0, 97, (2, 9))
    expected = model.loss(ids[:, :-1], ids[:, 1:]).total
    monkeypatch.setattr("trainer.model.moe.has_grouped_kernel", lambda device, dtype: False)
    torch.testing.assert_close(model.loss(ids[:, :-1], ids[:, 1:]).total, expected)
