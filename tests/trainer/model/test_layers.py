"""What is written by hand among a block's parts gives torch's numbers."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from trainer.model.layers import relu_squared  # noqa: E402


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_relu_squared_and_its_gradient_are_torchs_bit_for_bit(dtype: torch.dtype) -> None:
    values = torch.cat([torch.randn(500, generator=torch.Generator().manual_seed(1)) * 3, torch.zeros(4)]).to(dtype)
    incoming = torch.randn(len(values), generator=torch.Generator().manual_seed(2)).to(dtype)
    ours, torchs = (values.clone().requires_grad_() for _ in range(2))
    y, expected = relu_squared(ours), F.relu(torchs).square()
    y.backward(incoming)
    expected.backward(incoming)
    assert torch.equal(y, expected)
    assert ours.grad is not None
    assert torchs.grad is not None
    assert torch.equal(ours.grad, torchs.grad)
    assert int((ours.grad != 0).sum()) > 200
