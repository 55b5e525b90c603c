"""Rate limits as the hub documents them: fixed windows of 300 seconds, one count for its API and one for files.

The headers are those of the IETF's draft 9, on every answer; past the quota the answer is 429. Tests set a window of a
second and quotas that they reach.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Limits:
    """Quotas in a window, and what has been asked in this one."""

    api: int = 500
    resolvers: int = 3000
    window: float = 300.0
    """Seconds."""
    asked: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    _begun: float = field(default_factory=time.monotonic)
    _used: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, bucket: str) -> tuple[bool, dict[str, str]]:
        """Whether another request of a bucket (`api` or `resolvers`) may pass, and the headers of its answer."""
        with self._lock:
            now = time.monotonic()
            if now - self._begun >= self.window:
                self._begun, self._used = now, Counter()
            self.asked[bucket] += 1
            self._used[bucket] += 1
            quota = getattr(self, bucket)
            passes = self._used[bucket] <= quota
            self.refused[bucket] += not passes
            left = math.ceil(self._begun + self.window - now)
            remaining = max(0, quota - self._used[bucket])
        return passes, {
            "RateLimit": f'"{bucket}";r={remaining};t={left}',
            "RateLimit-Policy": f'"fixed window";"{bucket}";q={quota};w={math.ceil(self.window)}',
        }
