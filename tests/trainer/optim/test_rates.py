"""Which learning rate a parameter trains with."""

import dataclasses

import pytest
import torch

from trainer.config import OptimizerConfig
from trainer.model import GPT, ModelConfig
from trainer.optim import build_optimizer
from trainer.optim.grouped import OPTIMIZERS

UNTIED = ModelConfig(vocab_size=31, context=8, width=16, layers=1, heads=2, ff_width=24, bias=True, tied=False)


def rates(config, settings):
    """Peaks and decays by the parameters' names."""
    with torch.device("meta"):
        model = GPT(config)
    groups = build_optimizer(model, settings).param_groups
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: (group["initial_lr"], group["weight_decay"]) for group in groups for p in group["params"]}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_each_kind_of_parameter_has_its_own_rate(kind):
    own = {"embedding_learning_rate": 0.7, "head_learning_rate": 0.004, "vector_learning_rate": 0.015}
    found = rates(UNTIED, OptimizerConfig(kind=kind, learning_rate=0.02, adam_learning_rate=0.5, **own))
    embeddings, decays = 0.1 if kind == "adamw" else 0.0, (0.1 if kind == "adamw" else 0.0)
    assert found.pop("embed.weight") == (0.7, embeddings)
    assert found.pop("head.weight") == (0.004, decays)
    vectors = {name: found.pop(name) for name in list(found) if name.endswith("bias") or "norm" in name}
    assert len(vectors) > 4
    assert set(vectors.values()) == {(0.015, 0.0)}
    assert set(found.values()) == {(0.02, 0.1)}


def test_a_rate_that_is_not_given_is_that_of_all_that_adamw_updates():
    settings = OptimizerConfig(kind="muon", learning_rate=0.02, adam_learning_rate=0.005, vector_learning_rate=0.01)
    found = rates(dataclasses.replace(UNTIED, position="learned"), settings)
    assert {found[name][0] for name in ("embed.weight", "positions.weight", "head.weight")} == {0.005}
    assert found["final_norm.weight"][0] == 0.01


def test_a_tied_table_is_an_embedding():
    settings = OptimizerConfig(embedding_learning_rate=0.3, head_learning_rate=0.001)
    found = rates(dataclasses.replace(UNTIED, tied=True), settings)
    assert found["embed.weight"][0] == 0.3
    assert 0.001 not in {rate for rate, _ in found.values()}


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_groups_of_one_rate_train_as_one_group_did(kind):
    """Rates that say what the default says change no bit."""

    def trained(**own):
        torch.manual_seed(0)
        model = GPT(UNTIED)
        settings = OptimizerConfig(kind=kind, learning_rate=0.01, adam_learning_rate=0.01, **own)
        optimizer = build_optimizer(model, settings)
        ids = torch.randint(0, 31, (2, 9))
        for _ in range(2):
            model.loss(ids[:, :-1], ids[:, 1:]).total.backward()
            optimizer.step()
            optimizer.zero_grad()
        return list(model.parameters()), len(optimizer.param_groups)

    (plain, groups), (split, _) = trained(), trained(embedding_learning_rate=0.01, head_learning_rate=0.01)
    assert groups == (2 if kind == "adamw" else 5)
    assert all(torch.equal(one, other) for one, other in zip(plain, split, strict=True))
