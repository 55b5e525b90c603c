"""The optimizers are torch's where torch has them, and do what they say where it has not."""

import copy
import dataclasses
from typing import get_args, get_type_hints

import pytest
import torch

from trainer.config import OptimizerConfig
from trainer.model import GPT, ModelConfig, MoEConfig
from trainer.optim import Ema, GroupedOptimizer, build_optimizer
from trainer.optim.grouped import OPTIMIZERS
from trainer.optim.muon import block_matrices, orthogonal_directions, orthogonalize
from trainer.run.checkpoints.tensors import load_optimizer, optimizer_tensors, save_tensors

SMALL = ModelConfig(vocab_size=97, context=24, width=32, layers=2, heads=4, ff_width=48)


def gradients(shapes, steps=6):
    generator = torch.Generator().manual_seed(5)
    return [[torch.randn(shape, generator=generator) for shape in shapes] for _ in range(steps)]


def run(optimizer, parameters, steps):
    for grads in steps:
        for parameter, grad in zip(parameters, grads, strict=True):
            parameter.grad = grad.clone()
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


def parameters_of(shapes):
    generator = torch.Generator().manual_seed(6)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def test_muon_is_torchs_on_single_matrices():
    shapes = [(24, 24), (40, 16), (16, 40)]
    expected, found = parameters_of(shapes), parameters_of(shapes)
    theirs = torch.optim.Muon(expected, lr=0.02, weight_decay=0.1, momentum=0.95)
    group = {"kind": "muon", "lr": 0.02, "weight_decay": 0.1, "momentum": 0.95, "orthogonalizer": "newton_schulz"}
    ours = GroupedOptimizer({**group, "params": [p], "parts": [p.shape[0]]} for p in found)
    steps = gradients(shapes)
    for one, other in zip(run(ours, found, steps), run(theirs, expected, steps), strict=True):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=1e-2)  # both iterate in bfloat16


def test_adamw_is_torchs():
    shapes = [(24, 24), (7,)]
    expected, found = parameters_of(shapes), parameters_of(shapes)
    settings = {"lr": 0.01, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}
    theirs = torch.optim.AdamW(expected, fused=True, **settings)
    ours = GroupedOptimizer([{"kind": "adamw", "params": found, **settings}])
    steps = gradients(shapes)
    for one, other in zip(run(ours, found, steps), run(theirs, expected, steps), strict=True):
        assert torch.equal(one, other)


def test_orthogonalize_brings_every_singular_value_near_one():
    for shape in ((3, 32, 32), (2, 16, 48), (2, 48, 16)):
        values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)).float())
        assert values.max() < 1.3
        assert values.median() > 0.6


def test_stacked_matrices_are_each_orthogonalised_alone():
    """q, k, v and gate in one parameter get the updates they would get as four."""
    torch.manual_seed(0)
    alone = [torch.randn(rows, 32) for rows in (32, 8, 8, 32)]
    (stacked,) = orthogonal_directions([torch.cat(alone)], [32, 8, 8, 32])
    each = [orthogonal_directions([matrix], [matrix.shape[0]])[0] for matrix in alone]
    torch.testing.assert_close(stacked, torch.cat(each), atol=2e-2, rtol=2e-2)


def test_experts_are_orthogonalised_in_a_batch_each_alone():
    torch.manual_seed(0)
    experts = torch.randn(3, 24, 16)  # gate and value of 12 rows each
    (batch,) = orthogonal_directions([experts], [12, 12])
    for expert, direction in zip(experts, batch, strict=True):
        (single,) = orthogonal_directions([expert], [12, 12])
        torch.testing.assert_close(direction, single, atol=2e-2, rtol=2e-2)


