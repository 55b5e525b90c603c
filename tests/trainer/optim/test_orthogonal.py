"""What Muon's iterations and NorMuon's rows come to, against the papers' own definitions."""

import math

import numpy as np
import pytest
import torch

from trainer.config import OptimizerConfig
from trainer.optim import GroupedOptimizer
from trainer.optim.muon import ITERATIONS, orthogonal_directions, orthogonalize
from trainer.optim.normuon import even_rows
from trainer.optim.polar_express import OPTIMAL
from trainer.optim.soap_muon import basis_numbers, floored


def best_quintic(low, high):
    """The odd quintic nearest to one on [low, high], by Remez' exchange (Amsel et al. 2025, appendix)."""
    q, r, error, before = (3 * low + high) / 4, (low + 3 * high) / 4, math.inf, None
    while before is None or abs(before - error) > 1e-15:
        before = error
        rows = [[x, x**3, x**5, sign] for x, sign in zip((low, q, r, high), (1, -1, 1, -1), strict=True)]
        a, b, c, error = np.linalg.solve(np.array(rows), np.ones(4))
        q, r = np.sqrt((-3 * b + np.array([-1, 1]) * math.sqrt(9 * b * b - 20 * a * c)) / (10 * c))
    return np.array([a, b, c])


def test_polar_express_has_the_papers_coefficients():
    """Each quintic is the best for the interval that those before it leave, from singular values of 1e-3 on."""
    low, high, cushion = 1e-3, 1.0, 0.02407327424182761

    def at(polynomial, x):
        return float(polynomial @ [x, x**3, x**5])

    for expected in OPTIMAL:
        best = best_quintic(max(low, cushion * high), high)
        best *= 2 / (at(best, low) + at(best, high))  # around one again, on the interval without its cushion
        np.testing.assert_allclose(best, expected, rtol=1e-9)
        low = at(best, low)
        high = 2 - low


@pytest.mark.parametrize("shape", [(2, 32, 32), (2, 16, 64), (2, 64, 16)])
def test_polar_express_comes_nearer_to_the_polar_factor_than_newton_schulz(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)

    def distance(name):
        return float((orthogonalize(matrices, ITERATIONS[name]).float() - u @ v).norm() / (u @ v).norm())

    assert distance("polar_express") < 0.12
    assert distance("newton_schulz") > 1.5 * distance("polar_express")


def test_normuon_is_the_papers_loop_at_muons_norm():
    """Algorithm 1 of Li et al. (2025) written row by row, but for its RMS of 0.2."""
    generator = torch.Generator().manual_seed(3)
    start, grads = torch.randn(12, 20, generator=generator), torch.randn(4, 12, 20, generator=generator)
    parameter = torch.nn.Parameter(start.clone())
    group = {"kind": "normuon", "params": [parameter], "lr": 0.05, "momentum": 0.9, "parts": [4, 8]}
    group |= {"orthogonalizer": "newton_schulz", "row_beta": 0.8}
    optimizer = GroupedOptimizer([group])
    weights, momentum, means = start.clone(), torch.zeros(12, 20), torch.zeros(12)
    for grad in grads:
        parameter.grad = grad.clone()
        optimizer.step()
        momentum = 0.9 * momentum + 0.1 * grad
        (update,) = orthogonal_directions([0.1 * grad + 0.9 * momentum], [4, 8])
        means = 0.8 * means + 0.2 * update.square().mean(1)
        even = update / means.sqrt()[:, None]
        for part in (slice(0, 4), slice(4, 12)):  # two matrices stacked in one parameter, each at its own norm
            weights[part] -= 0.05 * even[part] * update[part].norm() / even[part].norm()
    torch.testing.assert_close(parameter.detach(), weights, atol=1e-5, rtol=1e-4)


def test_rows_of_one_step_get_one_length():
    directions = torch.randn(3, 6, 10) * torch.tensor([1.0, 5, 0.1, 2, 1, 1])[:, None]
    _, even = even_rows(directions, torch.zeros(3, 6, 1), 0.95)
    torch.testing.assert_close(even.norm(dim=(1, 2)), directions.norm(dim=(1, 2)))
    lengths = even.norm(dim=2)
    torch.testing.assert_close(lengths, lengths.mean(1, keepdim=True).expand_as(lengths), atol=1e-3, rtol=1e-3)


