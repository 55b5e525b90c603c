"""Nodes of a Ray cluster: a placement group with one bundle a node, and an actor in each that owns the node's part.

The actors are this process's: where it dies, Ray ends them, and the nodes' parts notice their parents' death.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pipeline.base.errors import LaunchError
from pipeline.launch.places.place import node_words
from pipeline.launch.run_folder import Attempt
from pipeline.launch.settings import RaySettings
from trainer.process.complaint import EXIT_ERROR


class Agent:
    """An actor: the parent of a node's part."""

    def run(self, words: list[str], log: str) -> int:
        """Run the part to its end; returns its exit status."""
        with open(log, "ab") as output:  # noqa: PTH123
            return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False).returncode


class RayPlace:
    """Reserves a bundle on as many nodes as there are to be."""

    def __init__(self, settings: RaySettings, nodes: int) -> None:
        self._settings, self._nodes = settings, nodes

    def start(self, attempt: Attempt) -> RayPlaced:
        ray = _connected(self._settings)
        bundle = {"CPU": self._settings.cpus} | ({"GPU": self._settings.gpus} if self._settings.gpus else {})
        there = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        fitting = [has for has in there if all(has.get(name, 0) >= count for name, count in bundle.items())]
        if len(fitting) < self._nodes:
            wanted = " and ".join(f"{count:g} {name}" for name, count in bundle.items())
            raise LaunchError(
                f"launch.nodes is {self._nodes}, and {len(fitting)} of the Ray cluster's {len(there)} nodes have "
                f"{wanted} (launch.ray): they would be waited for for ever"
            )
        return RayPlaced(attempt, bundle, self._nodes)

    def clear(self, attempt: Attempt) -> None:
        """Nothing: Ray has ended the actors of a process that is gone."""


class RayPlaced:
    """The actors of one attempt, once their bundles are free."""

    def __init__(self, attempt: Attempt, bundle: dict[str, float], nodes: int) -> None:
        from ray.util.placement_group import placement_group

        self._attempt, self._bundle = attempt, bundle
        self._group = placement_group([bundle] * nodes, strategy="STRICT_SPREAD")
        self._ready = self._group.ready()
        self._actors: list[Any] = []
        self._results: list[Any] = []
        self._nodes = nodes

    def gone(self) -> dict[int, int]:
        import ray

        if not self._actors:
            if ray.wait([self._ready], timeout=0)[0]:
                self._begin()
            return {}
        ended, _ = ray.wait(self._results, num_returns=len(self._results), timeout=0)
        return {self._results.index(result): _status(result) for result in ended}

    def kill(self) -> None:
        import ray
        from ray.util.placement_group import remove_placement_group

        for actor in self._actors:
            ray.kill(actor)
        with suppress(Exception):  # a cluster that is gone has no group
            remove_placement_group(self._group)

    def _begin(self) -> None:
        import ray
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        for node in range(self._nodes):
            where = PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=node)
            resources = {"num_cpus": self._bundle["CPU"], "num_gpus": self._bundle.get("GPU", 0)}
            actor = ray.remote(Agent).options(scheduling_strategy=where, **resources).remote()
            words = node_words(self._attempt, str(node), None)
            self._actors.append(actor)
            self._results.append(actor.run.remote(words, str(self._attempt.run.node_log(node))))


def _status(result: Any) -> int:
    import ray

    try:
        return int(ray.get(result))
    except ray.exceptions.RayError:
        return EXIT_ERROR


def _connected(settings: RaySettings) -> Any:
    try:
        import ray
    except ImportError:
        raise LaunchError("launch.kind is ray, which needs Ray: pip install 'squeeze-gpt[ray]' on every node") from None
    if ray.is_initialized():
        return ray
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = settings.address or os.environ.get("RAY_ADDRESS") or "auto"
    try:
        with _signal_handlers_kept():
            ray.init(address, log_to_driver=False, configure_logging=False, logging_level="warning")
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        first = str(error).strip().partition("\n")[0]
        raise LaunchError(f"launch.ray: no cluster at {address!r} that this machine belongs to: {first}") from None
    return ray


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself and does not give it back, by which a supervisor is asked to end."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