def test_the_gate_does_not_change_the_size_of_the_other_updates():
    """Torch scales a stacked 4n matrix by 2 and a 3n one by sqrt(3), which would confound the comparison."""
    torch.manual_seed(0)
    qkv, gate = torch.randn(96, 32), torch.randn(32, 32)
    (three,) = orthogonal_directions([qkv], [32, 32, 32])
    (four,) = orthogonal_directions([torch.cat((qkv, gate))], [32, 32, 32, 32])
    torch.testing.assert_close(four[:96], three, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_cautious_decay_shrinks_only_what_the_update_shrinks(kind):
    torch.manual_seed(0)
    start = torch.randn(16, 16)
    grad = torch.randn(16, 16)

    def stepped(decay: float, *, cautious: bool) -> torch.Tensor:
        parameter = torch.nn.Parameter(start.clone())
        group = {"kind": kind, "params": [parameter], "lr": 0.01, "weight_decay": decay, "cautious": cautious}
        group |= {"betas": (0.9, 0.95), "eps": 1e-8, "momentum": 0.95, "parts": [16]}
        group |= {"orthogonalizer": "newton_schulz", "row_beta": 0.95}
        group |= {"soap_beta": 0.9, "soap_every": 1, "row_floor": 0.0}
        return run(GroupedOptimizer([group]), [parameter], [[grad]])[0]

    plain, decayed, cautious = stepped(0.0, cautious=False), stepped(0.5, cautious=False), stepped(0.5, cautious=True)
    shrinks = (start - plain) * start > 0
    torch.testing.assert_close(cautious[shrinks], decayed[shrinks])
    assert torch.equal(cautious[~shrinks], plain[~shrinks])
    assert 0 < shrinks.sum() < shrinks.numel()


def test_the_settings_name_exactly_the_optimizers_there_are():
    assert get_args(get_type_hints(OptimizerConfig)["kind"]) == tuple(OPTIMIZERS)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "changes",
    [{}, {"mlp": "moe", "moe": MoEConfig(shared_expert=True)}, {"embedding_width": 8, "bias": True, "tied": True}],
)
def test_every_parameter_is_in_exactly_one_group_and_moves(optimizer, changes):
    torch.manual_seed(0)
    model = GPT(dataclasses.replace(SMALL, **changes))
    settings = OptimizerConfig(kind=optimizer, learning_rate=0.01)
    optim = build_optimizer(model, settings)
    grouped = [id(p) for group in optim.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    ids = torch.randint(0, 97, (2, 25))
    for _ in range(2):  # a zero gate passes its neighbours a gradient in the second step only
        model.loss(ids[:, :-1], ids[:, 1:]).total.backward()
        optim.step()
        optim.zero_grad()
    assert not [name for name, p in model.named_parameters() if torch.equal(p, before[name])]


@pytest.mark.parametrize("kind", [kind for kind in OPTIMIZERS if kind != "adamw"])
def test_muon_takes_the_blocks_matrices_and_nothing_else(kind):
    model = GPT(dataclasses.replace(SMALL, mlp="moe"))
    optim = build_optimizer(model, OptimizerConfig(kind=kind, learning_rate=0.02, adam_learning_rate=3e-3))
    names = {id(p): name for name, p in model.named_parameters()}
    muon = {names[id(p)] for g in optim.param_groups if g["kind"] == kind for p in g["params"]}
    expected = {"attention.input.weight", "attention.output.weight", "mlp.experts.input", "mlp.experts.output"}
    assert muon == {f"layers.{layer}.{name}" for layer in range(2) for name in expected}
    for group in optim.param_groups:
        assert group["lr"] == group["initial_lr"] == (0.02 if group["kind"] == kind else 3e-3)
        assert (group["weight_decay"] > 0) == (group["kind"] == kind)


def test_stacked_parts_cover_their_matrices():
    model = GPT(dataclasses.replace(SMALL, kv_heads=1))
    for parameter, parts in block_matrices(model):
        assert sum(parts) == parameter.shape[-2]
    assert (32, 8, 8, 32) in [parts for _, parts in block_matrices(model)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_restored_state_goes_on_to_the_bit(optimizer):
    settings = OptimizerConfig(kind=optimizer, learning_rate=0.01, cautious_weight_decay=True)
    ids = torch.randint(0, 97, (6, 2, 25), generator=torch.Generator().manual_seed(1))

    def train(model, optim, batches):
        for batch in batches:
            model.loss(batch[:, :-1], batch[:, 1:]).total.backward()
            optim.step()
            optim.zero_grad()

    torch.manual_seed(0)
    whole = GPT(SMALL)
    optim = build_optimizer(whole, settings)
    train(whole, optim, ids[:3])
    resumed = GPT(SMALL)
    resumed.load_state_dict(whole.state_dict())
    resumed_optim = build_optimizer(resumed, settings)
    resumed_optim.load_state_dict(copy.deepcopy(optim.state_dict()))
    train(whole, optim, ids[3:])
    train(resumed, resumed_optim, ids[3:])
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_average_is_plain_first_and_exponential_then():
    layer = torch.nn.Linear(1, 1, bias=False)
    ema = Ema(layer, horizon=3)
    for value in (3.0, 6.0, 9.0):
        layer.weight.data.fill_(value)
        ema.update()
    assert ema.state_dict()["weight"].item() == pytest.approx(6.0)
    layer.weight.data.fill_(12.0)
    ema.update()
    assert ema.state_dict()["weight"].item() == pytest.approx(6.0 + (12.0 - 6.0) / 3)
    with ema.swapped():
        assert layer.weight.item() == pytest.approx(8.0)
    assert layer.weight.item() == 12.0


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_all_of_a_state_that_is_read_lies_where_its_parameter_does(optimizer, tmp_path):
    """Meta parameters stand in for a GPU's: on one, a step count left on the CPU ends the fused AdamW."""
    settings = OptimizerConfig(kind=optimizer)
    model = GPT(SMALL)
    optim = build_optimizer(model, settings)
    ids = torch.randint(0, 97, (2, 25))
    model.loss(ids[:, :-1], ids[:, 1:]).total.backward()
    optim.step()
    save_tensors(optimizer_tensors(model, optim), tmp_path / "optimizer.safetensors")
    with torch.device("meta"):
        elsewhere = GPT(SMALL)
    read = build_optimizer(elsewhere, settings)
    load_optimizer(tmp_path / "optimizer.safetensors", elsewhere, read)
    states = [read.state[parameter] for parameter in elsewhere.parameters()]
    assert {tensor.device.type for state in states for tensor in state.values()} == {"meta"}
    assert sum(len(state) for state in states) == len(optimizer_tensors(model, optim))


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("cautious", [False, True])
def test_a_rehearsal_changes_nothing_and_leaves_the_state_that_the_first_step_begins_with(kind, cautious):
    def fresh():
        torch.manual_seed(3)
        model = GPT(SMALL)
        return model, build_optimizer(model, OptimizerConfig(kind=kind, cautious_weight_decay=cautious))

    (model, optimizer), (plain, other) = fresh(), fresh()
    optimizer.rehearse()
    for parameter, before in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(parameter, before)
        assert parameter.grad is None
    assert all((tensor == 0).all() for entries in optimizer.state.values() for tensor in entries.values())
    assert len(optimizer.state) == len(list(model.parameters()))
    steps = gradients([parameter.shape for parameter in model.parameters()])
    expected, found = run(other, list(plain.parameters()), steps), run(optimizer, list(model.parameters()), steps)
    assert all(torch.equal(one, two) for one, two in zip(expected, found, strict=True))
    names = [list(tensors) for tensors in (optimizer_tensors(model, optimizer), optimizer_tensors(plain, other))]
    assert names[0] == names[1]
