"""The learning rate as a pure function of the step, so that a resumed run needs no state for it.

In a run with a time limit (`training.max_minutes`) the number of steps is not known beforehand: it is estimated anew at
every step from the share of the time that is gone, so that the learning rate comes down when the time is up.
"""

from __future__ import annotations

import math

from trainer.config import ScheduleConfig


def learning_rate_factor(step: float, steps: float, schedule: ScheduleConfig) -> float:
    """Share of the peak learning rate at `step` (from 0) of a run of `steps`, both in whole batches.

    Both schedules rise linearly over `warmup_steps`. `cosine` (Loshchilov & Hutter 2016, as GPT-3 uses it) then falls
    to `final_share` at the last step; `wsd` (warm-up, stable, decay; Hu et al. 2024) stays at the peak and falls
    linearly over the last `cooldown_share` of the steps, if that is any.

    A run too short for both rises as any other and turns where it meets its way down, below the peak, so that it ends
    at `final_share` without a fall from one step to the next; `cosine` then begins to fall at half of the steps.
    """
    if schedule.kind == "cosine":
        start = min(schedule.warmup_steps, steps // 2)
        done = max(0, step - start) / max(1, steps - 1 - start)
        share = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    elif schedule.cooldown_share:
        cooldown = max(1, round(steps * schedule.cooldown_share))
        share = min(1.0, max(0.0, (steps - 1 - step) / cooldown))
    else:
        share = 1.0
    falling = schedule.final_share + (1 - schedule.final_share) * share
    return falling if step >= schedule.warmup_steps else min(falling, (step + 1) / (schedule.warmup_steps + 1))


def weight_decay_factor(step: float, steps: float, rate: float, schedule: ScheduleConfig) -> float:
    """Share of the weight decay at `step` (from 0) of a run of `steps`, where the learning rate is `rate` of its peak.

    Decay is decoupled, so a step shrinks weights by learning rate times decay: with `constant` as much as the rate,
    with `with_rate` as its square (modded-nanogpt); `to_zero` is nanochat's.
    """
    if schedule.decay == "with_rate":
        return rate
    return max(0.0, 1 - step / steps) if schedule.decay == "to_zero" else 1.0


def steps_in_time(step: float, steps: int, time_gone: float) -> float:
    """Steps that the run will have taken when its time is up, at the mean speed so far; at most `steps`.

    `time_gone` is the share of the time that went by over the first `step` steps; 0 where there is no limit.
    """
    if time_gone <= 0 or step == 0:
        return steps
    return max(step + 1, min(steps, round(step / min(time_gone, 1.0))))
