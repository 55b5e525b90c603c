"""Whether an entry keeps the race's rules, and whether its record follows from its profile.

In: the entry's study, the race's own, and the record. Out: what is wrong, in sentences. From
the profile alone are recomputed: parameters, FLOPs, steps, tokens, and the fingerprint of every heat, which binds the
record to settings, text, tokenizers and held-out sample; from the record alone: pooled scores, and bytes of text. What
was measured (scores by corpus, CPU seconds, bytes of a file) only another race can check, or the store that raced.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipeline.base.errors import StudyError
from pipeline.base.settings import identity_of
from pipeline.store import Store
from pipeline.store.fingerprint import fingerprint_of
from pipeline.study.plan import ArmPlan, StudyPlan
from pipeline.study.race.heat import (
    ENTRY,
    HEAT_VERSION,
    STANDARD,
    Heat,
    Side,
    heat_identity,
    heat_inputs,
    heat_key,
    race_of,
)
from pipeline.study.race.record import Record, hashes_of
from pipeline.study.results.run_result import FINISHED, POOLED, RunResult
from pipeline.study.runs.seeds import HELDOUT
from pipeline.study.speed import vocabulary_of
from pipeline.study.tracks import OF_THE_ENTRY

FREE_TOKENIZER_SETTINGS: Final = ("candidates", "select")
CLOSE: Final = 1e-9
"""Relative difference of two computations of one figure."""


def changed_rules(plan: StudyPlan, rules: StudyPlan) -> Iterator[str]:
    """What an entry changes that is the race's: limits, held-out text, the standard recipe, how tokenizers are
    trained. Corpora and curation are of the profile, and their own."""
    ours, theirs = plan.settings, rules.settings
    if ours.race is None or theirs.race is None or ours.race.track is None:
        yield "study.race: names no track, so it is no entry"
        return
    for name, value in theirs.race.model_dump().items():
        if name not in OF_THE_ENTRY and getattr(ours.race, name) != value:
            yield f"study.race.{name}: is the race's, and {value!r}"
    for name in ("heldout", "baseline", "points", "benchmarks"):
        if identity_of(getattr(ours, name)) != identity_of(getattr(theirs, name)):
            yield f"study.{name}: is the race's; leave it as `extends: race` has it"
    yield from _tokenizers_changed(plan, rules)
    if ours.baseline in ours.arms:
        ours_is, theirs_is = (_recipe(study, study.arm(theirs.baseline)) for study in (plan, rules))
        for part, value in theirs_is.items():
            if ours_is[part] != value:
                yield f"the standard recipe's {part} is changed: change the arm {ours.race.entry} alone"


def _tokenizers_changed(plan: StudyPlan, rules: StudyPlan) -> Iterator[str]:
    ours, theirs = (study.tokenizers.model_dump() for study in (plan, rules))
    for name, value in theirs.items():
        if name not in FREE_TOKENIZER_SETTINGS and ours[name] != value:
            yield f"tokenizers.{name}: is the race's; leave it as `extends: race` has it"


def _recipe(plan: StudyPlan, arm: ArmPlan) -> dict[str, Any]:
    (data,) = arm.data
    return {
        "model": identity_of(arm.model),
        "training": identity_of(arm.training),
        "budget": arm.budget.identity(),
        "data": [plan.settings.data[data].identity(), [stage.identity() for stage in plan.stages_of(data)]],
        "tokenizer": plan.tokenizer_of(data),
    }


def forbidden(plan: StudyPlan) -> Iterator[str]:
    """What an entry's own arm may not have: whatever its CPU seconds or its text would not be counted by."""
    race, _, entry = race_of(plan)
    where = f"study.arms.{entry.name}"
    if len(set(entry.seeds)) < len(entry.seeds):
        yield f"{where}.seeds: a seed is given twice"
    if len(set(entry.seeds)) < race.least_seeds:
        yield f"{where}.seeds: {len(set(entry.seeds))}; a race has at least {race.least_seeds}"
    training = entry.training
    if training.device != "cpu":
        yield f"training.device: {training.device!r}; a race is of a CPU"
    if training.compile == "on":
        yield "training.compile: a compiler's processes would not be counted; leave it out"
    if training.max_minutes is not None:
        yield "training.max_minutes: what comes out would depend on the machine; set the arm's budget"
    if training.teacher:
        yield "training.teacher: a teacher's time and text would not be counted; leave it out"


