"""Products through oneDNN are torch's own, values and gradients, and bf16 attention in blocks is the fused kernel's."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from trainer.model.attention import attend_in_blocks  # noqa: E402
from trainer.model.linear import FEW_ROWS, linear, product, weight_gradient  # noqa: E402


@pytest.mark.parametrize("rows", [1, FEW_ROWS, 200])
@pytest.mark.parametrize(("width", "features"), [(24, 56), (56, 24)])
@pytest.mark.parametrize("bias", [False, True])
def test_a_product_and_its_gradients_are_those_of_float64(rows, width, features, bias):
    torch.manual_seed(0)
    leaves = [torch.randn(2, rows, width), torch.randn(features, width), *([torch.randn(features)] if bias else [])]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    y, expected = linear(*leaves), F.linear(*exact)
    torch.testing.assert_close(y, expected.float(), rtol=1e-5, atol=1e-5)
    slope = torch.randn_like(y)
    found = torch.autograd.grad(y, leaves, slope)
    for gradient, wanted in zip(found, torch.autograd.grad(expected, exact, slope.double()), strict=True):
        torch.testing.assert_close(gradient, wanted.float(), rtol=1e-5, atol=1e-4)


def test_rows_may_lie_apart_in_memory():
    torch.manual_seed(0)
    wide, weight = torch.randn(100, 3 * 16), torch.randn(40, 16)
    middle = wide[:, 16:32]
    torch.testing.assert_close(product(middle, weight), middle @ weight.T, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(product(middle, weight.T.contiguous().T), middle @ weight.T, rtol=1e-5, atol=1e-5)
    grad = torch.randn(100, 3 * 40)[:, 40:80]
    torch.testing.assert_close(weight_gradient(grad, middle), grad.T @ middle, rtol=1e-5, atol=1e-4)


def test_only_what_is_asked_for_gets_a_gradient():
    x, weight = torch.randn(64, 8), torch.randn(16, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(linear(x, weight).sum(), weight)
    torch.testing.assert_close(gradient, x.sum(0).expand(16, 8), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("heads", [(4, 4), (4, 2)], ids=["own keys", "shared keys"])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_in_blocks_is_the_fused_kernels(heads, masked):
    torch.manual_seed(0)
    T = 300  # three blocks, the last one short
    q, k, v = (torch.randn(2, count, T, 16, requires_grad=True) for count in (heads[0], heads[1], heads[1]))
    mask = None
    if masked:
        documents = torch.arange(T) // 70
        mask = (documents[:, None] == documents[None]).tril().expand(2, 1, T, T)
    y = attend_in_blocks(q, k, v, mask)
    expected = F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=heads[0] != heads[1]
    )
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    slope = torch.randn_like(y)
    found, wanted = (torch.autograd.grad(out, (q, k, v), slope) for out in (y, expected))
    for gradient, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-5)


def test_columns_of_a_wider_matrix_have_the_same_gradient():
    """oneDNN has no fast product for them as they lie: this took minutes."""
    generator = torch.Generator().manual_seed(0)
    wide, x = torch.randn(256, 12_000, generator=generator), torch.randn(256, 320, generator=generator)
    found = weight_gradient(wide[:, 1000:9000], x)
    torch.testing.assert_close(found, wide[:, 1000:9000].T @ x, atol=1e-3, rtol=1e-4)