def test_settings_reach_the_groups():
    from trainer.model import GPT, ModelConfig
    from trainer.optim import build_optimizer

    with torch.device("meta"):
        model = GPT(ModelConfig(vocab_size=31, context=8, width=16, layers=1, heads=2, ff_width=24))
    settings = OptimizerConfig(kind="normuon", orthogonalizer="polar_express", row_beta=0.7)
    groups = [g for g in build_optimizer(model, settings).param_groups if g["kind"] == "normuon"]
    assert {(g["orthogonalizer"], g["row_beta"]) for g in groups} == {("polar_express", 0.7)}


def test_soap_muon_is_the_published_loop():
    """Pull request 278's formulas for two matrices stacked in one parameter, and 328's floor, written out. They are
    square: of fewer gradients than a side has rows, eigenvectors are not determined."""
    generator = torch.Generator().manual_seed(4)
    start, grads = torch.randn(20, 10, generator=generator), torch.randn(5, 20, 10, generator=generator)
    parameter = torch.nn.Parameter(start.clone())
    group = {"kind": "soap_muon", "params": [parameter], "lr": 0.05, "momentum": 0.9, "parts": [10, 10]}
    group |= {"orthogonalizer": "newton_schulz", "soap_beta": 0.8, "soap_every": 2, "row_floor": 0.3}
    optimizer = GroupedOptimizer([group])
    weights, momentum = start.clone(), torch.zeros(20, 10)
    state = [{name: torch.zeros(10, 10) for name in "LRV"} for _ in range(2)]
    for step, grad in enumerate(grads):
        parameter.grad = grad.clone()
        optimizer.step()
        momentum = 0.9 * momentum + 0.1 * grad
        update = 0.1 * grad + 0.9 * momentum
        for part, kept in zip((slice(0, 10), slice(10, 20)), state, strict=True):
            g, u = grad[part], update[part]
            kept["L"] = 0.8 * kept["L"] + 0.2 * g @ g.T
            kept["R"] = 0.8 * kept["R"] + 0.2 * g.T @ g
            if step % 2 == 0:
                kept["QL"], kept["QR"] = (torch.linalg.eigh(kept[side]).eigenvectors for side in "LR")
            scaled = u
            if step:
                turned = kept["QL"].T @ u @ kept["QR"]
                kept["V"] = 0.8 * kept["V"] + 0.2 * turned**2
                scaled = kept["QL"] @ (turned / kept["V"].sqrt()) @ kept["QR"].T
            (direction,) = orthogonal_directions([scaled * u.norm() / scaled.norm()], [len(u)])
            for row, target in zip(direction, weights[part], strict=True):
                target -= 0.05 * row * max(1.0, float(0.3 * target.norm() / row.norm()))
    torch.testing.assert_close(parameter.detach(), weights, atol=2e-3, rtol=1e-2)  # the iteration is in bfloat16


def test_a_row_is_lengthened_to_the_floor_and_none_is_shortened():
    direction = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    weights = torch.tensor([[1.0, 0.0], [6.0, 8.0], [1.0, 1.0]])
    torch.testing.assert_close(floored(direction, weights, 0.2), torch.tensor([[3.0, 4.0], [1.2, 1.6], [0.0, 0.0]]))
    assert torch.equal(floored(direction, weights, 0.0), direction)


def test_soap_muon_s_state_is_what_the_plan_counts():
    from trainer.model import GPT, ModelConfig
    from trainer.optim import build_optimizer

    model = GPT(ModelConfig(vocab_size=31, context=8, width=16, layers=1, heads=2, ff_width=24))
    optimizer = build_optimizer(model, OptimizerConfig(kind="soap_muon"))
    optimizer.rehearse()
    matrices = [state for state in optimizer.state.values() if "second_moment" in state]
    bases = [tensor for state in matrices for name, tensor in state.items() if name.startswith(("row", "column"))]
    numbers = sum(map(torch.numel, bases))
    assert numbers == basis_numbers(model)
