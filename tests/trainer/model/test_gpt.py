"""What every switch promises, shown on models small enough to check."""

import dataclasses
import subprocess
import sys
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.errors import ConfigError
from trainer.model import GPT, KVCache, ModelConfig, MoEConfig, Recurrence, RopeScaling, document_index

SMALL = ModelConfig(vocab_size=97, context=24, width=32, layers=4, heads=4, ff_width=48)
ARMS = {
    "recipe": {},
    "3n": {"attention_input": "3n"},
    "gpt2 switches": {"position": "learned", "norm": "layernorm", "mlp": "gelu", "bias": True, "qk_norm": False},
    "relu2, one key head": {"mlp": "relu2", "kv_heads": 1},
    "scaled init": {"init": "scaled"},
    "moe": {"mlp": "moe", "moe": MoEConfig(experts=4, shared_expert=True)},
    "shared layers, factorised": {"repeats": 2, "embedding_width": 16},
    "untied": {"tied": False},
    "yarn": {"rope_scaling": RopeScaling("yarn", 2.0, 12)},
    "smear, convolutions": {"smear": True, "canon": ("A", "B", "C", "D"), "canon_width": 3},
    "bigrams": {"bigram_rows": 31, "bigram_width": 8},
    "scalars, shared layers": {"residual_scalars": True, "x0_scalars": True, "repeats": 2},
    "value tables": {"value_embeddings": "table", "kv_heads": 2},
    "one value table": {"value_embeddings": "shared", "value_layers": "all"},
    "projected values, value residual": {"value_embeddings": "projected", "value_residual": True, "kv_heads": 1},
    "logit cap": {"logit_cap": 2.0},
    "u-net, layers run again": {"unet": True, "recurrence": Recurrence(1, 2), "x0_scalars": True},
    "gates and gains": {"head_gate": True, "qk_gain": 1.5, "learned_qk_gain": True},
    "keys of the token before": {"rope_share": 0.5, "key_offset": True, "kv_heads": 2},
    "parallel": {"parallel_residual": True},
    "windows": {"window": 5, "window_pattern": "SL"},
    "tokens further ahead": {"predict_ahead": 2},
}
MIXING = ["smear, convolutions", "bigrams", "projected values, value residual", "keys of the token before", "windows"]


