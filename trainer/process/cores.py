"""How many cores this process may use: no more than it is bound to, and no more than its container's share of time.

`os.cpu_count()` is the machine's number. A container with `--cpus=2` on 64 cores is bound to none of them and gets the
time of two: 64 processes there would wait for one another at every step.
"""

from __future__ import annotations

import math
import os

from trainer.process.cgroup import limits


def core_count() -> int:
    """Cores worth a process or a thread each, at least one; part of a core's time counts as one."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([bound, *_quotas()]))


def _quotas() -> list[int]:
    """Cores' worth of time in each period, by control group that limits it (`max` and -1 stand for no limit)."""
    return [
        math.ceil(int(words[0]) / int(words[1]))
        for words in limits("cpu.max", "cpu", "cpu.cfs_quota_us", "cpu.cfs_period_us")
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]) > 0 and int(words[0]) > 0
    ]
