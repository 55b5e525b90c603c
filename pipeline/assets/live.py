"""Live values while the trainer runs: its metrics file, tailed in a thread, as asset observations that plot."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import dagster as dg

log = logging.getLogger(__name__)

METRICS_FILE: Final = "metrics.jsonl"
EVERY_SECONDS: Final = 10.0
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
    while not done.wait(EVERY_SECONDS):
        values = last_values(file)
        if values is not None and values != last:
            last = values
            metadata = {name: values[name] for name in SHOWN if values.get(name) is not None}
            context.log_event(dg.AssetObservation(asset_key=context.asset_key, metadata=metadata))


def last_values(file: Path) -> dict[str, Any] | None:
    """The last whole line of a metrics file; None where there is none yet."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        try:
            found = json.loads(line)
        except ValueError:
            continue  # the line being written
        return found if isinstance(found, dict) else None
    return None
