"""Nodes of a Ray cluster: a placement group with one bundle a node, and an actor in each that owns the node's part.

The actors are this process's: where it dies, Ray ends them, and the nodes' parts notice their parents' death.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.base.errors import LaunchError
from pipeline.base.ray_connection import connected_to_ray
from pipeline.launch.places.place import node_words
from pipeline.launch.run_folder import Attempt
from pipeline.launch.settings import RaySettings
from trainer.process.complaint import EXIT_ERROR


class Agent:
    """An actor: the parent of a node's part."""

    def run(self, words: list[str], log: Path) -> int:
        """Run the part to its end; returns its exit status."""
        with log.open("ab") as output:
            return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False).returncode


class RayPlace:
    """Reserves a bundle on each of as many nodes as there are to be."""

    def __init__(self, settings: RaySettings, nodes: int) -> None:
        self._settings, self._nodes = settings, nodes
        self._had = False
        """Whether there have been nodes enough: one that is lost since then may come back, and is waited for."""

    def start(self, attempt: Attempt) -> RayPlaced:
        address = self._settings.address or os.environ.get("RAY_ADDRESS") or "auto"
        ray = connected_to_ray(address, LaunchError, "launch.kind: ray")
        bundle = {"CPU": self._settings.cpus, "GPU": self._settings.gpus}
        wanted = {name: count for name, count in bundle.items() if count}
        there = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        fitting = [has for has in there if all(has.get(name, 0) >= count for name, count in wanted.items())]
        if len(fitting) < self._nodes and not self._had:
            raise LaunchError(
                f"launch.nodes is {self._nodes}, and {len(fitting)} of the Ray cluster's {len(there)} nodes have "
                f"{' and '.join(f'{count:g} {name}' for name, count in wanted.items())} (launch.ray): a job would wait "
                "for ever"
            )
        self._had = True
        return RayPlaced(attempt, bundle, self._nodes)

    def clear(self, attempt: Attempt) -> None:
        """Nothing: Ray has ended the actors of a process that is gone."""


class RayPlaced:
    """The actors of one attempt, from when their bundles are free."""

    def __init__(self, attempt: Attempt, bundle: dict[str, float], nodes: int) -> None:
        from ray.util.placement_group import placement_group

        self._attempt, self._bundle, self._nodes = attempt, bundle, nodes
        self._group = placement_group([bundle] * nodes, strategy="STRICT_SPREAD")
        self._ready = self._group.ready()
        self._actors: list[Any] = []
        self._ends: list[Any] = []

    def gone(self) -> dict[int, int]:
        import ray

        if not self._actors:
            if ray.wait([self._ready], timeout=0)[0]:
                self._begin()
            return {}
        ended, _ = ray.wait(self._ends, num_returns=self._nodes, timeout=0)
        return {self._ends.index(end): _status(end) for end in ended}

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

        resources = {"num_cpus": self._bundle["CPU"], "num_gpus": self._bundle["GPU"]}
        for node in range(self._nodes):
            where = PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=node)
            actor = ray.remote(Agent).options(scheduling_strategy=where, **resources).remote()
            self._actors.append(actor)
            words = node_words(self._attempt, str(node), None)
            self._ends.append(actor.run.remote(words, self._attempt.run.node_log(node)))


def _status(end: Any) -> int:
    """The exit status of a node's part; an error's where its actor was lost."""
    import ray

    try:
        return int(ray.get(end))
    except ray.exceptions.RayError:
        return EXIT_ERROR
