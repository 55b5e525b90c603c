"""`python -m tests.cluster.whole_profile PROFILE HOME`: all artifacts of a profile, built here, by content hash.

The last line that it prints is {key: content hash} of what is current for the profile. All that goes by parts goes to
the engine, however small it is. It is also run by a Python that has the project's requirements and nothing else.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest import mock

import dagster as dg

from pipeline.profile.profile import load_profile
from pipeline.store import Store
from pipeline.store.local import LocalBackend
from tests.cluster.small_work import give_small_work_away


def build_all(profile_file: Path, home: Path) -> dict[str, str]:
    """Content hash by artifact, for whoever has given small work away."""
    from pipeline.definitions import build_definitions  # reads a profile, and takes the terminal in hand

    profile = load_profile(str(profile_file))
    definitions = build_definitions(profile, str(home))
    for job in ("full_train", "ablations"):
        definitions.resolve_job_def(job).execute_in_process(instance=dg.DagsterInstance.ephemeral())
    store = Store(home, profile.name, backend=LocalBackend(home))
    made = {key: item.content_hash for _, key, item in store.pointers(profile.name) if item is not None}
    del made["ablation_report"]  # it says how fast the runs were
    return made


def main() -> None:
    give_small_work_away(lambda name, value: mock.patch(name, value).start())
    print(json.dumps(build_all(*map(Path, sys.argv[1:]))))


if __name__ == "__main__":
    main()