def model_of(arm: str, seed: int = 0) -> GPT:
    torch.manual_seed(seed)
    model = GPT(dataclasses.replace(SMALL, **ARMS[arm]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def some_ids(batch: int = 2, length: int = 25) -> torch.Tensor:
    return torch.randint(0, 97, (batch, length), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("arm", ARMS)
def test_the_loss_is_the_cross_entropy_of_the_logits_and_reaches_every_parameter(arm):
    model, ids = model_of(arm), some_ids()
    found = model.loss(ids[:, :-1], ids[:, 1:])
    found.total.backward()
    expected = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    torch.testing.assert_close(found.cross_entropy, expected)
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("arm", ARMS)
@torch.inference_mode()
def test_no_token_sees_a_later_one(arm):
    model, ids = model_of(arm).eval(), some_ids()
    changed = ids.clone()
    changed[:, 15] = (changed[:, 15] + 1) % 97
    before, after = model(ids[:, :24]), model(changed[:, :24])
    torch.testing.assert_close(before[:, :15], after[:, :15], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(before[:, 15:], after[:, 15:])


@pytest.mark.parametrize("arm", ARMS)
@torch.inference_mode()
def test_the_cache_gives_the_logits_of_the_whole(arm):
    model, ids = model_of(arm).eval(), some_ids(length=24)
    cache = KVCache(model.config, 2, 24, ids.device, torch.float32)
    pieces = [model(ids[:, start:end], cache=cache) for start, end in ((0, 10), (10, 11), (11, 18), (18, 24))]
    torch.testing.assert_close(torch.cat(pieces, 1), model(ids), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("arm", ["recipe", "gpt2 switches", "moe"])
def test_a_batch_may_be_cut_into_micro_batches(arm):
    """Summed losses and gradients add up, MoE's auxiliary losses included: they are taken per sequence."""
    ids = some_ids(batch=4)
    whole, cut = model_of(arm), model_of(arm)
    expected = whole.loss(ids[:, :-1], ids[:, 1:], reduction="sum").total
    expected.backward()
    found = torch.zeros(())
    for part in ids.split([1, 3]):
        loss = cut.loss(part[:, :-1], part[:, 1:], reduction="sum").total
        loss.backward()
        found += loss.detach()
    torch.testing.assert_close(found, expected.detach())
    for one, other in zip(whole.parameters(), cut.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("arm", ["recipe", "gpt2 switches", *MIXING])
@torch.inference_mode()
def test_with_document_masking_each_document_is_computed_as_if_alone(arm):
    model = model_of(arm).eval()
    eot = 0
    ids = torch.tensor([[eot, 5, 6, 7, eot, 8, 9, eot, 3, 4, 2]])
    documents = document_index(ids, eot)
    assert documents.tolist() == [[1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3]]
    together = model(ids, documents_BT=documents)
    alone = torch.cat([model(part) for part in ids.split([4, 3, 4], dim=1)], 1)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_dropout_depends_on_the_sequence_alone():
    model = GPT(dataclasses.replace(SMALL, dropout=0.2))
    ids, seeds = some_ids(batch=4), torch.tensor([11, 12, 13, 14])

    def losses(rows: list[int]) -> torch.Tensor:
        parts = [model.loss(ids[r : r + 1, :-1], ids[r : r + 1, 1:], sequence_seeds_B=seeds[r : r + 1]) for r in rows]
        return torch.stack([part.cross_entropy for part in parts])

    whole = model.loss(ids[:, :-1], ids[:, 1:], sequence_seeds_B=seeds).cross_entropy
    torch.testing.assert_close(losses([3, 1, 0, 2]).mean(), whole)
    assert not torch.allclose(losses([0]), model.eval().loss(ids[:1, :-1], ids[:1, 1:]).cross_entropy)


def test_dropout_keeps_the_mean_and_drops_its_share():
    from trainer.model.dropout import SequenceDropout

    dropped = SequenceDropout(0.25, torch.tensor([1, 2]), torch.device("cpu"))(torch.ones(2, 100, 100))
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.02)


@given(
    rows=st.integers(1, 40),
    weight_rows=st.sampled_from([1, 5, 13]),
    multiple=st.sampled_from([1, 8, 64]),
    cap=st.sampled_from([None, 1.5]),
    ignored=st.sets(st.integers(0, 19)),
    seed=st.integers(0, 100),
)
@settings(max_examples=25, deadline=None)
def test_chunked_cross_entropy_is_torchs_with_its_gradients(rows, weight_rows, multiple, cap, ignored, seed):
    from trainer.model import loss

    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(20, 8, generator=generator, requires_grad=True)
    weight = torch.randn(13, 8, generator=generator, requires_grad=True)
    targets = torch.randint(0, 13, (20,), generator=generator)
    targets[list(ignored)] = -100
    logits = hidden @ weight.T
    capped = logits if cap is None else cap * torch.tanh(logits / cap)
    expected = F.cross_entropy(capped, targets, reduction="sum")
    with mock.patch.multiple(loss, CHUNK_BYTES={"cpu": 0}, FEWEST_ROWS=weight_rows):
        found = loss.cross_entropy_sum(hidden, weight, targets, rows, multiple, cap)
    torch.testing.assert_close(found, expected)
    for one, other in zip(
        torch.autograd.grad(2 * found, (hidden, weight)),
        torch.autograd.grad(2 * expected, (hidden, weight)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_logits_written_to_the_same_room_again_and_again_give_the_same_gradients():
    """In bf16 on a CPU; 20 tokens, 6 at a time."""
    from trainer.model import loss

    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(20, 8, generator=generator, requires_grad=True)
    weight = torch.randn(13, 8, generator=generator, requires_grad=True)
    targets = torch.randint(0, 13, (20,), generator=generator)
    expected = F.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    with torch.autocast("cpu", torch.bfloat16):
        found = loss.cross_entropy_sum(hidden, weight, targets, 6)
    torch.testing.assert_close(found, expected, rtol=5e-3, atol=0)
    gradients = (torch.autograd.grad(one, (hidden, weight)) for one in (found, expected))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=3e-2, atol=3e-2)


def test_no_tokens_have_no_loss_and_gradients_of_zero():
    from trainer.model import loss

    hidden, weight = torch.zeros(0, 8, requires_grad=True), torch.ones(13, 8, requires_grad=True)
    total = loss.cross_entropy_sum(hidden, weight, torch.zeros(0, dtype=torch.long))
    total.backward()
    assert not total
    assert not weight.grad.any()


@pytest.mark.parametrize("name", ["recipe", "shared layers, factorised", "untied"])
def test_a_tied_weight_gets_the_gradient_of_both_its_uses_as_one_matrix(name):
    """Also of a second pass on top of the first, and of a token that comes twice."""
    model, ids = model_of(name), some_ids()
    ids[:, 3] = ids[:, 1]
    inputs, targets = ids[:, :-1], ids[:, 1:]
    for _ in range(2):
        model.loss(inputs, targets).total.backward()
    logits = model(inputs).flatten(0, 1)
    expected = torch.autograd.grad(F.cross_entropy(logits, targets.flatten()), model.embed.weight)[0]
    assert model.embed.weight.grad.layout == torch.strided
    torch.testing.assert_close(model.embed.weight.grad, 2 * expected, rtol=1e-4, atol=1e-6)


def test_a_bf16_loss_agrees_with_float32():
    model, ids = model_of("recipe"), some_ids()
    plain = model.loss(ids[:, :-1], ids[:, 1:]).cross_entropy
    with torch.autocast("cpu", torch.bfloat16):
        half = model.loss(ids[:, :-1], ids[:, 1:])
    assert half.total.dtype == torch.float32
    torch.testing.assert_close(half.cross_entropy, plain, atol=2e-2, rtol=2e-3)


# ---- counts ----


@pytest.mark.parametrize("init", ["gpt2", "scaled"])
def test_tokens_and_heads_start_as_large_however_they_are_stored(init):
    torch.manual_seed(0)
    config = dataclasses.replace(SMALL, vocab_size=2000, width=64, init=init)
    untied = GPT(dataclasses.replace(config, tied=False))
    factorised = GPT(dataclasses.replace(config, embedding_width=16))
    tokens = factorised.embed.weight @ factorised.embed_up.weight.T
    for weight in (untied.embed.weight, untied.head.weight, tokens):
        assert weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_the_gate_adds_a_square_matrix_a_layer_and_a_wider_mlp_balances_it():
    """Idea 2 needs a control of equal parameters: width/3 more of the MLP's hidden width makes one."""
    with torch.device("meta"):
        gated = GPT(SMALL).parameter_counts()["total"]
        plain = GPT(dataclasses.replace(SMALL, attention_input="3n")).parameter_counts()["total"]
        wide = dataclasses.replace(SMALL, width=48, ff_width=64)
        control = GPT(dataclasses.replace(wide, attention_input="3n", ff_width=64 + 16)).parameter_counts()["total"]
        assert control == GPT(wide).parameter_counts()["total"]
    assert gated - plain == SMALL.layers * SMALL.width**2


def test_counts_of_shared_layers_experts_and_factorised_embeddings():
    with torch.device("meta"):
        full = GPT(SMALL)
        shared = GPT(dataclasses.replace(SMALL, repeats=4))
        small = GPT(dataclasses.replace(SMALL, embedding_width=8))
        moe = GPT(dataclasses.replace(SMALL, mlp="moe", moe=MoEConfig(experts=8, top_k=2)))
    assert full.parameter_counts()["embedding"] == 97 * 32
    assert small.parameter_counts()["embedding"] == 97 * 8 + 8 * 32
    assert shared.flops_per_token() == full.flops_per_token()  # fewer weights, the same work
    assert shared.parameter_counts()["total"] < full.parameter_counts()["total"] / 2
    counts = moe.parameter_counts()
    routers = SMALL.layers * 8 * SMALL.width
    assert counts["active"] == full.parameter_counts()["total"] + routers  # the dense twin, and the routers
    assert counts["total"] > counts["active"]


def test_flops_per_token_of_gpt2():
    from trainer.model import GPT2

    with torch.device("meta"):
        model = GPT(GPT2)
    matrices = 12 * (4 * 768**2 + 8 * 768**2) + 50257 * 768
    assert model.flops_per_token() == 6 * matrices + 12 * 12 * 768 * 1024


# ---- the rim ----


def test_more_tokens_than_learned_positions_are_refused():
    model = model_of("gpt2 switches")
    with pytest.raises(ConfigError, match="25 tokens are more than the 24"):
        model(some_ids())


def test_rope_runs_past_the_trained_length():
    assert model_of("recipe")(some_ids(length=60)).shape == (2, 60, 97)


def test_reading_settings_does_not_import_torch():
    code = "import sys, trainer.model.config, trainer.model; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("arm", ["recipe", "gpt2 switches", *MIXING])
@torch.inference_mode()
def test_continuations_of_one_prompt_may_lie_side_by_side(arm):
    """[prompt][first][second] in one row, the second looking past the first: what two rows would give."""
    model, ids = model_of(arm).eval(), some_ids(batch=1, length=14)
    positions = torch.tensor([[*range(6), *range(6, 10), *range(6, 10)]])
    mask = torch.ones(14, 14, dtype=torch.bool).tril()
    mask[10:, 6:10] = False
    packed = model.hidden(ids, positions_BT=positions, mask=mask[None, None])
    torch.testing.assert_close(packed[:, :10], model.hidden(ids[:, :10]), atol=1e-5, rtol=1e-5)
    second = torch.cat((ids[:, :6], ids[:, 10:]), 1)
    torch.testing.assert_close(packed[:, 10:], model.hidden(second)[:, 6:], atol=1e-5, rtol=1e-5)
