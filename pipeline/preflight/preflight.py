"""Preflight: everything that would end a run later, looked at in seconds before its first asset.

In: a flight. Out: findings; `preflight` looks and never raises for what it finds. What needs only the profile is
refused when that is loaded (`pipeline.profile`); what needs the machine, the store or the network is asked here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Final

from pipeline.base.errors import ShardError, SqueezeError
from pipeline.planning.disk import to_write
from pipeline.planning.schedule import plan
from pipeline.planning.training import steps_of, training_figures
from pipeline.preflight import place
from pipeline.preflight.extras import extras
from pipeline.preflight.finding import Finding, only_if_made
from pipeline.preflight.flight import Flight
from pipeline.preflight.machine import machine
from pipeline.preflight.reach import reach
from pipeline.preflight.study import study
from pipeline.sharding.schedule.forecast import ForecastRow
from trainer.errors import TrainerError

MANY_PASSES: Final = 40
"""Over all epochs: Muennighoff et al. 2023 (section 5) find text of no more use after about as many."""


def preflight(flight: Flight) -> list[Finding]:
    """Every finding, in the order of the work: inputs, store, packages, text, machine, sources. Empty where nothing is
    made."""
    if not flight.makes:
        return []
    if bound := list(place.addresses()):
        return bound  # too little to look any further
    answers: list[Finding] = []
    asking = threading.Thread(target=lambda: answers.extend(reach(flight)), daemon=True)
    asking.start()
    rows, schedule = _schedule(flight)
    steps = steps_of(flight.profile, rows) if rows else None
    here = [*place.inputs(flight), place.writable(flight), *extras(flight), *schedule]
    here += [only_if_made(item, "model", flight.may_reuse) for item in machine(flight, steps)] if flight.trains else []
    here += study(flight)
    here.append(place.disk(flight, _sizes(flight, rows)))
    here += place.vocabularies(flight)
    asking.join()
    return [*here, *answers]


def _schedule(flight: Flight) -> tuple[Sequence[ForecastRow], list[Finding]]:
    """The schedule as planned; no rows where the size of a corpus is not known before it is read."""
    try:
        rows, _ = plan(flight.profile, flight.store, {})
    except ShardError as error:
        return [], [Finding("schedule", "refused", str(error))]
    except SqueezeError:
        return [], []
    passes: dict[str, float] = {}
    for row in rows:
        if row.repeats_so_far is not None:
            passes[row.source] = row.repeats_so_far
    often = {name: times for name, times in passes.items() if times > MANY_PASSES}
    if not often:
        return rows, []
    said = ", ".join(f"{name} {times:,.0f} times" for name, times in often.items())
    text = f"text is read again and again ({said}): lower schedule.tokens_per_epoch or schedule.epochs"
    return rows, [Finding("schedule", "note", text)]


def _sizes(flight: Flight, rows: Sequence[ForecastRow]) -> dict[str, int]:
    profile = flight.profile
    try:
        figures = training_figures(profile, rows, devices=1, mfu=0.4) if flight.trains and rows else None
    except TrainerError:  # told by the machine's findings
        figures = None
    return to_write(profile, flight.store, rows, figures)


def told(findings: Sequence[Finding], seconds: float, log: logging.Logger) -> None:
    """One line for what is right, a warning for each note. Refusals are the error's."""
    notes = [finding for finding in findings if finding.verdict == "note"]
    right = [finding.check for finding in findings if finding.verdict == "ok"]
    log.info(f"preflight: {', '.join(dict.fromkeys(right))} looked at in {seconds:.1f} s")
    for note in notes:
        log.warning(f"preflight: {note.check}: {note.text}")


def timed(flight: Flight) -> tuple[list[Finding], float]:
    """The findings, and the seconds they took."""
    started = time.monotonic()
    return preflight(flight), time.monotonic() - started
