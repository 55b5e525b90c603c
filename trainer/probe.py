"""How fast this machine's processor trains a model, measured on a few passes of invented tokens.

In: a run's settings, and how many ranks share it with how many threads each. Out: tokens a second of all ranks, taken
as so many times this process's own: what they tell one another and what slows them side by side is not in it. Time is
that of the processor, so that what else runs here in that moment does not count.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Final

from trainer.config import RunConfig

if TYPE_CHECKING:
    from trainer.run.learner import Learner

MOST_FLOPS: Final = 1e12
"""Of one pass: beyond, it takes too long to be tried in passing."""
SECONDS: Final = 2.0
MOST_PASSES: Final = 5


def tokens_per_second(run: RunConfig, flops_per_token: int, *, ranks: int, threads: int) -> float | None:
    """Tokens a second of a run on this processor; none where a pass of one sequence takes too long to be tried."""
    import torch

    from trainer.model.kernels import computed_by
    from trainer.process.ranks import Ranks
    from trainer.run.learner import Learner
    from trainer.run.micro_batch import largest_micro_batch
    from trainer.run.ways import choose_ways

    context, training = run.model.context, run.training
    share = -(-training.sequences_per_batch(context) // ranks)
    wanted = min(share, training.micro_batch or largest_micro_batch(run, ranks, "cpu"))
    fits = int(MOST_FLOPS // (flops_per_token * context))
    micro = min(wanted, fits)
    if micro < 1:
        return None
    torch.set_num_threads(threads)
    tried = dataclasses.replace(
        training, device="cpu", compile="off", batch_tokens=micro * context, micro_batch=micro, max_steps=MOST_PASSES
    )
    run, alone = dataclasses.replace(run, training=tried), Ranks(0, 1, torch.device("cpu"))
    ways = choose_ways(run, alone)
    learner = Learner(run, alone, eot_id=0, precision=ways.precision.name)
    learner.micro_batch = micro
    with computed_by(ways.kernels):
        passes, updates = _steps(learner, micro)
    step_seconds = (share / micro * min(passes) + min(updates)) / threads
    return training.batch_tokens / step_seconds


def _steps(learner: Learner, micro: int) -> tuple[list[float], list[float]]:
    """The processor's seconds of a few passes of `micro` sequences, and of the updates after them."""
    import numpy as np
    import torch

    model = learner.config.model
    generator = torch.Generator().manual_seed(0)
    windows_NT1 = torch.randint(model.vocab_size, (micro, model.context + 1), generator=generator)
    ids_N = np.arange(micro)
    passes, updates = [], []
    until = time.monotonic() + SECONDS
    for step in range(MOST_PASSES):
        started = time.process_time()
        learner.gradients(windows_NT1, ids_N, learner.sequences_per_batch)
        passed = time.process_time()
        learner.clip()
        learner.update(step, MOST_PASSES)
        passes.append(passed - started)
        updates.append(time.process_time() - passed)
        if step and time.monotonic() > until:
            break
    return passes, updates
