"""The connection of this process to a Ray cluster, of which it becomes a part: one for whatever it does there."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.base.errors import SqueezeError

log = logging.getLogger(__name__)
_connecting = threading.Lock()


def connected_to_ray(address: str, refusal: type[SqueezeError], setting: str, **own: Any) -> Any:
    """The module `ray`, connected once a process.

    address: `HOST:PORT` of a cluster that this machine belongs to, `auto` for the one that runs here, `local` for a new
    one, as `ray.init` makes it with the arguments `own`. Raises `refusal`, which names the setting that asks for Ray,
    where Ray is missing or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError:
        raise refusal(f"{setting} needs Ray: pip install 'squeeze-gpt[ray]' on every node") from None
    with _connecting:
        if ray.is_initialized():
            return ray
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            with _signal_handlers_kept():
                ray.init(address, log_to_driver=False, configure_logging=False, logging_level="warning", **own)
        except Exception as error:  # of any kind: one that says that a node did not start in time is a plain Exception
            raise refusal(
                f"{setting}: no cluster at {address!r} that this process can join: {first_line(error)}. `ray start "
                f"--address=HOST:PORT` makes this machine a node of one"
            ) from None
    log.info("Ray: connected to %s", "a cluster of this run's own" if own else ray.get_runtime_context().gcs_address)
    return ray


def first_line(error: BaseException) -> str:
    """What an error of Ray's says, without its pages of advice."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself and never gives it back, by which runs and supervisors are stopped."""
    here = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)} if here else {}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
