"""A model without numbers: the parameters of the one that is trained, and nothing imported or drawn for it."""

import dataclasses
import subprocess
import sys

import pytest
import torch
from switched import ALL, SMALL

from trainer.model import GPT, MoEConfig, shape_of

EXPERTS = {"mlp": "moe", "moe": MoEConfig(experts=8, top_k=2)}


@pytest.mark.parametrize("switches", [{}, ALL, EXPERTS, {"init": "gpt2", "mlp": "gelu"}, {"embedding_width": 8}])
def test_it_has_the_parameters_of_a_model_with_numbers(switches):
    config = dataclasses.replace(SMALL, **switches)
    shape, model = shape_of(config), GPT(config)
    assert all(parameter.is_meta for parameter in shape.parameters())
    assert {name: (item.shape, item.dtype) for name, item in shape.state_dict().items()} == {
        name: (item.shape, item.dtype) for name, item in model.state_dict().items()
    }
    assert shape.parameter_counts() == model.parameter_counts()
    assert shape.flops_per_token() == model.flops_per_token()


def test_nothing_is_drawn_and_what_is_made_afterwards_is_filled_as_ever():
    before = torch.random.get_rng_state()
    shape_of(SMALL)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.nn.Linear(3, 3).weight.std() > 0


def test_torchs_compiler_is_not_imported_for_it():
    """It takes seconds, and a look at the machine before a run needs counts alone."""
    code = (
        "import sys; from trainer.model import shape_of, GPT2, ModelConfig;"
        "shape_of(GPT2); shape_of(ModelConfig(vocab_size=512, mlp='moe')); assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