def mistakes_in_record(plan: StudyPlan, record: Record) -> Iterator[str]:
    """Where the record does not follow from the entry's profile, or from itself."""
    race, standard, entry = race_of(plan)
    seeds = [item.heat.seed for item in record.heats]
    if sorted(seeds) != sorted(entry.seeds):
        yield f"the record has the seeds {seeds}, the profile {list(entry.seeds)}"
        return
    try:
        hashes_of(record)
    except StudyError as error:
        yield str(error)
    if set(record.heldout_bytes) != set(plan.settings.heldout.bytes):
        yield f"heldout_bytes: of other corpora than study.heldout.bytes ({', '.join(record.heldout_bytes)})"
        return
    for item in record.heats:
        seed = item.heat.seed
        if race.heldout_hash is not None and item.inputs.get(HELDOUT) != race.heldout_hash:
            yield f"seed {seed}: was scored on other held-out text than the race's"
        if sorted(item.inputs) != sorted(heat_inputs(plan, seed)):
            yield f"seed {seed}: was raced on {', '.join(sorted(item.inputs))}, not on what the profile names"
        named = fingerprint_of(heat_key(seed), HEAT_VERSION, heat_identity(plan, seed), item.inputs)
        if item.fingerprint != named:
            yield f"seed {seed}: its fingerprint is not that of the profile's settings: race again"
        for side, arm in ((STANDARD, standard), (ENTRY, entry)):
            for mistake in _side(plan, arm, getattr(item.heat, side), seed, record.heldout_bytes):
                yield f"seed {seed}, {side}: {mistake}"


def _side(plan: StudyPlan, arm: ArmPlan, side: Side, seed: int, sizes: Mapping[str, int]) -> Iterator[str]:
    try:
        result = side.result
    except StudyError as error:
        yield str(error)
        return
    if result.state != FINISHED or not result.cpu_seconds or result.cpu_seconds <= 0:
        yield "was not run to its end in one piece"
        return
    for name, found, computed in _recomputed(plan, arm, result, seed):
        if found != computed:
            yield f"{name} is {found:,}; the profile makes {computed:,}"
    data = plan.settings.data[arm.data_of(seed)]
    if side.text_bytes > result.tokens * result.bytes_per_token * (1 + CLOSE) + 1:
        yield f"text_bytes is {side.text_bytes:,}, more than its tokens hold"
    if data.epochs == 1 and abs(side.text_bytes - result.tokens * result.bytes_per_token) > 1:
        yield f"text_bytes is {side.text_bytes:,}; its tokens, read once, hold others"
    scored = [("bits_per_byte", result.bits_per_byte)]
    scored += [("file.bits_per_byte", side.file.bits_per_byte)] if side.file is not None else []
    for name, bits in scored:
        yield from _pooled(name, bits, sizes, plan.settings.heldout.apart)
    race, _, _ = race_of(plan)
    if (side.file is not None) != (race.track == "bytes"):
        yield "has a file on a track of none" if side.file else "has no file on the track `bytes`"
    if side.file is not None and side.file.bits != race.bits:
        yield f"file.bits is {side.file.bits}, study.race.bits {race.bits}"


def _recomputed(plan: StudyPlan, arm: ArmPlan, result: RunResult, seed: int) -> Iterator[tuple[str, int, int]]:
    """(name, what the record says, what follows from the profile)."""
    from trainer.model import shape_of

    vocabulary = vocabulary_of(plan, arm)
    yield "vocab_size", result.vocab_size, vocabulary
    shape = shape_of(dataclasses.replace(arm.model, vocab_size=vocabulary))
    for name, count in shape.parameter_counts().items():
        yield f"parameters.{name}", result.parameters.get(name, 0), count
    flops = shape.flops_per_token()
    yield "flops_per_token", round(result.flops_per_token), round(flops)
    steps = arm.budget.steps(arm.training.batch_tokens, flops, result.bytes_per_token)
    yield "tokens", result.tokens, steps * arm.training.batch_tokens


def _pooled(name: str, bits: Mapping[str, float], sizes: Mapping[str, int], apart: tuple[str, ...]) -> Iterator[str]:
    if set(bits) != {*sizes, POOLED} or not all(math.isfinite(value) and value > 0 for value in bits.values()):
        yield f"{name}: must be above 0 for {', '.join(sizes)} and {POOLED}"
        return
    pooled = [corpus for corpus in sizes if corpus not in apart]
    mean = sum(bits[corpus] * sizes[corpus] for corpus in pooled) / sum(sizes[corpus] for corpus in pooled)
    if not math.isclose(mean, bits[POOLED], rel_tol=1e-6):
        yield f"{name}.{POOLED} is {bits[POOLED]:.6f}; its corpora make {mean:.6f}"


def mistakes_against_store(plan: StudyPlan, record: Record, store: Store) -> tuple[int, list[str]]:
    """How many of its heats the store has, and where the record says other things than they do."""
    there, wrong = 0, []
    for item in record.heats:
        artifact = store.get(heat_key(item.heat.seed), item.fingerprint)
        if artifact is None:
            continue
        there += 1
        if artifact.summary_as(Heat) != item.heat:
            wrong.append(f"seed {item.heat.seed}: the store's heat {item.fingerprint[:8]} found something else")
    return there, wrong
