"""What is written by hand among a block's parts gives torch's numbers."""

from __future__ import annotations

from unittest import mock

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from trainer.model import rms_norm as norms  # noqa: E402
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


@pytest.mark.parametrize("numbers", [1, 50, 1 << 16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", [(7, 6), (3, 5, 6), (3, 5, 2, 6), (0, 6)])
def test_rms_norm_and_its_gradients_are_torchs(shape: tuple[int, ...], dtype: torch.dtype, numbers: int) -> None:
    generator = torch.Generator().manual_seed(1)
    # of four dimensions: heads of a slice of a wider matrix, as queries are
    wider = torch.randn(*shape[:-2], 2 * shape[-2], shape[-1], generator=generator)
    x = (wider[..., : shape[-2], :] if len(shape) == 4 else torch.randn(shape, generator=generator)).to(dtype)
    weight, incoming = 1 + torch.randn(6, generator=generator) / 3, torch.randn(shape, generator=generator).to(dtype)
    ours = x.requires_grad_(), weight.clone().requires_grad_()
    exact = x.detach().double().requires_grad_(), weight.double().requires_grad_()
    with mock.patch.object(norms, "NUMBERS", numbers):
        y = norms.rms_norm(*ours, 1e-3)
        found = torch.autograd.grad(y, ours, incoming)
    expected = F.rms_norm(exact[0], (6,), exact[1], 1e-3)
    assert (y.dtype, found[1].dtype) == (dtype, torch.float32)
    exact_x, exact_weight = torch.autograd.grad(expected, exact, incoming.double())
    rounded = 8e-3 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(y.double(), expected, rtol=rounded, atol=rounded)
    torch.testing.assert_close(found[0].double(), exact_x, rtol=rounded, atol=rounded)
    torch.testing.assert_close(found[1].double(), exact_weight, rtol=1e-5, atol=1e-5)  # summed in float32
