"""Models that have the speedruns' switches: they begin as if these were off, and cache, compile and count right."""

import dataclasses

import pytest
import torch
import torch._dynamo
from switched import ALL, NEUTRAL, SMALL, model_of, some_ids

from trainer.config import OptimizerConfig
from trainer.model import GPT, KVCache, ModelConfig
from trainer.optim import build_optimizer
from trainer.optim.muon import block_matrices
from trainer.settings import identity_of


@pytest.mark.parametrize("switch", NEUTRAL)
@torch.inference_mode()
def test_a_switch_begins_as_if_it_were_off(switch):
    """Another switch draws no other weights, so a study's arms begin as one model."""
    ids = some_ids()
    torch.testing.assert_close(model_of(**NEUTRAL[switch])(ids), model_of()(ids), atol=1e-6, rtol=1e-6)


def test_a_model_without_them_is_named_as_before_there_were_any():
    assert "smear" not in SMALL.to_dict()
    assert "smear" not in identity_of(SMALL)
    on = dataclasses.replace(SMALL, **ALL)
    assert ALL.keys() <= identity_of(on).keys()
    assert ModelConfig.from_dict(on.to_dict()) == on


@torch.inference_mode()
def test_a_cache_may_be_filled_anew():
    """As generation does past the context: nothing of the text before may be seen."""
    model, ids = model_of(**ALL).eval(), some_ids(1, 12)
    cache = KVCache(model.config, 1, 24, ids.device, torch.float32)
    model(ids.flip(1), cache=cache)
    cache.length = 0
    torch.testing.assert_close(model(ids, cache=cache), model(ids), atol=1e-5, rtol=1e-5)


def test_muon_takes_the_projection_of_values_and_adamw_all_tables_kernels_and_scalars():
    model = model_of(**ALL | {"value_embeddings": "projected"})
    matrices = {id(matrix) for matrix, _ in block_matrices(model)}
    taken = {name for name, parameter in model.named_parameters() if id(parameter) in matrices}
    projections = {f"layers.{layer}.attention.values.projection.weight" for layer in (1, 3)}
    projections |= {"ahead.matrices.0.weight", "ahead.matrices.1.weight"}
    kinds = ("attention.input", "attention.output", "mlp.input", "mlp.output")
    assert taken == projections | {f"layers.{layer}.{kind}.weight" for layer in range(4) for kind in kinds}
    groups = build_optimizer(model, OptimizerConfig(kind="muon")).param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_compiled_the_model_is_one_graph_of_the_same_gradients():
    torch._dynamo.reset()
    model, ids = model_of(**ALL | {"layers": 2}), some_ids()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))

    def gradients(run):
        model.zero_grad()
        run(ids).square().mean().backward()
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    compiled = gradients(torch.compile(model.hidden, backend="eager", fullgraph=True))
    for one, other in zip(compiled, gradients(model.hidden), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    torch._dynamo.reset()


def test_in_bf16_the_loss_agrees_with_float32():
    model, ids = model_of(**ALL), some_ids()
    plain = model.loss(ids[:, :-1], ids[:, 1:]).cross_entropy
    with torch.autocast("cpu", torch.bfloat16):
        half = model.loss(ids[:, :-1], ids[:, 1:])
    half.total.backward()
    torch.testing.assert_close(half.cross_entropy, plain, atol=2e-2, rtol=2e-3)
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_counts_of_parameters_and_work():
    def counts(**changes):
        with torch.device("meta"):
            model = GPT(dataclasses.replace(SMALL, **changes))
        return *model.parameter_counts().values(), model.flops_per_token()

    def more(**changes):
        return [found - plain for found, plain in zip(counts(**changes), counts(), strict=True)]

    assert more(smear=True) == [13, 0, 13, 6 * 12]
    assert more(canon=("A",)) == [4 * 4 * 32, 0, 4 * 4 * 32, 6 * 4 * 4 * 32]
    assert more(canon=("B",), canon_width=2)[0] == 4 * 2 * 3 * 32
    assert more(canon=("D",))[0] == 4 * 4 * 2 * 48
    assert more(residual_scalars=True, x0_scalars=True) == [8, 0, 8, 0]
    gates, table = 2 * 4 * 12, 97 * 32
    assert more(value_embeddings="table") == [2 * table + gates, 2 * table, 2 * table + gates, 6 * gates]
    assert more(value_embeddings="shared") == [table + gates, table, table + gates, 6 * gates]
    projected = gates + 2 * 32 * 32
    assert more(value_embeddings="projected") == [projected, 0, projected, 6 * projected]
    assert more(value_residual=True) == [4, 0, 4, 0]
    assert more(bigram_rows=31, bigram_width=8) == [31 * 8 + 8 * 32] * 3 + [6 * 8 * 32]
    assert more(unet=True) == [2, 0, 2, 0]
    assert more(head_gate=True) == [4 * 4 * 12, 0, 4 * 4 * 12, 6 * 4 * 4 * 12]
    assert more(qk_gain=1.2) == more(key_offset=True, rope_share=0.5) == more(parallel_residual=True) == [0, 0, 0, 0]
    assert more(window=6) == [0, 0, 0, -12 * 32 * 3 * (24 - 6)]
    ahead = 2 * 32 * 32
    assert more(predict_ahead=2) == [ahead, 0, 0, 6 * (ahead + 2 * 97 * 32)]
    assert more(learned_qk_gain=True) == [16, 0, 16, 0]
    assert more(logit_cap=15.0) == [0, 0, 0, 0]
