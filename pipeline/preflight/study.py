"""Whether this machine can run the arms of a study: their device, and memory for as many runs as go side by side.

In: a flight that makes arms. Out: findings. Each run is one process on one device, whatever `launch` says. Arms that an
engine runs on other machines are not looked at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline.base.memory import available_memory
from pipeline.base.numbers import size
from pipeline.engine.settings import ProcessesEngine
from pipeline.preflight.finding import Finding, only_if_made
from pipeline.preflight.flight import Flight
from pipeline.preflight.machine import PROCESS_BYTES
from pipeline.study.mixtures.search import proxy_plan
from pipeline.study.plan import ArmPlan, StudyPlan
from trainer.config import DataConfig, RunConfig
from trainer.errors import TrainerError
from trainer.process.cores import core_count


def study(flight: Flight) -> Iterator[Finding]:
    """A finding for each arm that cannot run here, or one for all of them."""
    plan = flight.profile.study_plan
    if plan is None:
        return
    search = plan.settings.mixture_search
    plans = [plan, *([proxy_plan(plan, search)] if search is not None else [])]
    of_arm = {name: of for of in plans for name in of.settings.arms}
    here = arms = flight.made("ablation")
    if arms and not isinstance(flight.profile.engine, ProcessesEngine):
        here = []
        kind = flight.profile.engine.kind
        yield Finding("study", "ok", f"{len(arms)} arms go to the machines of engine {kind}, which were not looked at")
    found = [(f"ablation/{name}", _arm(of_arm[name], of_arm[name].arm(name))) for name in here]
    heats = flight.made("race_heat")
    if heats and plan.settings.race is not None:
        sides = (plan.arm(plan.settings.baseline), plan.arm(plan.settings.race.entry))
        found += [(f"race_heat/{seed}", _arm(plan, side)) for seed in heats for side in sides]
    findings = [only_if_made(finding, key, flight.may_reuse) for key, finding in found]
    wrong = [finding for finding in findings if finding.verdict != "ok"]
    if findings:
        yield from wrong or [Finding("study", "ok", f"{_counted(found)} can run; {findings[0].text}")]


def _counted(found: list[tuple[str, Finding]]) -> str:
    """`3 arms`, or `3 heats`."""
    keys = list(dict.fromkeys(key for key, _ in found))
    arms = sum(key.startswith("ablation/") for key in keys)
    parts = [f"{number} {what}" for number, what in ((arms, "arms"), (len(keys) - arms, "heats")) if number]
    return " and ".join(parts)


def _arm(plan: StudyPlan, arm: ArmPlan) -> Finding:
    import torch

    from trainer.plan import LOSS_BYTES
    from trainer.plan import plan as training_plan
    from trainer.process.ranks import choose_device

    training = dataclasses.replace(arm.training, max_steps=1)
    run = RunConfig(model=arm.model, training=training, data=DataConfig(epochs=("not built yet",)), out=".")
    try:
        device = choose_device(training.device)
        figures = training_plan(run)
    except TrainerError as error:
        return Finding("study", "refused", f"arm {arm.name}: {error}")
    at_once = min(plan.settings.seeds_at_once or core_count(), len(arm.seeds))
    each = figures.state_bytes + figures.activation_bytes_per_sequence
    if device == "cuda":
        needed, there, where = at_once * (each + LOSS_BYTES), torch.cuda.mem_get_info(0)[0], "GPU 0"
    else:
        needed, there, where = at_once * (each + PROCESS_BYTES), available_memory(), "this machine"
    runs = f"{at_once} run{'s' if at_once > 1 else ''} of {arm.name} at once on {device}"
    text = f"{runs} need {size(needed)} at least, {size(there)} free on {where}"
    if needed <= there:
        return Finding("study", "ok", text)
    fewer = "lower study.seeds_at_once, or " if at_once > 1 else ""
    return Finding("study", "refused", f"{text}: {fewer}make the arm's model smaller, or free memory there")
