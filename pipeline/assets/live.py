"""Live values while the trainer runs: its metrics file, tailed in a thread, as asset observations that plot."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import dagster as dg

from pipeline.assets.metadata import rounded
from pipeline.base.numbers import duration
from pipeline.reporting.decorating import decorating
from pipeline.reporting.facts import metrics_rows
from pipeline.reporting.plots.sparkline import sparkline_markdown
from trainer.run.folder import METRICS_FILE

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 10.0
EVERY_SHARE: Final = 0.01
"""Of the time the run has taken, where that is longer: a run of days leaves hundreds of observations, not thousands."""
SHOWN: Final = ("step", "tokens", "loss", "bits_per_byte", "lr", "tokens_per_second", "eta_seconds")


@contextmanager
def observe_metrics(context: dg.AssetExecutionContext, out: Path) -> Iterator[None]:
    """Emit the newest line of `out/metrics.jsonl` every few seconds until the block ends."""
    done = threading.Event()
    thread = threading.Thread(target=_tail, args=(context, out / METRICS_FILE, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _tail(context: dg.AssetExecutionContext, file: Path, done: threading.Event) -> None:
    last = last_values(file)
    started = time.monotonic()
    while not done.wait(max(EVERY_SECONDS, EVERY_SHARE * (time.monotonic() - started))):
        values = last_values(file)
        if values is not None and values != last:
            last = values
            with decorating(context.log, "the newest values of the run are not shown"):
                metadata = live_metadata(file, values)
                context.log_event(dg.AssetObservation(asset_key=context.asset_key, metadata=metadata))


def live_metadata(file: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """The loss so far as a line, the time left in words, and the newest values as numbers that the UI plots."""
    losses = [row["loss"] for row in metrics_rows(file) if row.get("loss") is not None]
    numbers = {name: values[name] for name in SHOWN if values.get(name) is not None}
    return {
        "loss_so_far": dg.MetadataValue.md(sparkline_markdown(losses, "training loss")),
        **({"time_left": duration(values["eta_seconds"])} if values.get("eta_seconds") is not None else {}),
        **{name: rounded(value) for name, value in numbers.items()},
    }


def last_values(file: Path) -> dict[str, Any] | None:
    """The last whole line of a metrics file; None where there is none yet."""
    rows = metrics_rows(file)
    return rows[-1] if rows else None
