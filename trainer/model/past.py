"""The tokens just before each one in its own text, for what mixes neighbours: smear, convolutions, bigrams.

In: features of a row's tokens. Out: for 1, 2, ... steps, the features of the token so many steps before, and a filler
where the text does not reach back so far. A row holds one text from left to right, which may go on from a KV cache;
or documents one after the other; or several continuations of one prompt, which lie side by side and are told by their
positions and by what each token may look at. Nothing passes from one document to the next, nor between continuations.

Shape letters: B batch, T time; features stand behind them, or nothing where x is the tokens' ids.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.errors import ConfigError


class KeepsTails(Protocol):
    """What holds the last inputs of each site between the passes of one text: a KV cache."""

    tails: dict[str, Tensor]

    def tail(self, site: str) -> Tensor | None:
        """Those of a site; none at a text's beginning."""


class Past:
    """How the tokens of one pass follow each other; without arguments: each row one text, from its beginning."""

    def __init__(
        self, *, cache: KeepsTails | None = None, positions_BT: Tensor | None = None, mask: Tensor | None = None
    ) -> None:
        """`positions_BT`: those within documents that follow each other. With `mask`, (B or 1, 1, T, T), too, a row may
        be laid out in any way: the token before is the one that a token may look at and whose position is one less.
        Raises `ConfigError` for a cache with other positions than its own."""
        if cache is not None and positions_BT is not None:
            raise ConfigError("a KV cache holds one text from left to right; score other layouts without it")
        self._cache, self._positions_BT, self._mask = cache, positions_BT, mask
        self._before_BT: Tensor | None = None

    @property
    def is_plain(self) -> bool:
        """Each row is one text from its beginning: the token before is the one to the left."""
        return self._cache is None and self._positions_BT is None

    def before(self, x: Tensor, reach: int, site: str, fill: float = 0.0) -> list[Tensor]:
        """x (B, T, ...) of the tokens 1, 2, ... `reach` steps before each, `fill` where there is none.

        `site` names what asks, as a cache keeps its last inputs under it.
        """
        if self._mask is not None and self._positions_BT is not None:
            if self._before_BT is None:
                self._before_BT = _index_before(self._positions_BT, self._mask)
            return _gathered(x, reach, self._before_BT.expand(x.shape[:2]), fill)
        tail = None if self._cache is None else self._cache.tail(site)
        if tail is None:
            extended = F.pad(x, (0, 0) * (x.ndim - 2) + (reach, 0), value=fill)
        else:
            extended = torch.cat((tail.to(x.dtype), x), 1)
        if self._cache is not None:
            self._cache.tails[site] = extended[:, -reach:].clone()
        taps = [extended[:, reach - steps : reach - steps + x.shape[1]] for steps in range(1, reach + 1)]
        if self._positions_BT is None:
            return taps
        reaches = [_like(self._positions_BT >= steps, x) for steps in range(1, reach + 1)]
        return [torch.where(has, tap, fill) for has, tap in zip(reaches, taps, strict=True)]


def _index_before(positions_BT: Tensor, mask: Tensor) -> Tensor:
    """Where the token before each one stands in its row, int64 (B or 1, T); -1 for none."""
    step_BTT = positions_BT[:, :, None] - positions_BT[:, None, :]
    found_BT, index_BT = ((step_BTT == 1) & mask[:, 0]).byte().max(-1)
    return torch.where(found_BT > 0, index_BT, -1)


def _gathered(x: Tensor, reach: int, before_BT: Tensor, fill: float) -> list[Tensor]:
    """`Past.before`, following the indices step by step."""
    taps = []
    index_BT = torch.arange(x.shape[1], device=x.device).expand(x.shape[:2])
    for _ in range(reach):
        index_BT = torch.where(index_BT < 0, -1, before_BT.gather(1, index_BT.clamp_min(0)))
        found = x.gather(1, _like(index_BT.clamp_min(0), x).expand(x.shape))
        taps.append(torch.where(_like(index_BT >= 0, x), found, fill))
    return taps


def _like(of_BT: Tensor, x: Tensor) -> Tensor:
    """(B, T) with as many dimensions behind them as x has."""
    return of_BT.view(*of_BT.shape, *(1,) * (x.ndim - 2))
