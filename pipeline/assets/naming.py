"""What Dagster calls a profile's things: keys and groups of assets, the repository, tags of runs.

Dagster keeps one history for each asset key, and one list of runs for each job of a repository. So both carry the
profile's name: two profiles in one history are two folders of assets (`sample/model`, `mine/model`) and two
repositories with jobs, runs and sensors of their own. A partition for each profile was tried in thought and left: it
asks for a `--partition` in every command about an asset, and plots run over partitions instead of over time. In the
store a key stays what it was: there the pointers are a profile's, and artifacts everybody's.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Final

import dagster as dg

from pipeline.base.canonical import text_hash
from pipeline.reporting.decorating import decorating

LOCATION: Final = "pipeline"
"""The code location's name, as in workspace.yaml and pyproject.toml."""
TRAINING_POOL: Final = "training"
"""The pool of assets that start a trainer, which takes all cores or GPUs."""
POOL_TAG: Final = "squeeze/pool"
"""Tag of a step of a pool, by which a run's executor counts; an instance's limits know pools by themselves."""


@dataclass(frozen=True)
class Naming:
    """The names of one profile's things."""

    profile: str

    def asset_key(self, key: str) -> dg.AssetKey:
        """The store's `shards/epoch_001` as Dagster's key: `sample/shards/epoch_001`."""
        return dg.AssetKey([self.profile, *key.split("/")])

    def group(self, group: str) -> str:
        """The group `training` as `sample_training`: the page of all groups shows their names and nothing else, and
        puts equal ones together."""
        return f"{self.repository}_{group}"

    @property
    def repository(self) -> str:
        """The profile's name in letters, digits and underscores, which is all that Dagster takes; with a hash where
        more than a hyphen, a full stop or a space is lost."""
        plain = re.sub(r"[-. ]", "_", self.profile)
        kept = re.sub(r"[^A-Za-z0-9_]", "_", plain)
        return kept if kept == plain else f"{kept}_{text_hash(self.profile)[:6]}"

    @property
    def run_tags(self) -> dict[str, str]:
        """Tags of every run: the profile, and the repository, which is how the page of a job finds its runs."""
        return {"profile": self.profile, ".dagster/repository": f"{self.repository}@{LOCATION}"}


def op_name(key: str) -> str:
    """What an asset's step is called in logs and in a launchpad's `ops`: the same in every profile."""
    return dg.AssetKey(key.split("/")).to_python_identifier()


def claim_run(run: dg.DagsterRun, instance: dg.DagsterInstance, log: logging.Logger, naming: Naming) -> None:
    """Give a run of the command line what one of the UI has, or no page but that of all runs would show it.

    `dagster job execute` leaves out where a job is from (dagster issue 17707), by which the Timeline finds runs, and
    `dagster asset materialize` has no job that carries tags. It is written as `dagster run migrate-repository` does.
    """
    with decorating(log, "this run is not shown in the web UI's Timeline"):
        # no public module has them, so an update of Dagster may move them: that costs a warning
        from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

        missing = {name: value for name, value in naming.run_tags.items() if name not in run.tags}
        if missing:
            instance.add_run_tags(run.run_id, missing)
        now = instance.get_run_by_id(run.run_id)
        if now is not None and now.remote_job_origin is None:
            repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), naming.repository)
            instance.run_storage.replace_job_origin(now, RemoteJobOrigin(repository, now.job_name))
