"""Polar Express (Amsel, Persson, Musco & Gower 2025, arXiv:2505.16932): five quintics, each the best for what the ones
before it leave, where Newton-Schulz repeats one. Singular values end nearer to one at the same five steps' cost.

The coefficients are those of the paper's algorithm 1 for singular values of [1e-3, 1] with its cushion, which keeps
small values from being forgotten; a test works them out again. All but a last polynomial that would end the sequence
are contracted by 1.01, the paper's guard against rounding in bfloat16.
"""

from __future__ import annotations

from typing import Final

OPTIMAL: Final = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
)
"""(a, b, c) of a*x + b*x^3 + c*x^5, step by step."""
SAFETY: Final = 1.01
"""By how much singular values are held below what the polynomials are made for."""
POLYNOMIALS: Final = tuple((a / SAFETY, b / SAFETY**3, c / SAFETY**5) for a, b, c in OPTIMAL)
