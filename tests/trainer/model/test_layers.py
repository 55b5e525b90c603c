"""What is written by hand among a block's parts gives torch's numbers."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from trainer.model.layers import activate, relu_squared  # noqa: E402


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


def test_the_two_forms_of_gelu_are_the_exact_one_and_gpt2s() -> None:
    x = torch.linspace(-6, 6, 201, dtype=torch.float64)
    exact = x * torch.special.ndtr(x)
    inner = (2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)
    torch.testing.assert_close(activate(x, "gelu_erf"), exact, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(activate(x, "gelu"), x * (1 + inner.tanh()) / 2, rtol=1e-9, atol=1e-12)
    assert 1e-4 < float((activate(x, "gelu") - exact).abs().max()) < 1e-3
