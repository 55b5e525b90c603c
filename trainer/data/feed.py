"""Windows on their way to a device: each batch is read and sent while the one before it is computed.

In: a reader, and the sequences this rank takes. Out: their windows, in memory and on the device. A GPU takes its work
ahead of time, so between a step's last call and the wait for its loss the host is free: the next batch is read then,
into pinned memory, from which it is copied without waiting. Torch gives a pinned buffer out again only after the copy
out of it is done, so there are two of them in turns. A CPU computes in the host's own time and gains nothing by this.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainer.data.reader import SequenceReader


class Windows(NamedTuple):
    """The same windows (N, T + 1), int64, in two places; on a CPU one tensor."""

    host: Tensor
    device: Tensor


class Feed:
    """A reader's windows for one rank. What was read ahead and is not asked for after all (a step was rolled back, the
    batch grew) is read anew."""

    def __init__(self, reader: SequenceReader, device: torch.device, *, ahead: bool | None = None) -> None:
        """`ahead`: whether `expect` reads anything; none: on a GPU."""
        self._reader, self._device = reader, device
        self._is_pinned = device.type == "cuda"
        self._reads_ahead = self._is_pinned if ahead is None else ahead
        self._next: tuple[np.ndarray, Windows] | None = None

    def take(self, ids_N: np.ndarray) -> Windows:
        """The windows of these sequences, run-wide numbers."""
        ready, self._next = self._next, None
        return ready[1] if ready is not None and np.array_equal(ready[0], ids_N) else self._read(ids_N)

    def expect(self, ids_N: np.ndarray) -> None:
        """Read what will probably be asked for next."""
        if self._reads_ahead:
            self._next = (ids_N, self._read(ids_N))

    def _read(self, ids_N: np.ndarray) -> Windows:
        size = (len(ids_N), self._reader.context + 1)
        host = torch.empty(size, dtype=torch.int64, pin_memory=self._is_pinned)
        self._reader.read(ids_N, host.numpy())
        return Windows(host, host.to(self._device, non_blocking=True))
