"""The clusters that verified pairs of similar documents make: connected components, whatever the order of the pairs."""

from __future__ import annotations

from typing import Final

import numpy as np

_BLOCK: Final = 1 << 20
"""Documents looked at together."""


class Clusters:
    """Connected components of documents 0 .. N - 1; a component's root is its lowest number."""

    def __init__(self, count: int) -> None:
        self.roots = np.arange(count, dtype=np.int32)

    def find(self, numbers: np.ndarray) -> np.ndarray:
        """Roots of documents, int32 of the same shape."""
        nodes = self.roots[numbers]
        while True:
            above = self.roots[nodes]
            if (above == nodes).all():
                self.roots[numbers] = nodes
                return nodes
            nodes = above

    def apart(self, pairs: np.ndarray) -> np.ndarray:
        """Those pairs (int64 [M, 2]) that are not in one component yet."""
        return pairs[self.find(pairs[:, 0]) != self.find(pairs[:, 1])]

    def join(self, pairs: np.ndarray) -> None:
        """Make each pair's components one."""
        for first, second in pairs.tolist():
            low, high = sorted((self._root(first), self._root(second)))
            self.roots[high] = low

    def finish(self) -> np.ndarray:
        """The root of every document, int32 [N]."""
        for start in range(0, len(self.roots), _BLOCK):
            self.find(np.arange(start, min(start + _BLOCK, len(self.roots))))
        return self.roots

    def _root(self, node: int) -> int:
        while (above := int(self.roots[node])) != node:
            self.roots[node] = self.roots[above]
            node = above
        return node
