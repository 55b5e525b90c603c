"""Matrices in few bits: what a code stands for, how far it is off at most, and what calibration gains."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.quantize.rounding import Codes, round_for_products, round_to_nearest


def drawn(rows, columns, seed=0):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def test_codes_stand_for_code_times_the_scale_of_their_group():
    codes = torch.tensor([[-8, 7, 1, 0, 3], [2, -1, -8, 5, 0]], dtype=torch.int8)
    scales = torch.tensor([[0.5, -0.25, 2.0], [1.0, 0.125, 0.0]], dtype=torch.float16)
    by_hand = [[-4.0, 3.5, -0.25, 0.0, 6.0], [2.0, -1.0, -1.0, 0.625, 0.0]]
    assert Codes(codes, scales, bits=4, group=2).weights().tolist() == by_hand


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 8), st.integers(1, 5), st.integers(1, 40), st.integers(1, 48), st.integers(0, 999))
def test_nearest_is_off_by_half_a_step_or_a_clipped_one_and_steps_halve_with_each_bit(bits, rows, columns, group, seed):
    weights = drawn(rows, columns, seed)
    rounded = round_to_nearest(weights, bits, group)
    for first in range(0, columns, group):
        part = slice(first, first + group)
        greatest = weights[:, part].abs().amax(1, keepdim=True)
        steps = greatest / 2 ** (bits - 1)
        off = (rounded.weights()[:, part] - weights[:, part]).abs()
        # only the side with one code less is cut off, at most a step; half precision moves a step by 1 in 2,048
        assert bool((off <= steps * 1.001 + greatest / 2048).all())
        inside = weights[:, part].abs() <= greatest - 1.01 * steps
        assert bool((off <= steps / 2 + greatest / 2048)[inside].all())


@pytest.mark.parametrize("method", ["nearest", "by error", "by products"])
def test_more_bits_and_smaller_groups_are_nearer(method):
    weights, inputs = drawn(24, 96), drawn(512, 96, 1)

    def error(bits, group):
        if method == "nearest":
            rounded = round_to_nearest(weights, bits, group)
        else:
            rounded = round_for_products(weights, inputs.T @ inputs if method == "by products" else None, bits, group)
        return (inputs @ (rounded.weights() - weights).T).square().mean().item()

    by_bits = [error(bits, 96) for bits in range(2, 9)]
    assert all(fewer > 2.5 * more for fewer, more in itertools.pairwise(by_bits))
    assert error(4, 16) < error(4, 96)


@pytest.mark.parametrize("bits", [2, 3, 4, 6])
def test_rounding_for_products_beats_nearest_where_inputs_depend_on_each_other(bits):
    weights = drawn(32, 64)
    inputs = drawn(2048, 8, 1) @ drawn(8, 64, 2) + 0.3 * drawn(2048, 64, 3)

    def error(rounded):
        return (inputs @ (rounded.weights() - weights).T).square().mean().item()

    nearest, scaled = round_to_nearest(weights, bits, 64), round_for_products(weights, None, bits, 64)
    products = round_for_products(weights, inputs.T @ inputs, bits, 64)
    assert error(products) < 0.5 * error(nearest)
    assert error(products) < 0.7 * error(scaled)


def test_a_column_is_made_up_for_in_those_that_follow():
    """Two inputs that are always equal: what matters of two weights is their sum, which single rounding misses."""
    inputs = torch.ones(10, 2) + 1e-3 * drawn(10, 2)
    weights = torch.tensor([[1.4, 1.4], [-1.4, -1.4]])
    weights = torch.cat([weights, torch.full((2, 1), -8.0)], dim=1)  # the third sets the step to 1
    moments = torch.block_diag(inputs.T @ inputs, torch.eye(1))
    codes = round_for_products(weights, moments, 4, 3)
    sums = codes.weights()[:, :2].sum(1)
    assert (sums - torch.tensor([2.8, -2.8])).abs().max() < 0.3


def test_zeros_inputs_that_never_occur_and_tiny_weights_stay_finite():
    weights = torch.tensor([[0.0, 0.0, 0.0], [1e-7, -1e-7, 0.0], [1.0, 2.0, -3.0]])
    for moments in (None, torch.zeros(3, 3), torch.diag(torch.tensor([1.0, 0.0, 2.0]))):
        rounded = round_for_products(weights, moments, 3, 3).weights()
        assert bool(rounded.isfinite().all())
        assert rounded[0].tolist() == [0, 0, 0]
        assert (rounded[2] - weights[2]).abs().max() < 0.6
